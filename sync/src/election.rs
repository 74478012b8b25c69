//! Who leads: one process at a time, by a Lease that it renews.
//!
//! Every write names the resourceVersion that it was decided on, so two never take the same Lease, and whoever
//! cannot renew stops leading before another may begin. What a leader does is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::answer::Answer;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Lease};
use crate::luck::luck;

/// A Lease that was not renewed for so long may be taken.
pub const DURATION: Duration = Duration::from_secs(15);
/// Whoever has not renewed for so long leads no more. Five seconds before the others may begin.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder is silent: take it.
    Take,
    /// Its holder lives.
    Wait,
}

/// `unchanged` is for how long we saw it as it is: clocks of other machines are not asked.
fn step(lease: &Lease, me: &str, unchanged: Duration) -> Step {
    if lease.holder == me {
        Step::Renew
    } else if lease.holder.is_empty() || unchanged >= lease.duration {
        Step::Take
    } else {
        Step::Wait
    }
}

/// One candidate.
pub struct Candidate {
    /// The API server.
    pub cluster: Arc<Cluster>,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are; unlike everybody else.
    pub me: String,
}

/// A Lease as it was seen, and since when it has been so.
struct Observed {
    version: String,
    since: Instant,
}

impl Candidate {
    /// Takes part until the token is cancelled, then gives the Lease back. `leading` tells whether we lead.
    pub async fn run(self, leading: watch::Sender<bool>, ended: CancellationToken) {
        let mut observed: Option<Observed> = None;
        let mut until: Option<Instant> = None;
        while !ended.is_cancelled() {
            let began = Instant::now();
            // While we lead, no hanging request may keep us from noticing that we do not any more.
            let limit = until.unwrap_or(began + DEADLINE).max(began);
            let tried = tokio::time::timeout_at(limit, self.attempt(&mut observed)).await;
            match tried {
                Ok(Ok(true)) => until = Some(began + DEADLINE),
                Ok(Ok(false)) => until = None,
                Ok(Err(answer)) => {
                    let (code, error) = (answer.code, answer.message);
                    tracing::warn!(code, error, "the Lease cannot be read or written");
                }
                Err(_) => tracing::warn!("the Lease cannot be read or written in time"),
            }
            until = until.filter(|until| Instant::now() < *until);
            let is_leading = until.is_some();
            if leading
                .send_if_modified(|before| std::mem::replace(before, is_leading) != is_leading)
            {
                tracing::info!(leading = is_leading, me = self.me, "leadership changed");
            }
            let pause = RETRY.mul_f64(luck().mul_add(0.2, 0.9));
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if until.is_some() {
            self.release().await;
        }
    }

    /// Whether we lead after it. Where somebody wrote meanwhile, perhaps we ourselves with an answer that was lost, it
    /// is looked at once more.
    async fn attempt(&self, observed: &mut Option<Observed>) -> Result<bool, Answer> {
        match self.once(observed).await {
            Err(answer) if answer.code == 409 => match self.once(observed).await {
                Err(answer) if answer.code == 409 => Ok(false),
                outcome => outcome,
            },
            outcome => outcome,
        }
    }

    async fn once(&self, observed: &mut Option<Observed>) -> Result<bool, Answer> {
        let (cluster, namespace, name) = (&self.cluster, &self.namespace, &self.name);
        let Some(lease) = cluster.lease(namespace, name).await? else {
            let fresh = Lease::fresh(&self.me, DURATION, Timestamp::now());
            cluster.create_lease(namespace, name, &fresh).await?;
            return Ok(true);
        };
        let since = match observed {
            Some(seen) if seen.version == lease.resource_version => seen.since,
            _ => Instant::now(),
        };
        *observed = Some(Observed {
            version: lease.resource_version.clone(),
            since,
        });
        let next = match step(&lease, &self.me, since.elapsed()) {
            Step::Wait => return Ok(false),
            Step::Renew => lease.renewed(Timestamp::now()),
            Step::Take => lease.taken(&self.me, DURATION, Timestamp::now()),
        };
        cluster.replace_lease(namespace, name, &next).await?;
        Ok(true)
    }

    /// The next leader need not wait.
    async fn release(&self) {
        let held = self.cluster.lease(&self.namespace, &self.name).await;
        if let Ok(Some(lease)) = held
            && lease.holder == self.me
        {
            let free = lease.released(Timestamp::now());
            let replaced = self
                .cluster
                .replace_lease(&self.namespace, &self.name, &free);
            if let Err(answer) = replaced.await {
                tracing::warn!(error = answer.message, "the Lease cannot be given back");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sync §12: 15 s, by the time that we saw pass.
    #[test]
    fn a_lease_is_taken_only_from_nobody_or_from_a_holder_who_is_silent() {
        let lease = |holder: &str| Lease::fresh(holder, DURATION, Timestamp::UNIX_EPOCH);
        for (holder, unchanged, expected) in [
            ("me", 0, Step::Renew),
            ("me", 100, Step::Renew),
            ("", 0, Step::Take),
            ("other", 0, Step::Wait),
            ("other", 14, Step::Wait),
            ("other", 15, Step::Take),
        ] {
            let found = step(&lease(holder), "me", Duration::from_secs(unchanged));
            assert_eq!(found, expected, "{holder} {unchanged}");
        }
    }
}
