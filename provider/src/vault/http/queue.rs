//! Turns: how many requests are under way, in all and to one address, and until when an address asked to
//! be left alone.
//!
//! A request that waits holds no place that another could use. Three quarters of the places are for all,
//! so that a pod that starts finds room among refreshes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::target::Address;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Call, HttpLimits};
use crate::metrics::Metrics;
use crate::ports::Chance;

/// Longer than this an address is not left alone, whatever it asks for: it may have been a mistake.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a pause not everybody comes at once.
const SPREAD: Duration = Duration::from_millis(250);

/// What is left of a deadline when waiting ends, so that the caller still gets to read why.
const MARGIN: Duration = Duration::from_millis(200);

/// The most addresses that are remembered.
const MAX_LINES: usize = 256;

/// Who may send now.
pub(super) struct Queue {
    room: Room,
    per_address: usize,
    lines: Mutex<HashMap<Address, Arc<Line>>>,
    chance: Arc<dyn Chance>,
    metrics: Arc<Metrics>,
}

/// The right to have one request under way, until dropped.
pub(super) struct Place {
    _here: Held,
    _all: Held,
    _line: Arc<Line>,
}

struct Held {
    _place: OwnedSemaphorePermit,
    _refresh: Option<OwnedSemaphorePermit>,
}

struct Room {
    places: Arc<Semaphore>,
    refreshes: Arc<Semaphore>,
}

struct Line {
    room: Room,
    /// Locked for moments only.
    closed_until: Mutex<Option<Instant>>,
}

impl Queue {
    pub(super) fn new(limits: &HttpLimits, chance: Arc<dyn Chance>, metrics: Arc<Metrics>) -> Self {
        Self {
            room: Room::new(limits.in_flight),
            per_address: limits.in_flight_per_address,
            lines: Mutex::default(),
            chance,
            metrics,
        }
    }

    /// Waits for the turn of a request to this address.
    ///
    /// # Errors
    /// `store_busy` when the address wants to be left alone for longer than the call has; `busy` when
    /// there is no place before the call's deadline.
    pub(super) async fn enter(&self, address: &Address, call: Call) -> Result<Place, Fault> {
        let _queued = call.is_of_mount().then(|| self.metrics.mount_queued());
        let line = self.line(address);
        let until = call.deadline.checked_sub(MARGIN).unwrap_or(call.deadline);
        loop {
            self.wait_out(&line, address, until).await?;
            let entered = timeout_at(until, async {
                let here = line.room.enter(call.first).await;
                let all = self.room.enter(call.first).await;
                (here, all)
            });
            let Ok((here, all)) = entered.await else {
                return Err(overfull(address));
            };
            // The address may have asked for a pause while we waited for our place.
            if self.pause_of(&line).is_none() {
                return Ok(Place {
                    _here: here,
                    _all: all,
                    _line: line,
                });
            }
        }
    }

    /// Sends nothing to an address for so long, at most [`LONGEST_PAUSE`].
    pub(super) fn pause(&self, address: &Address, wait: Duration) {
        let until = self.chance.instant() + wait.min(LONGEST_PAUSE);
        let line = self.line(address);
        let mut closed = line.lock();
        *closed = (*closed).max(Some(until));
    }

    /// How long an address still wants to be left alone.
    pub(super) fn paused(&self, address: &Address) -> Option<Duration> {
        let line = self.lines().get(address).map(Arc::clone)?;
        let until = self.pause_of(&line)?;
        Some(until - self.chance.instant())
    }

    async fn wait_out(&self, line: &Line, address: &Address, until: Instant) -> Result<(), Fault> {
        while let Some(end) = self.pause_of(line) {
            let left = end.saturating_duration_since(self.chance.instant());
            if Instant::now() + left >= until {
                return Err(closed(address, left));
            }
            sleep(left + SPREAD.mul_f64(self.chance.random())).await;
        }
        Ok(())
    }

    fn pause_of(&self, line: &Line) -> Option<Instant> {
        let mut closed = line.lock();
        *closed = closed.filter(|until| *until > self.chance.instant());
        *closed
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, address: &Address) -> Arc<Line> {
        let mut lines = self.lines();
        if lines.len() >= MAX_LINES && !lines.contains_key(address) {
            // In use are at most as many as there are places; a pause that is about to end is no loss.
            let idle = lines
                .iter()
                .filter(|(_, line)| Arc::strong_count(line) == 1);
            let least = idle.min_by_key(|(_, line)| self.pause_of(line));
            let least = least.map(|(address, _)| address.clone());
            least.map(|address| lines.remove(&address));
        }
        let line = lines.entry(address.clone()).or_insert_with(|| {
            Arc::new(Line {
                room: Room::new(self.per_address),
                closed_until: Mutex::default(),
            })
        });
        Arc::clone(line)
    }
}

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.closed_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            refreshes: Arc::new(Semaphore::new((places * 3 / 4).max(1))),
        }
    }

    async fn enter(&self, first: bool) -> Held {
        // In this order, so that a refresh that waits for the others takes no place from a first mount.
        let refresh = if first {
            None
        } else {
            Some(acquire(&self.refreshes).await)
        };
        Held {
            _refresh: refresh,
            _place: acquire(&self.places).await,
        }
    }
}

