//! `doctor`: finds out layer by layer what stands in the way, and says what to do about it.
//!
//! Address, TLS, state of the store, token, login, capabilities on each path of a class. A broken layer
//! skips only what depends on it.

mod steps;

use std::fmt::Write as _;

use serde::Serialize;

use super::{Done, Environment, Failed, Outcome, configure, is_json, runtime};
use crate::config::{Invocation, MountArguments};

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
#[derive(Clone, Debug, Serialize)]
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

/// Examines the configured store, and with a class what its pods would meet.
///
/// # Errors
/// 2 and 3 when nothing can be examined, 64 for a bad configuration.
pub fn run(
    arguments: &MountArguments,
    invocation: &Invocation,
    environment: Environment,
) -> Outcome {
    let config = configure(invocation, environment)?;
    let steps = runtime()?.block_on(steps::examine(arguments, &config))?;
    let code = u8::from(steps.iter().any(|step| step.state == State::Failed));
    let report = Report {
        schema: "coffer.doctor/v1",
        steps,
    };
    if is_json(&invocation.output) {
        let text =
            serde_json::to_string(&report).map_err(|error| Failed::new(3, error.to_string()))?;
        return Ok(Done {
            text: text + "\n",
            code,
        });
    }
    Ok(Done {
        text: text(&report.steps),
        code,
    })
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
        let _ = writeln!(out, "{mark} {name}: {detail}");
        if !hint.is_empty() {
            let _ = writeln!(out, "        -> {hint}");
        }
    }
    out
}
