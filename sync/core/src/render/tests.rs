//! The Secret that would be written, and the rules it has to keep.

use serde_json::json;

use super::*;

fn text(map: &[(&str, &str)]) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn parts(door: Door) -> Parts<Vec<u8>> {
    Parts {
        source: Source {
            door,
            namespace: "ns".to_owned(),
            name: "db".to_owned(),
            uid: "u1".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
        },
        name: "db".to_owned(),
        type_: "kubernetes.io/basic-auth".to_owned(),
        data: BTreeMap::from([("password".to_owned(), b"made-up".to_vec())]),
        labels: text(&[("app", "web")]),
        annotations: text(&[("team", "a")]),
        deletion: Deletion::Delete,
        adopted: false,
        immutable: false,
    }
}

fn body(parts: Parts<Vec<u8>>, uid: Option<&str>) -> serde_json::Value {
    let rendered = render(parts).map_err(|_| ()).unwrap();
    serde_json::from_slice(rendered.body("R", uid).as_ref()).unwrap()
}

fn refused(change: impl FnOnce(&mut Parts<Vec<u8>>)) -> Vec<Refused> {
    let mut parts = parts(Door::Sync);
    change(&mut parts);
    render(parts).map(|_| ()).unwrap_err()
}

/// Sync §2: written exactly like upstream, plus our label and record.
#[test]
fn a_secret_syncs_secret_is_written_like_upstreams() {
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "db",
            "namespace": "ns",
            "labels": {"app": "web", "coffer.rs/sync": "true", "secrets-store.sync.x-k8s.io": ""},
            "annotations": {"team": "a", "coffer.rs/record": "R"},
            "ownerReferences": [{"apiVersion": "secret-sync.x-k8s.io/v1alpha1", "kind": "SecretSync", "name": "db", "uid": "u1"}],
        },
        "type": "kubernetes.io/basic-auth",
        "data": {"password": "bWFkZS11cA=="},
    });
    assert_eq!(body(parts(Door::Sync), None), expected);
}

