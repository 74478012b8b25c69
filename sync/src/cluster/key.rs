//! The key of all fingerprints: one immutable Secret in our namespace, made once.
//!
//! A lost key costs one write per object that changes no value; it never restarts anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_sync_core::answer::Answer;
use coffer_sync_core::fingerprint::Key;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Call, Cluster, Patch, unreadable};

const BYTES: usize = 32;

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The API server refused or did not answer.
    #[error("the key Secret cannot be had: {0}")]
    Api(String),
    /// The Secret holds something else.
    #[error(
        "the Secret {0} holds no key of {BYTES} bytes under `key`; delete it and a new one is made"
    )]
    Content(String),
    /// The system gives no random bytes.
    #[error("no random bytes for a new key")]
    Random,
}

#[derive(Deserialize)]
struct Document {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    key: Option<Zeroizing<String>>,
}

impl Cluster {
    /// The key; made where there is none. `random` fills the bytes of a new one.
    ///
    /// # Errors
    /// There is none and none can be made.
    pub async fn fingerprint_key(
        &self,
        namespace: &str,
        name: &str,
        random: impl Fn(&mut [u8; BYTES]) -> Option<()>,
    ) -> Result<Key, KeyFault> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        if let Some(found) = self.held(&path).await? {
            return read(&found, name);
        }
        let mut fresh = Zeroizing::new([0; BYTES]);
        random(&mut fresh).ok_or(KeyFault::Random)?;
        match self.make(namespace, name, &fresh).await {
            Ok(()) => Ok(Key::new(&fresh)),
            // Somebody was faster: theirs counts.
            Err(answer) if matches!(answer.code, 409 | 422) => {
                let found = self.held(&path).await?;
                let found = found.ok_or_else(|| KeyFault::Api("it comes and goes".to_owned()))?;
                read(&found, name)
            }
            Err(answer) => Err(KeyFault::Api(answer.message)),
        }
    }

    async fn held(&self, path: &str) -> Result<Option<super::Reply>, KeyFault> {
        match self
            .send(Call::new("get", Method::GET, path.to_owned()))
            .await
        {
            Ok(reply) => Ok(Some(reply)),
            Err(answer) if answer.code == 404 => Ok(None),
            Err(answer) => Err(KeyFault::Api(answer.message)),
        }
    }

    /// By apply, because that right can be limited to this name. Of two that make it at once the second is
    /// refused: the Secret is immutable.
    async fn make(&self, namespace: &str, name: &str, key: &[u8; BYTES]) -> Result<(), Answer> {
        let text = Zeroizing::new(STANDARD.encode(key));
        let body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "immutable": true,
            "type": "Opaque",
            "data": {"key": text.as_str()},
        })
        .to_string();
        let body = Zeroizing::new(body);
        let patch = Patch {
            namespace,
            name,
            force: false,
        };
        self.apply(patch, body.as_bytes()).await.map(|_| ())
    }
}

fn read(reply: &super::Reply, name: &str) -> Result<Key, KeyFault> {
    let document: Document = serde_json::from_slice(&reply.body)
        .map_err(unreadable)
        .map_err(|answer| KeyFault::Api(answer.message))?;
    let text = document.data.and_then(|data| data.key).unwrap_or_default();
    let bytes = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    let bytes: Option<[u8; BYTES]> = bytes
        .ok()
        .and_then(|bytes| bytes.as_slice().try_into().ok());
    let bytes = Zeroizing::new(bytes.ok_or_else(|| KeyFault::Content(name.to_owned()))?);
    Ok(Key::new(&bytes))
}
