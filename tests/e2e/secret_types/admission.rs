//! Refusals that have nothing to do with the Secret: a full quota, and namespaces that end or are not there.
//!
//! No controller runs, so the case fills in what the quota controller would have counted.

use anyhow::{Result, ensure};
use coffer_sync_core::answer::{Kind, Next};
use coffer_sync_core::decide::FailureKind;
use coffer_tests::fixture::eventually;
use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use super::{Case, JSON, MERGE, Place, Reply, bytes};
use crate::stage::{SOON, unique};
use crate::world::run;

/// What becomes of a refused write that may heal by itself.
fn failure(reply: &Reply) -> Option<FailureKind> {
    match reply.answer().next(String::new()) {
        Next::Fail(failure) => Some(failure.kind),
        _ => None,
    }
}

/// Types §2, row "quota full / namespace terminating / missing": a full quota refuses creations and no updates, and is
/// no question of rights
#[test]
fn a_full_quota_is_told_apart_from_missing_rights() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let first = Case::opaque().named("first");
        place.write(&first).await?;
        let quotas = format!("/api/v1/namespaces/{}/resourcequotas", place.namespace);
        let hard = json!({"count/secrets": "1"});
        let quota = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": hard},
        });
        let made = place
            .send(Method::POST, &quotas, JSON, bytes(&quota))
            .await?;
        made.taken()?;
        let status = json!({"status": {"hard": hard, "used": {"count/secrets": "1"}}});
        let uri = format!("{quotas}/q/status");
        let counted = place
            .send(Method::PATCH, &uri, MERGE, bytes(&status))
            .await?;
        counted.taken()?;

        let second = Case::opaque().named("second");
        let refused = eventually(SOON, "a full quota", async || {
            let reply = place.dry_run(&second).await?;
            ensure!(!reply.accepted(), "there is room for one more");
            Ok(reply)
        })
        .await?;
        refused.says(403, &["exceeded quota: q, requested: count/secrets=1"])?;
        ensure!(refused.answer().kind() == Kind::Quota);
        ensure!(failure(&refused) == Some(FailureKind::Quota));
        let update = place.write(&first.with("k", "changed")).await?;
        ensure!(update.code == 200);
        Ok(())
    })
}

/// Types §2, row "quota full / namespace terminating / missing": a namespace that ends takes updates and nothing new,
/// and the object is forgotten
#[test]
fn a_namespace_that_ends_is_told_apart_from_missing_rights() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let first = Case::opaque().named("first");
        place.write(&first).await?;
        let namespaces = Api::<Namespace>::all(place.client.clone());
        namespaces
            .delete(&place.namespace, &DeleteParams::default())
            .await?;
        let second = Case::opaque().named("second");
        let refused = eventually(SOON, "a namespace that ends", async || {
            let reply = place.dry_run(&second).await?;
            ensure!(!reply.accepted(), "the namespace takes one more");
            Ok(reply)
        })
        .await?;
        refused.says(403, &["because it is being terminated"])?;
        let causes: Vec<&str> = refused
            .causes
            .iter()
            .map(|cause| cause.reason.as_str())
            .collect();
        ensure!(causes == ["NamespaceTerminating"], "{causes:?}");
        ensure!(refused.answer().kind() == Kind::Terminating);
        ensure!(refused.answer().next(String::new()) == Next::Forget);
        let update = place.write(&first.with("k", "changed")).await?;
        ensure!(update.code == 200);
        Ok(())
    })
}

/// Types §2, row "quota full / namespace terminating / missing": without its namespace nothing is written, and it is
/// tried again
#[test]
fn a_namespace_that_is_not_there_is_told_by_its_name() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let nowhere = Place {
            namespace: unique("nowhere"),
            ..place
        };
        let words = format!("namespaces \"{}\" not found", nowhere.namespace);
        for reply in [
            nowhere.dry_run(&Case::opaque()).await?,
            nowhere.apply(&Case::opaque()).await?,
            nowhere.post(&Case::opaque().document()).await?,
        ] {
            reply.says(404, &[&words])?;
            ensure!(reply.answer().kind() == Kind::NoNamespace);
            ensure!(failure(&reply) == Some(FailureKind::Api));
        }
        Ok(())
    })
}
