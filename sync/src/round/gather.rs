//! What is wanted of an object: its options, its class, the provider's files, and the Secret they make.
//!
//! Nothing of Secrets is looked at or written here.

use std::sync::Arc;

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
use crate::desired::{self, Desired, Request, Wrong};
use crate::fetch;
use crate::world::{Class, Job};

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
    fn refused(refusal: Refusal) -> Self {
        Self::without(Wanted::Refused(refusal))
    }

    fn failed(kind: FailureKind, message: String) -> Self {
        Self::without(Wanted::Failed(Failure {
            kind,
            message,
            retry_after: None,
        }))
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

pub(super) async fn gather(context: &Context, job: &Job, now: Timestamp) -> Gathered {
    let options = match &job.options {
        Ok(options) => options,
        Err(problems) => return Gathered::refused(Refusal::InvalidOption(joined(problems))),
    };
    if options.suspend {
        return Gathered::without(Wanted::Suspended);
    }
    let (secret, account) = match (&job.secret, &job.account) {
        (Ok(secret), Ok(account)) => (secret, account),
        (Err(problem), _) => return Gathered::refused(Refusal::InvalidData(problem.to_string())),
        (_, Err(problem)) => return Gathered::refused(Refusal::InvalidOption(problem.to_string())),
    };
    if let Some(rival) = &job.rival {
        let text = format!("{rival} claims Secret {secret} already, and is older");
        return Gathered::refused(Refusal::DuplicateTarget(text));
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
    let planned = match desired::preflight(&request) {
        Ok(planned) => planned,
        Err(refusal) => return Gathered::refused(refusal),
    };
    let Some(class) = &job.class else {
        let text = format!(
            "SecretProviderClass {} does not exist in namespace {}",
            job.class_name, job.source.namespace
        );
        return Gathered::failed(FailureKind::Class, text);
    };
    let wanted = wanted(context, job, class, account);
    let fetched = context.fetcher.fetch(&wanted, &class.spec.parameters).await;
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(none) => {
            let call = none.reached.map(|reached| match reached {
                true => Call::Answered,
                false => Call::Unreachable,
            });
            return Gathered::without(Wanted::Failed(none.failure)).after(call);
        }
    };
    let call = Some(Call::Answered);
    let files = fetched.files.iter().cloned();
    let answer = match Answer::collect(files) {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            let text = "the provider returned no files; does it write them itself, as AWS does with --driver-writes-secrets=false?";
            return Gathered::failed(FailureKind::NoFiles, text.to_owned()).after(call);
        }
        Err(problems) => {
            return Gathered::failed(FailureKind::Files, joined(&problems)).after(call);
        }
    };
    let made = desired::desired(&request, &planned, &answer.files, false, now, None);
    let made = match made {
        Ok(made) => made,
        Err(Wrong::Files(text)) => {
            return Gathered::failed(FailureKind::Files, text).after(call);
        }
        Err(Wrong::Refused(refusal)) => return Gathered::refused(refusal).after(call),
    };
    complete(context, job, made, &fetched.identity, answer.advice).after(call)
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

fn wanted(context: &Context, job: &Job, class: &Arc<Class>, account: &str) -> fetch::Wanted {
    let provider = class.spec.provider.clone();
    let named = context
        .audience_parameter
        .as_ref()
        .and_then(|parameter| class.spec.parameters.get(parameter))
        .map(|audience| audience.trim().to_owned())
        .filter(|audience| !audience.is_empty());
    let audience = named.or_else(|| context.audiences.get(&provider).cloned());
    fetch::Wanted {
        namespace: job.source.namespace.clone(),
        account: account.to_owned(),
        class: class.source.name.clone(),
        class_uid: class.source.uid.clone(),
        generation: class.generation,
        provider,
        audience,
    }
}
