//! `kubernetes.io/basic-auth`: what HTTP basic authentication can carry.

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use crate::secret_type::{PASSWORD, USERNAME};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let present: Vec<(&str, &[u8])> = [USERNAME, PASSWORD]
        .into_iter()
        .filter_map(|key| Some((key, subject.value(key)?)))
        .collect();
    if present.is_empty() {
        findings.follow(&[Check::BasicEmpty]);
        return;
    }
    if present.iter().all(|(_, value)| value.is_empty()) {
        let what = "username and password are empty or missing";
        findings.add(Check::BasicEmpty, "data", what, "store the credentials");
    }
    if let [(only, _)] = present.as_slice() {
        let absent = if *only == USERNAME {
            PASSWORD
        } else {
            USERNAME
        };
        findings.add(
            Check::BasicSingle,
            data_field(absent),
            "missing; most consumers expect both keys",
            format!("map an object to the key {absent}"),
        );
    }
    for (key, value) in present {
        check_characters(key, value, findings);
    }
}

fn check_characters(key: &str, value: &[u8], findings: &mut Findings) {
    if key == USERNAME && value.contains(&b':') {
        let what = "the user name holds a ':', where basic authentication ends it";
        findings.add(
            Check::BasicColon,
            data_field(key),
            what,
            "use a user name without ':'",
        );
    }
    // A line end at the end is an advisory of its own.
    if value.trim_ascii_end().iter().any(u8::is_ascii_control) {
        let what = "the value holds NUL or another control character";
        let remedy = "store the credentials as plain text";
        findings.add(Check::BasicControl, data_field(key), what, remedy);
    }
}
