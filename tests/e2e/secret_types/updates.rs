//! What may change in a Secret that is there, and what our core makes of each refusal.

use anyhow::{Context, Result, bail, ensure};
use coffer_sync_core::answer::{Kind, Next};
use http::Method;
use serde_json::{Value, json};

use super::{APPLY, APPLY_MANAGER, Case, Place, Reply, bytes};
use crate::world::run;

const TYPE: &str = "field is immutable";
const FROZEN_DATA: &str = "data: Forbidden: field is immutable when `immutable` is set";
const FROZEN_FLAG: &str = "immutable: Forbidden: field is immutable when `immutable` is set";

impl Reply {
    /// Fails unless the update would have changed the type.
    fn is_another_type(&self, sent: &str) -> Result<()> {
        self.says(422, &[&format!("type: Invalid value: \"{sent}\": {TYPE}")])?;
        ensure!(self.answer().kind() == Kind::Type);
        ensure!(self.answer().next(String::new()) == Next::TypeDiffers);
        Ok(())
    }

    /// Fails unless the update would have changed what is immutable.
    fn is_frozen(&self, words: &[&str]) -> Result<()> {
        self.says(422, words)?;
        ensure!(self.answer().kind() == Kind::Immutable);
        ensure!(self.answer().next(String::new()) == Next::DataDiffers);
        Ok(())
    }
}

fn login() -> Case {
    Case::new("kubernetes.io/basic-auth")
        .named("login")
        .with("username", "u")
        .with("password", "p")
}

/// The document of a case with this `immutable` or, as null, without it.
fn immutable(case: &Case, immutable: &Value) -> Value {
    let mut document = case.document();
    if !immutable.is_null() {
        document["immutable"] = immutable.clone();
    }
    document
}

/// The document of a case without a member.
fn without(case: &Case, member: &str) -> Value {
    let mut document = case.document();
    if let Some(members) = document.as_object_mut() {
        members.remove(member);
    }
    document
}

impl Place {
    /// An immutable Secret `frozen` with two keys.
    async fn frozen(&self) -> Result<Case> {
        let case = Case::opaque().named("frozen").with("l", "w");
        let document = immutable(&case, &json!(true));
        self.carry_out(&case.name, &document).await?.taken()?;
        Ok(case)
    }

    /// Our apply of this document, carried out or refused.
    async fn carry_out(&self, name: &str, document: &Value) -> Result<Reply> {
        self.apply_as(APPLY_MANAGER, true, name, document).await
    }

    /// An apply by any manager.
    async fn apply_as(
        &self,
        manager: &str,
        force: bool,
        name: &str,
        document: &Value,
    ) -> Result<Reply> {
        let uri = format!("{}?fieldManager={manager}&force={force}", self.secret(name));
        self.send(Method::PATCH, &uri, APPLY, bytes(document)).await
    }
}

/// Types §2.2, row "`type` cannot change": by apply and by replacement, also where only the case differs
#[test]
fn the_type_of_a_secret_stays() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.write(&Case::opaque()).await?;
        for other in ["opaque", "x", "kubernetes.io/basic-auth"] {
            let case = Case::new(other).with("k", "v").with("username", "u");
            place.dry_run(&case).await?.is_another_type(other)?;
            let put = place.put(&case.name, &case.document()).await?;
            put.is_another_type(other)?;
        }
        Ok(())
    })
}

/// Types §2.2, row "an omitted type is not inherited": it is Opaque, which is another type for all but Opaque
#[test]
fn an_omitted_type_is_not_the_one_that_is_there() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.write(&login()).await?;
        place.write(&Case::opaque()).await?;
        let absent = without(&login(), "type");
        let empty = Case {
            secret_type: String::new(),
            ..login()
        }
        .document();
        let null = json!({"type": null});
        for reply in [
            place.put("login", &absent).await?,
            place.put("login", &empty).await?,
            place.dry_apply("login", &empty).await?,
            place.merge("login", &null).await?,
        ] {
            reply.is_another_type("Opaque")?;
        }
        place.merge(&Case::opaque().name, &null).await?.taken()
    })
}

/// Types §2.2, row "the manager that alone owns `type` applies without it": a typed Secret is not released so
#[test]
fn who_alone_owns_the_type_cannot_drop_it() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.write(&login()).await?;
        place.write(&Case::opaque()).await?;
        let nothing =
            |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        for document in [without(&login(), "type"), nothing("login")] {
            let reply = place.dry_apply("login", &document).await?;
            reply.is_another_type("Opaque")?;
        }
        let opaque = Case::opaque().name;
        place.dry_apply(&opaque, &nothing(&opaque)).await?.taken()
    })
}