/// Sync §1: the owner of a class's Secret is the class; the driver's and upstream's labels are never set.
#[test]
fn the_secret_of_a_class_is_owned_by_it() {
    let document = body(parts(Door::Class), None);
    let owner = &document["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "SecretProviderClass");
    assert_eq!(owner["apiVersion"], "secrets-store.csi.x-k8s.io/v1");
    assert_eq!(
        document["metadata"]["labels"],
        json!({"app": "web", "coffer.rs/sync": "true"})
    );
}

/// Sync §7: steady-state writes carry the uid, and never what an apply must not have.
#[test]
fn an_apply_has_the_uid_and_nothing_that_it_must_not_have() {
    let document = body(parts(Door::Sync), Some("u7"));
    assert_eq!(document["metadata"]["uid"], "u7");
    for (place, field) in [
        ("metadata", "managedFields"),
        ("metadata", "resourceVersion"),
    ] {
        assert!(document[place].get(field).is_none(), "{field}");
    }
    assert!(document.get("stringData").is_none());
    assert!(document.get("immutable").is_none());
}

/// Sync §9: Retain means a mark instead of a reference, from the first write on.
#[test]
fn a_retained_secret_has_a_mark_and_no_owner() {
    let document = body(
        Parts {
            deletion: Deletion::Retain,
            ..parts(Door::Sync)
        },
        None,
    );
    assert!(document["metadata"].get("ownerReferences").is_none());
    assert_eq!(
        document["metadata"]["annotations"]["coffer.rs/source-uid"],
        "u1"
    );
}

/// Sync §8: an adopted Secret has marks and no owner, so that deleting the source deletes no foreign key.
#[test]
fn an_adopted_secret_never_gets_an_owner() {
    let document = body(
        Parts {
            adopted: true,
            ..parts(Door::Sync)
        },
        None,
    );
    assert!(document["metadata"].get("ownerReferences").is_none());
    let annotations = &document["metadata"]["annotations"];
    assert_eq!(
        (
            &annotations["coffer.rs/source-uid"],
            &annotations["coffer.rs/adopted"]
        ),
        (&json!("u1"), &json!("true"))
    );
}

/// Types §2: an empty type is sent as Opaque; a class's is trimmed as the driver does, a SecretSync's never.
#[test]
fn the_type_is_always_sent() {
    for (door, written, expected) in [
        (Door::Sync, "", "Opaque"),
        (Door::Class, "", "Opaque"),
        (Door::Class, " kubernetes.io/tls\n", "kubernetes.io/tls"),
        (Door::Sync, "kubernetes.io/tls ", "kubernetes.io/tls "),
        (Door::Sync, "opaque", "opaque"),
    ] {
        assert_eq!(normal_type(door, written), expected, "{door:?} {written:?}");
    }
}

/// Types §2.2: `data: {}` is never sent: an immutable Secret could not be applied again.
#[test]
fn an_empty_immutable_secret_has_no_data_field() {
    let document = body(
        Parts {
            data: BTreeMap::new(),
            immutable: true,
            ..parts(Door::Class)
        },
        None,
    );
    assert_eq!(document["immutable"], true);
    assert!(document.get("data").is_none());
}

/// Types §2: the sum of the values counts, keys do not: 1 MiB passes, one byte more is told by key.
#[test]
fn values_of_one_mebibyte_fit_and_one_byte_more_does_not() {
    let data = |first: usize| {
        BTreeMap::from([
            ("a".repeat(250), vec![b'x'; first]),
            ("b".to_owned(), vec![b'x'; 24]),
        ])
    };
    assert!(
        render(Parts {
            data: data((1 << 20) - 24),
            ..parts(Door::Sync)
        })
        .is_ok()
    );
    let refused = refused(|parts| parts.data = data((1 << 20) - 23));
    assert_eq!(
        refused.iter().map(|one| one.rule).collect::<Vec<_>>(),
        [Rule::Size]
    );
    let told = refused[0].problem.to_string();
    assert!(
        told.contains("1048577 bytes") && told.contains("b 24") && told.contains("1048553"),
        "{told}"
    );
}

/// Types §2 and 2.3: the whole object is estimated with its keys counted twice.
#[test]
fn an_object_near_the_limit_is_noticed() {
    let size = |values, keys: usize| {
        let data = (0..keys).map(|at| (format!("{at:0>250}"), Vec::new()));
        let data: BTreeMap<String, Vec<u8>> =
            data.chain([("v".to_owned(), vec![0; values])]).collect();
        render(Parts {
            data,
            ..parts(Door::Sync)
        })
        .map_err(|_| ())
        .unwrap()
        .size()
    };
    assert_eq!(
        size(10, 1),
        Size {
            values: 10,
            object: 10 + 516 + 18
        }
    );
    assert!(!size(900_000, 0).near_limit());
    assert!(size(944_000, 0).near_limit());
    assert!(size(800_000, 1500).near_limit());
}

/// Sync §2 and 17: reserved names have reasons of their own; so have names that merely start like upstream's prefix.
#[test]
fn reserved_names_are_refused_by_kind() {
    for (label, expected) in [
        ("coffer.rs/sync", vec![Rule::Label]),
        ("secrets-store.sync.x-k8s.io", vec![Rule::Label]),
        (
            "secrets-store.sync.x-k8s.io.example.com/x",
            vec![Rule::Label],
        ),
        ("secrets-store.csi.k8s.io/managed", vec![Rule::Label]),
    ] {
        let refused = refused(|parts| parts.labels = text(&[(label, "x")]));
        assert_eq!(
            refused.iter().map(|one| one.rule).collect::<Vec<_>>(),
            expected,
            "{label}"
        );
    }
    for annotation in [
        "coffer.rs/adoptable-by",
        "coffer.rs/adopt",
        "secrets-store.sync.x-k8s.io/x",
    ] {
        let refused = refused(|parts| parts.annotations = text(&[(annotation, "x")]));
        assert_eq!(refused[0].rule, Rule::Annotation, "{annotation}");
    }
}

/// Sync §17.6 and 17.7: bad characters are refused with the API server's sentence, all of them together.
#[test]
fn bad_characters_are_refused_in_the_servers_words() {
    let refused = refused(|parts| {
        parts.labels = text(&[("a b!", "x"), ("ok", "a b")]);
        parts.annotations = text(&[("-x", "any value: is fine")]);
    });
    let told: Vec<String> = refused.iter().map(|one| one.problem.to_string()).collect();
    assert_eq!(refused.len(), 3, "{told:?}");
    assert!(refused.iter().all(|one| one.rule == Rule::Server));
    assert!(
        told[0].contains("metadata.labels")
            && told[0].contains("name part must consist of alphanumeric"),
        "{told:?}"
    );
    assert!(told[2].contains("metadata.annotations"), "{told:?}");
}

/// Types §2: label values have at most 63 characters.
#[test]
fn a_long_label_is_refused_in_the_servers_words() {
    let long = "a".repeat(64);
    let refused = refused(|parts| parts.labels = text(&[("app", &long)]));
    assert!(
        refused[0]
            .problem
            .what
            .contains("must be no more than 63 characters")
    );
}

/// Types §2: all annotations together have a limit, of which ours take a part.
#[test]
fn annotations_have_a_limit_together() {
    let value = |bytes: usize| "x".repeat(bytes);
    let fits = text(&[
        ("a", &value(200_000)),
        ("b", &value(262_144 - 2048 - 200_002)),
    ]);
    assert!(
        render(Parts {
            annotations: fits,
            ..parts(Door::Sync)
        })
        .is_ok()
    );
    let over = text(&[
        ("a", &value(200_000)),
        ("b", &value(262_144 - 2048 - 200_001)),
    ]);
    assert_eq!(
        refused(|parts| parts.annotations = over)[0].rule,
        Rule::Server
    );
}

/// Sync §6: metadata moves its digest and not the fingerprint, data the other way round.
#[test]
fn content_and_metadata_are_told_apart() {
    let key = Key::new(&[7; 32]);
    let both = |parts: Parts<Vec<u8>>| {
        let rendered = render(parts).map_err(|_| ()).unwrap();
        (rendered.fingerprint(&key), rendered.metadata_digest())
    };
    let (print, digest) = both(parts(Door::Sync));
    let other_data = both(Parts {
        data: BTreeMap::new(),
        ..parts(Door::Sync)
    });
    assert!(other_data.0 != print && other_data.1 == digest);
    for other in [
        Parts {
            labels: text(&[("app", "db")]),
            ..parts(Door::Sync)
        },
        Parts {
            annotations: text(&[]),
            ..parts(Door::Sync)
        },
        Parts {
            deletion: Deletion::Retain,
            ..parts(Door::Sync)
        },
        Parts {
            immutable: true,
            ..parts(Door::Sync)
        },
        Parts {
            labels: text(&[]),
            annotations: text(&[("app", "web"), ("team", "a")]),
            ..parts(Door::Sync)
        },
    ] {
        let (other_print, other_digest) = both(other);
        assert!(other_print == print && other_digest != digest);
    }
}

/// Messages are made of keys and byte counts.
#[test]
fn the_outline_has_sizes_and_no_values() {
    let rendered = render(parts(Door::Sync)).map_err(|_| ()).unwrap();
    assert_eq!(rendered.outline(), [("password".to_owned(), 7)]);
}

/// Sync §9, Versioned: `<name>-<ten digits of the hash>`, immutable.
#[test]
fn a_version_is_immutable_and_named_after_its_content() {
    let rendered = render(parts(Door::Sync)).map_err(|_| ()).unwrap();
    let fingerprint = rendered.fingerprint(&Key::new(&[7; 32]));
    let version = rendered.as_version(crate::decide::version_name("db", &fingerprint));
    let document: serde_json::Value =
        serde_json::from_slice(version.body("R", None).as_ref()).unwrap();
    assert_eq!(
        document["metadata"]["name"],
        format!("db-{}", fingerprint.short())
    );
    assert_eq!(document["immutable"], true);
    assert_eq!(document["metadata"]["ownerReferences"][0]["name"], "db");
}
