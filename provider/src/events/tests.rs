//! The queue never waits, and the worker neither hangs nor repeats itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::notice::Notice;
use coffer_provider_core::params::Pod;

use super::{Events, MAX_WAITING, PodEvent, Worker};
use crate::captured::Captured;
use crate::ports::{Machine, NotWritten, PodEvents};

fn pod(namespace: &str, name: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        ..Pod::default()
    }
}

fn offer(events: &Events, name: &str) {
    events.offer(&pod("shop", name), Notice::RefreshFailed, "t".to_owned());
}

/// Answers as the name of the pod says, after the time that takes.
#[derive(Default)]
struct Fake(Mutex<Vec<String>>);

#[async_trait]
impl PodEvents for Fake {
    async fn write(&self, event: &PodEvent) -> Result<(), NotWritten> {
        let name = event.pod.name.clone();
        self.0.lock().unwrap().push(name.clone());
        match name.as_str() {
            "hangs" => std::future::pending().await,
            "forbidden" => Err(NotWritten::Forbidden("no right".to_owned())),
            "failed" => Err(NotWritten::Failed("no luck".to_owned())),
            _ => Ok(()),
        }
    }
}

/// Offers an Event on each of these pods and has them written; the pods that were tried.
async fn write(names: &[&str]) -> Vec<String> {
    let (events, waiting) = Events::queue(Arc::new(Machine));
    for name in names {
        offer(&events, name);
    }
    drop(events);
    let fake = Arc::new(Fake::default());
    let cluster = Arc::clone(&fake) as Arc<dyn PodEvents>;
    Worker::new(waiting, cluster, Arc::new(Machine)).run().await;
    let tried = fake.0.lock().unwrap();
    tried.clone()
}

#[test]
fn a_full_queue_drops_events_and_says_so_once() {
    let (log, _guard) = Captured::start();
    let (events, mut waiting) = Events::queue(Arc::new(Machine));
    for number in 0..MAX_WAITING + 3 {
        offer(&events, &format!("p{number}"));
    }
    assert_eq!(log.count("an event was dropped"), 1);
    drop(events);
    let mut kept = 0;
    while waiting.try_recv().is_ok() {
        kept += 1;
    }
    assert_eq!(kept, MAX_WAITING);
}

#[test]
fn only_what_can_be_a_namespace_becomes_part_of_a_path() {
    let (events, mut waiting) = Events::queue(Arc::new(Machine));
    let long = "a".repeat(64);
    for namespace in ["", "a/b", "..", "A", "a b", "a%2e", long.as_str()] {
        events.offer(&pod(namespace, "p"), Notice::RefreshFailed, String::new());
        assert!(waiting.try_recv().is_err(), "{namespace}");
    }
    events.offer(&pod("shop", ""), Notice::RefreshFailed, String::new());
    assert!(waiting.try_recv().is_err(), "a pod without a name");
    events.offer(&pod("shop-1", "p"), Notice::RefreshFailed, String::new());
    assert!(waiting.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_holds_the_others_up_for_five_seconds() {
    let began = tokio::time::Instant::now();
    assert_eq!(write(&["hangs", "p"]).await, ["hangs", "p"]);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_said_once_in_ten_minutes() {
    let (log, _guard) = Captured::start();
    let (events, waiting) = Events::queue(Arc::new(Machine));
    let fake = Arc::new(Fake::default());
    let cluster = Arc::clone(&fake) as Arc<dyn PodEvents>;
    let worker = tokio::spawn(Worker::new(waiting, cluster, Arc::new(Machine)).run());
    let tried = async |count: usize| {
        while fake.0.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    for name in ["forbidden", "forbidden", "failed", "forbidden", "failed"] {
        offer(&events, name);
    }
    tried(5).await;
    tokio::task::yield_now().await;
    assert_eq!(log.count("grant events create"), 1);
    assert_eq!(log.count("no luck"), 1);
    tokio::time::advance(Duration::from_secs(600)).await;
    offer(&events, "forbidden");
    drop(events);
    worker.await.unwrap();
    assert_eq!(log.count("grant events create"), 2);
    assert_eq!(log.count("repeated=2"), 1);
}

#[test]
fn what_is_off_takes_everything_and_does_nothing() {
    offer(&Events::off(), "p");
}
