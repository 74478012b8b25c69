//! Names, labels and annotations: what the server takes, and the room that we keep for our own.

use anyhow::{Context, Result, bail, ensure};
use coffer_sync_core::key::name::suggestion;
use coffer_sync_core::options::names::RECORD;
use coffer_sync_core::validate::Class;

use super::{Case, Place};
use crate::world::run;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of";
const NAME_PART: &str = "name part must consist of alphanumeric characters";
const LABEL: &str = "a valid label must be an empty string or consist of alphanumeric characters";
/// Of what annotations may hold, the part that `render` keeps free for the record and the marks of ownership.
const OURS: usize = 2048;

/// Types §2, row "name = DNS-1123 subdomain": and the name that we propose instead is one that the server takes
#[test]
fn a_name_is_a_subdomain_for_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let long_label = format!("a.{}", "b".repeat(64));
        for name in ["a.b", "1", &"a".repeat(253), &long_label] {
            place.judge(&Case::opaque().named(name)).await?.taken()?;
        }
        for (name, words) in [
            ("Upper", SUBDOMAIN),
            ("a_b", SUBDOMAIN),
            ("a..b", SUBDOMAIN),
            ("-a", SUBDOMAIN),
            ("a-", SUBDOMAIN),
            (".a", SUBDOMAIN),
            ("a.", SUBDOMAIN),
            ("a-.b", SUBDOMAIN),
            ("a b", SUBDOMAIN),
            ("é", SUBDOMAIN),
            ("a\n", SUBDOMAIN),
            (&"a".repeat(254), "must be no more than 253"),
        ] {
            let judged = place.judge(&Case::opaque().named(name)).await?;
            judged.says(422, &["metadata.name: Invalid value", words])?;
            let Some(better) = suggestion(name) else {
                continue;
            };
            let told = judged.findings.of(Class::Structure).next();
            let remedy = &told.context("nothing told")?.remedy;
            ensure!(remedy.contains(&better), "{name:?}: {remedy}");
            place.judge(&Case::opaque().named(&better)).await?.taken()?;
        }
        Ok(())
    })
}

/// Types §2, row "name with `/` in a server-side apply path": the server answers other codes than 422, we the same
#[test]
fn a_name_that_is_no_segment_of_a_path_is_refused_by_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (name, code, words) in [
            ("a/b", 404, "could not find the requested resource"),
            (".", 400, "may not be '.'"),
            ("..", 400, "may not be '..'"),
            ("a%b", 400, "may not contain '%'"),
            ("", 405, "does not allow this method"),
        ] {
            let judged = place.judge(&Case::opaque().named(name)).await?;
            let said = judged.says(code, &[words]);
            said.with_context(|| format!("{name:?}"))?;
        }
        Ok(())
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": the values of labels
#[test]
fn values_of_labels_have_63_characters_for_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for value in ["", "true", "1", "a_b.c-D", &"a".repeat(63)] {
            let case = Case::opaque().label("label", value);
            place.judge(&case).await?.taken()?;
        }
        for (value, words) in [
            ("a b", LABEL),
            ("-a", LABEL),
            ("a-", LABEL),
            (".a", LABEL),
            ("é", LABEL),
            (&"a".repeat(64), "must be no more than 63 characters"),
        ] {
            let judged = place.judge(&Case::opaque().label("label", value)).await?;
            judged.says(422, &["metadata.labels: Invalid value", words])?;
        }
        Ok(())
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": the syntax of keys, of labels and annotations
#[test]
fn keys_of_labels_and_annotations_are_qualified_names_for_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let long_prefix = format!("{}/x", "a".repeat(253));
        for key in [
            "a",
            "A.b_c-d",
            "1",
            "example.net/x",
            &"a".repeat(63),
            &long_prefix,
        ] {
            let case = Case::opaque().label(key, "v").annotation(key, "any\nthing");
            place.judge(&case).await?.taken()?;
        }
        let too_long_prefix = format!("{}/x", "a".repeat(254));
        for (key, words) in [
            ("", "name part must be non-empty"),
            ("example.net/", "name part must be non-empty"),
            ("a b!", NAME_PART),
            ("-a", NAME_PART),
            ("é", NAME_PART),
            (&"a".repeat(64), "name part must be no more than 63"),
            ("/x", "prefix part must be non-empty"),
            ("a_b/x", "prefix part a lowercase RFC 1123 subdomain"),
            (&too_long_prefix, "prefix part must be no more than 253"),
            ("a/b/c", "a qualified name must consist of"),
        ] {
            let label = place.judge(&Case::opaque().label(key, "v")).await?;
            label.says(422, &["metadata.labels: Invalid value", words])?;
            let annotation = place.judge(&Case::opaque().annotation(key, "v")).await?;
            annotation.says(422, &["metadata.annotations: Invalid value", words])?;
        }
        Ok(())
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": only keys of annotations are lowered first
#[test]
fn keys_of_annotations_have_prefixes_in_any_case_for_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        // The last two become plain letters by the server's way of lowering.
        for key in ["Upper.RS/x", "\u{212a}.rs/x", "\u{130}/x"] {
            place
                .judge(&Case::opaque().annotation(key, "v"))
                .await?
                .taken()?;
            let label = place.judge(&Case::opaque().label(key, "v")).await?;
            label.says(422, &["prefix part a lowercase RFC 1123 subdomain"])?;
        }
        Ok(())
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": keys and values count together. Of the server's
/// limit `render` keeps 2048 bytes for our own annotations and so refuses earlier, on purpose
#[test]
fn annotations_have_a_limit_together_of_which_a_part_is_ours() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (bytes, taken, rendered) in [
            (262_144 - OURS, true, true),
            (262_144 - OURS + 1, true, false),
            (262_144, true, false),
            (262_145, false, false),
        ] {
            let case = Case::opaque()
                .annotation("first", &"x".repeat(bytes - 5 - 6 - 100))
                .annotation("second", &"é".repeat(50));
            let judged = place.compare(&case).await?;
            if taken {
                judged.taken()?;
            } else {
                let words = "metadata.annotations: Too long: may not be more than 262144 bytes";
                judged.says(422, &[words])?;
            }
            ensure!(
                case.rendered(&place.namespace).is_ok() == rendered,
                "{bytes}"
            );
        }
        Ok(())
    })
}

/// The same row: what is kept free suffices for a long record
#[test]
fn our_own_annotations_fit_beside_the_most_that_a_user_may_set() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = Case::opaque().annotation("first", &"x".repeat(262_144 - OURS - 5));
        let Ok(rendered) = case.rendered(&place.namespace) else {
            bail!("render refuses what fits");
        };
        let record = "r".repeat(OURS - RECORD.len());
        let body = rendered.body(&record, None);
        place.dry_send(&case.name, body.as_ref()).await?.taken()
    })
}
