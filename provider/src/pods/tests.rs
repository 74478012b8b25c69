//! Lists and events as a test scripts them, on paused time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{PodEvent, PodEvents, PodFault, PodList, PodSource, PodWatch, SeenPod};
use crate::ports::Still;
use crate::vault::kept::Kept;
use crate::vault::kept::tests::{Keeper, kept, key, lease};

type Change = Result<PodEvent, PodFault>;

/// Answers lists in turn, the last one for ever; events are sent by the test.
struct Script {
    lists: Mutex<VecDeque<Result<PodList, PodFault>>>,
    listed: Mutex<usize>,
    watches: Mutex<Vec<(String, UnboundedSender<Change>)>>,
}

#[async_trait]
impl PodSource for Script {
    async fn list(&self) -> Result<PodList, PodFault> {
        *self.listed.lock().unwrap() += 1;
        let mut lists = self.lists.lock().unwrap();
        if lists.len() > 1 {
            lists.pop_front().unwrap()
        } else {
            lists[0].clone()
        }
    }

    async fn watch(&self, version: &str) -> Result<PodEvents, PodFault> {
        let (sender, events) = unbounded_channel();
        let mut watches = self.watches.lock().unwrap();
        watches.push((version.to_owned(), sender));
        Ok(UnboundedReceiverStream::new(events).boxed())
    }
}

/// A watch that runs.
struct Scene {
    script: Arc<Script>,
    kept: Arc<Kept>,
    keeper: Arc<Keeper>,
    watch: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn scene(kept: Kept, lists: Vec<Result<PodList, PodFault>>) -> Scene {
    let script = Arc::new(Script {
        lists: Mutex::new(lists.into()),
        listed: Mutex::default(),
        watches: Mutex::default(),
    });
    let (kept, keeper) = (Arc::new(kept), Keeper::new(&[]));
    let watch = PodWatch::new(
        Arc::clone(&script) as Arc<dyn PodSource>,
        Arc::clone(&kept),
        Arc::new(Arc::clone(&keeper)),
        Arc::new(Still),
    );
    Scene {
        script,
        kept,
        keeper,
        watch: tokio::spawn(watch.run()),
    }
}

impl Scene {
    /// Lets time pass, with everything that happens in it.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_millis(seconds * 1000 + 1)).await;
    }

    fn send(&self, change: Change) {
        let watches = self.script.watches.lock().unwrap();
        watches.last().unwrap().1.send(change).unwrap();
    }

    fn revoked(&self) -> Vec<String> {
        let mut revoked = self.keeper.revoked.lock().unwrap().clone();
        revoked.sort();
        revoked
    }

    fn listed(&self) -> usize {
        *self.script.listed.lock().unwrap()
    }

    fn watched(&self) -> Vec<String> {
        let watches = self.script.watches.lock().unwrap();
        watches.iter().map(|(version, _)| version.clone()).collect()
    }
}

fn pod(uid: &str, ended: bool) -> SeenPod {
    SeenPod {
        uid: uid.to_owned(),
        ended,
    }
}

fn list(version: &str, pods: &[&str]) -> Result<PodList, PodFault> {
    Ok(PodList {
        version: version.to_owned(),
        pods: pods.iter().map(|uid| pod(uid, false)).collect(),
        is_complete: true,
    })
}

/// Leases for these pods.
fn leases(pods: &[&str]) -> Kept {
    let kept = kept();
    for pod in pods {
        lease(&kept, pod, 36_000);
    }
    kept
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_or_has_ended_gives_its_leases_back_at_once_and_no_other_does() {
    let scene = scene(leases(&["a", "b", "c"]), vec![list("1", &["a", "b", "c"])]);
    scene.pass(0).await;
    scene.send(Ok(PodEvent::Deleted("a".to_owned())));
    scene.send(Ok(PodEvent::Seen(pod("b", true))));
    scene.send(Ok(PodEvent::Seen(pod("c", false))));
    scene.pass(0).await;
    assert_eq!(scene.revoked(), ["lease/a", "lease/b"]);
    assert!(scene.kept.get(&key("c")).is_some());
    scene.pass(300).await;
    assert_eq!(scene.revoked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_absence_of_a_pod_that_was_never_seen_counts_only_after_a_while() {
    let scene = scene(leases(&["new", "there"]), vec![list("1", &["there"])]);
    scene.pass(25).await;
    assert_eq!(
        scene.revoked(),
        [""; 0],
        "the list may be older than the pod"
    );
    scene.pass(15).await;
    assert_eq!(scene.revoked(), ["lease/new"]);
    assert_eq!(scene.listed(), 2, "by a fresh list");
}

#[tokio::test(start_paused = true)]
async fn pods_that_went_while_the_watch_was_away_are_found_by_the_next_list() {
    let scene = scene(
        leases(&["a", "b"]),
        vec![list("1", &["a", "b"]), list("5", &["b"])],
    );
    scene.pass(0).await;
    scene.send(Err(PodFault::Expired));
    scene.pass(0).await;
    assert_eq!(scene.revoked(), ["lease/a"]);
    assert_eq!(scene.watched(), ["1", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_or_cannot_be_read_whole_never_counts_as_gone() {
    let failed = Err(PodFault::Failed("forbidden".to_owned()));
    let partial = Ok(PodList {
        version: "1".to_owned(),
        ..PodList::default()
    });
    for list in [failed, partial] {
        let scene = scene(leases(&["a"]), vec![list]);
        scene.pass(3600).await;
        assert_eq!(scene.revoked(), [""; 0]);
        assert!(scene.kept.get(&key("a")).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_tried_again_within_15_seconds_and_never_floods() {
    let failed = Err(PodFault::Failed("forbidden".to_owned()));
    let scene = scene(leases(&["a"]), vec![failed]);
    scene.pass(600).await;
    let before = scene.listed();
    scene.pass(15).await;
    assert_eq!(scene.listed(), before + 1);
    assert!(before <= 600 / 15 + 3, "{before} lists");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_after_its_pod_was_deleted_is_given_back_at_the_next_look() {
    let scene = scene(leases(&["a"]), vec![list("1", &["a", "b"])]);
    scene.pass(0).await;
    scene.send(Ok(PodEvent::Deleted("a".to_owned())));
    scene.pass(0).await;
    lease(&scene.kept, "a", 36_000);
    lease(&scene.kept, "b", 36_000);
    scene.pass(5).await;
    assert_eq!(scene.revoked(), ["lease/a", "lease/a"]);
    assert!(scene.kept.get(&key("b")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_where_it_was_and_over_what_it_cannot_read() {
    let scene = scene(leases(&["a"]), vec![list("1", &["a"])]);
    scene.pass(2).await;
    scene.send(Ok(PodEvent::Malformed));
    scene.send(Ok(PodEvent::Version("7".to_owned())));
    scene.pass(0).await;
    // The API server ends it.
    scene.script.watches.lock().unwrap()[0].1 = unbounded_channel().0;
    scene.pass(0).await;
    assert_eq!(
        (scene.watched(), scene.listed()),
        (vec!["1".to_owned(), "7".to_owned()], 1)
    );
    scene.send(Ok(PodEvent::Deleted("a".to_owned())));
    scene.pass(0).await;
    assert_eq!(scene.revoked(), ["lease/a"]);
}
