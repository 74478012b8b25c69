//! The conformance cases of the upstream suite, black box: objects in, Secrets and conditions out.
//!
//! Elsewhere: case 8 and the definitions' names in `sync_crds`, the rights of case 1 in `sync_rights`, case 12 in
//! `sync_policies`. Of what goes beyond upstream: drift, outages, takeover and leaders in the files of these names,
//! types in `page` and `secret_types`, the lines about other products in `others`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::options::{a_second_after, encoded, fetch_anew, got, message, noted, shown};
use super::{Ground, Install, Scene, VENDOR, condition_of, keys, value};
use crate::stage::has;
use crate::sync_objects::{ACCOUNT, SYSTEM, class, created, stored, tried, with};
use crate::world::run;

/// Sync §17.1: both definitions are established, and the controller's account is bound to its roles.
#[test]
fn case_1_definitions_roles_and_bindings_are_there() -> Result<()> {
    run(async {
        let admin = &Ground::of(Install::Plain).await?.admin;
        for name in [
            "secretsyncs.secret-sync.x-k8s.io",
            "secretproviderclasses.secrets-store.csi.x-k8s.io",
        ] {
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let found = got(admin, &path).await?;
            let established = condition_of(&found, "Established").context("no condition")?;
            ensure!(established["status"] == "True", "{name}: {established}");
        }
        let everywhere = "/apis/rbac.authorization.k8s.io/v1";
        let own = format!("{everywhere}/namespaces/{SYSTEM}");
        for (role, binding) in [
            (
                format!("{everywhere}/clusterroles/{ACCOUNT}"),
                format!("{everywhere}/clusterrolebindings/{ACCOUNT}"),
            ),
            (
                format!("{own}/roles/{ACCOUNT}"),
                format!("{own}/rolebindings/{ACCOUNT}"),
            ),
        ] {
            let (role, binding) = (got(admin, &role).await?, got(admin, &binding).await?);
            let (to, who) = (&binding["roleRef"], &binding["subjects"][0]);
            ensure!(to["name"] == role["metadata"]["name"], "{binding}");
            ensure!(to["kind"] == role["kind"], "{binding}");
            ensure!(
                who["name"] == ACCOUNT && who["namespace"] == SYSTEM,
                "{who}"
            );
        }
        Ok(())
    })
}

/// Sync §17.2: the Secret has the name, the value, the label and exactly one owner; it goes with its SecretSync.
#[test]
fn case_2_a_secret_sync_makes_a_secret_and_takes_it_along() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let secret = scene.holds("a", "k", b"value").await?;
        let metadata = &secret["metadata"];
        ensure!(
            metadata["labels"]["secrets-store.sync.x-k8s.io"] == "",
            "{metadata}"
        );
        ensure!(metadata["labels"]["coffer.rs/sync"] == "true", "{metadata}");
        ensure!(
            metadata["ownerReferences"]
                == json!([{
                    "apiVersion": "secret-sync.x-k8s.io/v1alpha1",
                    "kind": "SecretSync",
                    "name": "a",
                    "uid": sync["metadata"]["uid"],
                }]),
            "{metadata}"
        );
        ensure!(secret["type"] == "Opaque" && keys(&secret) == ["k"]);
        scene
            .says(&sync, "SecretCreated", "True", "CreateSuccessful")
            .await?;
        scene
            .says(&sync, "SecretUpdated", "True", "SecretUpToDate")
            .await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(
            message == "k (5 bytes); from vendor 1.0; polled every 10m",
            "{message}"
        );
        scene.told("a", "Synced").await?;
        scene.delete(&sync).await?;
        scene.gone("a").await
    })
}

