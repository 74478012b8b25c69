//! Turns and pauses: deadlines, providers side by side, one that hangs or is down.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::at;
use crate::schedule::{Call, Limits, Object, Pause, Queue};

fn object(name: &str) -> Object {
    Object {
        source: "u".to_owned(),
        secret: name.to_owned(),
    }
}

fn limits(workers: usize, per_provider: usize) -> Limits {
    Limits {
        workers,
        per_provider,
    }
}

fn next(queue: &mut Queue, second: i64, limits: Limits) -> Option<String> {
    queue
        .next(at(second), limits, &BTreeSet::new())
        .map(|turn| turn.object.secret)
}

fn queue(list: &[(&str, &str, i64)]) -> Queue {
    let mut queue = Queue::default();
    for (name, provider, second) in list {
        queue.insert(object(name), provider, at(*second));
    }
    queue
}

/// Sync §5: the earliest deadline first, and nothing before its time.
#[test]
fn the_earliest_deadline_comes_first() {
    let mut queue = queue(&[("b", "p", 20), ("a", "p", 10), ("c", "p", 30)]);
    assert_eq!(queue.wake(), Some(at(10)));
    assert_eq!(next(&mut queue, 9, limits(8, 8)), None);
    assert_eq!(queue.depth(at(25)), 2);
    let turn = queue.next(at(25), limits(8, 8), &BTreeSet::new()).unwrap();
    assert_eq!((turn.object, turn.lag.as_secs()), (object("a"), 15));
    assert_eq!(next(&mut queue, 25, limits(8, 8)).as_deref(), Some("b"));
    assert_eq!(next(&mut queue, 25, limits(8, 8)), None);
    assert_eq!(queue.wake(), Some(at(30)));
}

/// Sync §5: an object is queued at most once, at its earlier time. 16: a deleted one leaves without an error.
#[test]
fn an_object_waits_once_and_leaves_quietly() {
    let mut queue = queue(&[
        ("a", "p", 50),
        ("a", "p", 10),
        ("a", "p", 90),
        ("a", "q", 20),
    ]);
    assert_eq!((queue.depth(at(99)), queue.wake()), (1, Some(at(10))));
    queue.replace(object("a"), "q", at(70));
    assert_eq!(queue.wake(), Some(at(70)));
    queue.withdraw(&object("a"));
    queue.withdraw(&object("a"));
    assert_eq!((queue.depth(at(99)), queue.wake()), (0, None));
}

/// Sync §5: an object that runs is not started again beside itself; its next turn comes after this one.
#[test]
fn an_object_never_runs_twice_at_once() {
    let mut queue = queue(&[("a", "p", 0), ("b", "p", 1)]);
    assert_eq!(next(&mut queue, 9, limits(8, 8)).as_deref(), Some("a"));
    queue.insert(object("a"), "p", at(0));
    assert_eq!(next(&mut queue, 9, limits(8, 8)).as_deref(), Some("b"));
    assert_eq!(next(&mut queue, 9, limits(8, 8)), None);
    queue.done(&object("a"));
    assert_eq!(next(&mut queue, 9, limits(8, 8)).as_deref(), Some("a"));
}

/// Sync §5: a provider with a long line does not keep another one waiting.
#[test]
fn providers_take_turns() {
    let mut queue = queue(&[
        ("a1", "a", 0),
        ("a2", "a", 0),
        ("a3", "a", 0),
        ("b1", "b", 5),
        ("b2", "b", 5),
    ]);
    let order: Vec<String> = std::iter::from_fn(|| {
        let turn = next(&mut queue, 9, limits(1, 1))?;
        queue.done(&object(&turn));
        Some(turn)
    })
    .collect();
    assert_eq!(order, ["a1", "b1", "a2", "b2", "a3"]);
}

/// Sync §5: a provider that hangs never takes the last worker from the others.
#[test]
fn a_provider_that_hangs_leaves_a_worker_to_the_others() {
    let mut queue = queue(&[("b1", "b", 50)]);
    (0..20).for_each(|at_| queue.insert(object(&format!("a{at_}")), "a", at(0)));
    let started = std::iter::from_fn(|| next(&mut queue, 9, Limits::default())).count();
    assert_eq!(started, 7);
    assert_eq!(
        next(&mut queue, 50, Limits::default()).as_deref(),
        Some("b1")
    );
    let mut alone = Queue::default();
    (0..20).for_each(|at_| alone.insert(object(&format!("a{at_}")), "a", at(0)));
    assert_eq!(
        std::iter::from_fn(|| next(&mut alone, 9, Limits::default())).count(),
        8
    );
    assert_eq!(
        std::iter::from_fn(|| next(&mut alone, 9, limits(20, 10))).count(),
        2,
        "10 per provider"
    );
}

