//! Answers of a real API server, row by row.

use jiff::Timestamp;

use super::*;
use crate::decide::{Apply, Plan, Why};

fn answer(code: u16, message: &str) -> Answer {
    Answer {
        code,
        message: message.to_owned(),
        ..Answer::default()
    }
}

/// Sync §18: eleven different outcomes, told apart by text where codes do not; Types §2 for the texts.
#[test]
fn refused_writes_are_told_apart() {
    for (code, message, expected) in [
        (
            409,
            "Apply failed with 1 conflict: conflict with \"hand\" using v1: .data.a",
            Kind::Conflict,
        ),
        (
            409,
            "Operation cannot be fulfilled on secrets \"db\": uid mismatch: the provided object specified uid u1, and no existing object was found",
            Kind::Gone,
        ),
        (
            422,
            "Secret \"db\" is invalid: metadata.uid: Invalid value: \"u1\": field is immutable",
            Kind::Replaced,
        ),
        (
            422,
            "Secret \"db\" is invalid: data: Forbidden: field is immutable when `immutable` is set",
            Kind::Immutable,
        ),
        (
            422,
            "Secret \"db\" is invalid: type: Invalid value: \"Opaque\": field is immutable",
            Kind::Type,
        ),
        (
            422,
            "Secret \"db\" is invalid: data[tls.key]: Required value",
            Kind::Content,
        ),
        (400, "illegal base64 data at input byte 3", Kind::Content),
        (
            422,
            "secrets \"db\" is forbidden: ValidatingAdmissionPolicy 'coffer-write' with binding 'x' denied request: no",
            Kind::Policy,
        ),
        (
            403,
            "secrets \"db\" is forbidden: ValidatingAdmissionPolicy 'coffer-write' with binding 'x' denied request: no",
            Kind::Policy,
        ),
        (
            400,
            "admission webhook \"x\" denied the request: no",
            Kind::Policy,
        ),
        (
            403,
            "secrets \"db\" is forbidden: exceeded quota: q, requested: count/secrets=1, used: count/secrets=1",
            Kind::Quota,
        ),
        (
            403,
            "secrets \"db\" is forbidden: unable to create new content in namespace ns because it is being terminated",
            Kind::Terminating,
        ),
        (
            403,
            "secrets \"db\" is forbidden: User \"x\" cannot patch resource \"secrets\"",
            Kind::Rights,
        ),
        (401, "Unauthorized", Kind::Rights),
        (404, "namespaces \"x\" not found", Kind::NoNamespace),
        (
            404,
            "the server could not find the requested resource",
            Kind::Other,
        ),
        (500, "etcdserver: request is too large", Kind::TooLarge),
        (
            500,
            "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2104383 vs. 2097152)",
            Kind::TooLarge,
        ),
        (
            500,
            "failed to create typed patch object (ns/db; /v1, Kind=Secret): .x: field not declared in schema",
            Kind::Document,
        ),
        (
            500,
            "failed to convert new object (ns/db; /v1, Kind=Secret) to proper version: unable to convert unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 0",
            Kind::Document,
        ),
        (413, "Request entity too large", Kind::TooLarge),
        (429, "too many requests", Kind::Throttled),
        (503, "etcd leader changed", Kind::Unavailable),
        (500, "internal error", Kind::Unavailable),
        (0, "", Kind::Unavailable),
    ] {
        assert_eq!(answer(code, message).kind(), expected, "{code} {message}");
    }
    let terminating = Answer {
        causes: vec!["NamespaceTerminating".to_owned()],
        ..answer(403, "no")
    };
    assert_eq!(terminating.kind(), Kind::Terminating);
}

/// Sync §8: the event of a repair, and `Contested`, name the other manager.
#[test]
fn a_conflict_names_its_manager() {
    for message in [
        "Apply failed with 1 conflict: conflict with \"hand\" using v1: .data.a",
        "Apply failed with 2 conflicts: conflicts with \"hand\":\n- .data.a\n- .data.b",
        "Apply failed with 2 conflicts: conflicts with \"hand\" using v1:\n- .data.a\nconflicts with \"third\" using v1:\n- .metadata.labels.z",
    ] {
        assert_eq!(answer(409, message).opponent(), Some("hand"), "{message}");
    }
    assert_eq!(answer(409, "x").opponent(), None);
}

