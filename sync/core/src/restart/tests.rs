//! Who restarts, by which patch, and when not.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::decide::{Apply, Failure, FailureKind, Refusal, Skip};
use crate::fingerprint::Key;
use crate::options::{Kind, Selector};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn print(value: u8) -> Fingerprint {
    Key::new(&[1; 32]).content("ns", "db", "Opaque", [("a", &[value][..])])
}

fn target(name: &str) -> Target {
    Target {
        kind: Kind::Deployment,
        name: name.to_owned(),
    }
}

fn workload(name: &str, spec: Value) -> Workload {
    Workload {
        target: target(name),
        labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
        template: json!({"spec": spec}),
    }
}

fn apply(why: Why) -> Plan {
    Plan::Apply(Apply {
        uid: "u".to_owned(),
        why,
        force: true,
        immutable: false,
        clear: Vec::new(),
    })
}

/// Sync §10: only when content changed between two writes; never at first sync, adoption, takeover, key loss,
/// for metadata alone, or after a repair of known content.
#[test]
fn only_a_change_of_content_restarts() {
    let recreate = |why| Plan::Recreate {
        uid: String::new(),
        resource_version: String::new(),
        why,
    };
    let version = || Plan::NewVersion {
        name: "db-1".to_owned(),
    };
    let failure = Failure {
        kind: FailureKind::Provider,
        message: String::new(),
        retry_after: None,
    };
    for (plan, differed, expected) in [
        (apply(Why::Rotation), true, true),
        (apply(Why::First), false, false),
        (apply(Why::KeyLost), false, false),
        (apply(Why::Metadata), false, false),
        (apply(Why::Drifted), false, false),
        (apply(Why::Confirm), false, false),
        (apply(Why::Takeover), true, false),
        (Plan::Create { again: false }, false, false),
        (Plan::Create { again: true }, true, false),
        (
            Plan::Adopt {
                uid: String::new(),
                clear_driver: false,
            },
            true,
            false,
        ),
        (recreate(Recreation::Immutable), true, true),
        (recreate(Recreation::Type), true, true),
        (recreate(Recreation::Type), false, false),
        (version(), true, true),
        (version(), false, false),
        (Plan::Hold(BTreeSet::new()), true, false),
        (Plan::Skip(Skip::LastGood(failure)), true, false),
        (Plan::Refuse(Refusal::TypeChange), true, false),
        (Plan::Probe, true, false),
        (Plan::Compare, true, false),
    ] {
        assert_eq!(
            changes_content(&plan, differed),
            expected,
            "{plan:?} {differed}"
        );
    }
}

/// Sync §10, Auto: env, envFrom and subPath need a restart; plain volumes and pull secrets do not.
#[test]
fn workloads_that_do_not_see_a_change_by_themselves_are_found() {
    let volume = json!([{"name": "v", "secret": {"secretName": "db"}}]);
    let projected = json!([{"name": "v", "projected": {"sources": [{"configMap": {"name": "db"}}, {"secret": {"name": "db"}}]}}]);
    let mount = |mount: Value| json!([{"name": "c", "volumeMounts": [mount]}]);
    for (what, spec, expected) in [
        (
            "env",
            json!({"containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "a"}}}]}]}),
            true,
        ),
        (
            "env of another",
            json!({"containers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "dbx", "key": "a"}}}]}]}),
            false,
        ),
        (
            "configMap of the name",
            json!({"containers": [{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "db", "key": "a"}}}]}]}),
            false,
        ),
        (
            "envFrom",
            json!({"containers": [{}, {"envFrom": [{"configMapRef": {"name": "x"}}, {"secretRef": {"name": "db"}}]}]}),
            true,
        ),
        (
            "envFrom of an init container",
            json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "db"}}]}]}),
            true,
        ),
        (
            "subPath",
            json!({"volumes": volume, "containers": mount(json!({"name": "v", "subPath": "a"}))}),
            true,
        ),
        (
            "subPathExpr",
            json!({"volumes": volume, "containers": mount(json!({"name": "v", "subPathExpr": "$(A)"}))}),
            true,
        ),
        (
            "subPath of a projected volume",
            json!({"volumes": projected, "containers": mount(json!({"name": "v", "subPath": "a"}))}),
            true,
        ),
        (
            "subPath of another volume",
            json!({"volumes": volume, "containers": mount(json!({"name": "w", "subPath": "a"}))}),
            false,
        ),
        (
            "plain volume",
            json!({"volumes": volume, "containers": mount(json!({"name": "v", "subPath": ""}))}),
            false,
        ),
        (
            "pull secret",
            json!({"imagePullSecrets": [{"name": "db"}], "containers": [{"name": "c"}]}),
            false,
        ),
        ("nothing", json!({}), false),
        (
            "nonsense",
            json!({"containers": 3, "volumes": {"a": 1}}),
            false,
        ),
    ] {
        assert_eq!(
            needs_restart(&json!({"spec": spec}), "db"),
            expected,
            "{what}"
        );
    }
}

