//! From objects to the Secrets that would be written, and why some would not.
//!
//! Who is claimed and which of two sources may write is decided here as the controller does; the rest is `desired`.

mod wish;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffer_sync_core::bytes::SecretBytes;
use coffer_sync_core::claim::{Claim, Source, losers, opens_class};
use coffer_sync_core::condition::Fault;
use coffer_sync_core::decide::{Failure, FailureKind, Refusal};
use coffer_sync_core::mapping::{Answer, Decode, Entry, Files};
use coffer_sync_core::options::names::{CONTROLLER, Name};
use coffer_sync_core::options::{Door, Options};
use coffer_sync_core::problem::{Problem, joined, shown};
use coffer_sync_core::render::Rendered;
use coffer_sync_core::validate::Ruling;
use jiff::Timestamp;

use self::wish::Wish;
use super::documents::{Documents, Found};
use super::report::{Key, Mapped, Report, SecretReport, Told};
use crate::config::Config;
use crate::desired::{Desired, Planned, Request, desired, preflight};
use crate::manifest::ClassSpec;

/// Reason of what the API server would refuse before we see it.
const MANIFEST: &str = "Manifest";
/// Reason of a SecretSync that is not ours.
const NOT_CLAIMED: &str = "NotClaimed";
/// Reason of names under `coffer.rs/` that mean nothing, as of the Event.
const UNKNOWN_OPTION: &str = "UnknownOption";
/// Reason of what was read otherwise than it was written.
const ADVICE: &str = "Advice";
/// Reason of objects that are left alone.
const LEFT_ALONE: &str = "LeftAlone";

/// What manifests are judged by.
pub(super) struct Rules<'a> {
    pub(super) config: &'a Config,
    /// What the provider would return; none where that is not known.
    pub(super) files: Option<&'a [(String, SecretBytes)]>,
    pub(super) show_secrets: bool,
    pub(super) now: Timestamp,
}

/// What the provider would return.
enum Provided {
    Unknown,
    Nothing,
    Files(Files<SecretBytes>),
}

pub(super) fn judge(documents: &Documents, rules: &Rules<'_>) -> Report {
    let mut report = Report::new(documents.ignored);
    let problems = documents.problems.iter();
    report
        .problems
        .extend(problems.map(|problem| Told::new(MANIFEST, problem)));
    let provided = provided(rules, &mut report);
    let mut wishes: Vec<Wish<'_>> = documents
        .syncs
        .iter()
        .map(|sync| Wish::of_sync(sync, &documents.classes, rules.config))
        .collect();
    for class in &documents.classes {
        if is_open(class, documents, &mut report) {
            wishes.extend(Wish::of_class(class, rules.config));
        }
    }
    let claims: Vec<Claim> = wishes.iter().map(Wish::claim).collect();
    let lost = losers(&claims);
    for (at, wish) in wishes.iter().enumerate() {
        let winner = lost.get(&at).map(|winner| wishes[*winner].source);
        report.secrets.push(secret(wish, winner, &provided, rules));
    }
    report
}

fn provided(rules: &Rules<'_>, report: &mut Report) -> Provided {
    let Some(files) = rules.files else {
        return Provided::Unknown;
    };
    match Answer::collect(files.iter().cloned()) {
        Ok(Ok(answer)) => Provided::Files(answer.files),
        Ok(Err(_)) => Provided::Nothing,
        Err(problems) => {
            report
                .problems
                .push(failure(FailureKind::Files, joined(&problems)));
            Provided::Nothing
        }
    }
}

/// Whether Secrets are made of a class. What is said of one that has none is said of the whole.
fn is_open(class: &Found<ClassSpec>, documents: &Documents, report: &mut Report) -> bool {
    let label = format!("SecretProviderClass {}", class.label());
    let open = opens_class(&class.annotations).is_some();
    let empty = class.spec.secret_objects.is_empty();
    if open && empty {
        let text = format!("{label} has no secretObjects: no Secret is made of it");
        report.warnings.push(Told::new(LEFT_ALONE, text));
    }
    if !open && !empty {
        let text = format!(
            "{label} has no {}: its secretObjects are left to the CSI driver",
            Name::SyncAs.as_str()
        );
        report.warnings.push(Told::new(LEFT_ALONE, text));
    }
    let used = documents.syncs.iter().any(|sync| {
        sync.source.namespace == class.source.namespace
            && sync.spec.secret_provider_class_name == class.source.name
    });
    if used || (open && empty) {
        for problem in &class.problems {
            let text = format!("{label}: {problem}");
            report.problems.push(Told::new(MANIFEST, text));
        }
    }
    open
}