/// Sync §7 and 9, Types §2: what each refusal leads to; neither size nor structure is retried.
#[test]
fn each_refusal_leads_somewhere() {
    let told = || "told".to_owned();
    let fail = |kind| {
        Next::Fail(Failure {
            kind,
            message: told(),
            retry_after: None,
        })
    };
    for (code, message, expected) in [
        (409, "conflict", Next::ForeignEdits),
        (409, "uid mismatch", Next::Probe),
        (422, "metadata.uid: Invalid value", Next::Probe),
        (
            422,
            "field is immutable when `immutable` is set",
            Next::DataDiffers,
        ),
        (422, "type: Invalid value", Next::TypeDiffers),
        (403, "because it is being terminated", Next::Forget),
        (
            500,
            "etcdserver: request is too large",
            Next::Refuse(Refusal::TooLarge(told())),
        ),
        (
            422,
            "data[a]: Required value",
            Next::Refuse(Refusal::InvalidData(told())),
        ),
        (403, "exceeded quota", fail(FailureKind::Quota)),
        (
            500,
            "failed to create typed patch object",
            fail(FailureKind::Internal),
        ),
        (403, "no", fail(FailureKind::Api)),
        (404, "namespaces \"x\" not found", fail(FailureKind::Api)),
        (503, "", fail(FailureKind::Api)),
    ] {
        assert_eq!(
            answer(code, message).next(told()),
            expected,
            "{code} {message}"
        );
    }
}

/// Sync §15: Retry-After is honoured.
#[test]
fn retry_after_is_kept() {
    let wait = Some(Duration::from_secs(7));
    let Next::Fail(failure) = (Answer {
        retry_after: wait,
        ..answer(429, "")
    })
    .next(String::new()) else {
        panic!("a throttled write may be repeated");
    };
    assert_eq!(failure.retry_after, wait);
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

/// Sync §7: 201, resourceVersion and the time of our entry tell what an apply did.
#[test]
fn an_apply_tells_what_it_did() {
    let apply = |why| {
        Plan::Apply(Apply {
            uid: "u".to_owned(),
            why,
            force: true,
            immutable: false,
            clear: Vec::new(),
        })
    };
    let before = Before {
        uid: "u".to_owned(),
        resource_version: "7".to_owned(),
        written: at(0),
    };
    let reply = |created, version: &str, second| Reply {
        created,
        uid: "u".to_owned(),
        resource_version: version.to_owned(),
        written: at(second),
        deleting: false,
    };
    for (what, plan, reply, expected) in [
        (
            "first",
            Plan::Create { again: false },
            reply(true, "1", 0),
            Effect::Created,
        ),
        (
            "deleted before",
            Plan::Create { again: true },
            reply(true, "1", 0),
            Effect::Repaired,
        ),
        (
            "rotation",
            apply(Why::Rotation),
            reply(false, "8", 1),
            Effect::Updated,
        ),
        (
            "lost key",
            apply(Why::KeyLost),
            reply(false, "7", 0),
            Effect::Unchanged,
        ),
        (
            "equal apply",
            apply(Why::Confirm),
            reply(false, "7", 0),
            Effect::Unchanged,
        ),
        (
            "foreign fields moved",
            apply(Why::Confirm),
            reply(false, "8", 0),
            Effect::Unchanged,
        ),
        (
            "our key was edited",
            apply(Why::Confirm),
            reply(false, "9", 5),
            Effect::Repaired,
        ),
        (
            "our key was edited, seen by the watch",
            apply(Why::Drifted),
            reply(false, "9", 5),
            Effect::Repaired,
        ),
        (
            "deleted meanwhile",
            apply(Why::Confirm),
            reply(true, "9", 5),
            Effect::Repaired,
        ),
        (
            "vanishing",
            apply(Why::Rotation),
            Reply {
                deleting: true,
                ..reply(false, "9", 5)
            },
            Effect::Vanishing,
        ),
    ] {
        assert_eq!(effect(&plan, Some(&before), &reply), expected, "{what}");
    }
    assert_eq!(
        effect(&apply(Why::Confirm), None, &reply(false, "9", 5)),
        Effect::Unchanged,
        "after a start"
    );
}
