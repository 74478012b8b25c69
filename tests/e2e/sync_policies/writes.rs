//! Which Secrets the controller writes and deletes: its own, of harmless types.
//!
//! Requests are those of the controller: a probe, an apply, an undo, a takeover, a deletion with preconditions.

use anyhow::{Result, ensure};
use kube::api::{DeleteParams, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::{Policed, policed};
use crate::sync_objects::{
    ACCOUNT, SYSTEM, applied, created, deleted, judge, merged, secret, stored, token, tried, with,
};
use crate::world::run;

const NO_SOURCE: &str = "422 would belong to no source";
const NOT_OURS: &str = "422 is not coffer-sync's";
const TYPE: &str = "422 type of this Secret is not among those";
const NO_OWNER: &str = "422 has no SecretSync or SecretProviderClass as owner";

fn owned_by(api_version: &str, kind: &str, uid: &str) -> Value {
    json!({"ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": "s", "uid": uid}]})
}

/// The owner of a Secret that a SecretSync makes.
fn owner(uid: &str) -> Value {
    owned_by("secret-sync.x-k8s.io/v1alpha1", "SecretSync", uid)
}

fn annotated(key: &str, value: &str) -> Value {
    json!({"annotations": {key: value}})
}

/// The Secret with what else its metadata holds.
fn marked(mut secret: Value, metadata: &Value) -> Value {
    for (field, value) in metadata.as_object().into_iter().flatten() {
        secret["metadata"][field] = value.clone();
    }
    secret
}

fn holding(secret: Value, data: Value) -> Value {
    with(secret, "/data", data)
}

/// The controller's way to write.
fn apply() -> PatchParams {
    PatchParams::apply("coffer-sync").force()
}

/// Its first contact: a dry run under another name.
fn probe() -> PatchParams {
    PatchParams::apply("coffer-sync-probe").dry_run()
}

impl Policed {
    async fn applied(&self, secret: &Value, how: &PatchParams) -> Result<String> {
        applied(&self.controller, secret, how).await
    }

    /// A Secret that the controller made.
    async fn ours(&self, secret: Value) -> Result<Value> {
        let secret = with(secret, "/type", json!("Opaque"));
        let said = self.applied(&secret, &apply()).await?;
        judge("a Secret of ours", &said, "ok")?;
        Ok(secret)
    }
}

/// Case 12, write: every type but those that mint credentials
#[test]
fn case_12_types_that_mint_credentials_are_not_written() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let metadata = json!({
            "annotations": {"kubernetes.io/service-account.name": "app"},
            "ownerReferences": owner("u")["ownerReferences"],
        });
        for (type_, data, expected) in [
            ("Opaque", json!({}), "ok"),
            ("", json!({}), "ok"),
            (
                "kubernetes.io/tls",
                json!({"tls.crt": "", "tls.key": ""}),
                "ok",
            ),
            ("kubernetes.io/basic-auth", json!({"username": ""}), "ok"),
            (
                "kubernetes.io/ssh-auth",
                json!({"ssh-privatekey": "YQ=="}),
                "ok",
            ),
            (
                "kubernetes.io/dockercfg",
                json!({".dockercfg": "e30="}),
                "ok",
            ),
            (
                "kubernetes.io/dockerconfigjson",
                json!({".dockerconfigjson": "e30="}),
                "ok",
            ),
            ("cloud.example.net/credentials", json!({}), "ok"),
            ("kubernetes.io/service-account-token", json!({}), TYPE),
            ("bootstrap.kubernetes.io/token", json!({}), TYPE),
        ] {
            let secret = marked(holding(secret(&team, "typed"), data), &metadata);
            let secret = with(secret, "/type", json!(type_));
            let said = policed.applied(&secret, &apply().dry_run()).await?;
            judge(&format!("apply of {type_:?}"), &said, expected)?;
            let said = tried(&policed.controller, &secret).await?;
            judge(&format!("creation of {type_:?}"), &said, expected)?;
        }
        Ok(())
    })
}