/// Sync §17.3: a class of another namespace is none, and the missing one is named; once there it is used at once.
#[test]
fn case_3_a_class_of_another_namespace_is_not_used() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        let elsewhere = scene.ground.namespace().await?;
        created(&scene.ground.admin, &class(&elsewhere, "c", &[])).await?;
        let sync = scene.sync("a").await?;
        let reason = "SecretProviderClassMisconfigured";
        let told = scene.says(&sync, "SecretCreated", "False", reason).await?;
        let namespace = &scene.namespace;
        let missing = format!("SecretProviderClass c does not exist in namespace {namespace}");
        ensure!(message(&told) == missing, "{told}");
        scene
            .says(&sync, "SecretUpdated", "Unknown", "NoUpdatesAttemptedYet")
            .await?;
        scene.says(&sync, "Ready", "False", reason).await?;
        ensure!(scene.secret("a").await?.is_none() && scene.vendor.calls() == 0);

        scene.class("c").await?;
        scene.holds("a", "k", b"value").await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Waits until an object is refused for its type by our own gate, which asks nobody.
async fn refused_by_our_gate(scene: &Scene, sync: &Value, type_: &str) -> Result<()> {
    let told = scene
        .says(sync, "SecretCreated", "False", "ControllerPatchError")
        .await?;
    let text = format!(
        "Secrets of type {type_} are not allowed here; an operator allows them by --allowed-types."
    );
    ensure!(message(&told) == text, "{told}");
    scene.says(sync, "Ready", "False", "TypeNotAllowed").await?;
    noted(scene, "a", "SyncRefused", &text).await?;
    ensure!(scene.secret("a").await?.is_none() && scene.vendor.calls() == 0);
    Ok(())
}

/// Sync §17.4: a type outside of the operator's list is refused, and the provider is not asked for it.
#[test]
fn case_4_a_type_outside_of_the_list_is_refused() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--allowed-types", "Opaque,kubernetes.io/tls"]).await?;
        scene.class("c").await?;
        let type_ = "kubernetes.io/basic-auth";
        let sync = scene.sync_of("a", type_, &[("f", "password")]);
        let sync = scene.create(sync).await?;
        refused_by_our_gate(&scene, &sync, type_).await
    })
}

const MINTED: &str = "kubernetes.io/service-account-token";

/// A SecretSync whose Secret the cluster would fill with a token of `app`.
fn minting(scene: &Scene) -> Value {
    with(
        scene.sync_of("a", MINTED, &[("f", "k")]),
        "/spec/secretObject/annotations",
        json!({"kubernetes.io/service-account.name": "app"}),
    )
}

/// Sync §17.5: without the operator's word no token is minted, although the list is empty.
#[test]
fn case_5_a_token_of_an_account_is_refused_by_our_gate() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.class("c").await?;
        let sync = scene.create(minting(&scene)).await?;
        refused_by_our_gate(&scene, &sync, MINTED).await
    })
}

/// Sync §17.5: behind our gate stands the installed policy, and its sentence reaches the condition.
#[test]
fn case_5_a_token_of_an_account_is_denied_by_the_policy_where_our_gate_is_open() -> Result<()> {
    run(async {
        let scene = Scene::plain(&["--allowed-types", &format!("Opaque,{MINTED}")]).await?;
        scene.vendor.put("f", "s3cret-1");
        scene.class("c").await?;
        let sync = scene.create(minting(&scene)).await?;
        let reason = "ControllerPatchError";
        let told = scene.says(&sync, "SecretCreated", "False", reason).await?;
        let denied = [
            "ValidatingAdmissionPolicy 'coffer-sync-write'",
            "The type of this Secret is not among those that coffer-sync may write.",
        ];
        has(message(&told), &denied)?;
        let ready = scene.says(&sync, "Ready", "False", reason).await?;
        has(message(&ready), &denied)?;
        noted(&scene, "a", "SyncFailed", denied[1]).await?;
        ensure!(scene.secret("a").await?.is_none());
        Ok(())
    })
}

/// A blank in a key of the Secret's metadata is refused with what the API server says to such a Secret.
async fn a_bad_key_is_refused_as_by_the_server(field: &str) -> Result<()> {
    let scene = Scene::plain(&[]).await?;
    scene.vendor.put("f", "value");
    scene.class("c").await?;
    let bad = json!({"a b!": "x"});
    let place = format!("/spec/secretObject/{field}");
    let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
    let sync = scene.create(with(sync, &place, bad.clone())).await?;

    let asked = with(scene.secret_named("a"), &format!("/metadata/{field}"), bad);
    let said = tried(&scene.ground.admin, &asked).await?;
    let (_, sentence) = said.split_once("is invalid: ").context(said.clone())?;
    let told = scene
        .says(&sync, "SecretCreated", "False", "ControllerPatchError")
        .await?;
    has(message(&told), &[sentence])?;
    scene.says(&sync, "Ready", "False", "InvalidData").await?;
    ensure!(scene.secret("a").await?.is_none() && scene.vendor.calls() == 0);
    Ok(())
}

