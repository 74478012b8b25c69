//! Docker files from registries, users and passwords, and from other docker files.
//!
//! What comes out for one registry equals what `kubectl create secret docker-registry` writes, byte for
//! byte: Go's order of members, hosts sorted, no blanks, `<`, `>` and `&` escaped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{BuildReason, Work};
use crate::json::Json;
use crate::secret_type::{DOCKERCFG, DOCKERCONFIGJSON};
use crate::validate::DOCKER_HUB;

const REGISTRY: &str = "registry";
const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const EMAIL: &str = "email";
const AUTH: &str = "auth";
/// What one registry is told by; each may carry a number: `username.1`.
const PARTS: [&str; 5] = [REGISTRY, USERNAME, PASSWORD, EMAIL, AUTH];

/// Which file is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `~/.dockercfg`: hosts at the top.
    Legacy,
    /// `~/.docker/config.json`: hosts under `auths`.
    Current,
}

/// Entries in JSON by host. Go writes maps in this order.
type Entries = BTreeMap<String, Zeroizing<Vec<u8>>>;

pub(super) fn build(work: &mut Work, form: Form) {
    let output = match form {
        Form::Legacy => DOCKERCFG,
        Form::Current => DOCKERCONFIGJSON,
    };
    let logins = numbers(work, &PARTS);
    let files = numbers(work, &[DOCKERCONFIGJSON]);
    let files: Vec<String> = files
        .into_iter()
        .filter(|number| !number.is_empty())
        .collect();
    if logins.is_empty() && files.is_empty() {
        return;
    }
    if work.has(output) {
        let remedy = "map the file, or what it is made from; number files to have them merged: \
                      .dockerconfigjson.0";
        let what = "mapped beside inputs that it is made from";
        work.fault(BuildReason::Ambiguous, output, what, remedy);
        return;
    }
    let mut entries = Entries::new();
    for number in logins {
        login(work, &number, &mut entries);
    }
    for number in files {
        merge(work, &format!("{DOCKERCONFIGJSON}{number}"), &mut entries);
    }
    work.put(output, render(&entries, form));
}

/// The numbers, with their dot, under which one of these inputs is mapped; empty where it has none.
fn numbers(work: &Work, names: &[&str]) -> Vec<String> {
    let number = |key: &String| {
        let rest = names.iter().find_map(|name| key.strip_prefix(name))?;
        let digits = rest.strip_prefix('.').unwrap_or("");
        let numbered = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (rest.is_empty() || numbered).then(|| rest.to_owned())
    };
    let mut numbers: Vec<String> = work.data.keys().filter_map(number).collect();
    numbers.sort();
    numbers.dedup();
    numbers
}

fn login(work: &mut Work, number: &str, entries: &mut Entries) {
    let key = |name: &str| format!("{name}{number}");
    let has = PARTS.map(|name| work.has(&key(name)));
    let [registry, username, password, email, auth] = PARTS.map(|name| work.take_line(&key(name)));
    let [
        has_registry,
        has_username,
        has_password,
        has_email,
        has_auth,
    ] = has;
    if has_auth && (has_username || has_password || has_email) {
        let what = "mapped beside the user's name, password or email";
        let remedy = "map either auth, or username and password";
        work.fault(BuildReason::Ambiguous, &key(AUTH), what, remedy);
        return;
    }
    let needed = [
        (REGISTRY, has_registry),
        (USERNAME, has_username || has_auth),
        (PASSWORD, has_password || has_auth),
    ];
    for (name, _) in needed.iter().filter(|(_, there)| !there) {
        let what = "missing, while other inputs for this registry are mapped";
        let remedy = "map it; an empty registry means Docker Hub";
        work.fault(BuildReason::Incomplete, &key(name), what, remedy);
    }
    let Some(registry) = registry else { return };
    let host = if registry.is_empty() {
        DOCKER_HUB
    } else {
        registry.as_str()
    };
    let entry = match (auth, username, password) {
        (Some(auth), _, _) => object(&[(AUTH, &auth)]),
        (None, Some(user), Some(password)) => {
            if user.contains(':') {
                let what = "the user name holds a ':', where auth separates it from the password";
                work.fault(
                    BuildReason::Unreadable,
                    &key(USERNAME),
                    what,
                    "use another user name",
                );
            }
            let pair = Zeroizing::new([user.as_str(), password.as_str()].join(":"));
            let auth = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            let email = email.unwrap_or_default();
            object(&[
                (USERNAME, &user),
                (PASSWORD, &password),
                (EMAIL, &email),
                (AUTH, &auth),
            ])
        }
        _ => return,
    };
    add(work, &key(REGISTRY), host, entry, entries);
}

/// The entries of a whole file, as they are but for blanks.
fn merge(work: &mut Work, key: &str, entries: &mut Entries) {
    let Some(value) = work.take(key) else { return };
    let members = Json::parse(value.expose())
        .ok()
        .and_then(|json| json.member("auths"))
        .and_then(Json::members);
    let Some(members) = members else {
        let what = "no JSON object with an object 'auths'";
        let remedy = "store a file like {\"auths\":{\"<host>\":{\"auth\":\"…\"}}}";
        work.fault(BuildReason::Unreadable, key, what, remedy);
        return;
    };
    for (host, entry) in members {
        add(work, key, &host, entry.compact(), entries);
    }
}

fn add(work: &mut Work, key: &str, host: &str, entry: Zeroizing<Vec<u8>>, entries: &mut Entries) {
    match entries.entry(host.to_owned()) {
        Slot::Vacant(slot) => {
            slot.insert(entry);
        }
        Slot::Occupied(_) => {
            let what = "names a host that another input has too";
            work.fault(BuildReason::Ambiguous, key, what, "keep one of them");
        }
    }
}

fn render(entries: &Entries, form: Form) -> Vec<u8> {
    let size: usize = entries
        .iter()
        .map(|(host, entry)| host.len() * 6 + entry.len() + 8)
        .sum();
    let mut out = Vec::with_capacity(size + 16);
    if form == Form::Current {
        out.extend_from_slice(b"{\"auths\":");
    }
    out.push(b'{');
    for (at, (host, entry)) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        quote(&mut out, host);
        out.push(b':');
        out.extend_from_slice(entry);
    }
    out.push(b'}');
    if form == Form::Current {
        out.push(b'}');
    }
    out
}

/// An object of texts; empty ones are left out.
fn object(members: &[(&str, &Zeroizing<String>)]) -> Zeroizing<Vec<u8>> {
    let size: usize = members.iter().map(|(_, text)| text.len() * 6 + 16).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(size + 2));
    out.push(b'{');
    for (name, text) in members.iter().filter(|(_, text)| !text.is_empty()) {
        if out.len() > 1 {
            out.push(b',');
        }
        quote(&mut out, name);
        out.push(b':');
        quote(&mut out, text);
    }
    out.push(b'}');
    out
}

/// A string as Go's json.Marshal writes it. At most six bytes for one, so a buffer of that size never
/// moves and leaves no copy behind.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}
