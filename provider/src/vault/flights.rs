//! Equal reads in flight are one. A flight runs to its end even if everybody who waits goes away.
//!
//! Nobody joins a flight that began more than a moment ago, so that a first mount always sees a read
//! that is about as young as itself. What is read is not decided here.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// The oldest flight that may still be joined.
const JOINABLE: Duration = Duration::from_secs(1);

/// The flight ended without an outcome, because its task panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

type Outcome<V> = Shared<BoxFuture<'static, Result<V, Lost>>>;

struct Flight<V> {
    began: Instant,
    outcome: Outcome<V>,
}

/// The flights of the process.
pub struct Flights<K, V> {
    open: Arc<Mutex<HashMap<K, Flight<V>>>>,
    tasks: TaskTracker,
}

/// How a caller came by an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// It started the flight.
    Leader,
    /// It joined one.
    Passenger,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins an equal flight, or starts one with `start`.
    ///
    /// # Errors
    /// [`Lost`] when the flight's task panicked.
    pub async fn fly<F>(&self, key: K, start: impl FnOnce() -> F) -> (Seat, Result<V, Lost>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (seat, outcome) = self.board(key, start);
        (seat, outcome.await)
    }

    fn board<F>(&self, key: K, start: impl FnOnce() -> F) -> (Seat, Outcome<V>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = open.get(&key)
            && now.duration_since(flight.began) <= JOINABLE
        {
            return (Seat::Passenger, flight.outcome.clone());
        }
        let work = start();
        let (flights, landing) = (Arc::clone(&self.open), key.clone());
        let task = self.tasks.spawn(async move {
            // Whatever way the task ends, nobody may join it afterwards.
            let _gone = Landing {
                flights,
                key: landing,
                began: now,
            };
            work.await
        });
        let outcome = async move { task.await.map_err(|_| Lost) }.boxed().shared();
        open.insert(
            key,
            Flight {
                began: now,
                outcome: outcome.clone(),
            },
        );
        (Seat::Leader, outcome)
    }

    /// Waits until all flights have ended. None may be started afterwards.
    pub async fn shut_down(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Landing<K: Eq + Hash, V> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
    began: Instant,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut open = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // A later flight may have taken the place.
        if open
            .get(&self.key)
            .is_some_and(|flight| flight.began == self.began)
        {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Flights, Lost, Seat};

    #[tokio::test(start_paused = true)]
    async fn equal_reads_in_flight_are_one() {
        let flights = Flights::default();
        let count = Arc::new(AtomicUsize::new(0));
        let read = || {
            let count = Arc::clone(&count);
            async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                count.fetch_add(1, Ordering::Relaxed)
            }
        };
        let (a, b, c) = tokio::join!(
            flights.fly("k", read),
            flights.fly("k", read),
            flights.fly("other", read)
        );
        assert_eq!(
            (a.0, b.0, c.0),
            (Seat::Leader, Seat::Passenger, Seat::Leader)
        );
        assert_eq!(a.1, b.1);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(
            flights.fly("k", read).await.0,
            Seat::Leader,
            "what has landed cannot be joined"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_began_long_ago_is_not_joined() {
        let flights = Arc::new(Flights::default());
        let slow = || async { tokio::time::sleep(Duration::from_secs(5)).await };
        let first = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.fly(1, slow).await.0 }
        });
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(flights.fly(1, slow).await.0, Seat::Leader);
        assert_eq!(first.await.unwrap(), Seat::Leader);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_ends_even_if_nobody_waits_any_more() {
        let flights = Flights::default();
        let done = Arc::new(AtomicUsize::new(0));
        let work = {
            let done = Arc::clone(&done);
            || async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let waiting = tokio::time::timeout(Duration::from_millis(1), flights.fly(1, work)).await;
        assert!(waiting.is_err());
        flights.shut_down().await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_panic_ends_one_flight_only() {
        let flights: Flights<i32, ()> = Flights::default();
        let lost = flights.fly(1, || async { panic!("made up") }).await;
        assert_eq!(lost, (Seat::Leader, Err(Lost)));
        assert_eq!(flights.fly(1, || async {}).await, (Seat::Leader, Ok(())));
    }
}