async fn acquire(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(places).acquire_owned().await {
        Ok(place) => place,
        // The semaphores are never closed.
        Err(_) => std::future::pending().await,
    }
}

fn overfull(address: &Address) -> Fault {
    Fault::new(
        Reason::Busy,
        format!(
            "our own queue for store {} did not come to this request in time",
            address.place()
        ),
        "see whether the store is slow, or raise --inflight and --inflight-per-address",
    )
}

fn closed(address: &Address, left: Duration) -> Fault {
    Fault::new(
        Reason::StoreBusy,
        format!(
            "store {} asked to be left alone for another {} s",
            address.place(),
            left.as_secs_f64().ceil()
        ),
        "raise the store's quota or lower refreshes",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use coffer_provider_core::fault::Reason;
    use coffer_provider_core::target::Address;
    use tokio::time::Instant;

    use super::{MAX_LINES, Queue};
    use crate::metrics::{BuildInfo, Metrics, StoreOp};
    use crate::ports::Machine;
    use crate::vault::http::{Call, HttpLimits};

    fn queue(in_flight: usize, in_flight_per_address: usize) -> Queue {
        let limits = HttpLimits {
            in_flight,
            in_flight_per_address,
            ..HttpLimits::default()
        };
        let build = BuildInfo::default();
        let metrics = Arc::new(Metrics::new(build, 1));
        Queue::new(&limits, Arc::new(Machine), metrics)
    }

    fn address(name: &str) -> Address {
        Address::parse(&format!("https://{name}")).unwrap()
    }

    fn call(first: bool) -> Call {
        Call {
            op: StoreOp::Read,
            deadline: Instant::now() + Duration::from_secs(10),
            first,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn first_mounts_find_room_among_refreshes() {
        for (in_flight, per_address) in [(8, 100), (100, 8)] {
            let queue = queue(in_flight, per_address);
            let (a, mut places) = (address("a"), Vec::new());
            for _ in 0..6 {
                places.push(queue.enter(&a, call(false)).await.unwrap());
            }
            let refused = queue.enter(&a, call(false)).await.err().unwrap();
            assert_eq!(refused.reason, Reason::Busy);
            for _ in 0..2 {
                places.push(queue.enter(&a, call(true)).await.unwrap());
            }
            assert!(queue.enter(&a, call(true)).await.is_err());
            places.truncate(6);
            assert!(queue.enter(&a, call(true)).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_takes_no_place_from_the_others() {
        let queue = queue(8, 4);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(queue.enter(&address("slow"), call(true)).await.unwrap());
        }
        let slow = address("slow");
        let waits = queue.enter(&slow, call(true));
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        for _ in 0..4 {
            places.push(queue.enter(&address("b"), call(true)).await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_ends_before_the_deadline_and_says_whose_it_is() {
        let queue = queue(1, 1);
        let _place = queue.enter(&address("a"), call(true)).await.unwrap();
        let call = call(true);
        let refused = queue.enter(&address("b"), call).await.err().unwrap();
        assert!(Instant::now() < call.deadline);
        assert!(refused.what.starts_with("our own queue for store b:443"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_waited_out_if_there_is_time_and_is_one_for_all() {
        let queue = queue(8, 8);
        let (a, began) = (address("a"), Instant::now());
        queue.pause(&a, Duration::from_secs(4));
        queue.pause(&a, Duration::from_secs(1));
        queue.enter(&address("b"), call(true)).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..3 {
            queue.enter(&a, call(true)).await.unwrap();
        }
        assert!((4000..4300).contains(&began.elapsed().as_millis()));
        assert_eq!(queue.paused(&a), None);

        let before = Instant::now();
        queue.pause(&a, Duration::from_secs(3600));
        let refused = queue.enter(&a, call(true)).await.err().unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(
            refused.to_string(),
            "store a:443 asked to be left alone for another 60 s: raise the store's quota or lower \
             refreshes [store_busy]"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_addresses_is_bounded() {
        let queue = queue(8, 8);
        queue.pause(&address("paused"), Duration::from_secs(50));
        let _place = queue.enter(&address("used"), call(true)).await.unwrap();
        for at in 0..2 * MAX_LINES {
            queue
                .enter(&address(&format!("h{at}")), call(true))
                .await
                .unwrap();
        }
        assert_eq!(queue.lines().len(), MAX_LINES);
        assert!(queue.paused(&address("paused")).is_some());
        assert!(queue.lines().contains_key(&address("used")));
    }
}
