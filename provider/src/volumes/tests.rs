//! What is remembered of volumes, over hours that pass at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::Phase;
use coffer_provider_core::mount::MountFile;
use coffer_provider_core::notice::{Notice, Outcome};
use coffer_provider_core::params::{
    ClassSpec, Dialect, MountSpec, OBJECTS, ParsedAttributes, Wire, read_mount,
};
use coffer_provider_core::secret::SecretBytes;
use tokio::time::Instant;

use super::{MAX_VOLUMES, News, Standing, Volumes};

fn spec(uid: &str, class: &str) -> MountSpec {
    let attributes = format!(
        r#"{{"csi.storage.k8s.io/pod.name":"p","csi.storage.k8s.io/pod.namespace":"n","csi.storage.k8s.io/pod.uid":"{uid}","csi.storage.k8s.io/serviceAccount.name":"a","secretProviderClass":"{class}"}}"#
    );
    let wire = Wire {
        attributes: &ParsedAttributes::new(&attributes),
        secrets: "{}",
        permission: "420",
        target_path: "/t",
    };
    let parameters = BTreeMap::from([
        ("roleName".to_owned(), "r".to_owned()),
        (
            OBJECTS.to_owned(),
            "- {objectName: a, secretPath: p}".to_owned(),
        ),
    ]);
    let parse = |_| ClassSpec::parse(&parameters, Dialect::Vault).map(Arc::new);
    read_mount(wire, parse).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn files(content: &str) -> Vec<MountFile> {
    vec![MountFile {
        path: "a".to_owned(),
        mode: 0o644,
        contents: SecretBytes::new(content.as_bytes().to_vec()),
        version: String::new(),
    }]
}

/// Volumes and a clock.
struct Node {
    volumes: Volumes,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        Self {
            volumes: Volumes::default(),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, minutes: u64) {
        self.now += Duration::from_secs(minutes * 60);
    }

    /// A Mount answered with bytes of this age.
    fn answer(&self, spec: &MountSpec, outcome: Outcome, minutes: u64) -> Option<Notice> {
        let read_at = self.now - Duration::from_secs(minutes * 60);
        self.volumes.answered(spec, &files("v"), read_at, self.now);
        self.end(spec, outcome)
    }

    fn fail(&self, spec: &MountSpec) -> Option<Notice> {
        self.end(spec, Outcome::Failed)
    }

    fn end(&self, spec: &MountSpec, outcome: Outcome) -> Option<Notice> {
        let news = self.volumes.ended(spec, outcome, self.now);
        news.map(|news| news.notice)
    }

    fn phase(&self, spec: &MountSpec) -> Phase {
        self.volumes.phase(&spec.pod, &spec.volume)
    }

    /// Minutes of the oldest answer, and how many volumes fail.
    fn standing(&self) -> (u64, usize) {
        let Standing { oldest, failing } = self.volumes.standing(self.now);
        (oldest.as_secs() / 60, failing)
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_new_until_it_was_answered_and_changes_with_its_bytes() {
    let (node, spec) = (Node::new(), spec("u", "c"));
    let answered = |content: &str| {
        node.volumes
            .answered(&spec, &files(content), node.now, node.now)
    };
    assert_eq!(node.fail(&spec), None);
    assert_eq!(node.phase(&spec), Phase::First, "failures leave nothing");
    assert!(answered("v"), "the first is a change");
    assert_eq!(node.phase(&spec), Phase::Refresh);
    assert!(!answered("v"));
    assert!(answered("w"));
    let other = self::spec("another life of the pod", "c");
    assert_eq!(node.phase(&other), Phase::First);
}

#[tokio::test(start_paused = true)]
async fn a_failing_volume_is_counted_until_it_works_again() {
    let (mut node, a, b) = (Node::new(), spec("u", "a"), spec("u", "b"));
    assert_eq!(node.standing(), (0, 0));
    node.answer(&a, Outcome::Fresh, 0);
    node.answer(&b, Outcome::Fresh, 0);
    assert_eq!(node.standing(), (0, 0));
    node.pass(1);
    node.fail(&a);
    assert_eq!(node.standing(), (1, 1));
    node.pass(1);
    node.fail(&a);
    node.answer(&b, Outcome::Stale, 2);
    assert_eq!(node.standing(), (2, 2), "old bytes count as failing");
    node.pass(1);
    node.answer(&a, Outcome::Fresh, 0);
    assert_eq!(node.standing(), (3, 1));
    node.answer(&b, Outcome::Fresh, 1);
    assert_eq!(node.standing(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_mounted_for_ten_minutes_is_not_in_use() {
    let (mut node, gone, here) = (Node::new(), spec("u", "gone"), spec("u", "here"));
    node.answer(&gone, Outcome::Fresh, 30);
    node.fail(&gone);
    node.pass(10);
    node.answer(&here, Outcome::Fresh, 0);
    assert_eq!(node.standing(), (40, 1));
    node.pass(1);
    assert_eq!(node.standing(), (1, 0));
    assert_eq!(node.phase(&gone), Phase::Refresh, "but not forgotten");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_mounted_for_a_day_is_forgotten() {
    let (mut node, spec) = (Node::new(), spec("u", "c"));
    node.answer(&spec, Outcome::Fresh, 0);
    node.pass(23 * 60);
    node.fail(&spec);
    node.pass(23 * 60);
    node.volumes.sweep(node.now);
    assert_eq!(
        node.phase(&spec),
        Phase::Refresh,
        "a failure is a sign of life"
    );
    node.pass(60);
    node.volumes.sweep(node.now);
    assert_eq!(node.phase(&spec), Phase::First);
}

#[tokio::test(start_paused = true)]
async fn a_full_memory_forgets_the_volume_not_seen_longest() {
    let (mut node, mut spec) = (Node::new(), spec("u", "c"));
    for number in 0..=MAX_VOLUMES {
        spec.volume = number.to_string();
        node.now += Duration::from_millis(1);
        node.answer(&spec, Outcome::Fresh, 0);
    }
    for (number, expected) in [(0, Phase::First), (1, Phase::Refresh)] {
        spec.volume = number.to_string();
        assert_eq!(node.phase(&spec), expected, "volume {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn failure_and_recovery_are_news_of_volumes_that_were_answered() {
    let (mut node, spec) = (Node::new(), spec("u", "c"));
    assert_eq!(node.fail(&spec), None, "a first mount");
    assert_eq!(node.answer(&spec, Outcome::Fresh, 0), None);
    node.pass(1);
    assert_eq!(node.fail(&spec), Some(Notice::RefreshFailed));
    node.pass(2);
    assert_eq!(node.fail(&spec), None);
    node.pass(1);
    node.volumes
        .answered(&spec, &files("v"), node.now, node.now);
    assert_eq!(
        node.volumes.ended(&spec, Outcome::Fresh, node.now),
        Some(News {
            notice: Notice::RefreshRecovered,
            lasting: Duration::from_secs(180),
        })
    );
    node.pass(1);
    assert_eq!(node.answer(&spec, Outcome::Fresh, 0), None);
}

#[tokio::test(start_paused = true)]
async fn old_bytes_are_news_after_a_quarter_of_an_hour() {
    let (mut node, spec) = (Node::new(), spec("u", "c"));
    node.answer(&spec, Outcome::Fresh, 0);
    let mut told = Vec::new();
    for minute in 1..40 {
        node.pass(1);
        told.extend(
            node.answer(&spec, Outcome::Stale, minute)
                .map(|n| (minute, n)),
        );
    }
    assert_eq!(told, [(17, Notice::ServingStale)]);
    assert_eq!(node.standing(), (39, 1));
}

#[tokio::test(start_paused = true)]
async fn volumes_of_a_pod_share_its_pause_and_other_pods_have_their_own() {
    let (mut node, other) = (Node::new(), spec("other", "a"));
    let (a, b) = (spec("u", "a"), spec("u", "b"));
    for spec in [&a, &b, &other] {
        node.answer(spec, Outcome::Fresh, 0);
    }
    assert_eq!(node.fail(&a), Some(Notice::RefreshFailed));
    assert_eq!(node.fail(&b), None);
    assert_eq!(node.fail(&other), Some(Notice::RefreshFailed));
    node.pass(10);
    assert_eq!(node.fail(&a), None);
    assert_eq!(node.fail(&b), Some(Notice::RefreshFailed));
}
