//! The contents of the state as JSON: records of their own, so that a change of the types that a Mount
//! uses is a decision about this file and no accident.
//!
//! Moments are seconds of the wall clock, which is all that two processes share. Buffers are wiped.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_provider_core::auth::Identity;
use coffer_provider_core::gojson::Json;
use coffer_provider_core::request::{Method, Request};
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::target::{Addresses, Ca, Target, Tls};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::vault::endpoint::is_sendable;
use crate::vault::kept::{KeptKey, Snapshot, Stored, StoredPast, StoredToken};
use crate::vault::session::Proof;

#[derive(Serialize, Deserialize)]
struct Document {
    /// When it was written: a clock that shows less has jumped.
    written: f64,
    targets: Vec<TargetRecord>,
    tokens: Vec<TokenRecord>,
    entries: Vec<EntryRecord>,
    /// Absent in what the first version wrote.
    #[serde(default)]
    past: Vec<PastRecord>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TargetRecord {
    /// As it stands in a class: URLs, separated by commas.
    address: String,
    /// Those without a port are found by SRV records. Absent in what earlier versions wrote.
    #[serde(default)]
    by_srv: bool,
    namespace: Option<String>,
    ca: CaRecord,
    client: Option<(String, String)>,
    server_name: Option<String>,
    skip_verify: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum CaRecord {
    System,
    File(String),
    Directory(String),
    Pem(String),
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    target: usize,
    secret: Wiped,
    life: LifeRecord,
}

#[derive(Serialize, Deserialize)]
struct EntryRecord {
    pod: String,
    target: usize,
    auth_mount: String,
    role: String,
    audience: Option<String>,
    namespace: String,
    service_account: String,
    proof: ProofRecord,
    method: String,
    path: String,
    query: Vec<(String, String)>,
    /// JSON in base64: no escapes, so that reading it makes no copies.
    body: Option<Wiped>,
    /// The same.
    response: Wiped,
    life: LifeRecord,
    token: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct PastRecord {
    pod: String,
    lease: Option<String>,
    began: f64,
    /// None for what lasts as long as its token.
    ends: Option<f64>,
    token: usize,
}

#[derive(Serialize, Deserialize)]
struct LifeRecord {
    began: f64,
    /// None for what lasts as long as the pod.
    ends: Option<f64>,
    full: f64,
    renewable: bool,
}

#[derive(Serialize, Deserialize)]
enum ProofRecord {
    Proven,
    ProvenPod(String),
    Token([u8; 32]),
    Requested(String),
}

/// Secret text that is wiped on drop. No Debug.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Wiped(String);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Wiped {
    fn encode(bytes: &[u8]) -> Self {
        Self(STANDARD.encode(bytes))
    }

    fn decode(&self) -> Option<Zeroizing<Vec<u8>>> {
        STANDARD.decode(&self.0).ok().map(Zeroizing::new)
    }
}

/// Writes the contents; none if they would be larger than `most`.
pub(super) fn write(
    snapshot: &Snapshot,
    now: Timestamp,
    most: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut targets = Vec::new();
    let written = seconds(now);
    let tokens = snapshot.tokens.iter().map(|token| TokenRecord {
        target: index_of(&mut targets, &token.target),
        secret: Wiped(token.secret.expose_secret().to_owned()),
        life: LifeRecord {
            began: written - token.age.as_secs_f64(),
            ends: Some(written + token.left.as_secs_f64()),
            full: token.full.as_secs_f64(),
            renewable: token.renewable,
        },
    });
    let tokens = tokens.collect();
    let entries = snapshot
        .entries
        .iter()
        .filter_map(|one| entry_record(one, &mut targets, written))
        .collect();
    let past = snapshot.past.iter().map(|one| PastRecord {
        pod: one.pod.clone(),
        lease: one.lease.clone(),
        began: written - one.age.as_secs_f64(),
        ends: one.left.map(|left| written + left.as_secs_f64()),
        token: one.token,
    });
    let past = past.collect();
    let document = Document {
        written,
        targets,
        tokens,
        entries,
        past,
    };
    let mut out = Bounded {
        bytes: Zeroizing::new(Vec::with_capacity(4096)),
        most,
    };
    serde_json::to_writer(&mut out, &document).ok()?;
    Some(out.bytes)
}

/// Reads what [`write`] wrote, at another time; none if it makes no sense. What has ended is left out.
pub(super) fn read(bytes: &[u8], now: Timestamp) -> Option<Snapshot> {
    let document: Document = serde_json::from_slice(bytes).ok()?;
    // A clock that was set back must not make anything live longer than it does.
    let now = seconds(now).max(document.written);
    let targets = document.targets.into_iter().map(target);
    let targets: Vec<Target> = targets.collect::<Option<_>>()?;
    let tokens = document.tokens.iter().map(|record| {
        let (age, left) = record.life.at(now);
        let token = StoredToken {
            target: targets.get(record.target)?.clone(),
            secret: SecretString::from(record.secret.0.clone()),
            age,
            left: left?,
            full: duration(record.life.full),
            renewable: record.life.renewable,
        };
        is_sendable(token.secret.expose_secret()).then_some(token)
    });
    let tokens = tokens.collect::<Option<Vec<_>>>()?;
    let mut stored = Vec::with_capacity(document.entries.len());
    for record in document.entries {
        let one = entry(record, &targets, now)?;
        if one.left.is_none_or(|left| !left.is_zero()) {
            stored.push(one);
        }
    }
    let past = document.past.into_iter().map(|record| {
        let (age, left) = lived(record.began, record.ends, now);
        StoredPast {
            pod: record.pod,
            lease: record.lease,
            age,
            left,
            token: record.token,
        }
    });
    let past = past.filter(|past| past.left.is_none_or(|left| !left.is_zero()));
    Some(Snapshot {
        entries: stored,
        past: past.collect(),
        tokens,
    })
}

fn entry_record(
    one: &Stored,
    targets: &mut Vec<TargetRecord>,
    written: f64,
) -> Option<EntryRecord> {
    let Identity {
        target,
        auth_mount,
        role,
        audience,
        namespace,
        service_account,
    } = &*one.key.identity;
    let Request {
        method,
        path,
        query,
        body,
    } = one.key.request.as_ref();
    let proof = match &one.proof {
        Proof::Proven => ProofRecord::Proven,
        Proof::ProvenPod(pod) => ProofRecord::ProvenPod(pod.clone()),
        Proof::Token(digest) => ProofRecord::Token(*digest),
        Proof::Requested(pod) => ProofRecord::Requested(pod.clone()),
        Proof::Given => return None,
    };
    Some(EntryRecord {
        pod: one.key.pod.clone(),
        target: index_of(targets, target),
        auth_mount: auth_mount.clone(),
        role: role.clone(),
        audience: audience.clone(),
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        proof,
        method: method.as_str().to_owned(),
        path: path.clone(),
        query: query.clone(),
        body: body
            .as_ref()
            .map(|body| Wiped::encode(&Zeroizing::new(body.to_bytes()))),
        response: Wiped::encode(one.response.to_document().expose()),
        life: LifeRecord {
            began: written - one.age.as_secs_f64(),
            ends: one.left.map(|left| written + left.as_secs_f64()),
            full: one.full.as_secs_f64(),
            renewable: one.renewable,
        },
        token: one.token,
    })
}

fn entry(record: EntryRecord, targets: &[Target], now: f64) -> Option<Stored> {
    let (age, left) = record.life.at(now);
    let body = match &record.body {
        Some(body) => Some(Json::parse(&body.decode()?).ok()?),
        None => None,
    };
    let head = Head {
        status: 200,
        content_type: "application/json",
    };
    let response = Response::read(head, &record.response.decode()?).ok()?;
    let identity = Identity {
        target: targets.get(record.target)?.clone(),
        auth_mount: record.auth_mount,
        role: record.role,
        audience: record.audience,
        namespace: record.namespace,
        service_account: record.service_account,
    };
    let request = Request {
        method: Method::parse(&record.method)?,
        path: record.path,
        query: record.query,
        body,
    };
    let proof = match record.proof {
        ProofRecord::Proven => Proof::Proven,
        ProofRecord::ProvenPod(pod) => Proof::ProvenPod(pod),
        ProofRecord::Token(digest) => Proof::Token(digest),
        ProofRecord::Requested(pod) => Proof::Requested(pod),
    };
    Some(Stored {
        key: KeptKey {
            pod: record.pod,
            identity: Arc::new(identity),
            request: Arc::new(request),
        },
        proof,
        response: Arc::new(response),
        age,
        left,
        full: duration(record.life.full),
        renewable: record.life.renewable,
        token: record.token,
    })
}

impl LifeRecord {
    fn at(&self, now: f64) -> (Duration, Option<Duration>) {
        lived(self.began, self.ends, now)
    }
}

/// How long ago something began and how long it goes on, neither more than it ever had.
fn lived(began: f64, ends: Option<f64>, now: f64) -> (Duration, Option<Duration>) {
    let Some(ends) = ends else {
        return (duration(now - began), None);
    };
    let whole = duration(ends - began);
    let left = duration(ends - now).min(whole);
    (whole.saturating_sub(left), Some(left))
}

fn index_of(targets: &mut Vec<TargetRecord>, target: &Target) -> usize {
    let record = target_record(target);
    let known = targets.iter().position(|known| *known == record);
    known.unwrap_or_else(|| {
        targets.push(record);
        targets.len() - 1
    })
}

fn target_record(target: &Target) -> TargetRecord {
    let Target {
        address,
        namespace,
        tls:
            Tls {
                ca,
                client,
                server_name,
                skip_verify,
            },
    } = target.clone();
    TargetRecord {
        address: address.to_string(),
        by_srv: address.are_by_srv(),
        namespace,
        ca: match ca {
            Ca::System => CaRecord::System,
            Ca::File(path) => CaRecord::File(path),
            Ca::Directory(path) => CaRecord::Directory(path),
            Ca::Pem(text) => CaRecord::Pem(text),
        },
        client,
        server_name,
        skip_verify,
    }
}

/// None when the address cannot be read any more.
fn target(record: TargetRecord) -> Option<Target> {
    let address = if record.by_srv {
        Addresses::parse_by_srv("address", &record.address)
    } else {
        Addresses::parse("address", &record.address)
    };
    Some(Target {
        address: address.ok()?,
        namespace: record.namespace,
        tls: Tls {
            ca: match record.ca {
                CaRecord::System => Ca::System,
                CaRecord::File(path) => Ca::File(path),
                CaRecord::Directory(path) => Ca::Directory(path),
                CaRecord::Pem(text) => Ca::Pem(text),
            },
            client: record.client,
            server_name: record.server_name,
            skip_verify: record.skip_verify,
        },
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds fit exactly for ages of the earth"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Nothing for what is negative or no number.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A buffer that wipes what it leaves behind when it grows, and grows up to a bound.
struct Bounded {
    bytes: Zeroizing<Vec<u8>>,
    most: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        let length = self.bytes.len() + more.len();
        if length > self.most {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        if length > self.bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
