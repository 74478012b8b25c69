//! What is wanted of an object: its options, its class, the provider's files, and the Secret they make.
//!
//! Nothing of Secrets is looked at or written here.

use coffer_sync_core::bytes::SecretBytes;
use coffer_sync_core::decide::{Content, Failure, FailureKind, Refusal, Wanted};
use coffer_sync_core::mapping::Answer;
use coffer_sync_core::problem::{Problem, joined};
use coffer_sync_core::render::Rendered;
use coffer_sync_core::schedule::Call;
use coffer_sync_core::validate::{Findings, Verdict};
use jiff::Timestamp;
use ring::digest;

use super::Context;
use crate::desired::{self, Desired, Planned, Request, Wrong};
use crate::fetch;
use crate::provider::Fetched;
use crate::world::{Class, Job};

const NO_FILES: &str = "the provider returned no files; does it write them itself, as AWS does with --driver-writes-secrets=false?";

/// What came of asking.
pub(super) struct Gathered {
    /// For the decision.
    pub(super) wanted: Wanted,
    /// The Secret, where there is one to be written.
    pub(super) made: Option<Made>,
    /// How the call of the provider ended, if there was one.
    pub(super) call: Option<Call>,
}

/// A Secret that may be written. No Debug: it holds values.
pub(super) struct Made {
    pub(super) rendered: Rendered<SecretBytes>,
    pub(super) findings: Findings,
    /// Name and version of the provider.
    pub(super) identity: String,
    /// What was read otherwise than it was written.
    pub(super) advice: Vec<Problem>,
}

impl Gathered {
    /// Drops the values, keeps what is told of them.
    pub(super) fn forget_values(&mut self) {
        if let Some(made) = &mut self.made {
            made.rendered.data.clear();
            made.rendered.labels.clear();
            made.rendered.annotations.clear();
        }
    }

    const fn without(wanted: Wanted) -> Self {
        Self {
            wanted,
            made: None,
            call: None,
        }
    }

    const fn after(mut self, call: Option<Call>) -> Self {
        self.call = call;
        self
    }
}

pub(super) async fn gather(context: &Context, job: &Job, paused: bool, now: Timestamp) -> Gathered {
    let asked = match prepare(context, job) {
        Ok(asked) => asked,
        Err(wanted) => return Gathered::without(*wanted),
    };
    if paused {
        let provider = &asked.fetch.provider;
        let text = format!(
            "provider {provider} does not answer; one call at a time tries whether it does again"
        );
        return Gathered::without(*failed(FailureKind::Provider, text));
    }
    let parameters = &asked.class.spec.parameters;
    let fetched = match context.fetcher.fetch(&asked.fetch, parameters).await {
        Ok(fetched) => fetched,
        Err(none) => {
            let reached = |reached| match reached {
                true => Call::Answered,
                false => Call::Unreachable,
            };
            let call = none.reached.map(reached);
            return Gathered::without(Wanted::Failed(none.failure)).after(call);
        }
    };
    let gathered = match made(&asked, &fetched, now) {
        Ok((made, advice)) => complete(context, job, made, &fetched.identity, advice),
        Err(wanted) => Gathered::without(*wanted),
    };
    gathered.after(Some(Call::Answered))
}

/// What is known of an object before its provider is asked.
struct Asked<'a> {
    class: &'a Class,
    request: Request<'a>,
    planned: Planned,
    fetch: fetch::Wanted,
}

/// Everything that can be wrong before anybody is asked.
fn prepare<'a>(context: &'a Context, job: &'a Job) -> Result<Asked<'a>, Box<Wanted>> {
    let options = job
        .options
        .as_ref()
        .map_err(|problems| refused(Refusal::InvalidOption(joined(problems))))?;
    if options.suspend {
        return Err(Box::new(Wanted::Suspended));
    }
    let secret = job
        .secret
        .as_ref()
        .map_err(|problem| refused(Refusal::InvalidData(problem.to_string())))?;
    let account = job
        .account
        .as_ref()
        .map_err(|problem| refused(Refusal::InvalidOption(problem.to_string())))?;
    if let Some(rival) = &job.rival {
        let text = format!("{rival} claims Secret {secret} already, and is older");
        return Err(refused(Refusal::DuplicateTarget(text)));
    }
    let request = Request {
        source: &job.source,
        secret: secret.clone(),
        type_: job.type_.clone(),
        pairs: job.pairs.clone(),
        labels: job.labels.clone(),
        annotations: job.annotations.clone(),
        options,
        allowed: &context.allowed,
    };
    let planned = desired::preflight(&request).map_err(refused)?;
    let class = job.class.as_ref().ok_or_else(|| {
        let (class, namespace) = (&job.class_name, &job.source.namespace);
        let text = format!("SecretProviderClass {class} does not exist in namespace {namespace}");
        failed(FailureKind::Class, text)
    })?;
    Ok(Asked {
        class,
        request,
        planned,
        fetch: wanted(context, job, class, account)?,
    })
}

