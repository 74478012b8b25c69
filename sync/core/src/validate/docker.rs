//! Docker files, as kubelet reads them when it looks for credentials to pull an image.
//!
//! Entries are told by number: their hosts are bytes of the value.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use crate::json::Json;
use crate::secret_type::{DOCKERCFG, DOCKERCONFIGJSON, SecretType};

/// How Docker Hub is written, and nothing else matches it everywhere.
pub(crate) const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Hosts by which people mean Docker Hub.
const HUB_HOSTS: [&str; 5] = [
    "docker.io",
    "www.docker.io",
    "hub.docker.com",
    "index.docker.io",
    "registry-1.docker.io",
];
/// Members beside `auths` that kubelet ignores.
const IGNORED_GLOBALLY: [&str; 2] = ["credsStore", "credHelpers"];
/// Members of an entry that kubelet ignores.
const IGNORED_IN_ENTRY: [&str; 2] = ["identitytoken", "registrytoken"];
/// What follows from a file that cannot be understood.
const INSIDE: [Check; 3] = [
    Check::DockerAuth,
    Check::DockerAuthMismatch,
    Check::DockerEmpty,
];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let legacy = *subject.secret_type == SecretType::DockerCfg;
    let key = if legacy { DOCKERCFG } else { DOCKERCONFIGJSON };
    let mut docker = Docker {
        field: data_field(key),
        usable: false,
        findings,
    };
    let json = subject.value(key).and_then(|value| Json::parse(value).ok());
    let entries = match json.filter(|json| json.is_object() || json.is_null()) {
        // The structure is told already.
        None => {
            docker.findings.follow(&[Check::DockerShape]);
            None
        }
        Some(json) if legacy => docker.legacy_entries(json),
        Some(json) => docker.entries(json),
    };
    let Some(entries) = entries else {
        docker.findings.follow(&INSIDE);
        return;
    };
    for (number, (host, entry)) in entries.iter().enumerate() {
        docker.check_entry(number + 1, host, *entry);
    }
    if !docker.usable {
        let what = "no entry has a user name and a password";
        docker.add(
            Check::DockerEmpty,
            what,
            "store credentials for at least one registry",
        );
    }
}

type Entries<'t> = Vec<(Zeroizing<String>, Json<'t>)>;

struct Docker<'f> {
    field: String,
    usable: bool,
    findings: &'f mut Findings,
}

/// The members of an entry that kubelet reads; absent, `null` and empty are the same to it.
struct Credentials {
    username: Zeroizing<String>,
    password: Zeroizing<String>,
    auth: Zeroizing<String>,
}

