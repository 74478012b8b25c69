//! What is counted, logged and told as an Event of answers and failures.

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::fault::{Fault, MountFault, Phase, Reason};
use coffer_provider_core::notice::Notice;
use coffer_provider_core::params::ParsedAttributes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Report, span};
use crate::captured::Captured;
use crate::events::{Events, PodEvent};
use crate::metrics::{BuildInfo, Metrics};
use crate::mounter::{Mounted, Source};
use crate::ports::Machine;
use crate::volumes::News;

const ATTRIBUTES: &str = r#"{"csi.storage.k8s.io/pod.name":"p","csi.storage.k8s.io/pod.namespace":"shop","secretProviderClass":"c"}"#;

struct Told {
    report: Report,
    metrics: Arc<Metrics>,
    events: mpsc::Receiver<PodEvent>,
}

fn told() -> Told {
    let build = BuildInfo {
        version: "1",
        revision: "r",
        rustc: "c",
    };
    let metrics = Arc::new(Metrics::new(build, 1));
    let (queue, events) = Events::queue(Arc::new(Machine));
    Told {
        report: Report::new(Arc::clone(&metrics), queue),
        metrics,
        events,
    }
}

impl Told {
    fn answer(&self, source: Source, age: Duration, news: Option<Notice>) {
        let mounted = Mounted {
            absent: Vec::new(),
            files: Vec::new(),
            phase: Phase::Refresh,
            changed: false,
            source,
            read_at: Instant::now() - age,
            store: "s:1".to_owned(),
        };
        self.open().succeeded(&mounted, 10, news.map(news_of));
    }

    fn open(&self) -> super::Open<'_> {
        self.report
            .open(ParsedAttributes::new(ATTRIBUTES).subject())
    }

    fn value(&self, series: &str) -> String {
        let text = self.metrics.encode(false);
        let line = text.lines().find(|line| line.starts_with(series));
        line.unwrap_or_default()
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

fn news_of(notice: Notice) -> News {
    News {
        notice,
        lasting: Duration::from_secs(1000),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_counted_once_by_where_it_came_from() {
    tokio::time::advance(Duration::from_secs(3600)).await;
    let told = told();
    told.answer(Source::Store, Duration::ZERO, None);
    told.answer(Source::Memory, Duration::ZERO, None);
    for _ in 0..2 {
        let stale = Source::Stale(Reason::StoreState);
        told.answer(stale, Duration::from_secs(60), None);
    }
    for (series, expected) in [
        ("coffer_served_memory_total", "1"),
        ("coffer_served_stale_total{reason=\"store_state\"}", "2"),
        ("coffer_served_stale_total{reason=\"store_timeout\"}", "0"),
    ] {
        assert_eq!(told.value(series), expected, "{series}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_say_what_is_the_matter_and_for_how_long() {
    tokio::time::advance(Duration::from_secs(3600)).await;
    let mut told = told();
    let fault = Fault::new(Reason::Denied, "permission denied", "grant read");
    let fault = MountFault::Whole(fault);
    let failed = Some(news_of(Notice::RefreshFailed));
    let _ = told.open().failed(Phase::Refresh, &fault, failed);
    let _ = told.open().failed(Phase::Refresh, &fault, None);
    let age = Duration::from_secs(1090);
    let stale = Source::Stale(Reason::StoreState);
    told.answer(stale, age, Some(Notice::ServingStale));
    told.answer(Source::Store, Duration::ZERO, None);
    told.answer(
        Source::Store,
        Duration::ZERO,
        Some(Notice::RefreshRecovered),
    );
    for (notice, text) in [
        (
            Notice::RefreshFailed,
            "permission denied: grant read [denied]",
        ),
        (
            Notice::ServingStale,
            "files of class \"c\" are 18 min old and could not be refreshed for 16 min: the store gives no usable answer [store_state]",
        ),
        (
            Notice::RefreshRecovered,
            "files of class \"c\" are refreshed again after 16 min",
        ),
    ] {
        let event = told.events.try_recv().unwrap();
        assert_eq!((event.notice, event.text.as_str()), (notice, text));
        assert_eq!(
            (event.pod.namespace.as_str(), event.pod.name.as_str()),
            ("shop", "p")
        );
    }
    assert!(told.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn old_bytes_are_warned_of_once_with_reason_and_age() {
    tokio::time::advance(Duration::from_secs(3600)).await;
    let (log, _guard) = Captured::start();
    let told = told();
    told.answer(Source::Store, Duration::from_secs(90), None);
    told.answer(Source::Memory, Duration::from_secs(90), None);
    assert_eq!(log.count("WARN"), 0);
    for (seconds, reason) in [
        (90, Reason::StoreTimeout),
        (165, Reason::StoreTimeout),
        (240, Reason::StoreState),
    ] {
        told.answer(Source::Stale(reason), Duration::from_secs(seconds), None);
    }
    assert_eq!(log.count("answered with old bytes"), 1);
    assert_eq!(log.count("reason=\"store_timeout\" age_s=90"), 1);
}

#[test]
fn spans_are_told_in_seconds_or_minutes() {
    for (seconds, expected) in [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "120 min"),
    ] {
        assert_eq!(span(Duration::from_secs(seconds)), expected);
    }
}
