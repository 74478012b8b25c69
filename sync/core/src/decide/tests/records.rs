//! Records and the verdicts in them, as texts and over time.

use super::{at, print, set};
use crate::decide::{Record, Verdict};

/// secret-types 1: checks of dates are judged anew from the record, with a minute's tolerance for certificates.
#[test]
fn checks_of_dates_turn_with_time() {
    let verdict = Verdict {
        failing: set(&["tls.expired", "tls.chain"]),
        not_before: Some(at(1000)),
        not_after: Some(at(2000)),
        expiration: None,
    };
    for (now, expected) in [
        (939, &["tls.chain", "tls.not-yet-valid"][..]),
        (940, &["tls.chain"][..]),
        (2060, &["tls.chain"][..]),
        (2061, &["tls.chain", "tls.expired"][..]),
    ] {
        assert_eq!(verdict.failing_at(at(now)), set(expected), "at {now}");
    }
    let token = Verdict {
        expiration: Some(at(2000)),
        ..Verdict::default()
    };
    assert_eq!(token.failing_at(at(1999)), set(&[]));
    assert_eq!(token.failing_at(at(2000)), set(&["bootstrap.expired"]));
    assert_eq!(token.expires(), Some(at(2000)));
}

/// secret-sync 6: the record is an annotation; everything else counts as none.
#[test]
fn a_record_survives_its_annotation() {
    let full = Record {
        fingerprint: print(1, 1),
        verdict: Some(Verdict {
            failing: set(&["tls.pair"]),
            not_before: Some(at(1)),
            not_after: Some(at(2)),
            expiration: Some(at(3)),
        }),
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
        r#"{{"hash": "{}", "failing": [], "notAfter": "yesterday"}}"#,
        print(1, 1)
    )
}
