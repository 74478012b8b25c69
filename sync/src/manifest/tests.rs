//! Both kinds' specs, as the API server hands them out.

use serde_json::json;

use super::*;

#[test]
fn whatever_the_crds_let_be_absent_may_be_absent_or_null() {
    for spec in [
        json!({}),
        json!({"provider": null, "parameters": null, "secretObjects": null}),
        json!({"unheardOf": [1, 2]}),
    ] {
        let read: ClassSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(read, ClassSpec::default());
    }
    let empty = json!({"secretObjects": [{}, {"secretName": null, "data": null, "labels": null}]});
    let read: ClassSpec = serde_json::from_value(empty).unwrap();
    assert_eq!(
        read.secret_objects,
        [ClassSecretObject::default(), ClassSecretObject::default()]
    );
    for spec in [
        json!({}),
        json!({"secretObject": null}),
        json!({"secretObject": {"type": null, "data": null, "annotations": null}}),
    ] {
        let read: SyncSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(read, SyncSpec::default());
    }
}

#[test]
fn fields_are_named_as_in_the_crds() {
    let class = json!({
        "provider": "vault",
        "parameters": {"objects": "- objectName: db"},
        "secretObjects": [{
            "secretName": "db",
            "type": "kubernetes.io/basic-auth",
            "data": [{"objectName": "db/password", "key": "password"}],
            "labels": {"app": "web"},
            "annotations": {"team": "a"},
        }],
    });
    let class: ClassSpec = serde_json::from_value(class).unwrap();
    let object = &class.secret_objects[0];
    assert_eq!(
        (class.provider.as_str(), object.secret_name.as_str()),
        ("vault", "db")
    );
    assert_eq!(object.type_, "kubernetes.io/basic-auth");
    assert_eq!(
        (
            object.labels["app"].as_str(),
            object.annotations["team"].as_str()
        ),
        ("web", "a")
    );
    assert_eq!(class.parameters["objects"], "- objectName: db");
    let debug = format!("{class:?}");
    assert!(
        debug.contains("\"objects\"") && !debug.contains("objectName: db"),
        "{debug}"
    );

    let sync = json!({
        "secretProviderClassName": "app",
        "serviceAccountName": "reader",
        "secretSyncControllerName": "coffer.rs/sync",
        "forceSynchronization": "2",
        "secretObject": {
            "type": "Opaque",
            "data": [{"sourcePath": "db/password", "targetKey": "password"}],
        },
    });
    let sync: SyncSpec = serde_json::from_value(sync).unwrap();
    assert_eq!(
        (
            sync.secret_provider_class_name.as_str(),
            sync.service_account_name.as_str(),
            sync.secret_sync_controller_name.as_str(),
            sync.force_synchronization.as_str(),
        ),
        ("app", "reader", "coffer.rs/sync", "2")
    );
    let pair = Pair {
        source: "db/password".to_owned(),
        key: "password".to_owned(),
    };
    assert_eq!(Pair::from(&sync.secret_object.data[0]), pair);
    assert_eq!(Pair::from(&object.data[0]), pair);
}

#[test]
fn what_has_another_shape_is_refused() {
    for spec in [
        json!({"parameters": []}),
        json!({"secretObjects": {}}),
        json!({"provider": 1}),
    ] {
        assert!(serde_json::from_value::<ClassSpec>(spec).is_err());
    }
}

#[test]
fn names_of_providers_are_those_of_the_driver() {
    for (name, taken) in [
        ("vault", true),
        ("a_B-9", true),
        ("", false),
        ("a/b", false),
        ("..", false),
        (&"a".repeat(30), true),
        (&"a".repeat(31), false),
    ] {
        assert_eq!(is_provider_name(name), taken, "{name}");
    }
}
