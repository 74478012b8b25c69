//! What of the memory outlives the process, without clocks: ages and what is left of each life.

use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::issued::{Span, Term};
use coffer_provider_core::response::Response;
use coffer_provider_core::target::Target;
use secrecy::SecretString;

use super::entry::{Entry, Hold};
use super::{Kept, KeptKey, MAX_ENTRIES, Past};
use crate::vault::session::{Proof, SessionKey, Sessions, StoreToken, TokenLife};

/// All that a restart must not lose.
#[derive(Default)]
pub struct Snapshot {
    /// What pods are given.
    pub entries: Vec<Stored>,
    /// Leases that newer ones replaced.
    pub past: Vec<StoredPast>,
    /// The tokens that both hang on.
    pub tokens: Vec<StoredToken>,
}

/// A lease that a newer one replaced, and that its pod may still run on.
pub struct StoredPast {
    /// UID of the pod.
    pub pod: String,
    /// The lease; none for a token that an answer brought.
    pub lease: Option<String>,
    /// How long ago it was issued.
    pub age: Duration,
    /// How long it goes on; none when it lasts as long as its token.
    pub left: Option<Duration>,
    /// Where in the list of tokens the one stands that it hangs on.
    pub token: usize,
}

/// Something that was issued, with what is left of its life.
pub struct Stored {
    /// For whom, and what.
    pub key: KeptKey,
    /// Who may use the login that it was issued to.
    pub proof: Proof,
    /// The answer.
    pub response: Arc<Response>,
    /// How long ago its present life began.
    pub age: Duration,
    /// How long it goes on; none when it lasts as long as the pod.
    pub left: Option<Duration>,
    /// The life that it was issued with.
    pub full: Duration,
    /// Whether the store may renew it.
    pub renewable: bool,
    /// Where in the list of tokens the one stands that it hangs on; none if it hangs on none.
    pub token: Option<usize>,
}

/// A token on which stored leases hang. No Debug: it is secret.
pub struct StoredToken {
    /// The store that knows it.
    pub target: Target,
    /// The token itself.
    pub secret: SecretString,
    /// How long ago its present life began.
    pub age: Duration,
    /// How long it goes on.
    pub left: Duration,
    /// The life that it was issued with.
    pub full: Duration,
    /// Whether the store may renew it.
    pub renewable: bool,
}

impl Kept {
    /// Waits for a change that a restart must not lose.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Everything that a restart must not lose. What hangs on a token of the operator is left out: that is
    /// not ours to write down; and so is what hangs on one whose uses would have to be counted on.
    #[must_use]
    pub fn store(&self) -> Snapshot {
        let now = self.now();
        let entries = self.lock();
        let mut held: Vec<Arc<StoreToken>> = Vec::new();
        let mut stored = Vec::with_capacity(entries.by_key.len());
        for (key, entry) in &entries.by_key {
            let limited = |hold: &Arc<Hold>| hold.token.is_limited();
            if entry.proof == Proof::Given
                || entry.has_ended(now, self.start)
                || entry.hold.as_ref().is_some_and(limited)
            {
                continue;
            }
            let token = entry.hold.as_ref().map(|hold| index_of(&mut held, hold));
            let span = entry.term.span();
            stored.push(Stored {
                key: key.clone(),
                proof: entry.proof.clone(),
                response: Arc::clone(&entry.response),
                age: now.saturating_sub(span.began),
                left: span.ends.map(|ends| ends.saturating_sub(now)),
                full: span.full,
                renewable: span.renewable,
                token,
            });
        }
        let past = entries.past.iter();
        let past = past.filter(|past| past.hold.token.life().is_some());
        let past = past.map(|past| StoredPast {
            pod: past.pod.clone(),
            lease: past.lease.clone(),
            age: now.saturating_sub(past.made),
            left: past.ends.map(|ends| ends.saturating_sub(now)),
            token: index_of(&mut held, &past.hold),
        });
        let past = past.collect();
        drop(entries);
        let at = self.chance.instant();
        let tokens = held.iter().map(|token| {
            let life = token.life();
            StoredToken {
                target: token.target().clone(),
                secret: token.secret().clone(),
                age: life.map_or(Duration::ZERO, |life| {
                    at.saturating_duration_since(life.began)
                }),
                left: life.map_or(Duration::ZERO, |life| {
                    life.ends.saturating_duration_since(at)
                }),
                full: life.map_or(Duration::ZERO, |life| life.full),
                renewable: life.is_some_and(|life| life.renewable),
            }
        });
        Snapshot {
            entries: stored,
            past,
            tokens: tokens.collect(),
        }
    }

