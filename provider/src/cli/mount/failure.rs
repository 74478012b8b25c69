//! A command that failed: its exit code by cause, every part of it for a person, and its JSON form.
//!
//! The server's one line is made for an Event and is cut; a terminal has room for everything.

use std::fmt::Write as _;
use std::io::Write as _;

use coffer_provider_core::fault::{MountFault, Place, Reason};
use coffer_provider_core::problem::{one_line, shown};
use serde::Serialize;

use crate::cli::{Done, Failed, Outcome};
use crate::metrics::code_name;

/// Why a command brought no result.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Failure {
    schema: &'static str,
    exit: u8,
    reason: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<FailedObject>,
}

#[derive(Debug, Serialize)]
struct FailedObject {
    name: String,
    path: String,
    reason: &'static str,
    what: String,
    hint: String,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        let reason = match failed.code {
            2 => "usage",
            3 => "unreadable",
            64 => "bad_configuration",
            _ => Reason::BadRequest.as_str(),
        };
        Self::new(failed.code, reason, failed.text)
    }
}

impl From<MountFault> for Failure {
    fn from(fault: MountFault) -> Self {
        let reason = fault.reason();
        let whole = fault.to_string();
        let mut failure = Self::new(exit(reason), reason.as_str(), whole);
        match fault {
            MountFault::Input { problems, .. } => {
                let lines: Vec<String> =
                    problems.iter().map(|p| one_line(&p.to_string())).collect();
                failure.message = format!("{} [{}]", lines.join("\n"), reason.as_str());
            }
            MountFault::Objects {
                total,
                failed,
                place,
            } => {
                if failed.len() > 1 {
                    failure.message = sum(failed.len(), total, &place, reason);
                }
                failure.objects = failed
                    .into_iter()
                    .map(|object| FailedObject {
                        name: object.name,
                        path: object.path,
                        reason: object.fault.reason.as_str(),
                        what: one_line(&object.fault.what),
                        hint: object.fault.hint,
                    })
                    .collect();
            }
            MountFault::Login { .. } | MountFault::Whole(_) => {}
        }
        failure
    }
}

/// Of several failed objects; what failed each of them stands below.
fn sum(failed: usize, total: usize, place: &Place, reason: Reason) -> String {
    let Place {
        role,
        store,
        namespace,
        service_account,
    } = place;
    one_line(&format!(
        "{failed} of {total} objects failed (role {role}, store {store}, service account {namespace}/{service_account}) [{}]",
        reason.as_str()
    ))
}

impl Failure {
    fn new(exit: u8, reason: &'static str, message: String) -> Self {
        Self {
            schema: "coffer.error/v1",
            exit,
            reason,
            message,
            objects: Vec::new(),
        }
    }

    /// What a provider answered: its reason where it is ours, else the code.
    pub(super) fn of_status(status: &tonic::Status) -> Self {
        let message = one_line(status.message());
        let ours = Reason::ALL
            .into_iter()
            .find(|reason| message.ends_with(&format!("[{}]", reason.as_str())));
        match ours {
            Some(reason) => Self::new(exit(reason), reason.as_str(), message),
            None => Self::new(3, code_name(status.code()), message),
        }
    }

    /// The outcome of the command: a person reads standard error, a program standard output.
    pub(in crate::cli) fn outcome(self, json: bool) -> Outcome {
        let code = self.exit;
        let told = self.text();
        if !json {
            return Err(Failed { text: told, code });
        }
        diagnose(&told);
        let text = serde_json::to_string(&self).unwrap_or_default() + "\n";
        Ok(Done { text, code })
    }

    fn text(&self) -> String {
        let mut text = self.message.clone();
        // One object stands in the line already.
        for object in self.objects.iter().filter(|_| self.objects.len() > 1) {
            let FailedObject {
                name,
                path,
                reason,
                what,
                hint,
            } = object;
            let _ = write!(
                text,
                "\n  object \"{}\" (path {path}): {what}: {hint} [{reason}]",
                shown(name)
            );
        }
        text
    }
}

/// Writes a line to standard error, where a warning cannot spoil a result.
pub(in crate::cli) fn diagnose(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
}

/// 1 where the store or the class says no, 3 where nobody could be asked. All reasons are listed, so
/// that a new one must choose.
const fn exit(reason: Reason) -> u8 {
    match reason {
        Reason::BadRequest
        | Reason::NotAllowed
        | Reason::NoToken
        | Reason::LoginRefused
        | Reason::Denied
        | Reason::NotFound
        | Reason::BadValue
        | Reason::TooLarge => 1,
        Reason::StoreState
        | Reason::StoreTls
        | Reason::StoreUnreachable
        | Reason::StoreTimeout
        | Reason::StoreError
        | Reason::StoreBusy
        | Reason::BadAnswer
        | Reason::Busy
        | Reason::Internal
        | Reason::Draining
        | Reason::Cancelled => 3,
    }
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::fault::{Fault, MountFault, ObjectFault, Place, Reason};
    use coffer_provider_core::problem::Problem;

    use super::{Failed, Failure};

    fn objects(count: usize) -> MountFault {
        let failed = (0..count)
            .map(|at| ObjectFault {
                name: format!("o{at}"),
                path: format!("secret/data/{at}"),
                fault: Fault::new(Reason::Denied, "w".repeat(90), "h"),
            })
            .collect();
        MountFault::Objects {
            total: 50,
            failed,
            place: Box::new(Place::default()),
        }
    }

    #[test]
    fn every_failing_object_is_told_however_many_there_are() {
        let text = Failure::from(objects(40)).text();
        assert!(
            (0..40).all(|at| text.contains(&format!("object \"o{at}\" (path secret/data/{at})")))
        );
        let one = Failure::from(objects(1)).text();
        assert_eq!(one.matches("o0").count(), 1, "{one}");
    }

    #[test]
    fn every_problem_of_the_input_stands_on_a_line() {
        let problems = (0..30).map(|at| Problem::new(format!("f{at}"), "bad".repeat(20), "mend"));
        let failure = Failure::from(MountFault::Input {
            reason: Reason::BadRequest,
            problems: problems.collect(),
        });
        assert_eq!((failure.exit, failure.text().lines().count()), (1, 30));
    }

    #[test]
    fn the_exit_code_follows_the_cause() {
        for (reason, expected) in [
            (Reason::Denied, 1),
            (Reason::NotFound, 1),
            (Reason::LoginRefused, 1),
            (Reason::StoreUnreachable, 3),
            (Reason::StoreState, 3),
            (Reason::StoreTls, 3),
        ] {
            let fault = MountFault::Whole(Fault::new(reason, "", ""));
            assert_eq!(Failure::from(fault).exit, expected);
        }
    }

    #[test]
    fn a_program_gets_the_failure_as_its_result() {
        let failed = Failed::new(64, "vault-addr: bad; mend");
        let done = Failure::from(failed).outcome(true).ok().unwrap();
        let told: serde_json::Value = serde_json::from_str(&done.text).unwrap();
        assert_eq!(done.code, 64);
        assert_eq!(told["reason"], "bad_configuration");
        assert_eq!(told["message"], "vault-addr: bad; mend");
    }
}
