//! Keys of data: the server's rule letter by letter, and where upstream's schema for a SecretSync differs from it.

use anyhow::{Context, Result, ensure};
use coffer_sync_core::key;
use coffer_sync_core::secret_type::{Required, SecretType};

use super::{Case, Place};
use crate::world::run;

const CHARACTERS: &str = "a valid config key must consist of";

fn keyed(key: &str) -> Case {
    Case::new("Opaque").with(key, "v")
}

/// Types §2, row "key": which keys both sides take, and in which words the server refuses the others
#[test]
fn a_key_is_taken_or_refused_by_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let longest = "a".repeat(253);
        for key in [
            ".foo", "._", "-", "_", "a_b", "foo__bar", "1badkey", &longest,
        ] {
            ensure!(key::check(key).is_ok(), "{key}");
            place.judge(&keyed(key)).await?.taken()?;
        }
        for (key, words) in [
            ("", CHARACTERS),
            ("a/b", CHARACTERS),
            ("a b", CHARACTERS),
            ("é", CHARACTERS),
            ("a:b", CHARACTERS),
            ("a\n", CHARACTERS),
            ("\0", CHARACTERS),
            ("\"", CHARACTERS),
            (".", "must not be '.'"),
            ("..", "must not be '..'"),
            ("..foo", "must not start with '..'"),
            ("...", "must not start with '..'"),
            (&"a".repeat(254), "must be no more than 253"),
        ] {
            ensure!(key::check(key).is_err(), "{key}");
            let field = format!("data[{key}]: Invalid value");
            let judged = place.judge(&keyed(key)).await?;
            let said = judged.says(422, &[&field, words]);
            said.with_context(|| format!("{key:?}"))?;
        }
        Ok(())
    })
}

/// Types §2.1: keys that upstream's schema refuses and a Secret may have, and the other way round
#[test]
fn keys_follow_the_secret_where_upstreams_schema_differs() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for key in [
            "a_b",
            "a.b",
            "_x",
            "foo_",
            "foo__bar",
            "-",
            "a.",
            "ab_c",
            "ab.c",
            "db_password",
        ] {
            place.judge(&keyed(key)).await?.taken()?;
        }
        for key in ["foo/0", "db/0/1"] {
            place.judge(&keyed(key)).await?.says(422, &[CHARACTERS])?;
        }
        place
            .judge(&keyed("."))
            .await?
            .says(422, &["must not be '.'"])
    })
}

/// Types §2.1: every key that a built-in type knows is taken
#[test]
fn every_key_of_a_built_in_type_is_taken() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let mut case = Case::new("Opaque");
        for secret_type in SecretType::BUILT_IN {
            let required: &[&str] = match secret_type.required() {
                Required::All(keys) | Required::Any(keys) => keys,
                Required::NotEmpty(key) | Required::JsonObject(key) => &[key],
                Required::Nothing | Required::Annotation(_) => &[],
            };
            let keys = [
                required,
                secret_type.conventional_keys(),
                secret_type.reserved_keys(),
            ];
            for key in keys.concat() {
                case = case.with(key, "v");
            }
        }
        ensure!(case.data.len() > 15, "{}", case.outline());
        place.judge(&case).await?.taken()
    })
}

/// Types §2, row "key": all bad keys are told at once, beside everything else
#[test]
fn both_sides_tell_everything_at_once() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = Case::new("kubernetes.io/tls")
            .named("Upper")
            .label("a b", &"x".repeat(64))
            .with("a/b", "x")
            .with("..", "x")
            .with("big", vec![b'x'; 1 << 20]);
        let judged = place.judge(&case).await?;
        judged.says(422, &["metadata.name", "data[..]", "data[tls.key]"])?;
        ensure!(judged.reply.fields().len() == 7, "{}", judged.reply.message);
        Ok(())
    })
}