/// Sync §3: nobody, by reference, by labels, or by name; a name is kept though no such workload is known.
#[test]
fn targets_are_chosen_by_reference_labels_or_names() {
    let env = json!({"containers": [{"envFrom": [{"secretRef": {"name": "db"}}]}]});
    let known = [workload("web", env), workload("other", json!({}))];
    let named = Restart::Named(BTreeSet::from([target("gone"), target("web")]));
    for (restart, expected) in [
        (Restart::Never, vec![]),
        (Restart::Auto, vec!["web"]),
        (
            Restart::Selected(Selector::parse("app in (other,x)").unwrap()),
            vec!["other"],
        ),
        (named, vec!["gone", "web"]),
    ] {
        let found: Vec<String> = targets(&restart, &known, "db")
            .into_iter()
            .map(|target| target.name)
            .collect();
        assert_eq!(found, expected, "{restart:?}");
    }
}

/// Sync §10: a merge patch of the template's annotation, ten digits of name and hash; equal ones are equal.
#[test]
fn the_patch_marks_the_template() {
    let changes = BTreeMap::from([("db".to_owned(), print(1)), ("a".repeat(253), print(2))]);
    let document = patch(&changes);
    let marks = document["spec"]["template"]["metadata"]["annotations"]
        .as_object()
        .unwrap();
    assert_eq!(marks[&mark("db")], print(1).short());
    assert_eq!(marks.len(), 2);
    for name in marks.keys() {
        assert!(crate::key::metadata::check_key(name).is_ok(), "{name}");
    }
    assert_eq!(document.as_object().unwrap().len(), 1);
    assert_eq!(patch(&changes), document);
}

/// Sync §9, Versioned: exact matches in volumes, envFrom, secretKeyRef and imagePullSecrets get the new name.
#[test]
fn a_new_version_is_pointed_to_where_an_old_one_is_named() {
    let template = json!({"spec": {
        "imagePullSecrets": [{"name": "db-1"}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "db"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "db"}}, {"secret": {"name": "db-1"}}]}},
            {"name": "c", "secret": {"secretName": "db-backup"}},
            {"name": "d", "secret": {"secretName": "db-2"}}
        ],
        "initContainers": [{"env": [{"name": "x"}, {"name": "A", "valueFrom": {"secretKeyRef": {"name": "db-1", "key": "a"}}}]}],
        "containers": [{"envFrom": [{"configMapRef": {"name": "db"}}, {"secretRef": {"name": "db-1"}}]}]
    }});
    let found = repoint(&template, "db-2", &|name| {
        ["db", "db-1", "db-2"].contains(&name)
    });
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|one| (one.path.as_str(), one.old.as_str()))
        .collect();
    let expected = [
        ("/spec/template/spec/imagePullSecrets/0/name", "db-1"),
        ("/spec/template/spec/volumes/0/secret/secretName", "db"),
        (
            "/spec/template/spec/volumes/1/projected/sources/1/secret/name",
            "db-1",
        ),
        (
            "/spec/template/spec/initContainers/0/env/1/valueFrom/secretKeyRef/name",
            "db-1",
        ),
        (
            "/spec/template/spec/containers/0/envFrom/1/secretRef/name",
            "db-1",
        ),
    ];
    assert_eq!(found, expected);
    let root = json!({"spec": {"template": template}});
    for (path, old) in found {
        assert_eq!(
            root.pointer(path).and_then(Value::as_str),
            Some(old),
            "{path}"
        );
    }
}

const WINDOW: Duration = Duration::from_secs(30);

fn taken(batch: &mut Batch, second: i64) -> Vec<(String, Vec<String>)> {
    let ready = batch.take(Limits::default(), at(second));
    ready
        .into_iter()
        .map(|one| (one.target.name, one.changes.into_keys().collect()))
        .collect()
}

fn one(name: &str, secrets: &[&str]) -> Vec<(String, Vec<String>)> {
    vec![(
        name.to_owned(),
        secrets.iter().map(ToString::to_string).collect(),
    )]
}

