//! The shipped [`Flights`] under thousands of interleavings: shuttle decides who goes on at each lock,
//! spawn and yield, and finds by itself when all wait for each other.
//!
//! Seeds are fixed, so that a red run is red again; `SHUTTLE_RANDOM_SEED` tries others. A run that
//! fails prints its schedule for `shuttle::replay`.

use std::collections::HashSet;
use std::future::Future;
use std::ops::DerefMut;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all, select};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use tokio::time::Instant;

use super::{Flights, Lost, Platform, Seat};

/// How old the flights are that most callers join.
const JOINABLE: Duration = Duration::from_secs(1);

/// Of each test under each scheduler: about a second in the dev profile. Wrong code fails within a few
/// hundred.
const RUNS: usize = 1000;

/// Shuttle's lock and tasks, and a clock that a task of the test moves. Reading it is no point at
/// which others go on, so what `start` reads is what the decision to start was made from.
#[derive(Clone)]
struct Scheduled {
    clock: Arc<Mutex<Instant>>,
}

impl Platform for Scheduled {
    type Lock<T: Default + Send + 'static> = shuttle::sync::Mutex<T>;

    fn lock<T: Default + Send + 'static>(lock: &Self::Lock<T>) -> impl DerefMut<Target = T> {
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        *self.clock.lock().unwrap()
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Lost>> {
        // A runtime catches what its tasks panic with; shuttle takes it for a failed test.
        let task = spawn(AssertUnwindSafe(work).catch_unwind());
        async move { task.await.unwrap().map_err(|_| Lost) }.boxed()
    }
}

/// What happens besides equal and different reads.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Callers go away before the end.
    impatient: bool,
    /// The first flight of each key panics.
    first_panics: bool,
    /// Time passes, and callers differ in how old a flight they join.
    time_passes: bool,
}

struct Trip {
    key: u8,
    began: Instant,
    done: bool,
    panics: bool,
}

/// All trips by number, and those of which an outcome was seen.
#[derive(Default)]
struct Logbook {
    trips: Vec<Trip>,
    landed: HashSet<usize>,
}

#[derive(Clone)]
struct World {
    weather: Weather,
    platform: Scheduled,
    flights: Arc<Flights<u8, usize, Scheduled>>,
    logbook: Arc<Mutex<Logbook>>,
}

impl World {
    fn new(weather: Weather) -> Self {
        let clock = Arc::new(Mutex::new(Instant::now()));
        let platform = Scheduled { clock };
        Self {
            weather,
            flights: Arc::new(Flights::on(platform.clone())),
            platform,
            logbook: Arc::default(),
        }
    }

    /// What a caller does when it is told to start: notes the trip, and flies it.
    fn start(
        &self,
        key: u8,
        max_age: Duration,
    ) -> (usize, impl Future<Output = usize> + Send + use<>) {
        let began = self.platform.now();
        let mut logbook = self.logbook.lock().unwrap();
        let latest = logbook.trips.iter().rfind(|trip| trip.key == key);
        assert!(
            latest.is_none_or(|trip| trip.done || began - trip.began > max_age),
            "an equal flight that could be joined is in the air"
        );
        let panics = self.weather.first_panics && latest.is_none();
        let number = logbook.trips.len();
        logbook.trips.push(Trip {
            key,
            began,
            done: false,
            panics,
        });
        let (logbook, length) = (Arc::clone(&self.logbook), thread_rng().gen_range(0..4));
        let trip = async move {
            yields(length).await;
            let before = std::mem::replace(&mut logbook.lock().unwrap().trips[number].done, true);
            assert!(!before, "a flight is flown once");
            if panics {
                // Without the hook, which prints.
                std::panic::resume_unwind(Box::new(()));
            }
            number
        };
        (number, trip)
    }