/// Sync §17.6: an annotation of the spec that is none for the API server.
#[test]
fn case_6_a_bad_annotation_is_refused_with_the_servers_sentence() -> Result<()> {
    run(a_bad_key_is_refused_as_by_the_server("annotations"))
}

/// Sync §17.7: a label of the spec that is none for the API server.
#[test]
fn case_7_a_bad_label_is_refused_with_the_servers_sentence() -> Result<()> {
    run(a_bad_key_is_refused_as_by_the_server("labels"))
}

/// Sync §17.9: another text in forceSynchronization undoes an edit of our key and leaves that of somebody else.
#[test]
fn case_9_forcing_restores_our_key_and_keeps_a_foreign_one() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "value");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"value").await?;
        let named = scene.secret_named("a");
        let edit = json!({"data": {"k": encoded("edited"), "theirs": encoded("kept")}});
        let edited = scene.merge(&named, &edit).await?;
        ensure!(value(&edited, "k") == Some(b"edited".to_vec()));
        scene.force(&sync).await?;
        let restored = scene.holds("a", "k", b"value").await?;
        ensure!(value(&restored, "theirs") == Some(b"kept".to_vec()));
        ensure!(restored["metadata"]["uid"] == edited["metadata"]["uid"]);
        scene
            .says(&sync, "SecretUpdated", "True", "SecretUpToDate")
            .await
            .map(|_| ())
    })
}

/// A Secret that is there stays as it is after such a change of its SecretSync, and its conditions say so.
async fn a_bad_update_leaves_the_secret(bad: Value, reason: &str, cure: Value) -> Result<()> {
    let scene = Scene::plain(&[]).await?;
    scene.vendor.put("f", "value");
    scene.class("c").await?;
    let sync = scene.sync("a").await?;
    let before = scene.holds("a", "k", b"value").await?;
    shown(&scene, "a", "ready", "Synced").await?;

    scene.merge(&sync, &bad).await?;
    scene.says(&sync, "SecretUpdated", "False", reason).await?;
    scene
        .says(&sync, "SecretCreated", "True", "CreateSuccessful")
        .await?;
    scene
        .says(&sync, "Ready", "True", "ServingLastGood")
        .await?;
    ensure!(scene.secret("a").await? == Some(before.clone()));

    scene.merge(&sync, &cure).await?;
    scene
        .says(&sync, "SecretUpdated", "True", "SecretUpToDate")
        .await?;
    scene.says(&sync, "Ready", "True", "Synced").await?;
    ensure!(scene.secret("a").await? == Some(before));
    Ok(())
}

/// Sync §17.10: a bad annotation in an update.
#[test]
fn case_10_a_bad_annotation_on_update_leaves_the_secret_as_it_is() -> Result<()> {
    let annotated =
        |text: Value| json!({"spec": {"secretObject": {"annotations": {"a b!": text}}}});
    run(a_bad_update_leaves_the_secret(
        annotated(json!("x")),
        "ControllerPatchError",
        annotated(Value::Null),
    ))
}

/// Sync §17.11: a class that is not there in an update.
#[test]
fn case_11_a_switch_to_a_missing_class_leaves_the_secret_as_it_is() -> Result<()> {
    let of_class = |name: &str| json!({"spec": {"secretProviderClassName": name}});
    run(a_bad_update_leaves_the_secret(
        of_class("missing"),
        "SecretProviderClassMisconfigured",
        of_class("c"),
    ))
}

