//! Which objects follow from sources, and what each change touches.

use std::collections::BTreeMap;

use super::*;
use crate::manifest::{ClassSpec, SyncSpec};
use coffer_sync_core::claim::Source;
use coffer_sync_core::condition::Status;
use serde_json::json;

fn world() -> World {
    World::new(WorldRules {
        controller_name: "coffer.rs/sync".to_owned(),
        claim_unnamed: false,
        refresh_interval: None,
    })
}

fn source(door: Door, name: &str, uid: &str, created: i64) -> Source {
    Source {
        door,
        namespace: "ns".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        created: Timestamp::from_second(created).unwrap(),
    }
}

fn class(name: &str, uid: &str, open: bool, secrets: &[&str]) -> Class {
    let secrets: Vec<_> = secrets
        .iter()
        .map(|name| json!({"secretName": name, "type": "Opaque"}))
        .collect();
    let spec: ClassSpec =
        serde_json::from_value(json!({"provider": "vault", "secretObjects": secrets})).unwrap();
    let annotations = open.then(|| ("coffer.rs/sync-as".to_owned(), "app".to_owned()));
    Class {
        source: source(Door::Class, name, uid, 10),
        generation: 1,
        annotations: annotations.into_iter().collect(),
        spec: Arc::new(spec),
    }
}

fn sync(name: &str, class: &str, controller: &str) -> Sync {
    let spec: SyncSpec = serde_json::from_value(json!({
        "secretProviderClassName": class, "serviceAccountName": "app", "secretSyncControllerName": controller,
    }))
    .unwrap();
    Sync {
        source: source(Door::Sync, name, &format!("sync-{name}"), 5),
        generation: 1,
        annotations: BTreeMap::new(),
        spec: Arc::new(spec),
        status: Status::default(),
    }
}

fn names(touched: &Touched) -> Vec<String> {
    let objects = touched.objects.iter();
    objects
        .map(|object| format!("{}/{}", object.source, object.secret))
        .collect()
}

/// Sync §1: only a class with `sync-as` is open.
#[test]
fn a_class_has_objects_only_while_it_is_open() {
    let mut world = world();
    assert!(
        world
            .put_class(class("c", "u", false, &["a"]))
            .objects
            .is_empty()
    );
    assert_eq!(
        names(&world.put_class(class("c", "u", true, &["a", "b"]))),
        ["u/a", "u/b"]
    );
    let closed = world.put_class(class("c", "u", false, &["a", "b"]));
    assert_eq!(names(&closed), ["u/a", "u/b"]);
    assert!(
        closed.dropped.is_empty(),
        "a closed class keeps its Secrets"
    );
    assert!(
        closed
            .objects
            .iter()
            .all(|object| world.job(object).is_none())
    );
}

/// Sync §9: an entry that is removed leaves an orphan; a class that is deleted leaves that to the collector.
#[test]
fn an_entry_that_is_removed_is_dropped() {
    let mut world = world();
    world.put_class(class("c", "u", true, &["a", "b"]));
    let touched = world.put_class(class("c", "u", true, &["b"]));
    assert_eq!(touched.dropped.len(), 1);
    assert_eq!(touched.dropped[0].secret, "a");
    assert!(
        world
            .remove_class(&("ns".to_owned(), "c".to_owned()))
            .dropped
            .is_empty()
    );
}

/// Sync §2: a SecretSync is ours by the controller's name.
#[test]
fn a_secret_sync_of_another_controller_is_left_alone() {
    let mut world = world();
    assert!(world.put_sync(sync("a", "c", "other")).objects.is_empty());
    assert!(world.put_sync(sync("a", "c", "")).objects.is_empty());
    assert_eq!(
        names(&world.put_sync(sync("a", "c", "coffer.rs/sync"))),
        ["sync-a/a"]
    );
    // It changes hands.
    let touched = world.put_sync(sync("a", "c", "other"));
    assert!(
        touched
            .objects
            .iter()
            .all(|object| world.job(object).is_none())
    );
}

#[test]
fn a_change_of_a_class_touches_those_who_use_it() {
    let mut world = world();
    world.put_sync(sync("a", "c", "coffer.rs/sync"));
    world.put_sync(sync("b", "other", "coffer.rs/sync"));
    assert_eq!(
        names(&world.put_class(class("c", "u", false, &[]))),
        ["sync-a/a"]
    );
    let job = world.job(&world.objects_of(Door::Sync, &("ns".to_owned(), "a".to_owned()))[0]);
    assert_eq!(job.unwrap().provider(), "vault");
    assert_eq!(
        names(&world.remove_class(&("ns".to_owned(), "c".to_owned()))),
        ["sync-a/a"]
    );
}

/// Sync §1: the second claim on a name loses, and wins when the first is gone.
#[test]
fn of_two_claims_on_a_secret_the_older_wins() {
    let mut world = world();
    world.put_class(class("c", "u", true, &["a", "a"]));
    let rival = |world: &World, source: &str, secret: &str| {
        let object = Object {
            source: source.to_owned(),
            secret: secret.to_owned(),
        };
        world.job(&object).unwrap().rival
    };
    assert_eq!(rival(&world, "u", "a"), None);
    assert_eq!(
        rival(&world, "u", "a#1").as_deref(),
        Some("SecretProviderClass c")
    );
    let touched = world.put_sync(sync("a", "c", "coffer.rs/sync"));
    assert_eq!(names(&touched), ["sync-a/a", "u/a", "u/a#1"]);
    assert_eq!(rival(&world, "u", "a").as_deref(), Some("SecretSync a"));
    let touched = world.remove_sync(&("ns".to_owned(), "a".to_owned()));
    assert_eq!(names(&touched), ["sync-a/a", "u/a", "u/a#1"]);
    assert_eq!(rival(&world, "u", "a"), None);
}

/// Sync §1: the schema demands nothing, so an entry may have no name.
#[test]
fn an_entry_without_a_name_is_an_object_with_a_problem() {
    let mut world = world();
    let touched = world.put_class(class("c", "u", true, &["", "Upper"]));
    assert_eq!(names(&touched), ["u/#0", "u/#1"]);
    for object in &touched.objects {
        assert!(world.job(object).unwrap().secret.is_err());
    }
}