    async fn call(&self, key: u8, max_age: Duration) {
        let asked = self.platform.now();
        let landed_before = self.logbook.lock().unwrap().landed.clone();
        let mut own = None;
        let start = || {
            let (number, trip) = self.start(key, max_age);
            own = Some(number);
            trip
        };
        let (seat, outcome) = self.flights.fly(key, max_age, start).await;

        let mut logbook = self.logbook.lock().unwrap();
        let first_of_key = || logbook.trips.iter().position(|trip| trip.key == key);
        let number = outcome.unwrap_or_else(|Lost| first_of_key().unwrap());
        let trip = &logbook.trips[number];
        assert_eq!(trip.key, key, "different reads do not join");
        assert!(trip.done);
        assert_eq!(outcome.is_err(), trip.panics);
        assert_eq!(own.is_some(), seat == Seat::Leader);
        assert!(
            own.is_none_or(|own| own == number),
            "a leader flies its own"
        );
        assert!(
            !landed_before.contains(&number),
            "what has landed cannot be joined"
        );
        assert!(
            asked.duration_since(trip.began) <= max_age,
            "a flight was joined that is too old"
        );
        logbook.landed.insert(number);
    }

    /// One who asks twice, so that it can meet what came of its first question.
    async fn caller(self) {
        for _ in 0..2 {
            let key = thread_rng().gen_range(0..2);
            let max_age = if self.weather.time_passes {
                [Duration::ZERO, JOINABLE, 2 * JOINABLE][thread_rng().gen_range(0..3)]
            } else {
                JOINABLE
            };
            let call = pin!(self.call(key, max_age));
            if self.weather.impatient && thread_rng().gen_bool(0.5) {
                let patience = pin!(yields(thread_rng().gen_range(0..4)));
                select(call, patience).await;
            } else {
                call.await;
            }
        }
    }

    /// Moves the clock by steps of which two are more than a second.
    async fn time(self) {
        for _ in 0..if self.weather.time_passes { 4 } else { 0 } {
            yields(thread_rng().gen_range(1..4)).await;
            *self.platform.clock.lock().unwrap() += JOINABLE * 3 / 5;
        }
    }

    fn run(weather: Weather) {
        let world = Self::new(weather);
        let time = spawn(world.clone().time());
        let callers: Vec<_> = (0..3).map(|_| spawn(world.clone().caller())).collect();
        for ended in block_on(join_all(callers)) {
            ended.unwrap();
        }
        block_on(time).unwrap();
        block_on(world.flights.shut_down());
        let table = Scheduled::lock(&world.flights.table);
        assert!(table.open.is_empty(), "a landed flight stays in the table");
        let logbook = world.logbook.lock().unwrap();
        assert!(
            logbook.trips.iter().all(|trip| trip.done),
            "a flight runs to its end even if nobody waits"
        );
    }
}

async fn yields(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

fn check(weather: Weather) {
    under(RandomScheduler::new_from_seed(1, RUNS), weather);
    under(PctScheduler::new_from_seed(1, 3, RUNS), weather);
}

fn under(scheduler: impl Scheduler + 'static, weather: Weather) {
    let mut config = Config::new();
    // Frames of the dev profile are large.
    config.stack_size = 0x4_0000;
    Runner::new(scheduler, config).run(move || World::run(weather));
}

#[test]
fn equal_reads_in_flight_are_one_and_different_ones_do_not_join() {
    check(Weather::default());
}

#[test]
fn nobody_waits_for_a_caller_that_went_away() {
    check(Weather {
        impatient: true,
        ..Weather::default()
    });
}

#[test]
fn a_panic_is_told_to_all_on_board_and_the_next_read_starts_anew() {
    check(Weather {
        first_panics: true,
        ..Weather::default()
    });
}

#[test]
fn an_old_flight_is_not_joined_and_its_landing_spares_the_one_that_followed() {
    check(Weather {
        time_passes: true,
        ..Weather::default()
    });
}

#[test]
fn all_of_it_at_once() {
    check(Weather {
        impatient: true,
        first_panics: true,
        time_passes: true,
    });
}