/// Sync §17, rotation: a new value is written into the same Secret, told once, and known by another hash.
#[test]
fn a_rotated_value_is_written_into_the_same_secret() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let first = stored(&scene.ground.admin, &sync).await?;

        scene.vendor.put("f", "another");
        fetch_anew(&scene, &class).await?;
        let after = scene.holds("a", "k", b"another").await?;
        ensure!(after["metadata"]["uid"] == before["metadata"]["uid"]);
        noted(&scene, "a", "Synced", "Secret a holds new content.").await?;
        let second = stored(&scene.ground.admin, &sync).await?;
        ensure!(first["status"]["syncHash"] != second["status"]["syncHash"]);
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        has(message(&ready), &["k (7 bytes);"])
    })
}

/// Sync §17, keys: a key that the spec adds is there at once, and one that it takes out is gone.
#[test]
fn keys_come_and_go_with_the_spec() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("g", "two");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"one").await?;
        for (pairs, expected) in [
            (&[("f", "k"), ("g", "l")][..], &["k", "l"][..]),
            (&[("g", "l")], &["l"]),
            (&[("f", "l"), ("f", "m")], &["l", "m"]),
        ] {
            let wanted = scene.sync_of("a", "Opaque", pairs);
            scene.merge(&sync, &json!({"spec": wanted["spec"]})).await?;
            let what = format!("exactly the keys {expected:?}");
            scene
                .until("a", &what, |secret| keys(secret) == expected)
                .await?;
        }
        let secret = scene.holds("a", "l", b"one").await?;
        ensure!(value(&secret, "m") == Some(b"one".to_vec()));
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// A class `d` that makes the Secret `a` of file `g`.
async fn other_door(scene: &Scene) -> Result<Value> {
    let entry = json!({
        "secretName": "a",
        "type": "Opaque",
        "data": [{"objectName": "g", "key": "k"}],
    });
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "d", "annotations": {"coffer.rs/sync-as": "app"}},
        "spec": {"provider": VENDOR, "secretObjects": [entry]},
    });
    scene.create(class).await
}

async fn owned_by(scene: &Scene, kind: &str, owner: &Value) -> Result<()> {
    let uid = &owner["metadata"]["uid"];
    let what = format!("a Secret of the {kind}");
    let owned = |secret: &Value| {
        let owners = &secret["metadata"]["ownerReferences"];
        owners[0]["kind"] == kind && owners[0]["uid"] == *uid && owners[1].is_null()
    };
    scene.until("a", &what, owned).await.map(|_| ())
}

/// Sync §1 and §17, two doors: the older class keeps the Secret; when it goes, the SecretSync makes its own.
#[test]
fn of_two_doors_on_one_name_the_older_class_counts_as_long_as_it_is_there() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "of the sync");
        scene.vendor.put("g", "of the class");
        scene.class("c").await?;
        let class = other_door(&scene).await?;
        scene.holds("a", "k", b"of the class").await?;
        a_second_after(&class).await?;
        let sync = scene.sync("a").await?;
        let told = scene
            .says(&sync, "SecretCreated", "False", "ControllerPatchError")
            .await?;
        let text = "SecretProviderClass d claims Secret a already, and is older";
        ensure!(message(&told) == text, "{told}");
        scene
            .says(&sync, "Ready", "False", "DuplicateTarget")
            .await?;
        noted(&scene, "a", "SyncRefused", text).await?;
        owned_by(&scene, "SecretProviderClass", &class).await?;
        scene.holds("a", "k", b"of the class").await?;

        // The collector takes the class's Secret; only then there is room for the other.
        scene.delete(&class).await?;
        scene.holds("a", "k", b"of the sync").await?;
        owned_by(&scene, "SecretSync", &sync).await?;
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Sync §1 and §17, two doors: the same with the SecretSync as the older one.
#[test]
fn of_two_doors_on_one_name_the_older_secret_sync_counts_as_long_as_it_is_there() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "of the sync");
        scene.vendor.put("g", "of the class");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        scene.holds("a", "k", b"of the sync").await?;
        a_second_after(&sync).await?;
        let class = other_door(&scene).await?;
        let text = "DuplicateTarget: SecretSync a claims Secret a already, and is older";
        noted(&scene, "d", "SyncRefused", text).await?;
        owned_by(&scene, "SecretSync", &sync).await?;

        scene.delete(&sync).await?;
        scene.holds("a", "k", b"of the class").await?;
        owned_by(&scene, "SecretProviderClass", &class).await
    })
}
