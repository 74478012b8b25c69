//! What is told when no address of a store could be used. Pure.

use coffer_provider_core::fault::{Fault, Reason};

use super::exchange::Server;
use super::{Answer, NoAnswer};

/// How much all causes together may say, in characters: the line of a Mount has 700 bytes for everything.
const ROOM: usize = 360;

/// An address that could not be used for a request.
pub(super) struct Failure {
    place: String,
    fault: Fault,
    /// What the caller gets when there was no other address to ask.
    outcome: Result<Answer, NoAnswer>,
    /// Whether the request may be sent to another address.
    pub(super) may_move_on: bool,
}

impl Failure {
    /// Its breaker is open.
    pub(super) fn not_asked(server: &Server, fault: Fault) -> Self {
        Self {
            place: server.address.place(),
            fault: fault.clone(),
            outcome: Err(NoAnswer::not_asked(fault)),
            may_move_on: true,
        }
    }

    /// It answered as a store does that cannot be used.
    pub(super) fn answered(
        server: &Server,
        fault: Fault,
        answer: Answer,
        may_move_on: bool,
    ) -> Self {
        Self {
            place: server.address.place(),
            fault,
            outcome: Ok(answer),
            may_move_on,
        }
    }

    /// It gave no answer.
    pub(super) fn unanswered(server: &Server, failed: NoAnswer, may_move_on: bool) -> Self {
        Self {
            place: server.address.place(),
            fault: failed.fault.clone(),
            outcome: Err(failed),
            may_move_on,
        }
    }

    fn maybe_sent(&self) -> bool {
        match &self.outcome {
            Ok(_) => true,
            Err(failed) => failed.maybe_sent,
        }
    }

    fn asked(&self) -> bool {
        match &self.outcome {
            Ok(_) => true,
            Err(failed) => failed.asked,
        }
    }

    /// What happened, with the address if the text does not name it already.
    fn told(&self, room: usize) -> String {
        let what = self.fault.what.as_str();
        let text = if what.contains(&self.place) {
            what.to_owned()
        } else {
            format!("{}: {what}", self.place)
        };
        match text.char_indices().nth(room) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// The outcome of a request that no address served: of an only address its own, else a fault that names
/// every one that was tried, with the most telling reason.
pub(super) fn none_left(mut failures: Vec<Failure>, are_several: bool) -> Result<Answer, NoAnswer> {
    if !are_several && let Some(only) = failures.pop() {
        return only.outcome;
    }
    // Where a write may have been carried out, that is what its caller must know.
    let telling = failures
        .iter()
        .max_by_key(|failure| (!failure.may_move_on, weight(failure.fault.reason)));
    let Some(telling) = telling else {
        return Err(NoAnswer::not_asked(Fault::new(
            Reason::Internal,
            "the store has no address",
            "report this",
        )));
    };
    let room = ROOM / failures.len();
    let told: Vec<String> = failures.iter().map(|failure| failure.told(room)).collect();
    let what = format!("no address of the store can be used: {}", told.join("; "));
    Err(NoAnswer {
        fault: Fault {
            what,
            ..telling.fault.clone()
        },
        maybe_sent: failures.iter().any(Failure::maybe_sent),
        asked: failures.iter().any(Failure::asked),
    })
}

/// How much a reason says: what only a person can mend over what may pass by itself, and an answer over
/// none.
const fn weight(reason: Reason) -> u8 {
    match reason {
        Reason::StoreState => 6,
        Reason::StoreTls => 5,
        Reason::StoreError => 4,
        Reason::StoreBusy => 3,
        Reason::StoreTimeout => 2,
        Reason::StoreUnreachable => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::fault::{Fault, Reason};
    use coffer_provider_core::target::{Address, Tls};

    use super::super::NoAnswer;
    use super::super::exchange::Server;
    use super::{Failure, none_left};

    fn server(host: &str) -> Server {
        Server {
            address: Address::parse(&format!("https://{host}:8200")).unwrap(),
            tls: Tls::default(),
        }
    }

    fn failure(host: &str, reason: Reason, what: &str) -> Failure {
        let failed = NoAnswer::never_sent(Fault::new(reason, what, format!("mend {host}")));
        Failure::unanswered(&server(host), failed, true)
    }

    fn outcome(failures: Vec<Failure>, are_several: bool) -> NoAnswer {
        none_left(failures, are_several).err().unwrap()
    }

    #[test]
    fn an_only_address_tells_its_own_fault() {
        let only = failure("a", Reason::StoreTimeout, "too slow");
        let failed = outcome(vec![only], false);
        assert_eq!(failed.fault.what, "too slow");
    }

    #[test]
    fn of_several_every_one_that_was_tried_is_named_on_one_line() {
        let failed = outcome(
            vec![
                failure(
                    "a",
                    Reason::StoreUnreachable,
                    "store a:8200 cannot be reached",
                ),
                failure("b", Reason::StoreState, "store is sealed"),
                failure("c", Reason::StoreTimeout, "store c:8200 is slow"),
            ],
            true,
        );
        assert_eq!(
            failed.fault.to_string(),
            "no address of the store can be used: store a:8200 cannot be reached; b:8200: store is \
             sealed; store c:8200 is slow: mend b [store_state]"
        );
        assert_eq!((failed.maybe_sent, failed.asked), (false, true));
    }

    #[test]
    fn long_causes_leave_room_for_the_others() {
        let long = "x".repeat(1000);
        let failures = (0..8).map(|at| failure(&format!("host-{at}"), Reason::StoreError, &long));
        let what = outcome(failures.collect(), true).fault.what;
        assert!(what.len() < 500, "{what}");
        for at in 0..8 {
            assert!(what.contains(&format!("host-{at}:8200")), "{what}");
        }
    }

    #[test]
    fn when_all_breakers_are_open_nobody_was_asked() {
        let fault = Fault::new(Reason::StoreError, "w", "h");
        let failures = ["a", "b"].map(|host| Failure::not_asked(&server(host), fault.clone()));
        assert!(!outcome(failures.into(), true).asked);
    }
}