/// Case 12, write: a new Secret has a source as owner, or its uid
#[test]
fn case_12_a_new_secret_belongs_to_a_source() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let class = "SecretProviderClass";
        let driver = "secrets-store.csi.x-k8s.io";
        for (metadata, expected) in [
            (owner("u"), "ok"),
            (owned_by(&format!("{driver}/v1"), class, "u"), "ok"),
            (owned_by(&format!("{driver}/v1alpha1"), class, "u"), "ok"),
            (annotated("coffer.rs/source-uid", "u"), "ok"),
            (json!({}), NO_SOURCE),
            (json!({"labels": {"coffer.rs/sync": "true"}}), NO_SOURCE),
            (
                annotated("coffer.rs/adoptable-by", "SecretSync/s"),
                NO_SOURCE,
            ),
            (owned_by("v1", "ConfigMap", "u"), NO_SOURCE),
            (owned_by("example.com/v1", "SecretSync", "u"), NO_SOURCE),
            (
                owned_by("secret-sync.x-k8s.io.example.com/v1", "SecretSync", "u"),
                NO_SOURCE,
            ),
            (
                owned_by("secret-sync.x-k8s.io/v1alpha1", class, "u"),
                NO_SOURCE,
            ),
            (
                owned_by(&format!("{driver}/v1"), "SecretProviderClassPodStatus", "u"),
                NO_SOURCE,
            ),
        ] {
            let secret = marked(secret(&team, "new"), &metadata);
            let shown = metadata.to_string();
            judge(
                &shown,
                &policed.applied(&secret, &apply().dry_run()).await?,
                expected,
            )?;
            judge(
                &shown,
                &tried(&policed.controller, &secret).await?,
                expected,
            )?;
        }
        Ok(())
    })
}

/// Section 7, first contact: a probe finds out whether a Secret is there and whose it is, and stores nothing
#[test]
fn a_probe_is_answered_unless_the_secret_is_a_strangers() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let admin = &policed.admin;
        let uid = annotated("coffer.rs/source-uid", "u");
        let consent = annotated("coffer.rs/adoptable-by", "SecretSync/s");
        let tls = with(
            holding(secret(&team, "tls"), json!({"tls.crt": "", "tls.key": ""})),
            "/type",
            json!("kubernetes.io/tls"),
        );
        let account = annotated("kubernetes.io/service-account.name", "app");
        let minted = with(
            secret(&team, "minted"),
            "/type",
            json!("kubernetes.io/service-account-token"),
        );
        for object in [
            marked(secret(&team, "owned"), &owner("u")),
            marked(secret(&team, "retained"), &uid),
            marked(tls, &owner("u")),
            marked(secret(&team, "consenting"), &consent),
            secret(&team, "strangers"),
            marked(minted, &account),
        ] {
            created(admin, &object).await?;
        }
        for (name, expected) in [
            ("absent", "ok"),
            ("owned", "ok"),
            ("retained", "ok"),
            ("tls", "ok"),
            ("consenting", "ok"),
            ("strangers", NOT_OURS),
            ("minted", "422 'coffer-sync-write'"),
        ] {
            for metadata in [&owner("v"), &uid] {
                let body = marked(secret(&team, name), metadata);
                let said = policed.applied(&body, &probe()).await?;
                judge(&format!("{name} with {metadata}"), &said, expected)?;
            }
        }
        let found = stored(admin, &secret(&team, "strangers")).await?;
        ensure!(found["metadata"]["ownerReferences"].is_null(), "{found}");
        let absent = stored(admin, &secret(&team, "absent")).await;
        ensure!(absent.is_err(), "a probe was stored");
        Ok(())
    })
}

