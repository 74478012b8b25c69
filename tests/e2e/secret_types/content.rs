//! What bytes a Secret may hold, and which texts may be its type.

use anyhow::{Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::answer::Kind;
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::validate::Check;
use serde_json::{Value, json};

use super::{Case, Place};
use crate::world::run;

fn secret(rest: &Value) -> Value {
    let mut document =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made-up"}});
    if let (Some(document), Some(rest)) = (document.as_object_mut(), rest.as_object()) {
        document.extend(rest.clone());
    }
    document
}

/// Types §2, row "`data` optional": nothing at all, null and line ends in base64 are taken
#[test]
fn data_may_be_absent_or_null() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        place.judge(&Case::new("Opaque")).await?.taken()?;
        for (rest, expected) in [
            (json!({}), None),
            (json!({"data": null}), None),
            (json!({"data": {}}), None),
            (json!({"data": {"a": null}}), Some(&b""[..])),
            (json!({"data": {"a": ""}}), Some(&b""[..])),
            (json!({"data": {"a": "YW\nJj\n"}}), Some(&b"abc"[..])),
        ] {
            for reply in [
                place.dry_apply("made-up", &secret(&rest)).await?,
                place.post(&secret(&rest)).await?,
            ] {
                reply.taken()?;
                ensure!(reply.value("a")?.as_deref() == expected, "{rest}");
            }
        }
        Ok(())
    })
}

/// Types §2, row "`data` optional": other base64 is a fault of ours and answered 400, under apply 500
#[test]
fn base64_of_another_kind_is_refused() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let words = "illegal base64 data at input byte";
        for text in ["!!!", "_-8=", "YQ", "YWJj "] {
            let document = secret(&json!({"data": {"a": text}}));
            let created = place.post(&document).await?;
            created.says(400, &[words])?;
            ensure!(created.answer().kind() == Kind::Content, "{text}");
            let applied = place.dry_apply("made-up", &document).await?;
            applied.says(500, &["failed to convert new object", words])?;
            ensure!(applied.answer().kind() == Kind::Document, "{text}");
        }
        Ok(())
    })
}

/// Types §2, row "`data` optional", and §4.1: what we write arrives byte for byte, empty values too
#[test]
fn every_byte_arrives_as_it_was_written() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let every: Vec<u8> = (0..=255).collect();
        let values = [
            (".hidden", &b"\xef\xbb\xbfvalue-2\r\n\r\n"[..]),
            ("empty", &b""[..]),
            ("every", &every[..]),
            ("no-end", &b"no line end"[..]),
            ("nul", &b"\0"[..]),
        ];
        let case = values
            .iter()
            .fold(Case::new("Opaque"), |case, (key, value)| {
                case.with(key, value)
            });
        place.judge(&case).await?.taken()?;
        let Ok(rendered) = case.rendered(&place.namespace) else {
            bail!("render refuses it");
        };
        let body = rendered.body("record", None);
        let reply = place.dry_send(&case.name, body.as_ref()).await?;
        reply.taken()?;
        for (key, value) in values {
            let arrived = reply.document["data"][key].as_str();
            ensure!(
                arrived == Some(BASE64_STANDARD.encode(value).as_str()),
                "{key}"
            );
        }
        Ok(())
    })
}

/// Types §2, row "`type` free text", and §4.1: no other text has rules, neither the server's nor ours. Those that
/// resemble a built-in one are told
#[test]
fn any_text_is_a_type_and_has_no_rules() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let long = "x".repeat(2000);
        for (text, resembles) in [
            ("opaque", true),
            ("kubernetes.io/TLS", true),
            ("kubernetes.io/tls ", true),
            (" kubernetes.io/ssh-auth", true),
            ("kubernetes.io/DockerConfigJson", true),
            ("kubernetes.io/unknown", true),
            ("with space", false),
            ("cloud-hosting.example.net/cloud-api-credentials", false),
            ("é\n\0", false),
            (&long, false),
        ] {
            let judged = place.judge(&Case::new(text).with("any", "v")).await?;
            judged.taken()?;
            ensure!(judged.reply.document["type"] == text, "{text:?}");
            ensure!(judged.finds(Check::TypeLookalike) == resembles, "{text:?}");
        }
        Ok(())
    })
}

/// Types §2, row "empty or absent type": the server stores Opaque, which we write ourselves
#[test]
fn no_type_is_opaque() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let empty = Case::new("").with("k", "v");
        let judged = place.judge(&empty).await?;
        judged.taken()?;
        let absent = place.dry_apply("made-up", &secret(&json!({}))).await?;
        absent.taken()?;
        for stored in [&judged.reply, &absent] {
            ensure!(stored.document["type"] == "Opaque");
        }
        ensure!(SecretType::parse("") == SecretType::Opaque);
        let Ok(rendered) = empty.rendered(&place.namespace) else {
            bail!("render refuses an empty type");
        };
        ensure!(rendered.type_ == "Opaque");
        Ok(())
    })
}
