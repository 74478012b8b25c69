//! Replies of every shape, useful and not.

use std::time::Duration;

use super::{Head, Response};
use crate::fault::Reason;
use crate::params::Dialect;

const JSON: &str = "application/json";

fn read(status: u16, body: &str) -> Result<Response, (Reason, String)> {
    let head = Head {
        status,
        content_type: JSON,
    };
    Response::read(head, body.as_bytes()).map_err(|fault| (fault.reason, fault.what))
}

#[track_caller]
fn refused(status: u16, body: &str, reason: Reason, expected: &str) {
    let (found, what) = read(status, body).err().unwrap();
    assert_eq!(found, reason, "{status} {body}: {what}");
    assert!(
        what.contains(expected),
        "{status}: {what:?} lacks {expected:?}"
    );
}

fn whole(body: &str) -> String {
    let response = read(200, body).unwrap_or_else(|fault| panic!("{fault:?}"));
    String::from_utf8(response.whole(Dialect::Vault).expose().to_vec()).unwrap()
}

#[test]
fn refusals_keep_the_stores_words_and_get_their_reason() {
    let denied = r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
    refused(403, denied, Reason::Denied, "permission denied, Code: 403");
    refused(404, r#"{"errors":[]}"#, Reason::NotFound, "Code: 404");
    refused(
        404,
        r#"{"errors":[],"warnings":["Invalid path for a versioned K/V secrets engine"]}"#,
        Reason::NotFound,
        "versioned K/V",
    );
    refused(
        400,
        r#"{"errors":["missing common_name"]}"#,
        Reason::BadRequest,
        "missing common_name, Code: 400",
    );
    refused(405, "", Reason::BadRequest, "Code: 405");
    refused(
        503,
        r#"{"errors":["Vault is sealed"]}"#,
        Reason::StoreState,
        "store is sealed",
    );
    refused(
        503,
        r#"{"errors":["overloaded"]}"#,
        Reason::StoreBusy,
        "overloaded",
    );
    refused(501, "", Reason::StoreState, "not initialised");
    refused(473, "", Reason::StoreState, "standby");
    refused(429, "", Reason::StoreBusy, "429");
    refused(502, "<html>canary</html>", Reason::StoreError, "Code: 502");
    refused(307, "", Reason::BadAnswer, "redirects");
}

#[test]
fn a_body_that_is_no_reply_is_a_bad_answer_and_is_never_shown() {
    for body in [
        "",
        "null",
        "{}",
        "[]",
        "1",
        "<html>canary</html>",
        r#"{"data":{"a":"canary""#,
        r#"{"errors":["canary"]}"#,
    ] {
        let (reason, what) = read(200, body).err().unwrap();
        assert_eq!(reason, Reason::BadAnswer, "{body}");
        assert!(!what.contains("canary"), "{what}");
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused(200, &deep, Reason::BadAnswer, "nested too deeply");
    refused(
        204,
        "",
        Reason::BadAnswer,
        "status 204, application/json, 0 bytes",
    );
}

#[test]
fn error_texts_are_short_and_on_one_line() {
    let long = format!(r#"{{"errors":["a\nb\u001b[31m{}"]}}"#, "x".repeat(5000));
    let (_, what) = read(403, &long).err().unwrap();
    assert!(
        what.starts_with("a b\\u{1b}[31mxxx") && what.len() < 260,
        "{what}"
    );
}

#[test]
fn an_object_without_envelope_is_the_data() {
    let response = read(200, r#"{"keys":["a"]}"#).ok().unwrap();
    assert!(response.data().unwrap().get("keys").is_some());
}

#[test]
fn a_lease_is_read_and_an_empty_id_is_none() {
    let response = read(
        200,
        r#"{"lease_id":"db/creds/r/1","lease_duration":3600,"renewable":true,"data":{}}"#,
    );
    let lease = response.ok().unwrap().lease().unwrap();
    assert_eq!(
        (lease.id.as_str(), lease.life, lease.renewable),
        ("db/creds/r/1", Duration::from_secs(3600), true)
    );
    for body in [
        r#"{"lease_id":"","lease_duration":5,"data":{}}"#,
        r#"{"data":{},"lease_id":null}"#,
        r#"{"data":{},"lease_id":7}"#,
    ] {
        assert_eq!(read(200, body).ok().unwrap().lease(), None, "{body}");
    }
}

#[test]
fn the_whole_reply_has_the_peers_fields_in_their_order_and_no_request_id() {
    let body = r#"{"warnings":null,"request_id":"r-1","data":{"b":1.0,"a":"<&>"},"lease_duration":2764800,"renewable":false,"lease_id":"","mount_type":"kv","extra":1,"auth":null,"wrap_info":null}"#;
    assert_eq!(
        whole(body),
        r#"{"request_id":"","lease_id":"","lease_duration":2764800,"renewable":false,"data":{"a":"\u003c\u0026\u003e","b":1.0},"warnings":null,"mount_type":"kv"}"#
    );
}

#[test]
fn auth_and_wrap_info_are_written_only_when_present() {
    let body = r#"{"auth":{"renewable":true,"accessor":"a","client_token":"t","other":1},"wrap_info":{"ttl":5,"token":"w"},"warnings":["w"]}"#;
    assert_eq!(
        whole(body),
        r#"{"request_id":"","lease_id":"","lease_duration":0,"renewable":false,"data":null,"warnings":["w"],"auth":{"client_token":"t","accessor":"a","renewable":true},"wrap_info":{"token":"w","ttl":5}}"#
    );
}

#[test]
fn openbaos_form_has_no_mount_type() {
    let response = read(200, r#"{"data":{},"mount_type":"kv"}"#).ok().unwrap();
    let text = String::from_utf8(response.whole(Dialect::OpenBao).expose().to_vec()).unwrap();
    assert!(!text.contains("mount_type"));
}

#[test]
fn only_a_store_that_says_so_did_nothing() {
    for (status, body, expected) in [
        (501, "", true),
        (472, "", true),
        (473, "", true),
        (503, r#"{"errors":["Vault is sealed"]}"#, true),
        (503, "", false),
        (503, "upstream sealed", false),
        (503, r#"{"errors":["overloaded"]}"#, false),
        (474, "", false),
        (500, r#"{"errors":["Vault is sealed"]}"#, false),
        (502, "", false),
        (429, "", false),
    ] {
        let head = Head {
            status,
            content_type: "",
        };
        let told = super::is_unexecuted(head, body.as_bytes());
        assert_eq!(told, expected, "{status} {body}");
    }
}

#[test]
fn a_document_reads_as_the_reply_that_it_was_made_of() {
    for body in [
        r#"{"request_id":"r","lease_id":"l/1","lease_duration":60,"renewable":true,"data":{"b":1.0,"a":"<"}}"#,
        r#"{"any":"thing"}"#,
        r#"{"auth":{"client_token":"t"},"warnings":["w"],"extra":[1E400]}"#,
    ] {
        let first = read(200, body).unwrap_or_else(|fault| panic!("{fault:?}"));
        let document = first.to_document();
        let text = std::str::from_utf8(document.expose()).unwrap();
        let second = read(200, text).unwrap_or_else(|fault| panic!("{fault:?}"));
        let whole = |response: &Response| response.whole(Dialect::Vault);
        assert!(whole(&first) == whole(&second), "{body}");
        assert_eq!(first.lease(), second.lease(), "{body}");
        assert!(document == second.to_document(), "{body}");
    }
}
