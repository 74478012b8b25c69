//! Courses of one volume as a table, and of a pod with two volumes at random.

use std::time::Duration;

use proptest::prelude::*;

use super::{Ages, Notice, Outcome, PAUSE, Told, notice};

use Notice::{RefreshFailed, RefreshRecovered, ServingStale};
use Outcome::{Failed, Fresh, Stale};

/// A pod's volumes over time, as the shell keeps them.
struct Course<const VOLUMES: usize> {
    told: [Told; VOLUMES],
    trouble: [Option<Duration>; VOLUMES],
    last: Option<Duration>,
}

impl<const VOLUMES: usize> Course<VOLUMES> {
    fn new() -> Self {
        Self {
            told: [Told::default(); VOLUMES],
            trouble: [None; VOLUMES],
            last: None,
        }
    }

    fn republish(&mut self, volume: usize, outcome: Outcome, now: Duration) -> Option<Notice> {
        let began = *self.trouble[volume].get_or_insert(now);
        let ages = Ages {
            trouble: now - began,
            notice: self.last.map(|last| now - last),
        };
        let news = notice(self.told[volume], outcome, ages);
        self.told[volume] = self.told[volume].after(outcome, news);
        if outcome == Fresh {
            self.trouble[volume] = None;
        }
        self.last = news.map(|_| now).or(self.last);
        news
    }
}

/// Minutes of each republish, how it ended and what is told of it.
#[track_caller]
fn check(what: &str, course: &[(u64, Outcome, Option<Notice>)]) {
    let mut volume = Course::<1>::new();
    for (minute, outcome, expected) in course {
        let now = Duration::from_secs(minute * 60);
        let told = volume.republish(0, *outcome, now);
        assert_eq!(told, *expected, "{what}: {outcome:?} in minute {minute}");
    }
}

#[test]
fn a_failure_is_told_at_once_and_its_end_too() {
    check(
        "a short failure",
        &[
            (0, Fresh, None),
            (1, Failed, Some(RefreshFailed)),
            (2, Failed, None),
            (3, Fresh, Some(RefreshRecovered)),
            (4, Fresh, None),
        ],
    );
    check(
        "a long failure is not told twice",
        &[
            (0, Failed, Some(RefreshFailed)),
            (60, Failed, None),
            (600, Failed, None),
            (601, Fresh, Some(RefreshRecovered)),
        ],
    );
}

#[test]
fn what_comes_and_goes_is_told_once_in_ten_minutes() {
    check(
        "a flapping store",
        &[
            (0, Failed, Some(RefreshFailed)),
            (1, Fresh, Some(RefreshRecovered)),
            (2, Failed, None),
            (3, Fresh, None),
            (10, Failed, None),
            (11, Failed, Some(RefreshFailed)),
            (12, Fresh, Some(RefreshRecovered)),
        ],
    );
}

#[test]
fn old_bytes_are_told_when_they_last() {
    check(
        "a short outage",
        &[(0, Stale, None), (15, Stale, None), (16, Fresh, None)],
    );
    check(
        "a long outage",
        &[
            (0, Stale, None),
            (15, Stale, None),
            (16, Stale, Some(ServingStale)),
            (60, Stale, None),
            (61, Fresh, Some(RefreshRecovered)),
            (62, Stale, None),
            (78, Stale, Some(ServingStale)),
        ],
    );
    check(
        "a denial in an outage",
        &[
            (0, Stale, None),
            (5, Failed, Some(RefreshFailed)),
            (14, Stale, None),
            (16, Stale, Some(ServingStale)),
            (30, Failed, None),
            (31, Fresh, Some(RefreshRecovered)),
        ],
    );
}

#[test]
fn volumes_of_one_pod_share_its_pause_and_each_tells_its_own_recovery() {
    let mut pod = Course::<2>::new();
    for (minute, volume, outcome, expected) in [
        (0, 0, Failed, Some(RefreshFailed)),
        (1, 1, Failed, None),
        (9, 1, Failed, None),
        (10, 1, Failed, Some(RefreshFailed)),
        (11, 0, Fresh, Some(RefreshRecovered)),
        (11, 1, Fresh, Some(RefreshRecovered)),
    ] {
        let told = pod.republish(volume, outcome, Duration::from_secs(minute * 60));
        assert_eq!(told, expected, "volume {volume} in minute {minute}");
    }
}

#[test]
fn names_and_weights_are_those_of_the_events() {
    for (notice, name, is_warning) in [
        (RefreshFailed, "CofferRefreshFailed", true),
        (ServingStale, "CofferServingStale", true),
        (RefreshRecovered, "CofferRefreshRecovered", false),
    ] {
        assert_eq!((notice.as_str(), notice.is_warning()), (name, is_warning));
    }
}

proptest! {
    #[test]
    fn no_two_of_a_kind_within_the_pause_and_no_recovery_of_what_was_not_told(
        course in prop::collection::vec(
            (0_usize..2, prop::sample::select(vec![Fresh, Stale, Failed]), 1_u64..1200),
            1..200,
        ),
    ) {
        let mut pod = Course::<2>::new();
        let mut now = Duration::ZERO;
        let mut complaint: Option<Duration> = None;
        let mut recovered = [None::<Duration>; 2];
        let mut open = [false; 2];
        for (volume, outcome, pause) in course {
            now += Duration::from_secs(pause);
            match pod.republish(volume, outcome, now) {
                Some(RefreshRecovered) => {
                    prop_assert!(open[volume], "a recovery without a complaint");
                    prop_assert!(recovered[volume].is_none_or(|last| now - last >= PAUSE));
                    recovered[volume] = Some(now);
                    open[volume] = false;
                }
                Some(RefreshFailed | ServingStale) => {
                    prop_assert!(complaint.is_none_or(|last| now - last >= PAUSE));
                    complaint = Some(now);
                    open[volume] = true;
                }
                None => prop_assert!(!(outcome == Fresh && open[volume]), "a recovery is untold"),
            }
        }
    }
}
