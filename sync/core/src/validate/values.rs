//! What is legal and yet doubtful in every type, the user's own list of keys, and service account tokens.

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use super::structure::{MAX_DATA_BYTES, data_bytes, largest};
use crate::key::shown;
use crate::secret_type::{SERVICE_ACCOUNT_NAME, SecretType, USERNAME};

/// What etcd takes for one object by default (`--max-request-bytes`).
const MAX_OBJECT_BYTES: usize = 1_572_864;
/// Keys whose one-line values are passwords by their name.
const PASSWORD_ENDINGS: [&str; 5] = ["password", "passwd", "token", "secret", "apikey"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    check_type(subject, findings);
    check_sizes(subject, findings);
    for (key, value) in subject.values() {
        check_line_end(subject, key, value, findings);
        check_byte_order_mark(key, value, findings);
        check_environment(subject, key, findings);
    }
    check_required_keys(subject, findings);
    // The data of a service account token comes from Kubernetes.
    if subject.data.is_empty() && *subject.secret_type != SecretType::ServiceAccountToken {
        let remedy = "map at least one object, unless an empty Secret is meant";
        findings.add(
            Check::DataEmpty,
            "data",
            "the Secret would hold no key",
            remedy,
        );
    }
}

fn check_type(subject: &Subject<'_>, findings: &mut Findings) {
    let SecretType::Custom(text) = subject.secret_type else {
        return;
    };
    let remedy = match subject.secret_type.lookalike() {
        Some(meant) => format!("write {}", meant.as_str()),
        None if text.starts_with("kubernetes.io/") => {
            "use a type of Kubernetes, or a domain of your own before the '/'".to_owned()
        }
        None => return,
    };
    let what = "resembles a type of Kubernetes, and none of its rules apply";
    findings.add(Check::TypeLookalike, "type", what, remedy);
}

fn check_sizes(subject: &Subject<'_>, findings: &mut Findings) {
    let values = data_bytes(subject);
    // Under server-side apply each key is kept a second time, in the list of what a manager owns.
    let keys: usize = subject.data.keys().map(|key| 2 * key.len() + 16).sum();
    for (bytes, most, of) in [
        (values, MAX_DATA_BYTES, "the values"),
        (values + keys, MAX_OBJECT_BYTES, "the whole object"),
    ] {
        if bytes > most / 10 * 9 {
            let what = format!(
                "{of}: {bytes} of {most} bytes, largest: {}",
                largest(subject)
            );
            let remedy = "split the keys over several Secrets before the limit is reached";
            findings.add(Check::SizeNearLimit, "data", what, remedy);
        }
    }
}

fn check_line_end(subject: &Subject<'_>, key: &str, value: &[u8], findings: &mut Findings) {
    let name = key.to_ascii_lowercase();
    let is_username = *subject.secret_type == SecretType::BasicAuth && key == USERNAME;
    let is_password = is_username || PASSWORD_ENDINGS.iter().any(|ending| name.ends_with(ending));
    let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let line = value.trim_ascii_end();
    let one_line = !line.is_empty() && !line.iter().any(line_end);
    if is_password && one_line && value.last().is_some_and(line_end) {
        let remedy = "store it without the line end, unless it belongs to the value";
        findings.add(
            Check::ValueNewline,
            data_field(key),
            "the value ends in a line end, which most consumers take for a part of it",
            remedy,
        );
    }
}

fn check_byte_order_mark(key: &str, value: &[u8], findings: &mut Findings) {
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    if marks.iter().any(|mark| value.starts_with(mark)) {
        findings.add(
            Check::ValueBom,
            data_field(key),
            "the value starts with a byte order mark",
            "store it without, unless the consumer expects one",
        );
    }
}

/// Every other type has keys with dashes or dots anyway.
fn check_environment(subject: &Subject<'_>, key: &str, findings: &mut Findings) {
    let plain = matches!(
        subject.secret_type,
        SecretType::Opaque | SecretType::Custom(_)
    );
    if plain && key.starts_with(|c: char| c.is_ascii_digit()) {
        findings.add(
            Check::EnvName,
            data_field(key),
            "the key starts with a digit: as an environment variable it is skipped up to Kubernetes 1.31, \
             and no shell expands it",
            "start it with a letter or '_' if it is used by envFrom",
        );
    }
}

fn check_required_keys(subject: &Subject<'_>, findings: &mut Findings) {
    for key in subject.required_keys {
        if !subject.data.contains_key(key) {
            findings.add(
                Check::CustomRequired,
                data_field(key),
                "coffer.rs/required-keys asks for this key",
                "map an object to it, or take it off the list",
            );
        }
    }
}

/// Whether the account of a token exists, and that there is a better way.
pub(super) fn check_service_account(subject: &Subject<'_>, findings: &mut Findings) {
    let field = format!("metadata.annotations[{SERVICE_ACCOUNT_NAME}]");
    findings.add(
        Check::SaLegacy,
        "type",
        "a token that never ends, readable by everybody who may read Secrets",
        "prefer the TokenRequest API or a projected volume: their tokens are short-lived",
    );
    if subject.service_account_exists == Some(false) {
        let account = subject.annotations.get(SERVICE_ACCOUNT_NAME);
        let what = format!(
            "there is no service account '{}' in this namespace, so Kubernetes deletes the Secret at once",
            shown(account.map_or("", String::as_str))
        );
        findings.add(
            Check::SaMissing,
            field,
            what,
            "create the service account first",
        );
    }
}