/// Sync §5: a paused provider is passed over, others go on.
#[test]
fn a_paused_provider_is_passed_over() {
    let mut queue = queue(&[("a1", "a", 0), ("b1", "b", 5)]);
    let paused = BTreeSet::from(["a".to_owned()]);
    let mut turn = || {
        queue
            .next(at(9), limits(8, 8), &paused)
            .map(|turn| turn.object.secret)
    };
    assert_eq!(turn().as_deref(), Some("b1"));
    assert_eq!(turn(), None);
}

fn unreachable(pause: &mut Pause, calls: usize, objects: usize, second: i64) {
    for call in 0..calls {
        pause.note(
            &object(&format!("o{}", call % objects)),
            Call::Unreachable,
            at(second),
        );
    }
}

/// Sync §5: ten in a row over at least three objects pause a provider; an answer ends it.
#[test]
fn ten_failures_over_three_objects_pause_a_provider() {
    let mut pause = Pause::default();
    unreachable(&mut pause, 100, 2, 0);
    assert!(
        !pause.is_paused(at(0)),
        "two objects may be broken themselves"
    );
    let mut pause = Pause::default();
    unreachable(&mut pause, 9, 3, 0);
    pause.note(&object("x"), Call::Answered, at(0));
    unreachable(&mut pause, 9, 3, 0);
    assert!(!pause.is_paused(at(0)), "not in a row");
    unreachable(&mut pause, 1, 3, 0);
    assert!(pause.is_paused(at(4)) && !pause.is_paused(at(5)));
    pause.calling();
    assert!(pause.is_paused(at(5)), "one probe at a time");
    pause.note(&object("x"), Call::Answered, at(6));
    assert!(!pause.is_paused(at(6)));
}

/// Sync §5: probes are 5 s to 60 s apart.
#[test]
fn probes_of_a_paused_provider_grow_apart() {
    let mut pause = Pause::default();
    unreachable(&mut pause, 10, 3, 0);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let until = pause.until().unwrap();
        unreachable(&mut pause, 5, 3, 0);
        assert_eq!(
            pause.until(),
            Some(until),
            "calls that were on their way do not put it off"
        );
        pause.calling();
        pause.note(&object("x"), Call::Unreachable, until);
        waits.push((pause.until().unwrap() - until).as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Sync §5: whatever comes and goes, limits hold, nothing runs twice, and all that is due gets its turn.
    #[test]
    fn limits_hold_and_everything_gets_its_turn(
        steps in proptest::collection::vec((0..4_u8, 0..12_usize, 0..40_i64), 1..80),
        workers in 1..5_usize,
        per_provider in 1..4_usize,
    ) {
        let limits = limits(workers, per_provider);
        let provider = |number: usize| format!("p{}", number % 3);
        let mut queue = Queue::default();
        let mut running: Vec<(Object, String)> = Vec::new();
        for (step, number, second) in steps {
            let one = object(&number.to_string());
            match step {
                0 | 1 => queue.insert(one, &provider(number), at(second)),
                2 => if let Some((done, _)) = running.pop() { queue.done(&done) },
                _ => if let Some(turn) = queue.next(at(second), limits, &BTreeSet::new()) {
                    let number: usize = turn.object.secret.parse().unwrap();
                    prop_assert!(running.iter().all(|(other, _)| *other != turn.object));
                    running.push((turn.object, provider(number)));
                    let same = running.iter().filter(|(_, other)| *other == provider(number)).count();
                    prop_assert!(running.len() <= workers && same <= per_provider);
                },
            }
        }
        for (object, _) in running.drain(..) {
            queue.done(&object);
        }
        let waiting = queue.depth(at(99));
        for _ in 0..waiting {
            let turn = queue.next(at(99), limits, &BTreeSet::new());
            prop_assert!(turn.is_some(), "{} wait", queue.depth(at(99)));
            queue.done(&turn.unwrap().object);
        }
        prop_assert_eq!(queue.wake(), None);
    }
}
