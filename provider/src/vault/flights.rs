//! Equal reads in flight are one. A flight runs to its end even if everybody who waits goes away.
//!
//! Nobody joins a flight that began more than a moment ago, so that a first mount always sees a read
//! that is about as young as itself. What is read is not decided here.

#[cfg(test)]
mod interleavings;

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::ops::DerefMut;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// The flight ended without an outcome, because its task panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// How a caller came by an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// It started the flight.
    Leader,
    /// It joined one.
    Passenger,
}

/// The flights of the process.
pub struct Flights<K, V, P = Tokio>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    P: Platform,
{
    table: Arc<P::Lock<Table<K, V>>>,
    tasks: TaskTracker,
    platform: P,
}

/// What flights stand on: a lock, a clock, tasks. [`Tokio`] serves; the tests of interleavings put a
/// scheduler under the same code.
pub trait Platform: Send + Sync + 'static {
    /// A lock that is held for moments.
    type Lock<T: Default + Send + 'static>: Default + Send + Sync;

    /// Waits for the lock, whatever became of its last holder.
    fn lock<T: Default + Send + 'static>(lock: &Self::Lock<T>) -> impl DerefMut<Target = T>;

    /// The clock that never jumps.
    fn now(&self) -> Instant;

    /// Runs `work` whether or not anybody waits for what is returned: its end, [`Lost`] after a panic.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Lost>>;
}

/// The runtime of the process and its clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Platform for Tokio {
    type Lock<T: Default + Send + 'static> = Mutex<T>;

    fn lock<T: Default + Send + 'static>(lock: &Self::Lock<T>) -> impl DerefMut<Target = T> {
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Lost>> {
        let task = tokio::spawn(work);
        async move { task.await.map_err(|_| Lost) }.boxed()
    }
}

type Outcome<V> = Shared<BoxFuture<'static, Result<V, Lost>>>;

struct Flight<V> {
    number: u64,
    began: Instant,
    outcome: Outcome<V>,
}

struct Table<K, V> {
    open: HashMap<K, Flight<V>>,
    /// How many flights there have been: the number of the next one.
    begun: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            begun: 0,
        }
    }
}

impl<K, V> Default for Flights<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::on(Tokio)
    }
}

impl<K, V, P> Flights<K, V, P>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    P: Platform,
{
    fn on(platform: P) -> Self {
        Self {
            table: Arc::default(),
            tasks: TaskTracker::new(),
            platform,
        }
    }

    /// Waits until all flights have ended. None may be started afterwards.
    pub async fn shut_down(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<K, V, P> Flights<K, V, P>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    P: Platform,
{
    /// Joins an equal flight that began up to `max_age` ago, or starts one with `start`. Zero is for those
    /// who must not see anything older than their question. The table is locked while `start` makes the
    /// future, so `start` itself must neither wait nor fly.
    ///
    /// # Errors
    /// [`Lost`] when the flight's task panicked.
    pub async fn fly<F>(
        &self,
        key: K,
        max_age: Duration,
        start: impl FnOnce() -> F,
    ) -> (Seat, Result<V, Lost>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (seat, outcome) = self.board(key, max_age, start);
        (seat, outcome.await)
    }

    fn board<F>(&self, key: K, max_age: Duration, start: impl FnOnce() -> F) -> (Seat, Outcome<V>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = P::lock(&self.table);
        // Read under the lock: whoever waited for it long would find old flights young.
        let now = self.platform.now();
        if let Some(flight) = table.open.get(&key)
            && now.duration_since(flight.began) <= max_age
        {
            return (Seat::Passenger, flight.outcome.clone());
        }
        let work = start();
        let number = table.begun;
        table.begun += 1;
        let landing = Landing::<K, V, P> {
            table: Arc::clone(&self.table),
            key: key.clone(),
            number,
        };
        let task = self.platform.spawn(self.tasks.track_future(async move {
            // Whatever way the task ends, nobody may join it afterwards.
            let _landing = landing;
            work.await
        }));
        let outcome = task.shared();
        let flight = Flight {
            number,
            began: now,
            outcome: outcome.clone(),
        };
        table.open.insert(key, flight);
        (Seat::Leader, outcome)
    }
}

struct Landing<K, V, P>
where
    K: Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
    P: Platform,
{
    table: Arc<P::Lock<Table<K, V>>>,
    key: K,
    number: u64,
}

impl<K, V, P> Drop for Landing<K, V, P>
where
    K: Eq + Hash + Send + 'static,
    V: Send + Sync + 'static,
    P: Platform,
{
    fn drop(&mut self) {
        let mut table = P::lock(&self.table);
        // A later flight may have taken the place.
        if table
            .open
            .get(&self.key)
            .is_some_and(|flight| flight.number == self.number)
        {
            table.open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

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
            flights.fly("k", SECOND, read),
            flights.fly("k", SECOND, read),
            flights.fly("other", SECOND, read)
        );
        assert_eq!(
            (a.0, b.0, c.0),
            (Seat::Leader, Seat::Passenger, Seat::Leader)
        );
        assert_eq!(a.1, b.1);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(
            flights.fly("k", SECOND, read).await.0,
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
            async move { flights.fly(1, SECOND, slow).await.0 }
        });
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(flights.fly(1, SECOND, slow).await.0, Seat::Leader);
        assert_eq!(first.await.unwrap(), Seat::Leader);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_says_how_old_a_read_it_will_join() {
        let flights = Flights::default();
        let slow = || async { tokio::time::sleep(Duration::from_secs(9)).await };
        let later = |seconds, max_age| {
            let flights = &flights;
            async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let max_age = Duration::from_secs(max_age);
                flights.fly(1, max_age, slow).await.0
            }
        };
        let seats = tokio::join!(later(0, 0), later(2, 3), later(3, 2), later(4, 0));
        assert_eq!(
            seats,
            (Seat::Leader, Seat::Passenger, Seat::Leader, Seat::Leader)
        );
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
        let waiting =
            tokio::time::timeout(Duration::from_millis(1), flights.fly(1, SECOND, work)).await;
        assert!(waiting.is_err());
        flights.shut_down().await;
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_panic_ends_one_flight_only() {
        let flights: Flights<i32, ()> = Flights::default();
        let lost = flights.fly(1, SECOND, || async { panic!("made up") }).await;
        assert_eq!(lost, (Seat::Leader, Err(Lost)));
        assert_eq!(
            flights.fly(1, SECOND, || async {}).await,
            (Seat::Leader, Ok(()))
        );
    }
}
