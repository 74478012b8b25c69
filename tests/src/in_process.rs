//! The provider inside of a test's or a benchmark's process, with a clock that only they move.
//!
//! For what takes minutes or hours of a pod's life: refresh intervals, leases, logins. Connections and
//! their time-outs run in real time. What is served over a socket is tested with the real binary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use coffer_proto::v1alpha1::MountRequest;
use coffer_provider::config::{Config, Sources};
use coffer_provider::dns::Nameservers;
use coffer_provider::metrics::{BuildInfo, Metrics};
use coffer_provider::mounter::Mounted;
use coffer_provider::ports::Chance;
use coffer_provider::run::{Parts, build};
use coffer_provider::server::Mounts;
use coffer_provider_core::fault::MountFault;
use coffer_provider_core::params::{ParsedAttributes, Wire};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A Mount's own budget, in real time.
const BUDGET: Duration = Duration::from_secs(30);

/// Time that passes when the test says so, and luck that repeats.
pub struct Clock {
    start: (Instant, Timestamp),
    passed_ms: AtomicU64,
    drawn: AtomicU64,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Arc<Self> {
        Arc::new(Self {
            start: (Instant::now(), Timestamp::now()),
            passed_ms: AtomicU64::new(0),
            drawn: AtomicU64::new(0),
        })
    }

    /// How much time has passed.
    #[must_use]
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::Relaxed))
    }

    /// Moves to a time after the start; never back.
    pub fn move_to(&self, passed: Duration) {
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.passed_ms.fetch_max(passed, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.move_to(self.passed() + by);
    }
}

impl Chance for Clock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.passed()).unwrap_or(SignedDuration::MAX);
        self.start
            .1
            .saturating_add(passed)
            .unwrap_or(Timestamp::MAX)
    }

    fn instant(&self) -> Instant {
        self.start.0 + self.passed()
    }

    fn random(&self) -> f64 {
        // Multiples of the golden ratio fill the unit interval evenly, in the same order at every run.
        let drawn = u32::try_from(self.drawn.fetch_add(1, Ordering::Relaxed) % (1 << 20));
        (f64::from(drawn.unwrap_or(0)) * 0.618_033_988_749_895).fract()
    }
}

/// A provider without a socket.
pub struct InProcess {
    /// Its parts, for what the background does.
    pub parts: Parts,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its clock.
    pub clock: Arc<Clock>,
}

impl InProcess {
    /// Builds it from options by their names, without an API server, and fetches the token keys.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub async fn start(options: &[(&str, &str)]) -> Result<Self> {
        Self::asking(Nameservers::System, options).await
    }

    /// The same with SRV records of nameservers that the machine does not know.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn asking(nameservers: Nameservers, options: &[(&str, &str)]) -> Result<Self> {
        let flags = [("kubeconfig", "off")]
            .iter()
            .chain(options)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>();
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        let told = |problems: Vec<_>| anyhow!("{problems:?}");
        let mut config = Config::read(&sources).map_err(told)?;
        config.http_rules.nameservers = nameservers;
        let metrics = Arc::new(Metrics::new(
            BuildInfo::default(),
            config.http_rules.own.len(),
        ));
        let clock = Clock::start();
        let chance = Arc::clone(&clock) as Arc<dyn Chance>;
        let parts = build(&config, None, chance, &metrics).map_err(told)?;
        parts.prover.fetch_soon();
        parts.keys.settle().await;
        Ok(Self {
            parts,
            metrics,
            clock,
        })
    }

    /// Plays a request of the driver.
    ///
    /// # Errors
    /// As the driver would get it.
    pub async fn mount(&self, request: &MountRequest) -> Result<Mounted, MountFault> {
        let wire = Wire {
            attributes: &ParsedAttributes::new(&request.attributes),
            secrets: &request.secrets,
            target_path: &request.target_path,
            permission: &request.permission,
        };
        let spec = self.parts.mounter.read(wire)?;
        let deadline = Instant::now() + BUDGET;
        self.parts.mounter.mount(&spec, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_until_it_is_moved_and_never_goes_back() {
        let clock = Clock::start();
        let (wall, steady) = (clock.now(), clock.instant());
        assert_eq!((clock.now(), clock.instant()), (wall, steady));
        clock.move_to(Duration::from_secs(60));
        clock.move_to(Duration::from_secs(10));
        assert_eq!(clock.instant() - steady, Duration::from_secs(60));
        assert_eq!(clock.now().duration_since(wall).as_secs(), 60);
    }

    #[test]
    fn luck_is_spread_evenly_and_repeats() {
        let draw = || -> Vec<f64> {
            let clock = Clock::start();
            (0..100).map(|_| clock.random()).collect()
        };
        let drawn = draw();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)));
        let low = drawn.iter().filter(|x| **x < 0.5).count();
        assert!((45..=55).contains(&low), "{low} of 100 below a half");
        assert!(drawn.iter().zip(draw()).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
