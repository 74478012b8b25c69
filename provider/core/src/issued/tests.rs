//! Tables of single decisions, and properties of whole lives.

use std::time::Duration;

use proptest::prelude::*;

use super::{Bearer, Decision, FIRST_PAUSE, LONGEST_PAUSE, Moment, Renewal, Term, pause};
use crate::fault::Reason;

/// Anything but zero, so that no case passes by accident.
const START: Moment = Duration::from_secs(1_000);

const fn at(seconds: u64) -> Moment {
    Duration::from_secs(1_000 + seconds)
}

fn term(life: u64, renewable: bool) -> Term {
    let life = (life > 0).then(|| Duration::from_secs(life));
    Term::issued(START, life, renewable, 0.0)
}

fn bearer(life: u64, renewable: bool) -> Bearer {
    Bearer {
        began: START,
        ends: at(life),
        renewable,
    }
}

#[test]
fn it_is_kept_for_two_thirds_then_renewed_or_issued_anew_and_gone_at_its_end() {
    for (renewable, second, expected) in [
        (true, 0, Decision::Keep),
        (true, 59, Decision::Keep),
        (true, 60, Decision::Renew),
        (true, 89, Decision::Renew),
        (true, 90, Decision::Gone),
        (false, 59, Decision::Keep),
        (false, 60, Decision::Reissue),
        (false, 89, Decision::Reissue),
        (false, 90, Decision::Gone),
    ] {
        let decided = term(90, renewable).decide(at(second), None);
        assert_eq!(decided, expected, "renewable {renewable} at {second} s");
    }
}

#[test]
fn without_an_end_it_lasts_as_long_as_the_pod() {
    for renewable in [true, false] {
        let far = Duration::from_secs(1 << 32);
        assert_eq!(term(0, renewable).decide(far, None), Decision::Keep);
    }
}

#[test]
fn a_token_that_cannot_be_renewed_makes_its_leases_due_and_takes_them_along() {
    for (renewable, second, expected) in [
        (false, 39, Decision::Keep),
        (false, 40, Decision::Reissue),
        (true, 40, Decision::Keep),
        (true, 59, Decision::Keep),
        (true, 60, Decision::Gone),
        (false, 60, Decision::Gone),
    ] {
        let decided = term(3600, true).decide(at(second), Some(&bearer(60, renewable)));
        assert_eq!(decided, expected, "renewable {renewable} at {second} s");
    }
}

#[test]
fn a_grant_begins_a_new_life_from_the_moment_it_was_asked_for() {
    let mut term = term(90, true);
    term.renewed(
        Renewal::Granted(Duration::from_secs(90)),
        at(60),
        at(62),
        0.0,
    );
    assert_eq!(term.decide(at(119), None), Decision::Keep);
    assert_eq!(term.decide(at(120), None), Decision::Renew);
    assert_eq!(term.decide(at(150), None), Decision::Gone);
}

#[test]
fn a_grant_that_shows_the_longest_life_is_the_last() {
    for (granted, expected) in [
        (30, Decision::Renew),
        (29, Decision::Reissue),
        (0, Decision::Reissue),
    ] {
        let mut term = term(90, true);
        let granted = Duration::from_secs(granted);
        term.renewed(Renewal::Granted(granted), at(60), at(60), 0.0);
        assert_eq!(term.decide(at(82), None), expected, "{granted:?}");
    }
}

#[test]
fn a_failure_lets_it_rest_and_a_later_one_longer() {
    let mut term = term(3600, true);
    term.renewed(Renewal::Failed, at(2400), at(2410), 0.0);
    assert_eq!(term.decide(at(2414), None), Decision::Keep);
    assert_eq!(term.decide(at(2415), None), Decision::Renew);
    term.failed(at(2415), 0.0);
    assert_eq!(term.decide(at(2424), None), Decision::Keep);
    assert_eq!(term.decide(at(2425), None), Decision::Renew);
}

#[test]
fn the_stores_troubles_and_ours_heal_and_everything_else_is_a_refusal() {
    for reason in Reason::ALL {
        let text = reason.as_str();
        let ours = ["busy", "internal", "draining", "cancelled"].contains(&text);
        let heals = text.starts_with("store_") || text == "bad_answer" || ours;
        let expected = if heals {
            Renewal::Failed
        } else {
            Renewal::Refused
        };
        assert_eq!(Renewal::of_fault(reason), expected, "{text}");
    }
}

fn renewals() -> impl Strategy<Value = Renewal> {
    prop_oneof![
        (0_u64..4000).prop_map(|seconds| Renewal::Granted(Duration::from_secs(seconds))),
        Just(Renewal::Refused),
        Just(Renewal::Failed),
    ]
}

proptest! {
    #[test]
    fn it_is_never_issued_anew_before_two_thirds_of_its_life(
        life in 1_u64..100_000, renewable: bool, luck in 0.0_f64..1.0, passed in 0_u64..100_000
    ) {
        let term = Term::issued(START, Some(Duration::from_secs(life)), renewable, luck);
        let early = passed < life * 2 / 3;
        let decided = term.decide(at(passed), None);
        if early {
            prop_assert_eq!(decided, Decision::Keep);
        }
        prop_assert_eq!(decided == Decision::Gone, passed >= life);
    }

    #[test]
    fn it_is_never_renewed_after_a_refusal(
        life in 1_u64..4000, luck in 0.0_f64..1.0,
        answers in proptest::collection::vec((1_u64..2000, renewals()), 0..20)
    ) {
        let mut term = Term::issued(START, Some(Duration::from_secs(life)), true, luck);
        let (mut now, mut refused) = (START, false);
        for (passed, renewal) in answers {
            now += Duration::from_secs(passed);
            match term.decide(now, None) {
                Decision::Renew => {
                    prop_assert!(!refused);
                    refused = renewal == Renewal::Refused;
                    term.renewed(renewal, now, now, luck);
                }
                Decision::Reissue => term.failed(now, luck),
                Decision::Keep => {}
                Decision::Gone => break,
            }
        }
    }

    #[test]
    fn pauses_grow_within_their_bounds(failures: u32, luck in 0.0_f64..1.0) {
        let (this, next) = (pause(failures, 0.0), pause(failures.saturating_add(1), 0.0));
        prop_assert!(this <= next);
        let jittered = pause(failures, luck);
        prop_assert!(jittered >= FIRST_PAUSE.mul_f64(0.74) && jittered <= LONGEST_PAUSE, "{jittered:?}");
        prop_assert!(jittered <= this && jittered >= this.mul_f64(0.74));
    }

    #[test]
    fn what_outlives_the_process_decides_alike(
        life in 1_u64..4000, renewable: bool, luck in 0.0_f64..1.0, passed in 0_u64..4000
    ) {
        let term = Term::issued(START, Some(Duration::from_secs(life)), renewable, luck);
        let resumed = Term::resumed(term.span(), luck);
        prop_assert_eq!(resumed.decide(at(passed), None), term.decide(at(passed), None));
    }
}
