//! `doctor`: finds out layer by layer what stands in the way, and says what to do about it.
//!
//! From the socket over address, TLS and state of the store to login and capabilities on each path of a
//! class. A broken layer skips only what depends on it. No secret is read.

mod access;
mod capabilities;
mod certificate;
mod network;
mod socket;
mod steps;

use std::fmt::Write as _;
use std::time::Duration;

use coffer_provider_core::problem::one_line;
use serde::Serialize;
use tokio::time::Instant;

use super::mount::{Failure, configured};
use super::{Done, Environment, Outcome, is_json, runtime};
use crate::config::{Invocation, MountArguments};
use crate::metrics::StoreOp;
use crate::vault::http::Call;

/// Until when a question waits for its turn. Nobody else asks, so this is never reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Not, and something must be done.
    Failed,
    /// Could not be tried.
    Skipped,
}

/// One layer that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which layer.
    pub name: &'static str,
    /// How it went.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What to do; empty if nothing.
    pub hint: String,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    steps: Vec<Step>,
}

/// How `doctor` asks a store: a person waits for it.
fn call() -> Call {
    Call {
        op: StoreOp::Read,
        deadline: Instant::now() + PATIENCE,
        first: true,
    }
}

impl Step {
    fn new(name: &'static str, state: State, detail: &str, hint: &str) -> Self {
        Self {
            name,
            state,
            detail: one_line(detail),
            hint: one_line(hint),
        }
    }

    fn ok(name: &'static str, detail: impl AsRef<str>) -> Self {
        Self::new(name, State::Ok, detail.as_ref(), "")
    }

    fn failed(name: &'static str, detail: impl AsRef<str>, hint: impl AsRef<str>) -> Self {
        Self::new(name, State::Failed, detail.as_ref(), hint.as_ref())
    }

    fn skipped(name: &'static str, why: impl AsRef<str>) -> Self {
        Self::new(name, State::Skipped, why.as_ref(), "")
    }

    fn with_hint(self, hint: impl AsRef<str>) -> Self {
        Self {
            hint: one_line(hint.as_ref()),
            ..self
        }
    }
}

/// Examines the configured store, and with a class what its pods would meet.
///
/// # Errors
/// 2 and 3 when nothing can be examined, 64 for a bad configuration.
pub fn run(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Outcome {
    let json = is_json(&invocation.output);
    match examine(arguments, invocation, environment) {
        Ok(steps) => Ok(told(steps, json)),
        Err(failure) => failure.outcome(json),
    }
}

fn examine(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Result<Vec<Step>, Failure> {
    let proxied = has_proxy(&environment);
    let config = configured(invocation, environment)?;
    runtime()?.block_on(steps::examine(arguments, &config, proxied))
}

/// Whether a proxy may stand between: then names and certificates are the proxy's to see.
fn has_proxy(environment: &Environment) -> bool {
    environment.iter().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let is_proxy = ["http_proxy", "https_proxy", "all_proxy"].contains(&name.as_str());
        is_proxy && !value.is_empty()
    })
}

fn told(steps: Vec<Step>, json: bool) -> Done {
    let code = u8::from(steps.iter().any(|step| step.state == State::Failed));
    let text = if json {
        let report = Report {
            schema: "coffer.doctor/v1",
            steps,
        };
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    } else {
        text(&steps)
    };
    Done { text, code }
}

fn text(steps: &[Step]) -> String {
    let mut out = String::new();
    for Step {
        name,
        state,
        detail,
        hint,
    } in steps
    {
        let mark = match state {
            State::Ok => "ok     ",
            State::Failed => "FAILED ",
            State::Skipped => "skipped",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{mark} {name}: {detail}");
        if !hint.is_empty() {
            let _ = writeln!(out, "        -> {hint}");
        }
    }
    let count = |wanted: State| steps.iter().filter(|step| step.state == wanted).count();
    let _ = writeln!(
        out,
        "\n{} ok, {} failed, {} skipped",
        count(State::Ok),
        count(State::Failed),
        count(State::Skipped)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::{Step, told};

    #[test]
    fn a_failed_step_decides_the_exit_code_and_a_skipped_one_does_not() {
        let fine = vec![
            Step::ok("dns", "a\nb"),
            Step::skipped("login", "no class given"),
        ];
        let done = told(fine.clone(), false);
        assert_eq!(done.code, 0);
        assert_eq!(
            done.text,
            "ok      dns: a\\nb\nskipped login: no class given\n\n1 ok, 0 failed, 1 skipped\n"
        );
        let bad = [fine, vec![Step::failed("store", "sealed", "unseal it")]].concat();
        let done = told(bad.clone(), false);
        assert!(
            done.text
                .contains("FAILED  store: sealed\n        -> unseal it\n")
        );
        let done = told(bad, true);
        assert_eq!(done.code, 1);
        assert!(done.text.ends_with(
            r#"{"name":"store","state":"failed","detail":"sealed","hint":"unseal it"}]}
"#
        ));
    }
}