/// Case 12, write: a stranger's Secret is reached by no way of writing, until its owner consents
#[test]
fn case_12_a_strangers_secret_is_not_written_without_consent() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let theirs = holding(secret(&team, "theirs"), json!({"a": "MQ=="}));
        created(&policed.admin, &theirs).await?;
        let before = stored(&policed.admin, &theirs).await?;
        let named = secret(&team, "theirs");
        let uid = annotated("coffer.rs/source-uid", "u");
        let plain = PatchParams::default();
        let data = json!({"data": {"a": "Mg=="}});
        for (what, body) in [
            ("an owner", marked(named.clone(), &owner("u"))),
            ("a uid", marked(named.clone(), &uid)),
            (
                "consent of our own",
                marked(
                    named.clone(),
                    &annotated("coffer.rs/adoptable-by", "SecretSync/s"),
                ),
            ),
            (
                "data",
                holding(marked(named.clone(), &owner("u")), json!({"b": ""})),
            ),
        ] {
            let said = policed.applied(&body, &apply()).await?;
            judge(what, &said, "422 'coffer-sync-write'")?;
            let said = merged(&policed.controller, &named, &plain, &body).await?;
            judge(what, &said, "422 'coffer-sync-write'")?;
        }
        let said = merged(&policed.controller, &named, &plain, &data).await?;
        judge("data alone", &said, "422 'coffer-sync-write'")?;
        let after = stored(&policed.admin, &theirs).await?;
        assert_eq!(before, after);

        let consent = json!({"metadata": annotated("coffer.rs/adoptable-by", "SecretSync/s")});
        let said = merged(&policed.admin, &named, &plain, &consent).await?;
        judge("consent", &said, "ok")?;
        let adopted = holding(marked(named.clone(), &uid), json!({"a": "Mg=="}));
        judge(
            "an adoption",
            &policed.applied(&adopted, &apply()).await?,
            "ok",
        )?;
        // From now on the mark of ours counts.
        let withdrawn = json!({"metadata": {"annotations": {"coffer.rs/adoptable-by": null}}});
        let said = merged(&policed.admin, &named, &plain, &withdrawn).await?;
        judge("withdrawal", &said, "ok")?;
        let adopted = holding(marked(named, &uid), json!({"a": "Mw=="}));
        judge(
            "a rotation",
            &policed.applied(&adopted, &apply()).await?,
            "ok",
        )
    })
}

/// Case 12, write: a Secret of ours stays marked through every update
#[test]
fn case_12_a_secret_of_ours_keeps_a_source() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let plain = holding(secret(&team, "ours"), json!({"a": "MQ=="}));
        let uid = annotated("coffer.rs/source-uid", "u");
        let owned = policed.ours(marked(plain.clone(), &owner("u"))).await?;
        let changed = holding(owned.clone(), json!({"a": "Mg=="}));
        let retained = with(marked(plain.clone(), &uid), "/type", json!("Opaque"));
        for (what, body) in [
            ("an equal apply", &owned),
            ("a rotation", &changed),
            ("its own uid in place of the owner", &retained),
            ("the owner again", &owned),
        ] {
            judge(what, &policed.applied(body, &apply()).await?, "ok")?;
        }
        let no_owner = json!({"ownerReferences": null});
        let still_ours = json!({"ownerReferences": null, "labels": {"coffer.rs/sync": "true"}});
        for (what, patch) in [
            (
                "other data",
                json!({"metadata": no_owner, "data": {"a": "Mw=="}}),
            ),
            (
                "more data",
                json!({"metadata": no_owner, "data": {"b": ""}}),
            ),
            ("our label", json!({"metadata": still_ours})),
        ] {
            let how = PatchParams::default();
            let said = merged(&policed.controller, &owned, &how, &patch).await?;
            judge(what, &said, NO_SOURCE)?;
        }
        Ok(())
    })
}

