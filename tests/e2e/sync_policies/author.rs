//! What authors of SecretSyncs and classes must be allowed to do themselves: use the account, write the Secret.

use anyhow::Result;
use kube::Client;
use kube::api::{DeleteParams, PatchParams};
use serde_json::{Value, json};

use super::policed;
use crate::sync_objects::{
    class, created, deleted, judge, merged, secret_sync, tried, with, without,
};
use crate::world::run;

const NO_ACCOUNT: &str = "403 neither the right to use the ServiceAccount";
const NO_SECRET: &str = "403 neither the right to create the Secret";
const TOO_MANY: &str = "403 more than four Secrets";

/// The right to write SecretSyncs and classes, without which nobody is an author.
pub(super) fn both_kinds() -> Value {
    json!({
        "apiGroups": ["secret-sync.x-k8s.io", "secrets-store.csi.x-k8s.io"],
        "resources": ["secretsyncs", "secretproviderclasses"],
        "verbs": ["*"],
    })
}

/// A right in the core group; without names it is one to all objects.
fn right(resource: &str, verbs: &[&str], names: &[&str]) -> Value {
    let rule = json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    if names.is_empty() {
        rule
    } else {
        with(rule, "/resourceNames", json!(names))
    }
}

/// A class that is opened for syncing as `app`.
fn opened(team: &str, name: &str, secrets: &[&str]) -> Value {
    as_account(class(team, name, secrets), "app")
}

fn as_account(class: Value, account: &str) -> Value {
    with(
        class,
        "/metadata/annotations",
        json!({"coffer.rs/sync-as": account}),
    )
}

async fn author(team: &str, name: &str, rights: &[Value]) -> Result<Client> {
    let rules: Vec<Value> = rights.iter().cloned().chain([both_kinds()]).collect();
    policed().await?.user(team, name, &rules).await
}

/// Case 12, author: the rights to use the account and to write the Secret, in any of their forms
#[test]
fn case_12_an_author_may_use_the_account_and_write_the_secret() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let used = right("serviceaccounts", &["use"], &["app"]);
        let tokens = right("serviceaccounts/token", &["create"], &["app"]);
        let others = right("serviceaccounts", &["use"], &["other"]);
        let create = right("secrets", &["create"], &[]);
        let update = right("secrets", &["update"], &[]);
        let by_name = right("secrets", &["update"], &["db"]);
        let other_name = right("secrets", &["create", "update"], &["other"]);
        let read = right("secrets", &["get", "list", "patch", "delete"], &[]);
        for (name, rights, expected) in [
            ("nobody", vec![], NO_ACCOUNT),
            ("no-secrets", vec![used.clone()], NO_SECRET),
            ("no-account", vec![create.clone()], NO_ACCOUNT),
            ("uses-and-creates", vec![used.clone(), create.clone()], "ok"),
            ("has-tokens-and-updates", vec![tokens.clone(), update], "ok"),
            ("updates-by-name", vec![used.clone(), by_name], "ok"),
            ("writes-another", vec![used.clone(), other_name], NO_SECRET),
            ("reads", vec![used, read], NO_SECRET),
            ("uses-another", vec![others, create], NO_ACCOUNT),
        ] {
            let author = author(&team, name, &rights).await?;
            for object in [secret_sync(&team, "db"), opened(&team, "c", &["db"])] {
                let said = tried(&author, &object).await?;
                judge(&format!("{name}: {}", object["kind"]), &said, expected)?;
            }
            let closed = class(&team, "c", &["db"]);
            judge(name, &tried(&author, &closed).await?, "ok")?;
        }
        let said = tried(&policed.admin, &secret_sync(&team, "db")).await?;
        judge("the admin", &said, "ok")
    })
}

/// Case 12, author: each Secret of a class counts; beyond four a right to all of them is needed
#[test]
fn case_12_an_author_may_write_every_secret_of_a_class() -> Result<()> {
    run(async {
        let team = policed().await?.team().await?;
        let used = right("serviceaccounts", &["use"], &["app"]);
        let five = ["s1", "s2", "s3", "s4", "s5"];
        let named = [used.clone(), right("secrets", &["update"], &five)];
        let named = author(&team, "some", &named).await?;
        let every = [used, right("secrets", &["update"], &[])];
        let every = author(&team, "every", &every).await?;
        let many: Vec<String> = (0..200).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (secrets, of_some) in [
            (&[][..], "ok"),
            (&five[..4], "ok"),
            // The controller trims names as the driver does.
            (&[" s1 "], "ok"),
            (&["other"], NO_SECRET),
            (&["s1", "other"], NO_SECRET),
            (&["s1", "s2", "other"], NO_SECRET),
            (&["s1", "s2", "s3", "other"], NO_SECRET),
            (&[""], NO_SECRET),
            (&five, TOO_MANY),
            (&many, TOO_MANY),
        ] {
            let object = opened(&team, "c", secrets);
            judge(&object.to_string(), &tried(&named, &object).await?, of_some)?;
            judge(&object.to_string(), &tried(&every, &object).await?, "ok")?;
        }
        let old = json!("secrets-store.csi.x-k8s.io/v1alpha1");
        let old = with(opened(&team, "c", &["other"]), "/apiVersion", old);
        judge("old version", &tried(&named, &old).await?, NO_SECRET)?;
        let nothing = without(opened(&team, "c", &[]), "/spec");
        judge("no spec", &tried(&named, &nothing).await?, "ok")?;
        // Names that are none stand for all accounts, and so do those that are missing.
        for account in ["", "a\nb", "other"] {
            let object = as_account(class(&team, "c", &[]), account);
            judge(
                account,
                &tried(&every, &object).await?,
                "403 neither the right to use",
            )?;
        }
        let nothing = without(secret_sync(&team, "s1"), "/spec");
        judge("no spec", &tried(&every, &nothing).await?, NO_ACCOUNT)
    })
}

