//! The memory on a clock that tests move, with a keeper that answers as told.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::auth::Identity;
use coffer_provider_core::issued::Renewal;
use coffer_provider_core::request::{Method, Request};
use coffer_provider_core::response::{Head, Response};
use coffer_provider_core::target::Layer;
use secrecy::SecretString;
use tokio::time::Instant;

use super::{Kept, KeptKey, LeaseKeeper};
use crate::metrics::{BuildInfo, Metrics};
use crate::ports::Still;
use crate::vault::session::{Proof, StoreToken, TokenLife};

/// Answers renewals in turn, the last answer for ever, and notes what it was asked.
pub(crate) struct Keeper {
    answers: Mutex<VecDeque<Renewal>>,
    pub(crate) renewed: Mutex<Vec<String>>,
    pub(crate) revoked: Mutex<Vec<String>>,
}

impl Keeper {
    pub(crate) fn new(answers: &[Renewal]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().copied().collect()),
            renewed: Mutex::default(),
            revoked: Mutex::default(),
        })
    }

    fn renewals(&self) -> usize {
        self.renewed.lock().unwrap().len()
    }
}

#[async_trait]
impl LeaseKeeper for Arc<Keeper> {
    async fn renew(&self, _: &StoreToken, lease: &str) -> Renewal {
        self.renewed.lock().unwrap().push(lease.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let last = answers.len() == 1;
        let answer = if last {
            answers.front().copied()
        } else {
            answers.pop_front()
        };
        answer.unwrap_or(Renewal::Refused)
    }

    fn revoke(&self, _: Arc<StoreToken>, lease: String) {
        self.revoked.lock().unwrap().push(lease);
    }
}

pub(crate) fn kept() -> Kept {
    let metrics = Metrics::new(BuildInfo::default(), 1);
    Kept::new(Arc::new(Still), Arc::new(metrics))
}

pub(crate) fn key(pod: &str) -> KeptKey {
    let target = Layer::resolve(&[&Layer {
        address: "http://store:8200".to_owned(),
        ..Layer::default()
    }]);
    KeptKey {
        pod: pod.to_owned(),
        identity: Arc::new(Identity {
            target: target.unwrap(),
            auth_mount: "kubernetes".to_owned(),
            role: "app".to_owned(),
            audience: None,
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
        }),
        request: Arc::new(Request {
            method: Method::Get,
            path: "database/creds/app".to_owned(),
            query: Vec::new(),
            body: None,
        }),
    }
}

pub(crate) fn response(lease: &str, seconds: u64) -> Arc<Response> {
    let head = Head {
        status: 200,
        content_type: "application/json",
    };
    let body = format!(
        r#"{{"lease_id":"{lease}","lease_duration":{seconds},"renewable":true,"data":{{"k":"made-up {lease}"}}}}"#
    );
    Arc::new(Response::read(head, body.as_bytes()).unwrap_or_else(|fault| panic!("{fault}")))
}

pub(crate) fn token(seconds: u64, renewable: bool) -> Arc<StoreToken> {
    let began = Instant::now();
    let full = Duration::from_secs(seconds);
    let life = TokenLife {
        began,
        ends: began + full,
        full,
        renewable,
    };
    let target = key("").identity.target.clone();
    Arc::new(StoreToken::resumed(target, SecretString::from("t"), life))
}

/// Keeps a lease of so many seconds for a pod, on a token that outlives it.
pub(crate) fn lease(kept: &Kept, pod: &str, seconds: u64) {
    put(kept, pod, seconds, &token(1 << 30, true));
}

fn put(kept: &Kept, pod: &str, seconds: u64, token: &Arc<StoreToken>) {
    let life = Duration::from_secs(seconds * 2 / 3);
    kept.put(
        key(pod),
        Proof::Proven,
        response(&format!("lease/{pod}"), seconds),
        Arc::clone(token),
        Some(life),
    );
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

const GRANT: Renewal = Renewal::Granted(Duration::from_secs(90));

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_hours_although_nobody_asks_for_it() {
    let (kept, keeper) = (kept(), Keeper::new(&[GRANT]));
    lease(&kept, "a", 90);
    let first = kept.get(&key("a")).unwrap().response;
    for second in 0..3 * 3600 {
        pass(1).await;
        kept.tick(&keeper).await;
        kept.sweep();
        assert!(kept.get(&key("a")).is_some(), "second {second}");
    }
    assert!(Arc::ptr_eq(&first, &kept.get(&key("a")).unwrap().response));
    assert_eq!(keeper.renewals(), 3 * 3600 / 60);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_is_to_be_issued_anew_and_asked_for_no_more() {
    for refusal in [
        Renewal::Refused,
        Renewal::Granted(Duration::ZERO),
        Renewal::Granted(Duration::from_secs(20)),
    ] {
        let (kept, keeper) = (kept(), Keeper::new(&[refusal]));
        lease(&kept, "a", 90);
        pass(60).await;
        kept.tick(&keeper).await;
        pass(14).await;
        kept.tick(&keeper).await;
        assert!(kept.get(&key("a")).is_none(), "{refusal:?}");
        assert!(kept.until_end(&key("a")).is_some(), "{refusal:?}");
        assert_eq!(keeper.renewals(), 1, "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_after_growing_pauses_and_never_floods() {
    let (kept, keeper) = (kept(), Keeper::new(&[Renewal::Failed]));
    lease(&kept, "a", 3600);
    pass(2400).await;
    let mut at = Vec::new();
    for second in 0..1100 {
        let before = keeper.renewals();
        kept.tick(&keeper).await;
        if keeper.renewals() > before {
            at.push(second);
        }
        assert!(kept.get(&key("a")).is_some(), "second {second}");
        pass(1).await;
    }
    assert_eq!(at[..7], [0, 5, 15, 35, 75, 155, 315]);
    assert!(at.len() < 20, "{at:?}");
    let last = at.last().copied();
    assert!(last > Some(1000), "it is tried until near the end: {at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_asked_for_few_of_its_leases() {
    let (kept, keeper) = (kept(), Keeper::new(&[Renewal::Failed]));
    for pod in 0..500 {
        lease(&kept, &pod.to_string(), 90);
    }
    pass(60).await;
    kept.tick(&keeper).await;
    assert!(keeper.renewals() <= 8, "{}", keeper.renewals());
}

#[tokio::test(start_paused = true)]
async fn a_failed_new_issue_lets_the_old_one_answer_until_its_end() {
    let (kept, keeper) = (kept(), Keeper::new(&[Renewal::Refused]));
    lease(&kept, "a", 90);
    pass(60).await;
    kept.tick(&keeper).await;
    assert!(kept.get(&key("a")).is_none(), "it is due");
    assert!(kept.until_end(&key("a")).is_some());
    assert!(kept.get(&key("a")).is_some(), "it rests after the failure");
    pass(5).await;
    assert!(kept.get(&key("a")).is_none(), "it is tried again");
    pass(25).await;
    assert!(kept.until_end(&key("a")).is_none(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn what_hangs_on_a_token_that_nobody_can_renew_is_due_with_it() {
    let kept = kept();
    put(&kept, "a", 3600, &token(90, false));
    pass(59).await;
    assert!(kept.get(&key("a")).is_some());
    pass(1).await;
    assert!(kept.get(&key("a")).is_none());
    assert!(kept.until_end(&key("a")).is_some());
    pass(30).await;
    assert!(kept.until_end(&key("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_lease_that_a_new_one_replaced_holds_its_token_until_it_ends() {
    let kept = kept();
    let old = token(3600, true);
    put(&kept, "a", 90, &old);
    pass(60).await;
    lease(&kept, "a", 90);
    kept.sweep();
    assert!(!old.may_be_revoked(Instant::now()), "the pod may run on it");
    pass(30).await;
    kept.sweep();
    assert!(old.may_be_revoked(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn of_a_pod_that_is_gone_everything_goes_and_of_others_nothing() {
    let (kept, keeper) = (kept(), Keeper::new(&[GRANT]));
    lease(&kept, "a", 90);
    lease(&kept, "b", 90);
    pass(1).await;
    lease(&kept, "a", 91);
    let gone = HashSet::from(["a".to_owned()]);
    assert_eq!(kept.drop_pods(&gone, &keeper), 2, "the replaced one too");
    assert_eq!(*keeper.revoked.lock().unwrap(), ["lease/a", "lease/a"]);
    assert!(kept.get(&key("a")).is_none());
    assert!(kept.get(&key("b")).is_some());
    let pods = kept.pods();
    assert_eq!(pods.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn what_stands_for_an_unknown_uid_is_no_pod_to_watch() {
    let kept = kept();
    lease(&kept, "shop/web/data", 90);
    assert!(kept.pods().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_live_lease_goes_last_when_room_is_needed_and_is_counted() {
    let kept = kept();
    lease(&kept, "leased", 1 << 20);
    let plain = token(1 << 30, true);
    let any = key("");
    for pod in 0..super::MAX_ENTRIES {
        if pod == 1 {
            pass(1).await;
        }
        let pod = pod.to_string();
        kept.put(
            KeptKey { pod, ..any.clone() },
            Proof::Proven,
            response("", 0),
            Arc::clone(&plain),
            None,
        );
    }
    assert!(kept.get(&key("leased")).is_some());
    assert!(kept.get(&key("0")).is_none());
    let counted = kept.metrics.encode(false);
    let line = r#"coffer_cache_evictions_total{cache="memory"} 1"#;
    assert!(counted.contains(line), "{counted}");
}