/// Section 7: what an apply did to a Secret of somebody else, made since the probe, an empty apply undoes
#[test]
fn an_empty_apply_takes_back_what_met_another_secret() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let consent = annotated("coffer.rs/adoptable-by", "SecretSync/s");
        let unforced = PatchParams::apply("coffer-sync");
        for (name, theirs) in [("consenting", consent), ("of-another", owner("v"))] {
            let named = secret(&team, name);
            let theirs = holding(marked(named.clone(), &theirs), json!({"theirs": "MQ=="}));
            created(&policed.admin, &theirs).await?;
            let before = stored(&policed.admin, &named).await?;
            let labels = json!({"labels": {"coffer.rs/sync": "true"}});
            let ours = marked(marked(named.clone(), &owner("u")), &labels);
            let ours = with(
                holding(ours, json!({"ours": "MQ=="})),
                "/type",
                json!("Opaque"),
            );
            judge(name, &policed.applied(&ours, &unforced).await?, "ok")?;
            judge(name, &policed.applied(&named, &unforced).await?, "ok")?;
            let after = stored(&policed.admin, &named).await?;
            for place in [
                "/data",
                "/type",
                "/metadata/labels",
                "/metadata/annotations",
                "/metadata/ownerReferences",
            ] {
                assert_eq!(
                    before.pointer(place),
                    after.pointer(place),
                    "{name} {place}"
                );
            }
        }
        // Where the Secret is a stranger's, the apply is denied and nothing has to be undone.
        created(&policed.admin, &secret(&team, "strangers")).await?;
        let ours = marked(secret(&team, "strangers"), &owner("u"));
        judge(
            "strangers",
            &policed.applied(&ours, &unforced).await?,
            NOT_OURS,
        )?;
        // The largest Secret that there can be is compared in time.
        let large = holding(
            secret(&team, "large"),
            json!({"a": "QUFB".repeat((1 << 20) / 3)}),
        );
        let large = marked(large, &annotated("coffer.rs/adoptable-by", "SecretSync/s"));
        created(&policed.admin, &large).await?;
        let named = secret(&team, "large");
        let ours = marked(named.clone(), &owner("u"));
        judge("large", &policed.applied(&ours, &unforced).await?, "ok")?;
        judge("large", &policed.applied(&named, &unforced).await?, "ok")
    })
}

/// Section 8, takeover: an empty apply under upstream's names is admitted once our owner stands
#[test]
fn a_takeover_from_upstream_passes_the_policy() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let named = secret(&team, "taken");
        let whole = |data| {
            let secret = holding(marked(named.clone(), &owner("u")), data);
            with(secret, "/type", json!("Opaque"))
        };
        for manager in [
            "secrets-store-sync-controller",
            "v1-secrets-store-sync-controller",
        ] {
            let theirs = whole(json!({"kept": "MQ==", "dropped": "MQ=="}));
            let how = PatchParams::apply(manager).force();
            let said = applied(&policed.admin, &theirs, &how).await?;
            judge("upstream's write", &said, "ok")?;
            let ours = whole(json!({"kept": "Mg=="}));
            judge("takeover", &policed.applied(&ours, &apply()).await?, "ok")?;
            judge(manager, &policed.applied(&named, &how).await?, "ok")?;
            let found = stored(&policed.admin, &named).await?;
            assert_eq!(found["data"], json!({"kept": "Mg=="}));
            assert_eq!(
                found["metadata"]["ownerReferences"],
                owner("u")["ownerReferences"]
            );
        }
        Ok(())
    })
}

/// Case 12, write: the key of the fingerprints has no source, and no source gets at it
#[test]
fn case_12_the_key_of_the_fingerprints_is_no_synced_secret() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let key = with(
            secret(SYSTEM, "coffer-sync-hmac"),
            "/immutable",
            json!(true),
        );
        let key = holding(key, json!({"key": "MQ=="}));
        judge("creation", &tried(&policed.controller, &key).await?, "ok")?;
        judge("apply", &policed.applied(&key, &apply()).await?, "ok")?;
        judge("again", &policed.applied(&key, &apply()).await?, "ok")?;
        let named = secret(SYSTEM, "coffer-sync-hmac");
        let claimed = marked(named.clone(), &owner("u"));
        judge(
            "a probe",
            &policed.applied(&claimed, &probe()).await?,
            NOT_OURS,
        )?;
        for (what, secret, expected) in [
            (
                "another namespace",
                secret(&team, "coffer-sync-hmac"),
                NO_SOURCE,
            ),
            ("another name", secret(SYSTEM, "other"), NO_SOURCE),
            (
                "another type",
                with(named, "/type", json!("bootstrap.kubernetes.io/token")),
                TYPE,
            ),
        ] {
            // A creation, because an update cannot change the type.
            let said = tried(&policed.controller, &secret).await?;
            judge(what, &said, expected)?;
        }
        Ok(())
    })
}

