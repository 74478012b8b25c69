//! Files are given again only for exactly what they were made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::mount::{Assembled, MountFile};
use coffer_provider_core::params::{
    ClassSpec, Dialect, MountSpec, OBJECTS, ParsedAttributes, Wire, read_mount,
};
use coffer_provider_core::secret::SecretBytes;
use coffer_provider_core::version::VersionKey;
use tokio::time::Instant;

use super::{Assemblies, FORGET_AFTER, Ingredients};

fn spec(permission: &str) -> MountSpec {
    let parameters = BTreeMap::from([
        ("roleName".to_owned(), "r".to_owned()),
        (
            OBJECTS.to_owned(),
            "- {objectName: a, secretPath: p}".to_owned(),
        ),
    ]);
    let wire = Wire {
        attributes: &ParsedAttributes::new("{}"),
        secrets: "{}",
        target_path: "/t",
        permission,
    };
    let parse = |_| ClassSpec::parse(&parameters, Dialect::Vault).map(Arc::new);
    read_mount(wire, parse).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn key() -> Option<Arc<VersionKey>> {
    VersionKey::new(vec![7; 32]).map(Arc::new)
}

fn files(content: &str) -> Assembled {
    Assembled {
        files: vec![MountFile {
            path: "a".to_owned(),
            mode: 0o644,
            contents: SecretBytes::new(content.as_bytes().to_vec()),
            version: "v".to_owned(),
        }],
        absent: Vec::new(),
    }
}

fn of<'a>(
    session: u64,
    spec: &'a MountSpec,
    reads: &[u64],
    key: &Option<Arc<VersionKey>>,
) -> Ingredients<'a> {
    Ingredients {
        session,
        spec,
        reads: reads.to_vec(),
        key: key.clone(),
    }
}

#[test]
fn files_are_given_again_only_for_the_same_login_class_mode_answers_and_key() {
    let made = Assemblies::new(1 << 20);
    let now = Instant::now();
    let (spec_, key_) = (spec("420"), key());
    made.put(of(1, &spec_, &[5], &key_), &files("x"), now);
    let given = made
        .get(&of(1, &spec_, &[5], &key_), now)
        .map(|made| made.files);
    assert_eq!(given.unwrap()[0].contents.expose(), b"x");
    let other_mode = MountSpec {
        class: Arc::clone(&spec_.class),
        ..spec("384")
    };
    let other_class = spec("420");
    for (what, ingredients) in [
        ("login", of(2, &spec_, &[5], &key_)),
        ("answer", of(1, &spec_, &[6], &key_)),
        ("answers", of(1, &spec_, &[5, 6], &key_)),
        ("key", of(1, &spec_, &[5], &key())),
        ("no key", of(1, &spec_, &[5], &None)),
        ("mode", of(1, &other_mode, &[5], &key_)),
        ("class", of(1, &other_class, &[5], &key_)),
    ] {
        assert!(made.get(&ingredients, now).is_none(), "another {what}");
    }
}

#[test]
fn files_are_bounded_and_forgotten_when_nobody_asks() {
    let made = Assemblies::new(1000);
    let now = Instant::now();
    let (spec, key) = (spec("420"), key());
    for session in 0..50 {
        made.put(of(session, &spec, &[1], &key), &files("x"), now);
        assert!(made.lock().bytes <= 1000);
    }
    assert!(made.get(&of(49, &spec, &[1], &key), now).is_some());
    made.put(of(50, &spec, &[1], &key), &files(&"x".repeat(2000)), now);
    assert!(
        made.get(&of(50, &spec, &[1], &key), now).is_none(),
        "too large"
    );
    made.sweep(now + FORGET_AFTER - Duration::from_secs(1));
    assert!(made.lock().bytes > 0);
    made.sweep(now + FORGET_AFTER);
    assert_eq!(made.lock().bytes, 0);
    let off = Assemblies::new(0);
    off.put(of(1, &spec, &[1], &key), &files("x"), now);
    assert!(off.get(&of(1, &spec, &[1], &key), now).is_none());
}
