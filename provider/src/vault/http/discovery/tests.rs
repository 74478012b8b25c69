//! Lookups against a fake of DNS, by the paused clock of the runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::target::{Address, SrvRecord};
use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};

use super::{Discovery, MAX_NAMES};
use crate::ports::{SrvAnswer, SrvLookup, Still};

const LIMIT: Duration = Duration::from_secs(4);

/// What the runtime's timers may be off.
const SLACK: Duration = Duration::from_millis(10);

/// Gives the same answer to everybody.
struct Fake {
    answer: Result<SrvAnswer, String>,
    takes: Duration,
    asked: AtomicUsize,
}

impl Fake {
    fn new(answer: Result<SrvAnswer, String>, takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            answer,
            takes,
            asked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl SrvLookup for Fake {
    async fn lookup(&self, _: &str) -> Result<SrvAnswer, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        self.answer.clone()
    }
}

fn answer(host: &str, ttl: u64) -> Result<SrvAnswer, String> {
    let record = SrvRecord {
        priority: 1,
        weight: 1,
        port: 8200,
        host: host.to_owned(),
    };
    Ok(SrvAnswer {
        records: vec![record],
        ttl: Duration::from_secs(ttl),
    })
}

fn discovery(fake: &Arc<Fake>) -> Discovery {
    let dns = Arc::clone(fake) as Arc<dyn SrvLookup>;
    Discovery::new(dns, LIMIT, Arc::new(Still))
}

/// Where an address leads to, as text; empty where it leaves nothing open.
async fn located(discovery: &Discovery, address: &str) -> String {
    let address = Address::parse_by_srv(address).unwrap();
    let located = discovery.locate(&address).await;
    located.map_or_else(String::new, |address| address.to_string())
}

#[tokio::test(start_paused = true)]
async fn only_an_address_without_a_port_is_looked_up() {
    for (address, expected, asked) in [
        ("https://vault/a", "https://node:8200/a", 1),
        ("http://vault", "http://node:8200", 1),
        ("https://vault:443", "", 0),
        ("https://10.0.0.1", "", 0),
        ("unix:///s", "", 0),
    ] {
        let fake = Fake::new(answer("node.", 30), Duration::ZERO);
        let found = located(&discovery(&fake), address).await;
        assert_eq!(
            (found.as_str(), fake.asked()),
            (expected, asked),
            "{address}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_believed_for_its_life_within_bounds() {
    let nobody = || Ok(SrvAnswer::default());
    let long_empty = || {
        Ok(SrvAnswer {
            records: Vec::new(),
            ttl: Duration::from_secs(3600),
        })
    };
    for (row, answer, believed) in [
        ("as long as it says", answer("node.", 30), 30),
        ("not at all, it says", answer("node.", 0), 5),
        ("for a day, it says", answer("node.", 86_400), 60),
        ("that there is none", nobody(), 5),
        ("that there is none for long", long_empty(), 5),
        ("no answer", Err("broken".to_owned()), 5),
    ] {
        let fake = Fake::new(answer, Duration::ZERO);
        let discovery = discovery(&fake);
        for (after, asked) in [(0, 1), (believed - 1, 1), (1, 2)] {
            advance(Duration::from_secs(after)).await;
            located(&discovery, "https://vault").await;
            assert_eq!(fake.asked(), asked, "{row}: after another {after} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_record_the_host_itself_is_the_store() {
    for (row, answer) in [
        ("none", Ok(SrvAnswer::default())),
        ("a failure", Err("broken".to_owned())),
        ("no such service", answer(".", 30)),
        ("a host that is none", answer("a/b.", 30)),
    ] {
        let fake = Fake::new(answer, Duration::ZERO);
        let found = located(&discovery(&fake), "https://vault/a").await;
        assert_eq!(found, "https://vault:443/a", "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_does_not_answer_is_not_waited_for_longer_than_a_connection() {
    let fake = Fake::new(answer("node.", 30), Duration::from_secs(3600));
    let (discovery, began) = (discovery(&fake), Instant::now());
    assert_eq!(
        located(&discovery, "https://vault").await,
        "https://vault:443"
    );
    located(&discovery, "https://vault").await;
    assert!((LIMIT..LIMIT + SLACK).contains(&began.elapsed()));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_at_once_share_one_question_even_if_the_first_goes_away() {
    let fake = Fake::new(answer("node.", 30), Duration::from_secs(1));
    let discovery = discovery(&fake);
    let first = tokio::time::timeout(
        Duration::from_millis(10),
        located(&discovery, "https://vault"),
    );
    let others = join_all((0..20).map(|_| located(&discovery, "https://vault")));
    let (gone, found) = tokio::join!(first, others);
    assert!(gone.is_err());
    assert!(found.iter().all(|found| found == "https://node:8200"));
    assert_eq!(fake.asked(), 2, "once by the first, once for all others");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_remembered_names_is_bounded_and_the_oldest_goes_first() {
    let fake = Fake::new(answer("node.", 60), Duration::ZERO);
    let discovery = discovery(&fake);
    for at in 0..MAX_NAMES + 10 {
        located(&discovery, &format!("https://v{at}")).await;
        advance(Duration::from_millis(10)).await;
    }
    assert_eq!(discovery.names().len(), MAX_NAMES);
    let before = fake.asked();
    located(&discovery, &format!("https://v{}", MAX_NAMES + 9)).await;
    assert_eq!(fake.asked(), before, "the last one is remembered");
    located(&discovery, "https://v0").await;
    assert_eq!(fake.asked(), before + 1, "the first one is not");
}