/// Case 12, delete: only a Secret that a source owns and that has our label, under the preconditions of the request
#[test]
fn case_12_only_labelled_secrets_that_a_source_owns_are_deleted() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let labelled = json!({"labels": {"coffer.rs/sync": "true"}});
        let unlabelled = json!({"labels": {"coffer.rs/sync": "false"}});
        let uid = annotated("coffer.rs/source-uid", "u");
        let class = owned_by("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "u");
        let no_label = "422 lacks the label coffer.rs/sync";
        let how = DeleteParams::default();
        for (name, ownership, label, expected) in [
            ("strangers", json!({}), &labelled, NO_OWNER),
            ("retained", uid, &labelled, NO_OWNER),
            (
                "of-a-config-map",
                owned_by("v1", "ConfigMap", "u"),
                &labelled,
                NO_OWNER,
            ),
            ("not-labelled", owner("u"), &unlabelled, no_label),
            ("of-a-sync", owner("u"), &labelled, "ok"),
            ("of-a-class", class, &labelled, "ok"),
        ] {
            let object = marked(marked(secret(&team, name), &ownership), label);
            created(&policed.admin, &object).await?;
            let said = deleted(&policed.controller, &object, &how).await?;
            judge(name, &said, expected)?;
            let gone = stored(&policed.admin, &object).await.is_err();
            assert_eq!(gone, expected == "ok", "{name}");
        }
        preconditions_hold(
            policed,
            &marked(marked(secret(&team, "replaced"), &owner("u")), &labelled),
        )
        .await?;
        let missing = secret(&team, "missing");
        judge(
            "missing",
            &deleted(&policed.controller, &missing, &how).await?,
            "404 not found",
        )
    })
}

/// Section 9: a Secret that was replaced or changed meanwhile is not deleted.
async fn preconditions_hold(policed: &Policed, object: &Value) -> Result<()> {
    let found = created(&policed.admin, object).await?.metadata;
    let old = |resource_version: &str, uid: Option<String>| {
        DeleteParams::default().preconditions(Preconditions {
            resource_version: Some(resource_version.to_owned()),
            uid,
        })
    };
    let version = found.resource_version.unwrap_or_default();
    for (how, expected) in [
        (
            old(&version, Some("other".to_owned())),
            "409 UID in the precondition",
        ),
        (
            old("1", found.uid.clone()),
            "409 ResourceVersion in the precondition",
        ),
        (old(&version, found.uid), "ok"),
    ] {
        judge(
            "replaced",
            &deleted(&policed.controller, object, &how).await?,
            expected,
        )?;
    }
    Ok(())
}

/// Case 12: an account with rights of its own is bound by none of the controller's policies
#[test]
fn case_12_nobody_but_the_controller_is_bound() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        let secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]});
        let tokens =
            json!({"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]});
        let user = policed.user(&team, ACCOUNT, &[secrets, tokens]).await?;
        let minted = with(
            secret(&team, "minted"),
            "/type",
            json!("bootstrap.kubernetes.io/token"),
        );
        judge(
            "a gated type",
            &applied(&user, &minted, &apply()).await?,
            "ok",
        )?;
        let theirs = secret(&team, "theirs");
        created(&policed.admin, &theirs).await?;
        judge(
            "an unmarked Secret",
            &applied(&user, &theirs, &apply()).await?,
            "ok",
        )?;
        let how = DeleteParams::default();
        judge("a deletion", &deleted(&user, &theirs, &how).await?, "ok")?;
        let said = token(&user, &team, "default", &["sts.amazonaws.com"], 3600).await?;
        judge("a token", &said, "ok")
    })
}