/// Types §2.2, row "an update may not break the type's rule": the last of both keys stays, and both are told
#[test]
fn an_update_keeps_what_the_type_requires_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.write(&login()).await?;
        let keyed = |key: &str| {
            Case::new("kubernetes.io/basic-auth")
                .named("login")
                .with(key, "x")
        };
        for key in ["username", "password"] {
            place.judge(&keyed(key)).await?.taken()?;
        }
        let words = "[data[username]: Required value, data[password]: Required value]";
        place.judge(&keyed("other")).await?.says(422, &[words])?;
        let put = place.put("login", &keyed("other").document()).await?;
        let patch = json!({"data": {"username": null, "password": null}});
        for reply in [put, place.merge("login", &patch).await?] {
            reply.says(422, &[words])?;
            ensure!(reply.answer().kind() == Kind::Content);
        }
        Ok(())
    })
}

/// Types §2.2, row "`immutable: true`": neither data nor the flag itself can change; both errors come together
#[test]
fn an_immutable_secret_keeps_its_data_and_its_flag() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = place.frozen().await?;
        let (yes, absent) = (json!(true), Value::Null);
        let mut fewer = case.clone();
        fewer.data.remove("l");
        for changed in [
            case.clone().with("k", "changed"),
            case.clone().with("m", "new"),
            fewer,
        ] {
            let document = immutable(&changed, &yes);
            for reply in [
                place.dry_apply("frozen", &document).await?,
                place.put("frozen", &document).await?,
            ] {
                reply.is_frozen(&[FROZEN_DATA])?;
                ensure!(!reply.message.contains(FROZEN_FLAG), "{}", reply.message);
            }
            let document = immutable(&changed, &absent);
            for reply in [
                place.dry_apply("frozen", &document).await?,
                place.put("frozen", &document).await?,
            ] {
                reply.is_frozen(&[FROZEN_FLAG, FROZEN_DATA])?;
            }
        }
        let text = json!({"stringData": {"k": "changed"}});
        place
            .merge("frozen", &text)
            .await?
            .is_frozen(&[FROZEN_DATA])?;
        for reply in [
            place
                .dry_apply("frozen", &immutable(&case, &json!(false)))
                .await?,
            place.dry_apply("frozen", &case.document()).await?,
            place.put("frozen", &case.document()).await?,
            place.merge("frozen", &json!({"immutable": null})).await?,
            place.merge("frozen", &json!({"immutable": false})).await?,
        ] {
            reply.is_frozen(&[FROZEN_FLAG])?;
            ensure!(!reply.message.contains(FROZEN_DATA), "{}", reply.message);
        }
        Ok(())
    })
}

/// Types §2.2, row "`immutable: true`": of another type and other data both are told, and the data comes first for us
#[test]
fn an_immutable_secret_of_another_type_is_told_as_immutable() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = place.frozen().await?;
        let other = Case {
            secret_type: "x".to_owned(),
            ..case.with("k", "changed")
        };
        let reply = place
            .dry_apply("frozen", &immutable(&other, &json!(true)))
            .await?;
        reply.is_frozen(&["type: Invalid value: \"x\"", FROZEN_DATA])
    })
}

/// Types §2.2, row "`immutable: true`": what is no data stays changeable, and equal data is no change
#[test]
fn an_immutable_secret_takes_other_metadata() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = place.frozen().await?;
        let (yes, equal) = (json!(true), json!({"stringData": {"k": "v"}}));
        place
            .dry_apply("frozen", &immutable(&case, &yes))
            .await?
            .taken()?;
        place.merge("frozen", &equal).await?.taken()?;
        let marked = case.label("a", "b").annotation("c", "d");
        place
            .dry_apply("frozen", &immutable(&marked, &yes))
            .await?
            .taken()?;
        let metadata = json!({"metadata": {
            "finalizers": ["example.net/x"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}],
        }});
        place.merge("frozen", &metadata).await?.taken()
    })
}

/// Types §2.2, row "mutable -> immutable": together with other data, in one write
#[test]
fn a_secret_becomes_immutable_with_its_last_data_in_one_write() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.write(&Case::opaque()).await?;
        let changed = immutable(&Case::opaque().with("k", "changed"), &json!(true));
        let name = Case::opaque().name;
        place.carry_out(&name, &changed).await?.taken()?;
        let stored = place.get(&name).await?;
        ensure!(stored.document["immutable"] == true);
        ensure!(stored.value("k")?.as_deref() == Some(&b"changed"[..]));
        Ok(())
    })
}