/// Section 18: an update is judged by what it changes, so a label needs no right to Secrets
#[test]
fn case_12_an_author_is_judged_by_what_an_update_changes() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let nobody = author(&team, "nobody", &[]).await?;
        let rights = [
            right("serviceaccounts", &["use"], &["app"]),
            right("secrets", &["create"], &[]),
        ];
        let somebody = author(&team, "somebody", &rights).await?;
        let annotations =
            json!({"coffer.rs/sync-as": "app", "coffer.rs/restart": "Auto", "note": "n"});
        let synced = with(
            secret_sync(&team, "db"),
            "/metadata/annotations",
            annotations.clone(),
        );
        let class = with(
            class(&team, "c", &["db"]),
            "/metadata/annotations",
            annotations,
        );
        let annotation =
            |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
        let how = PatchParams::default().dry_run();
        for object in [synced, class] {
            created(&policed.admin, &object).await?;
            let field = if object["kind"] == "SecretSync" {
                json!({"spec": {"forceSynchronization": "1"}})
            } else {
                json!({"spec": {"parameters": {"a": "b"}}})
            };
            for (patch, counts) in [
                (json!({"metadata": {"labels": {"a": "b"}}}), false),
                (
                    json!({"metadata": {"finalizers": ["example.com/f"]}}),
                    false,
                ),
                (json!({"status": {"syncHash": "h"}}), false),
                (annotation("note", json!("m")), false),
                (annotation("note", Value::Null), false),
                (annotation("coffer.rs/restart", json!("Auto")), false),
                (annotation("coffer.rs/restart", json!("Never")), true),
                (annotation("coffer.rs/restart", Value::Null), true),
                (annotation("coffer.rs/extra-data", json!("[]")), true),
                (field, true),
            ] {
                let what = format!("{}: {patch}", object["kind"]);
                let expected = if counts { NO_ACCOUNT } else { "ok" };
                judge(
                    &what,
                    &merged(&nobody, &object, &how, &patch).await?,
                    expected,
                )?;
                judge(
                    &what,
                    &merged(&somebody, &object, &how, &patch).await?,
                    "ok",
                )?;
            }
        }
        doors(&team, &nobody, &somebody).await
    })
}

/// Opening a class needs the rights, closing it and editing a closed one does not.
async fn doors(team: &str, nobody: &Client, somebody: &Client) -> Result<()> {
    let policed = policed().await?;
    let (open, closed) = (
        opened(team, "open", &["db"]),
        class(team, "closed", &["db"]),
    );
    created(&policed.admin, &open).await?;
    created(&policed.admin, &closed).await?;
    let sync_as =
        |account: Value| json!({"metadata": {"annotations": {"coffer.rs/sync-as": account}}});
    let status = json!({"metadata": {"annotations": {"coffer.rs/sync-status": "{}"}}});
    let parameters = json!({"spec": {"parameters": {"a": "b"}}});
    let how = PatchParams::default().dry_run();
    for (what, who, object, patch, expected) in [
        (
            "opening",
            nobody,
            &closed,
            &sync_as(json!("app")),
            NO_ACCOUNT,
        ),
        ("opening", somebody, &closed, &sync_as(json!("app")), "ok"),
        (
            "as another",
            somebody,
            &open,
            &sync_as(json!("default")),
            NO_ACCOUNT,
        ),
        ("closing", nobody, &open, &sync_as(Value::Null), "ok"),
        ("a closed one", nobody, &closed, &parameters, "ok"),
        // What the controller writes is its memory; its own rights are enough for that.
        ("state", nobody, &open, &status, NO_ACCOUNT),
        ("state", &policed.controller, &open, &status, "ok"),
    ] {
        judge(what, &merged(who, object, &how, patch).await?, expected)?;
    }
    judge(
        "deletion",
        &deleted(nobody, &open, &DeleteParams::default()).await?,
        "ok",
    )
}
