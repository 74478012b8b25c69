//! Every rule for Secrets is asked twice: of our pre-flight, and of a real API server.
//!
//! A case is a table of Secrets. Each is sent with `dryRun=All` and judged by `coffer_sync_core`; both sides must take
//! it, or refuse it for the same fields. Where we refuse more than the server on purpose, the case says why. What a
//! controller manager would do is not asked here: the cluster has none.

/// Quota, and namespaces that end or are not there.
mod admission;
/// Bootstrap tokens, as the server's own authenticator takes or refuses them.
mod bootstrap;
/// A Secret as data.
mod case;
/// What the server stores although no consumer can use it: every check of meaning.
mod checks;
/// What bytes and which types may be written at all.
mod content;
/// Docker files, as the server reads JSON.
mod docker;
/// Some hundred texts without an author, for every rule about texts.
mod generated;
/// Keys of data.
mod keys;
/// Names, labels and annotations.
mod metadata;
/// The examples of the Kubernetes documentation.
mod page;
/// What the server answered.
mod reply;
/// What the other types require.
mod required;
/// Limits in bytes, those of etcd too.
mod sizes;
/// Pairs of certificate and key, and the server's warnings about them.
mod tls;
/// What may change in a Secret that is there.
mod updates;

use anyhow::{Context, Result, ensure};
use coffer_sync_core::claim::APPLY_MANAGER;
use coffer_sync_core::validate::Check;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use self::case::Case;
use self::reply::{Judged, Reply};
use crate::stage::unique;
use crate::world::cluster;

/// Checks that `render` makes as well.
const RENDERED: [Check; 3] = [
    Check::MetadataLabel,
    Check::MetadataAnnotation,
    Check::DataSize,
];

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";
const DRY_RUN: &str = "dryRun=All";

/// A file of the core's test data, by name.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../sync/core/testdata/",
            $name
        ))
        .as_slice()
    };
}
use fixture;

/// A namespace of a case's own on the shared server.
struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    async fn new() -> Result<Self> {
        Self::named(&unique("secret-types")).await
    }

    async fn named(namespace: &str) -> Result<Self> {
        let api = &cluster().await?.api;
        api.create_namespace(namespace).await?;
        Ok(Self {
            client: api.client(),
            namespace: namespace.to_owned(),
        })
    }

    /// Has both sides judge it, and fails unless they say the same.
    async fn judge(&self, case: &Case) -> Result<Judged> {
        let judged = self.compare(case).await?;
        let refused = RENDERED.into_iter().any(|check| judged.finds(check));
        ensure!(
            case.rendered(&self.namespace).is_err() == refused,
            "render disagrees with validate on {}",
            case.outline()
        );
        Ok(judged)
    }

    /// The same without a look at `render`.
    async fn compare(&self, case: &Case) -> Result<Judged> {
        let judged = Judged {
            reply: self.dry_run(case).await?,
            findings: case.findings(&self.namespace)?,
        };
        judged.agree().with_context(|| case.outline())?;
        Ok(judged)
    }

    async fn dry_run(&self, case: &Case) -> Result<Reply> {
        self.dry_apply(&case.name, &case.document()).await
    }

    /// Our apply, carried out or refused.
    async fn apply(&self, case: &Case) -> Result<Reply> {
        let uri = format!("{}?{}", self.secret(&case.name), ours());
        self.send(Method::PATCH, &uri, APPLY, bytes(&case.document()))
            .await
    }

    /// Our apply, which must be taken.
    async fn write(&self, case: &Case) -> Result<Reply> {
        let reply = self.apply(case).await?;
        reply.taken().with_context(|| case.outline())?;
        Ok(reply)
    }

    /// An apply of this document by our manager, as a dry run.
    async fn dry_apply(&self, name: &str, document: &Value) -> Result<Reply> {
        self.dry_send(name, &bytes(document)).await
    }

    /// The same of a document that is written already.
    async fn dry_send(&self, name: &str, body: &[u8]) -> Result<Reply> {
        let uri = format!("{}?{}&{DRY_RUN}", self.secret(name), ours());
        self.send(Method::PATCH, &uri, APPLY, body.to_vec()).await
    }

    /// A replacement, as a dry run.
    async fn put(&self, name: &str, document: &Value) -> Result<Reply> {
        let uri = format!("{}?{DRY_RUN}", self.secret(name));
        self.send(Method::PUT, &uri, JSON, bytes(document)).await
    }

    /// A merge patch, as a dry run.
    async fn merge(&self, name: &str, patch: &Value) -> Result<Reply> {
        let uri = format!("{}?{DRY_RUN}", self.secret(name));
        self.send(Method::PATCH, &uri, MERGE, bytes(patch)).await
    }

    /// A creation, as a dry run.
    async fn post(&self, document: &Value) -> Result<Reply> {
        let uri = format!("{}?{DRY_RUN}", self.secrets());
        self.send(Method::POST, &uri, JSON, bytes(document)).await
    }

    async fn get(&self, name: &str) -> Result<Reply> {
        let uri = self.secret(name);
        self.send(Method::GET, &uri, JSON, Vec::new()).await
    }

    async fn delete(&self, name: &str) -> Result<Reply> {
        let uri = self.secret(name);
        self.send(Method::DELETE, &uri, JSON, Vec::new()).await
    }

    fn secrets(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn secret(&self, name: &str) -> String {
        format!("{}/{}", self.secrets(), encoded(name))
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Reply> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content_type)
            .body(Body::from(body))?;
        Reply::read(self.client.send(request).await?).await
    }
}

/// The query of our applies.
fn ours() -> String {
    format!("fieldManager={APPLY_MANAGER}&force=true")
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    name.bytes().map(one).collect()
}