fn secret(
    wish: &Wish<'_>,
    winner: Option<&Source>,
    provided: &Provided,
    rules: &Rules<'_>,
) -> SecretReport {
    let mut report = wish.report();
    if let Some(winner) = winner {
        let text = format!(
            "{} asks for the same Secret and comes first",
            winner.reference()
        );
        refuse(&mut report, &Refusal::DuplicateTarget(text));
    }
    let options = match &wish.options {
        Ok(options) => options,
        Err(problems) => {
            refuse(&mut report, &Refusal::InvalidOption(joined(problems)));
            return report;
        }
    };
    if options.suspend {
        let text = format!(
            "{} is set: nothing is fetched or written",
            Name::Suspend.as_str()
        );
        report.warnings.push(Told::new("Suspended", text));
    }
    let request = wish.request(options, &rules.config.allowed_types);
    let planned = match preflight(&request) {
        Ok(planned) => planned,
        Err(refusal) => {
            refuse(&mut report, &refusal);
            return report;
        }
    };
    frame(&mut report, &planned.frame);
    report.mapped = mapped(&request, options);
    report.all_keys = options.all_keys;
    advise(&mut report, &planned.advice);
    match provided {
        Provided::Unknown => {}
        Provided::Nothing => {
            let text = "the provider would return no file";
            report.problems.push(failure(FailureKind::NoFiles, text));
        }
        Provided::Files(files) => fill(&mut report, &request, &planned, files, rules),
    }
    report
}

/// The Secret as these files make it.
fn fill(
    report: &mut SecretReport,
    request: &Request<'_>,
    planned: &Planned,
    files: &Files<SecretBytes>,
    rules: &Rules<'_>,
) {
    let made = match desired(request, planned, files, false, rules.now, None) {
        Ok(made) => made,
        Err(wrong) => {
            report.problems.push(fault(&wrong.fault()));
            return;
        }
    };
    let Desired {
        rendered,
        findings,
        advice: _,
        absent,
    } = made;
    for finding in findings.list() {
        let text = Problem::new(&finding.field, &finding.what, &finding.remedy);
        report
            .warnings
            .push(Told::new(finding.check.as_str(), text));
    }
    let validation = request.options.validation;
    if let Ruling::Refuse(checks) = validation.rule(findings.verdict(), None, rules.now) {
        refuse(report, &Refusal::Unusable(checks));
    }
    frame(report, &rendered);
    let keys = rendered.data.iter();
    report.keys = Some(
        keys.map(|(name, value)| key(name, value, rules.show_secrets))
            .collect(),
    );
    report.absent = absent;
}

/// Everything but the data.
fn frame(report: &mut SecretReport, rendered: &Rendered<SecretBytes>) {
    report.name.clone_from(&rendered.name);
    report.type_.clone_from(&rendered.type_);
    report.immutable = rendered.immutable;
    report.labels.clone_from(&rendered.labels);
    report.annotations.clone_from(&rendered.annotations);
    report.owner = rendered
        .owner
        .as_ref()
        .map(|owner| format!("{} {}", owner.kind, owner.name));
}

/// Which file becomes which key: what the spec says, and over it what the options say.
fn mapped(request: &Request<'_>, options: &Options) -> Vec<Mapped> {
    let written = |text: &str| match request.source.door {
        Door::Class => text.trim().to_owned(),
        Door::Sync => text.to_owned(),
    };
    let mut rows = BTreeMap::new();
    for pair in &request.pairs {
        let row = Mapped {
            key: written(&pair.key),
            source: written(&pair.source),
            optional: false,
            decode: None,
            pointer: false,
        };
        rows.insert(row.key.clone(), row);
    }
    for entry in &options.extra_data {
        rows.insert(entry.target_key.clone(), extra(entry));
    }
    rows.into_values().collect()
}

fn extra(entry: &Entry) -> Mapped {
    Mapped {
        key: entry.target_key.clone(),
        source: entry.source_path.clone(),
        optional: entry.optional,
        decode: match entry.decode {
            Decode::None => None,
            Decode::Base64 => Some("base64"),
            Decode::Hex => Some("hex"),
            Decode::Gzip => Some("gzip"),
        },
        pointer: entry.pointer.is_some(),
    }
}

/// A key; its value only for those who ask for it.
fn key(name: &str, value: &SecretBytes, show: bool) -> Key {
    let shown = show.then(|| value.expose());
    let text = shown.map(readable);
    Key {
        key: name.to_owned(),
        bytes: value.len(),
        base64: shown
            .filter(|_| text == Some(None))
            .map(|bytes| STANDARD.encode(bytes)),
        value: text.flatten().map(str::to_owned),
    }
}

/// Text that a terminal shows as it is.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().all(plain).then_some(text)
}

fn refuse(report: &mut SecretReport, refusal: &Refusal) {
    report.problems.push(fault(&Fault::from(refusal)));
}

fn failure(kind: FailureKind, message: impl Into<String>) -> Told {
    let failure = Failure {
        kind,
        message: message.into(),
        retry_after: None,
    };
    fault(&Fault::from(&failure))
}

fn fault(fault: &Fault) -> Told {
    Told::new(fault.reason(), &fault.message)
}

fn advise(report: &mut SecretReport, advice: &[Problem]) {
    let told = advice.iter().map(|problem| Told::new(ADVICE, problem));
    report.warnings.extend(told);
}

/// Why a SecretSync is not this controller's.
fn not_claimed(written: &str, ours: &str) -> Told {
    let text = if written.is_empty() {
        format!(
            "spec.secretSyncControllerName is empty, and --claim-unnamed is off; write {CONTROLLER}"
        )
    } else {
        format!(
            "spec.secretSyncControllerName is {}, and --controller-name is {}",
            shown(written),
            shown(ours)
        )
    };
    Told::new(NOT_CLAIMED, text)
}
