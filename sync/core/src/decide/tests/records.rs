//! Records as texts, and what metadata alone tells.

use std::collections::BTreeMap;

use serde_json::json;

use super::{at, print, set, verdict};
use crate::claim::{APPLY_MANAGER, Frozen, Holder, Managed, Metadata, Operation, Source, frozen};
use crate::decide::{Present, Record};
use crate::options::Door;

/// Sync §6: the record is an annotation; everything else counts as none.
#[test]
fn a_record_survives_its_annotation() {
    let full = Record {
        fingerprint: print(1, 1),
        verdict: verdict(&[
            "tls.pair",
            "notBefore=1970-01-01T00:00:01Z",
            "notAfter=1970-01-01T00:00:02Z",
        ]),
    };
    let bare = Record {
        fingerprint: print(1, 1),
        verdict: None,
    };
    for record in [full, bare] {
        assert_eq!(
            Record::parse(&record.render()),
            Some(record.clone()),
            "{}",
            record.render()
        );
    }
    let broken = bad_time();
    for text in ["", "{}", "null", r#"{"hash": "v1:abc"}"#, broken.as_str()] {
        assert_eq!(Record::parse(text), None, "{text}");
    }
}

fn bad_time() -> String {
    format!(
        r#"{{"hash": "{}", "verdict": "notAfter=yesterday"}}"#,
        print(1, 1)
    )
}

/// Sync §7: a probe's metadata tells whose the Secret is, its record, its keys, consent and immutability.
#[test]
fn metadata_alone_tells_what_a_decision_needs() {
    let source = Source {
        door: Door::Sync,
        namespace: "ns".to_owned(),
        name: "db".to_owned(),
        uid: "u1".to_owned(),
        created: at(0),
    };
    let record = Record {
        fingerprint: print(1, 1),
        verdict: None,
    };
    let fields = json!({
        "f:metadata": {"f:ownerReferences": {r#"k:{"uid":"u1"}"#: {}}},
        "f:data": {"f:a": {}},
        "f:immutable": {},
    });
    let mut seen = Metadata {
        owners: vec![("SecretSync".to_owned(), "db".to_owned(), "u1".to_owned())],
        annotations: BTreeMap::from([
            ("coffer.rs/record".to_owned(), record.render()),
            (
                "coffer.rs/adoptable-by".to_owned(),
                "SecretSync/db".to_owned(),
            ),
        ]),
        managed: vec![Managed {
            manager: APPLY_MANAGER.to_owned(),
            operation: Operation::Apply,
            fields,
        }],
        ..Metadata::default()
    };
    let ours = Present::read(&source, "u7", "9", false, &seen);
    assert_eq!(
        (ours.uid.as_str(), ours.resource_version.as_str()),
        ("u7", "9")
    );
    assert_eq!(ours.holder, Holder::Ours { adopted: false });
    assert_eq!(ours.record, Some(record));
    assert_eq!((ours.frozen, ours.consent), (Frozen::Ours, true));
    assert_eq!(*ours.our_keys, ["a".to_owned()]);
    assert_eq!(ours.all_keys, set(&["a"]));
    seen.managed[0].manager = "hand".to_owned();
    seen.annotations.insert(
        "coffer.rs/adoptable-by".to_owned(),
        "SecretSync/other".to_owned(),
    );
    assert_eq!(frozen(&seen), Frozen::Perhaps);
    let foreign = Present::read(&source, "u7", "9", false, &seen);
    assert_eq!(
        (foreign.record, foreign.holder, foreign.consent),
        (None, Holder::Stranger, false)
    );
}