/// The Secret that the files make, and what was odd about them.
fn made(
    asked: &Asked<'_>,
    fetched: &Fetched,
    now: Timestamp,
) -> Result<(Desired, Vec<Problem>), Box<Wanted>> {
    let answer = Answer::collect(fetched.files.iter().cloned())
        .map_err(|problems| failed(FailureKind::Files, joined(&problems)))?
        .map_err(|_| failed(FailureKind::NoFiles, NO_FILES.to_owned()))?;
    let made = desired::desired(
        &asked.request,
        &asked.planned,
        &answer.files,
        false,
        now,
        None,
    );
    match made {
        Ok(made) => Ok((made, answer.advice)),
        Err(Wrong::Files(text)) => Err(failed(FailureKind::Files, text)),
        Err(Wrong::Refused(refusal)) => Err(refused(refusal)),
    }
}

fn refused(refusal: Refusal) -> Box<Wanted> {
    Box::new(Wanted::Refused(refusal))
}

fn failed(kind: FailureKind, message: String) -> Box<Wanted> {
    Box::new(Wanted::Failed(Failure {
        kind,
        message,
        retry_after: None,
    }))
}

fn complete(
    context: &Context,
    job: &Job,
    made: Desired,
    identity: &str,
    mut advice: Vec<Problem>,
) -> Gathered {
    let Desired {
        rendered,
        findings,
        advice: more,
        ..
    } = made;
    advice.extend(more);
    let content = Content {
        secret: rendered.name.clone(),
        type_: rendered.type_.clone(),
        fingerprint: rendered.fingerprint(&context.key),
        metadata: digest(&rendered, findings.verdict()),
        keys: rendered.data.keys().cloned().collect(),
        verdict: findings.verdict().cloned(),
        revision: job.revision(),
    };
    Gathered {
        wanted: Wanted::Content(Box::new(content)),
        made: Some(Made {
            rendered,
            findings,
            identity: identity.to_owned(),
            advice,
        }),
        call: None,
    }
}

/// A digest of everything on the Secret that is ours beside the content: the record tells the verdict.
pub(super) fn digest(rendered: &Rendered<SecretBytes>, verdict: Option<&Verdict>) -> [u8; 32] {
    let verdict = verdict.map(ToString::to_string).unwrap_or_default();
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&rendered.metadata_digest());
    context.update(verdict.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn wanted(
    context: &Context,
    job: &Job,
    class: &Class,
    account: &str,
) -> Result<fetch::Wanted, Box<Wanted>> {
    let provider = class.spec.provider.clone();
    let audience = match named_audience(context, class)? {
        Some(named) => Some(named.to_owned()),
        None => context.audiences.get(&provider).cloned(),
    };
    Ok(fetch::Wanted {
        namespace: job.source.namespace.clone(),
        account: account.to_owned(),
        class: class.source.name.clone(),
        class_uid: class.source.uid.clone(),
        generation: class.generation,
        provider,
        audience,
    })
}

/// The audience that the class names, where the operator lets it.
fn named_audience<'a>(context: &Context, class: &'a Class) -> Result<Option<&'a str>, Box<Wanted>> {
    let named = context.audience_parameter.as_ref().and_then(|parameter| {
        let audience = class.spec.parameters.get(parameter)?;
        Some((parameter, audience.trim()))
    });
    match named {
        Some((parameter, "")) => {
            let class = &class.source.name;
            let text = format!(
                "spec.parameters.{parameter} of SecretProviderClass {class} is empty: name the audience of the token, or leave the parameter out"
            );
            Err(failed(FailureKind::Class, text))
        }
        named => Ok(named.map(|(_, audience)| audience)),
    }
}