/// Sync §10: the window collects changes of several Secrets into one patch; more changes do not put it off.
#[test]
fn changes_within_the_window_are_one_restart() {
    let mut batch = Batch::default();
    batch.add(target("web"), "db", print(1), WINDOW, at(0));
    batch.add(target("web"), "tls", print(2), WINDOW, at(20));
    batch.add(target("web"), "db", print(3), WINDOW, at(29));
    assert_eq!(batch.wake(Limits::default()), Some(at(30)));
    assert_eq!(taken(&mut batch, 29), []);
    let ready = batch.take(Limits::default(), at(30));
    assert_eq!(ready.len(), 1);
    assert_eq!(
        ready[0].changes,
        BTreeMap::from([("db".to_owned(), print(3)), ("tls".to_owned(), print(2))])
    );
    assert_eq!(taken(&mut batch, 31), [], "it runs");
    batch.done(&target("web"), at(31));
    assert!(batch.pending().is_empty());
}

/// Sync §10: a workload restarts at most once per 5 min; what changed meanwhile waits and is not lost.
#[test]
fn a_workload_restarts_at_most_once_in_five_minutes() {
    let mut batch = Batch::default();
    batch.add(target("web"), "db", print(1), WINDOW, at(0));
    assert_eq!(taken(&mut batch, 30), one("web", &["db"]));
    batch.add(target("web"), "tls", print(2), WINDOW, at(31));
    batch.add(target("web"), "db", print(3), WINDOW, at(31));
    batch.done(&target("web"), at(32));
    assert_eq!(batch.wake(Limits::default()), Some(at(332)));
    assert_eq!(taken(&mut batch, 331), []);
    assert_eq!(taken(&mut batch, 332), one("web", &["db", "tls"]));
}

/// Sync §10: five at a time per namespace, the longest waiting first.
#[test]
fn five_restart_at_a_time() {
    let mut batch = Batch::default();
    for number in 0..7 {
        batch.add(
            target(&format!("w{number}")),
            "db",
            print(1),
            WINDOW,
            at(10 - number),
        );
    }
    let first: Vec<String> = taken(&mut batch, 99)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(first, ["w6", "w5", "w4", "w3", "w2"]);
    assert_eq!(taken(&mut batch, 99), []);
    batch.done(&target("w4"), at(100));
    assert_eq!(taken(&mut batch, 100), one("w1", &["db"]));
}

/// Sync §10 and 16: a failed restart is tried again, and each target keeps its own error.
#[test]
fn a_failed_restart_is_tried_again_and_keeps_its_error() {
    let mut batch = Batch::default();
    batch.add(target("gone"), "db", print(1), WINDOW, at(0));
    batch.add(target("web"), "db", print(1), WINDOW, at(0));
    assert_eq!(taken(&mut batch, 30).len(), 2);
    batch.failed(&target("gone"), "not found", at(30));
    batch.failed(&target("web"), "forbidden", at(30));
    let errors: Vec<Option<&str>> = batch
        .pending()
        .values()
        .map(|pending| pending.error.as_deref())
        .collect();
    assert_eq!(errors, [Some("not found"), Some("forbidden")]);
    let mut waits = Vec::new();
    let mut now = at(30);
    for _ in 0..8 {
        let due = batch.wake(Limits::default()).unwrap();
        waits.push((due - now).as_secs());
        now = due;
        assert_eq!(batch.take(Limits::default(), now).len(), 2);
        batch.failed(&target("gone"), "not found", now);
        batch.failed(&target("web"), "forbidden", now);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
    let due = batch.wake(Limits::default()).unwrap();
    batch.take(Limits::default(), due);
    batch.done(&target("web"), due);
    assert_eq!(
        batch
            .pending()
            .keys()
            .map(|target| target.name.as_str())
            .collect::<Vec<_>>(),
        ["gone"]
    );
}

/// Sync §10: pending restarts survive a crash in their condition, with each target's error.
#[test]
fn pending_restarts_are_read_back_from_their_condition() {
    let mut batch = Batch::default();
    let daemon = Target {
        kind: Kind::DaemonSet,
        name: "d.x".to_owned(),
    };
    for target in [target("web"), target("gone"), daemon.clone()] {
        batch.add(target, "db", print(1), WINDOW, at(0));
    }
    batch.add(target("other"), "tls", print(1), WINDOW, at(0));
    batch.take(Limits::default(), at(30));
    batch.failed(&target("gone"), "not found; really, Deployment/x", at(30));
    let message = pending_message(batch.pending(), "db").unwrap();
    assert_eq!(
        message,
        "Waiting for a restart: Deployment/gone, Deployment/web, DaemonSet/d.x; Deployment/gone failed: not found; really, Deployment/x"
    );
    assert_eq!(
        pending_targets(&message),
        BTreeSet::from([daemon, target("gone"), target("web")])
    );
    assert_eq!(pending_message(batch.pending(), "x"), None);
    assert_eq!(pending_targets("Auto"), BTreeSet::new());
    assert_eq!(
        pending_targets("Waiting for a restart: Auto"),
        BTreeSet::new()
    );
}