    /// Takes over what another process kept, but for what has ended; what was issued again meanwhile is
    /// held until it ends, because its pod may run on it. How much it took over.
    pub async fn restore(&self, snapshot: Snapshot, sessions: &Arc<Sessions>) -> usize {
        let tokens: Vec<_> = snapshot
            .tokens
            .into_iter()
            .map(|token| (!token.left.is_zero()).then(|| Arc::new(self.resume(token))))
            .collect();
        let (mut count, mut logins) = (0, Vec::new());
        for one in snapshot.past {
            if let Some(Some(token)) = tokens.get(one.token) {
                self.put_back_past(one, Arc::clone(token));
            }
        }
        for one in snapshot.entries {
            let token = match one.token {
                None => None,
                Some(at) => match tokens.get(at) {
                    Some(Some(token)) if *token.target() == one.key.identity.target => {
                        Some(Arc::clone(token))
                    }
                    // The lease ended with its token.
                    _ => continue,
                },
            };
            let session = SessionKey {
                identity: Arc::clone(&one.key.identity),
                proof: one.proof.clone(),
            };
            let hold = token.map(|token| {
                let known = |(_, other): &(SessionKey, Arc<StoreToken>)| other.is_same(&token);
                if !logins.iter().any(known) {
                    logins.push((session, Arc::clone(&token)));
                }
                Arc::new(Hold::new(token, &self.changed))
            });
            count += usize::from(self.put_back(one, hold));
        }
        let is_login = |token: &StoreToken| logins.iter().any(|(_, other)| other.is_same(token));
        for token in tokens.into_iter().flatten() {
            if !is_login(&token) {
                sessions.restore_retired(token);
            }
        }
        for (session, token) in logins {
            sessions.restore(&session, token).await;
        }
        count
    }

    fn put_back_past(&self, past: StoredPast, token: Arc<StoreToken>) {
        let now = self.now();
        let mut entries = self.lock();
        if past.left.is_none_or(|left| !left.is_zero()) && entries.past.len() < MAX_ENTRIES {
            entries.past.push(Past {
                pod: past.pod,
                lease: past.lease,
                hold: Arc::new(Hold::new(token, &self.changed)),
                made: now.saturating_sub(past.age),
                ends: past.left.map(|left| now + left),
            });
        }
    }

    fn put_back(&self, stored: Stored, hold: Option<Arc<Hold>>) -> bool {
        let now = self.now();
        let span = Span {
            began: now.saturating_sub(stored.age),
            ends: stored.left.map(|left| now + left),
            full: stored.full,
            renewable: stored.renewable,
        };
        let mut entries = self.lock();
        let entry = Entry {
            number: entries.count + 1,
            proof: stored.proof,
            response: stored.response,
            hold,
            term: Term::resumed(span, self.chance.random()),
            made: span.began,
            used: now,
            // A Mount of the process before was given it.
            shared: true,
        };
        if entry.has_ended(now, self.start) {
            return false;
        }
        if entries.by_key.len() >= MAX_ENTRIES || entries.by_key.contains_key(&stored.key) {
            entries.outlive(stored.key.pod, entry);
            return false;
        }
        entries.count += 1;
        entries.by_key.insert(stored.key, entry);
        true
    }

    fn resume(&self, token: StoredToken) -> StoreToken {
        let at = self.chance.instant();
        let life = TokenLife {
            began: at.checked_sub(token.age).unwrap_or(at),
            ends: at + token.left,
            full: token.full,
            renewable: token.renewable,
        };
        StoreToken::resumed(token.target, token.secret, life)
    }
}

/// Where a token stands in the list, to which it is added if it is not there.
fn index_of(held: &mut Vec<Arc<StoreToken>>, hold: &Hold) -> usize {
    let known = held.iter().position(|token| token.is_same(&hold.token));
    known.unwrap_or_else(|| {
        held.push(Arc::clone(&hold.token));
        held.len() - 1
    })
}