/// Types §2.2, row "immutable without any data": absent and empty differ, so what we write has no empty `data`
#[test]
fn an_immutable_secret_without_data_takes_no_empty_data() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = Case::new("Opaque").named("nothing");
        let Ok(rendered) = case.rendered(&place.namespace) else {
            bail!("render refuses an empty Secret");
        };
        let ours = rendered.as_version("nothing".to_owned());
        let ours: Value = serde_json::from_slice(ours.body("record", None).as_ref())?;
        place.carry_out("nothing", &ours).await?.taken()?;
        ensure!(place.get("nothing").await?.document["data"].is_null());
        let again = place.carry_out("nothing", &ours).await?;
        again.taken().context("the same once more")?;
        let mut empty = ours;
        empty["data"] = json!({});
        for reply in [
            place.dry_apply("nothing", &empty).await?,
            place.put("nothing", &empty).await?,
            place.merge("nothing", &json!({"data": {}})).await?,
        ] {
            reply.is_frozen(&[FROZEN_DATA])?;
        }
        Ok(())
    })
}

/// Types §2.2, row "immutable + deletion": it may go, and another of its name may come
#[test]
fn an_immutable_secret_is_replaced_by_deleting_it() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = place.frozen().await?;
        place.delete("frozen").await?.taken()?;
        let other = immutable(&case.with("k", "other"), &json!(true));
        let created = place.carry_out("frozen", &other).await?;
        ensure!(created.code == 201, "{} {}", created.code, created.message);
        Ok(())
    })
}

/// Types §2.2, row "`stringData`": it wins over `data`, is judged as `data`, and never comes back
#[test]
fn string_data_is_merged_over_data_and_judged_like_it() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let mut document = Case::new("Opaque").with("a", "1").with("b", "2").document();
        document["stringData"] = json!({"b": "3", "c": "4"});
        let made = place.post(&document).await?;
        made.taken()?;
        ensure!(made.document["stringData"].is_null());
        for (key, value) in [("a", "1"), ("b", "3"), ("c", "4")] {
            ensure!(
                made.value(key)?.as_deref() == Some(value.as_bytes()),
                "{key}"
            );
        }
        document["stringData"] = json!({"a/b": "x"});
        let refused = place.post(&document).await?;
        refused.says(422, &["data[a/b]: Invalid value"])
    })
}

/// Types §2.2, row "`stringData` under apply": a dropped key stays and nobody conflicts; our own apply, which has no
/// `stringData`, mends what was changed so
#[test]
fn edits_through_string_data_conflict_with_nobody_and_are_mended() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let name = Case::opaque().name;
        let text = |data: &Value| {
            let mut document = Case::new("Opaque").document();
            document["stringData"] = data.clone();
            document
        };
        for data in [json!({"k": "theirs", "c": "4"}), json!({"k": "theirs"})] {
            let reply = place.apply_as("other", false, &name, &text(&data)).await?;
            reply.taken()?;
        }
        let dropped = place.get(&name).await?;
        ensure!(dropped.value("c")?.as_deref() == Some(&b"4"[..]), "it went");

        // No force, and no conflict: the fields have different names.
        let ours = Case::opaque().document();
        place
            .apply_as("third", false, &name, &ours)
            .await?
            .taken()?;
        let theirs = text(&json!({"k": "theirs"}));
        place
            .apply_as("other", false, &name, &theirs)
            .await?
            .taken()?;
        let edited = place.get(&name).await?;
        ensure!(edited.value("k")?.as_deref() == Some(&b"theirs"[..]));
        let mended = place.write(&Case::opaque()).await?;
        ensure!(mended.value("k")?.as_deref() == Some(&b"v"[..]));
        Ok(())
    })
}

/// Types §2.2, row "`stringData` under apply", and Sync §8: what does conflict names the other manager, be it about one
/// field or several
#[test]
fn a_conflict_names_the_other_manager() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = Case::opaque().with("l", "w");
        let hand = case.document();
        place
            .apply_as("hand", false, &case.name, &hand)
            .await?
            .taken()?;
        let one = case.clone().with("k", "ours");
        for (case, words) in [
            (&one, "with 1 conflict: conflict with \"hand\": .data.k"),
            (
                &one.clone().with("l", "ours"),
                "with 2 conflicts: conflicts with \"hand\":",
            ),
        ] {
            let ours = case.document();
            let reply = place
                .apply_as(APPLY_MANAGER, false, &case.name, &ours)
                .await?;
            reply.says(409, &[words])?;
            let answer = reply.answer();
            ensure!(answer.kind() == Kind::Conflict);
            ensure!(answer.opponent() == Some("hand"), "{}", answer.message);
            ensure!(answer.next(String::new()) == Next::ForeignEdits);
        }
        Ok(())
    })
}