impl Docker<'_> {
    fn add(&mut self, check: Check, what: impl Into<String>, remedy: &str) {
        self.findings.add(check, self.field.as_str(), what, remedy);
    }

    fn entries<'t>(&mut self, json: Json<'t>) -> Option<Entries<'t>> {
        let auths = json.member("auths").and_then(Json::members);
        if auths.is_none() {
            let legacy = json.members().is_some_and(|members| {
                !members.is_empty() && members.iter().all(|(_, value)| value.is_object())
            });
            let remedy = if legacy && json.member("auths").is_none() {
                "put the entries under 'auths', or use the type kubernetes.io/dockercfg"
            } else {
                "store a file like {\"auths\":{\"<host>\":{\"auth\":\"…\"}}}"
            };
            self.add(Check::DockerShape, "there is no object 'auths'", remedy);
        }
        for name in IGNORED_GLOBALLY {
            self.check_ignored(json, name, "the file");
        }
        auths
    }

    fn legacy_entries<'t>(&mut self, json: Json<'t>) -> Option<Entries<'t>> {
        let entries = json.members();
        let wrapped = json.member("auths").is_some_and(Json::is_object);
        if wrapped {
            let what = "the entries stand under 'auths', as in the newer file";
            self.add(
                Check::DockerShape,
                what,
                "use the type kubernetes.io/dockerconfigjson",
            );
        } else if entries.is_none() {
            let remedy = "store a file like {\"<host>\":{\"auth\":\"…\"}}";
            self.add(Check::DockerShape, "the document is null", remedy);
        }
        entries.filter(|_| !wrapped)
    }

    fn check_entry(&mut self, number: usize, host: &str, entry: Json<'_>) {
        self.check_host(number, host);
        for name in IGNORED_IN_ENTRY {
            self.check_ignored(entry, name, &format!("entry {number}"));
        }
        let Some(credentials) = Credentials::read(entry) else {
            let what = format!("entry {number} is no object of texts");
            let remedy = "write {\"username\":\"…\",\"password\":\"…\",\"auth\":\"…\"}";
            self.add(Check::DockerShape, what, remedy);
            self.findings.follow(&INSIDE[..2]);
            return;
        };
        let Credentials {
            username,
            password,
            auth,
        } = credentials;
        if auth.is_empty() {
            self.usable |= !username.is_empty() && !password.is_empty();
            return;
        }
        let Some((user, secret)) = decode_auth(&auth) else {
            let what = format!(
                "'auth' of entry {number} is not base64 of user:password, so every pod that lists this \
                 Secret pulls without any credentials, even from other registries"
            );
            self.add(
                Check::DockerAuth,
                what,
                "store base64(\"user:password\"), padded with '='",
            );
            self.findings.follow(&INSIDE[1..2]);
            return;
        };
        self.usable |= !user.is_empty() && !secret.is_empty();
        let differs = |told: &str, meant: &str| !told.is_empty() && told != meant;
        if differs(&username, &user) || differs(&password, &secret) {
            let what = format!("'auth' of entry {number} disagrees with its username or password");
            let remedy = "make them agree; kubelet takes 'auth'";
            self.add(Check::DockerAuthMismatch, what, remedy);
        }
    }

    fn check_host(&mut self, number: usize, host: &str) {
        let (what, remedy) = match host_fault(host) {
            None => return,
            Some(HostFault::Unreadable) => (
                "does not parse as a URL, so kubelet skips it",
                "write a host like 'registry.example:5000', with a scheme or a path if need be",
            ),
            Some(HostFault::Wildcard) => (
                "has a '*' outside the host's name, where it matches nothing",
                "use '*' for one part of the host's name; a path is matched by its beginning, a port must \
                 be equal",
            ),
            Some(HostFault::Hub) => (
                "means Docker Hub by another name than clients look for",
                "write https://index.docker.io/v1/",
            ),
        };
        self.add(
            Check::DockerHost,
            format!("the host of entry {number} {what}"),
            remedy,
        );
    }

    fn check_ignored(&mut self, object: Json<'_>, name: &str, place: &str) {
        let empty: [&[u8]; 3] = [b"null", b"\"\"", b"{}"];
        let told = object
            .member(name)
            .is_some_and(|value| !empty.contains(&value.raw()));
        if told {
            let what = format!("'{name}' of {place} is ignored by kubelet");
            self.add(
                Check::DockerIgnored,
                what,
                "store username and password instead",
            );
        }
    }
}

impl Credentials {
    /// None if the entry is no object, or a member no text.
    fn read(entry: Json<'_>) -> Option<Self> {
        let text = |name: &str| match entry.member(name) {
            None => Some(Zeroizing::default()),
            Some(value) if value.is_null() => Some(Zeroizing::default()),
            Some(value) => value.text(),
        };
        entry.is_object().then_some(())?;
        Some(Self {
            username: text("username")?,
            password: text("password")?,
            auth: text("auth")?,
        })
    }
}

enum HostFault {
    Unreadable,
    Wildcard,
    Hub,
}

fn host_fault(location: &str) -> Option<HostFault> {
    let schemeless = location
        .strip_prefix("https://")
        .or_else(|| location.strip_prefix("http://"))
        .unwrap_or(location);
    let end = schemeless.find(['/', '?', '#']).unwrap_or(schemeless.len());
    let (host, path) = schemeless.split_at(end);
    let (name, port) = host
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'))
        .unwrap_or((host, ""));
    let strange = |c: char| c.is_control() || c.is_whitespace() || "<>\"\\^`{|}%@".contains(c);
    if name.is_empty() || host.contains(strange) || path.contains(char::is_control) {
        return Some(HostFault::Unreadable);
    }
    if path.contains('*') || port.contains('*') {
        return Some(HostFault::Wildcard);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(HostFault::Unreadable);
    }
    let hub = HUB_HOSTS.contains(&name.to_ascii_lowercase().as_str());
    (hub && location != DOCKER_HUB).then_some(HostFault::Hub)
}

/// User and password of an `auth`: base64 that is padded if it ends in `=`, and unpadded otherwise
/// (`decodeDockerConfigFieldAuth` of kubelet).
pub(crate) fn decode_auth(auth: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let padding = if auth.trim().ends_with('=') {
        DecodePaddingMode::RequireCanonical
    } else {
        DecodePaddingMode::RequireNone
    };
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(padding);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    // Go passes over line ends in base64.
    let lines = Zeroizing::new(auth.replace(['\r', '\n'], ""));
    let decoded = Zeroizing::new(engine.decode(lines.as_bytes()).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let text = |bytes: &[u8]| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    Some((text(&decoded[..colon]), text(&decoded[colon + 1..])))
}
