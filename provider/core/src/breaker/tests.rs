//! The life of a breaker step by step, and a comparison with a plain model under random lives.

use std::time::Duration;

use proptest::prelude::*;

use super::{Breaker, Change, FAILURES, Pass, Sign};
use crate::fault::{Fault, Reason};

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sealed() -> Fault {
    Fault::new(Reason::StoreState, "store is sealed", "unseal it")
}

fn send(breaker: &mut Breaker, sign: Sign, now: Duration) -> Option<Change> {
    let pass = breaker.admit(now).unwrap();
    breaker.report(pass, sign, now, 0.0)
}

fn opened(now: Duration) -> Breaker {
    let mut breaker = Breaker::new(now);
    for _ in 1..FAILURES {
        assert_eq!(send(&mut breaker, Sign::Ill(sealed()), now), None);
    }
    let change = send(&mut breaker, Sign::Ill(sealed()), now);
    assert_eq!(change, Some(Change::Opened));
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_and_calls_end_with_the_last_cause() {
    let breaker = opened(at(100));
    let fault = breaker.clone().admit(at(142)).unwrap_err();
    assert_eq!(fault.reason, Reason::StoreState);
    assert_eq!(
        fault.what,
        "store is sealed; failing for 42 s, not asked again before the next probe"
    );
    assert!(breaker.is_open() && breaker.is_doubtful() && breaker.is_away());
}

#[test]
fn one_answer_between_starts_the_row_anew() {
    let mut breaker = Breaker::new(at(0));
    for _ in 0..3 {
        for _ in 1..FAILURES {
            send(&mut breaker, Sign::Ill(sealed()), at(0));
        }
        assert_eq!(send(&mut breaker, Sign::Well, at(0)), None);
        assert!(!breaker.is_open() && !breaker.is_doubtful());
    }
}

#[test]
fn bad_tls_is_a_doubt_and_never_opens_it() {
    let mut breaker = Breaker::new(at(0));
    let fault = Fault::new(Reason::StoreTls, "w", "h");
    for _ in 0..20 {
        send(&mut breaker, Sign::of_fault(&fault), at(0));
    }
    assert!(!breaker.is_open() && breaker.is_doubtful());
}

#[test]
fn a_good_probe_lets_one_request_through_which_decides() {
    let mut breaker = opened(at(0));
    breaker.probed(false, at(5), 0.0);
    assert!(breaker.admit(at(5)).is_err());
    breaker.probed(true, at(10), 0.0);
    let trial = breaker.admit(at(10)).unwrap();
    assert!(breaker.admit(at(10)).is_err(), "one at a time");
    assert_eq!(
        breaker.report(trial, Sign::Ill(sealed()), at(11), 0.0),
        None
    );
    assert!(breaker.is_open() && breaker.admit(at(11)).is_err());
    breaker.probed(true, at(17), 0.0);
    assert_eq!(send(&mut breaker, Sign::Well, at(17)), Some(Change::Closed));
    assert!(breaker.admit(at(17)).is_ok() && breaker.admit(at(17)).is_ok());
}

#[test]
fn a_trial_without_outcome_leaves_its_place_to_the_next() {
    let mut breaker = opened(at(0));
    breaker.probed(true, at(5), 0.0);
    let trial = breaker.admit(at(5)).unwrap();
    breaker.abandoned(trial);
    let trial = breaker.admit(at(6)).unwrap();
    breaker.report(trial, Sign::Nothing, at(6), 0.0);
    assert!(breaker.admit(at(6)).is_ok());
}

#[test]
fn what_was_sent_before_it_opened_says_nothing_afterwards() {
    let mut breaker = Breaker::new(at(0));
    let early: Vec<Pass> = (0..10).map(|_| breaker.admit(at(0)).unwrap()).collect();
    for pass in &early[..5] {
        breaker.report(*pass, Sign::Ill(sealed()), at(1), 0.0);
    }
    assert_eq!(breaker.report(early[5], Sign::Well, at(2), 0.0), None);
    assert!(breaker.is_open());
    breaker.probed(true, at(6), 0.0);
    send(&mut breaker, Sign::Well, at(6));
    for pass in &early[6..] {
        breaker.report(*pass, Sign::Ill(sealed()), at(7), 0.0);
    }
    assert!(!breaker.is_doubtful());
}

#[test]
fn probes_are_jittered_and_end_when_nobody_asks() {
    for (jitter, expected) in [(0.0, 5000), (0.5, 5500), (1.0, 6000), (9.0, 6000)] {
        let mut breaker = opened(at(0));
        breaker.probed(false, at(10), jitter);
        let wait = breaker.next_probe(at(10)).unwrap();
        assert_eq!(wait.as_millis(), expected, "{jitter}");
    }
    let mut breaker = opened(at(0));
    assert!(breaker.next_probe(at(600)).is_some());
    assert_eq!(breaker.next_probe(at(601)), None);
    breaker.asked(at(700), false);
    assert_eq!(breaker.next_probe(at(700)), Some(Duration::ZERO));
}

#[test]
fn a_doubt_is_probed_only_where_there_is_another_address() {
    let mut breaker = Breaker::new(at(0));
    send(&mut breaker, Sign::Ill(sealed()), at(0));
    assert!(breaker.is_doubtful() && breaker.is_away());
    assert_eq!(breaker.next_probe(at(1)), None);
    breaker.asked(at(1), true);
    assert_eq!(breaker.next_probe(at(1)), Some(at(4)));
    breaker.probed(true, at(5), 0.0);
    assert!(!breaker.is_doubtful());
    assert_eq!(breaker.next_probe(at(5)), None);
}

#[test]
fn a_server_error_is_a_doubt_but_not_of_every_object() {
    let mut breaker = Breaker::new(at(0));
    let fault = Fault::new(Reason::StoreError, "Code: 500", "h");
    send(&mut breaker, Sign::of_fault(&fault), at(0));
    assert!(breaker.is_doubtful() && !breaker.is_away());
}

#[test]
fn statuses_are_those_of_a_store_that_works_or_not() {
    for (status, well, probed) in [
        (200, true, true),
        (204, true, true),
        (307, true, true),
        (400, true, true),
        (403, true, true),
        (404, true, true),
        (412, true, true),
        (429, true, true),
        (472, false, false),
        (473, false, true),
        (474, false, false),
        (500, false, false),
        (501, false, false),
        (503, false, false),
        (599, false, false),
    ] {
        assert_eq!(Sign::is_well(status), well, "{status}");
        assert_eq!(Sign::is_well_probed(status), probed, "{status}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    /// Ends the oldest request that is under way.
    End(bool),
    Abandon,
    Probe(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        3 => Just(Step::End(false)),
        1 => Just(Step::End(true)),
        1 => Just(Step::Abandon),
        2 => any::<bool>().prop_map(Step::Probe),
        2 => (1_u64..9).prop_map(Step::Wait),
    ]
}

/// What a breaker should be after the steps so far.
#[derive(Default)]
struct Model {
    row: u32,
    open: bool,
    half_open: bool,
    /// Requests under way, each with whether it was sent since the last opening or closing.
    under_way: Vec<(Pass, bool)>,
    last_probe: Option<Duration>,
}

impl Model {
    fn ended(&mut self, counts: bool, well: bool) -> Option<Change> {
        if !counts {
            return None;
        }
        let was_open = self.open;
        self.row = if well { 0 } else { self.row + 1 };
        self.open = !well && (was_open || self.row == FAILURES);
        if was_open || self.open {
            self.half_open = false;
            self.under_way
                .iter_mut()
                .for_each(|(_, counts)| *counts = false);
        }
        match (was_open, self.open) {
            (false, true) => Some(Change::Opened),
            (true, false) => Some(Change::Closed),
            _ => None,
        }
    }

    /// Takes one step beside the breaker and compares.
    fn step(
        &mut self,
        breaker: &mut Breaker,
        step: Step,
        now: Duration,
    ) -> Result<(), TestCaseError> {
        match step {
            Step::Send => {
                let is_trial_free = self.half_open && self.under_way.iter().all(|(_, c)| !c);
                let admitted = breaker.admit(now);
                prop_assert_eq!(admitted.is_ok(), !self.open || is_trial_free);
                self.under_way
                    .extend(admitted.ok().map(|pass| (pass, true)));
            }
            Step::End(well) if !self.under_way.is_empty() => {
                let (pass, counts) = self.under_way.remove(0);
                let sign = if well {
                    Sign::Well
                } else {
                    Sign::Ill(sealed())
                };
                let change = breaker.report(pass, sign, now, 0.5);
                prop_assert_eq!(change, self.ended(counts, well));
            }
            Step::Abandon if !self.under_way.is_empty() => {
                breaker.abandoned(self.under_way.remove(0).0);
            }
            Step::Probe(well) if breaker.next_probe(now) == Some(Duration::ZERO) => {
                prop_assert!(self.last_probe.is_none_or(|last| now - last >= at(5)));
                self.last_probe = Some(now);
                breaker.probed(well, now, 0.5);
                self.half_open |= self.open && well;
            }
            Step::End(_) | Step::Abandon | Step::Probe(_) | Step::Wait(_) => {}
        }
        prop_assert_eq!(breaker.is_open(), self.open);
        Ok(())
    }
}

proptest! {
    /// Whatever happens: it opens at the fifth failure in a row of the requests that count, nothing
    /// passes while it is open, one at a time while it is half-open, and probes keep their distance.
    #[test]
    fn it_keeps_its_promises_in_every_life(steps in prop::collection::vec(step(), 0..150)) {
        let (mut breaker, mut model) = (Breaker::new(at(0)), Model::default());
        let mut now = at(0);
        for step in steps {
            if let Step::Wait(seconds) = step {
                now += at(seconds);
            }
            breaker.asked(now, true);
            model.step(&mut breaker, step, now)?;
        }
    }
}
