//! The clock is tokio's, paused; luck is fixed, so that intervals are exact.

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Phase, Reason};
use coffer_provider_core::request::{Method, Request};
use coffer_provider_core::secret::SecretBytes;
use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::{Memory, OVERHEAD, Read};
use crate::metrics::{BuildInfo, Metrics};
use crate::ports::Still;

const INTERVAL: Duration = Duration::from_secs(45);

fn memory(limit: usize) -> Memory {
    let metrics = Metrics::new(BuildInfo::default(), 1);
    Memory::new(limit, Arc::new(Still), Arc::new(metrics))
}

fn request(path: &str) -> Arc<Request> {
    Arc::new(Request {
        method: Method::Get,
        path: path.to_owned(),
        query: Vec::new(),
        body: None,
    })
}

fn read(body: &str) -> Read {
    Read {
        body: SecretBytes::new(body.as_bytes().to_vec()),
        began: Instant::now(),
    }
}

fn deny(memory: &Memory, session: u64, path: &str) {
    let fault = Fault::new(Reason::Denied, "w", "h");
    memory.deny(session, &request(path), &fault, Instant::now());
}

/// The body that answers, `denied`, or nothing.
fn recall(memory: &Memory, session: u64, path: &str, phase: Phase) -> Option<String> {
    match memory.recall(session, &request(path), phase, INTERVAL)? {
        Ok(known) => Some(String::from_utf8(known.read.body.expose().to_vec()).unwrap()),
        Err(fault) => Some(fault.reason.as_str().to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_answers_first_mounts_for_a_second_and_republishes_for_the_interval() {
    let memory = memory(1 << 20);
    memory.learn(1, &request("a"), read("v"));
    let answer = Some("v".to_owned());
    assert_eq!(recall(&memory, 1, "a", Phase::First), answer);
    advance(Duration::from_secs(1)).await;
    assert_eq!(recall(&memory, 1, "a", Phase::First), None);
    assert_eq!(recall(&memory, 1, "a", Phase::Refresh), answer);
    advance(Duration::from_secs(44)).await;
    assert_eq!(recall(&memory, 1, "a", Phase::Refresh), None);
    let old = memory.last(1, &request("a"));
    assert!(old.is_some(), "it is still the last good answer");
}

#[tokio::test(start_paused = true)]
async fn a_denial_takes_the_place_of_what_was_good() {
    let memory = memory(1 << 20);
    memory.learn(1, &request("a"), read("v"));
    deny(&memory, 1, "a");
    for phase in Phase::ALL {
        assert_eq!(recall(&memory, 1, "a", phase).as_deref(), Some("denied"));
    }
    advance(Duration::from_secs(10)).await;
    assert_eq!(recall(&memory, 1, "a", Phase::Refresh), None, "asked again");
    assert!(memory.last(1, &request("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_under_way_does_not_undo_a_younger_one() {
    let memory = memory(1 << 20);
    let slow = read("old");
    advance(Duration::from_millis(10)).await;
    memory.learn(1, &request("a"), read("new"));
    memory.learn(1, &request("a"), slow.clone());
    assert_eq!(
        recall(&memory, 1, "a", Phase::Refresh).as_deref(),
        Some("new")
    );
    deny(&memory, 1, "a");
    memory.learn(1, &request("a"), slow);
    assert_eq!(
        recall(&memory, 1, "a", Phase::Refresh).as_deref(),
        Some("denied")
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_for_the_longest_makes_room() {
    let memory = memory(8 * (OVERHEAD + 1));
    for at in 0..8 {
        memory.learn(1, &request(&at.to_string()), read("v"));
        advance(Duration::from_millis(1)).await;
    }
    assert!(
        recall(&memory, 1, "0", Phase::Refresh).is_some(),
        "used again"
    );
    memory.learn(1, &request("8"), read("v"));
    assert!(memory.bytes() <= 8 * (OVERHEAD + 1));
    assert!(recall(&memory, 1, "0", Phase::Refresh).is_some());
    assert!(recall(&memory, 1, "8", Phase::Refresh).is_some());
    assert!(recall(&memory, 1, "1", Phase::Refresh).is_none());
    memory.learn(1, &request("8"), read(&"v".repeat(9 * OVERHEAD)));
    assert!(
        memory.last(1, &request("8")).is_none(),
        "too large for all of it"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_when_there_is_no_room_at_all() {
    let memory = memory(0);
    memory.learn(1, &request("a"), read("v"));
    deny(&memory, 1, "b");
    assert_eq!(memory.bytes(), 0);
    assert!(memory.last(1, &request("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_login_takes_its_answers_with_it_and_a_day_of_silence_those_of_its_pods() {
    let memory = memory(1 << 20);
    memory.learn(1, &request("a"), read("one"));
    memory.learn(2, &request("a"), read("two"));
    memory.forget_session(1);
    assert!(memory.last(1, &request("a")).is_none());
    assert_eq!(
        recall(&memory, 2, "a", Phase::Refresh).as_deref(),
        Some("two")
    );
    advance(Duration::from_secs(24 * 3600)).await;
    memory.sweep();
    assert_eq!(memory.bytes(), 0);
}

/// One thing that happens to memory.
#[derive(Clone, Debug)]
enum Step {
    Learn(u64, u8),
    Deny(u64, u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u64, 0..3_u8).prop_map(|(session, path)| Step::Learn(session, path)),
        (0..3_u64, 0..3_u8).prop_map(|(session, path)| Step::Deny(session, path)),
        (1..60_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    /// Each body says for whom and when it was read, so that every answer can be judged by itself.
    #[test]
    fn no_answer_crosses_logins_or_requests_or_is_older_than_promised(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let memory = memory(1 << 20);
            let start = Instant::now();
            for step in steps {
                match step {
                    Step::Learn(session, path) => {
                        let body = format!("{session} {path} {}", start.elapsed().as_secs());
                        memory.learn(session, &request(&path.to_string()), read(&body));
                    }
                    Step::Deny(session, path) => {
                        let fault = Fault::new(Reason::Denied, "w", "h");
                        memory.deny(session, &request(&path.to_string()), &fault, Instant::now());
                    }
                    Step::Wait(seconds) => advance(Duration::from_secs(seconds)).await,
                }
                judge(&memory, start.elapsed().as_secs())?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

fn judge(memory: &Memory, now: u64) -> Result<(), TestCaseError> {
    for (session, path) in (0..3_u64).flat_map(|session| (0..3_u8).map(move |path| (session, path)))
    {
        for (phase, limit) in [(Phase::First, 1), (Phase::Refresh, 45)] {
            let Some(body) = recall(memory, session, &path.to_string(), phase) else {
                continue;
            };
            if body == "denied" {
                continue;
            }
            let parts: Vec<u64> = body.split(' ').map(|part| part.parse().unwrap()).collect();
            prop_assert_eq!(&parts[..2], &[session, u64::from(path)][..]);
            prop_assert!(
                now - parts[2] < limit,
                "{} s old for {:?}",
                now - parts[2],
                phase
            );
        }
    }
    Ok(())
}
