//! Loads: so many mounts at a time until a count or an end, or so many a second whatever becomes of them.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use super::line::Line;
use super::machine::Usage;
use super::quantiles::{Quantiles, Summary};

/// Connections to one provider, and how many mounts are under way on each.
pub(super) struct Load {
    lines: Vec<Line>,
    at_a_time: usize,
}

/// What became of a load.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of those that succeeded.
    pub(super) times: Quantiles,
    pub(super) done: usize,
    pub(super) failed: usize,
    /// Of those that failed.
    pub(super) failed_times: Quantiles,
    pub(super) first_failure: Option<String>,
    pub(super) took: Duration,
    /// Processor time of this process meanwhile: generator and counting servers.
    pub(super) own_cpu: Duration,
}

impl Outcome {
    pub(super) fn summary(&self) -> Option<Summary> {
        self.times.summary()
    }

    /// For loads in which nothing may fail.
    pub(super) fn whole(self) -> Result<Self> {
        match &self.first_failure {
            Some(text) => Err(anyhow!(
                "{} of {} mounts failed, the first with {text}",
                self.failed,
                self.failed + self.done
            )),
            None => Ok(self),
        }
    }

    fn note(&mut self, started: Instant, mounted: Result<Duration>) {
        match mounted {
            Ok(time) => {
                self.done += 1;
                self.times.add(time);
            }
            Err(error) => {
                self.failed += 1;
                self.failed_times.add(started.elapsed());
                self.first_failure
                    .get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

impl Load {
    /// As the driver: one connection.
    pub(super) async fn one_line(socket: &Path, at_a_time: usize) -> Result<Self> {
        Self::open(socket, 1, at_a_time).await
    }

    pub(super) async fn open(socket: &Path, lines: usize, at_a_time: usize) -> Result<Self> {
        ensure!(lines > 0 && at_a_time > 0, "a load of nothing");
        let lines = future::try_join_all((0..lines).map(|_| Line::open(socket))).await?;
        Ok(Self { lines, at_a_time })
    }

    /// Sends the frames of 0 up to `count`.
    pub(super) async fn count(
        &self,
        count: usize,
        frame: impl Fn(usize) -> Bytes,
    ) -> Result<Outcome> {
        self.run(|number| (number < count).then(|| frame(number)))
            .await
    }

    /// Sends frames, numbered from 0, for a while.
    pub(super) async fn last(
        &self,
        long: Duration,
        frame: impl Fn(usize) -> Bytes,
    ) -> Result<Outcome> {
        let end = Instant::now() + long;
        self.run(|number| (Instant::now() < end).then(|| frame(number)))
            .await
    }

    async fn run(&self, next: impl Fn(usize) -> Option<Bytes>) -> Result<Outcome> {
        let (number, outcome) = (Cell::new(0), RefCell::new(Outcome::default()));
        let (started, own) = (Instant::now(), Usage::own()?);
        let worker = async |line: &Line| {
            while let Some(frame) = next(number.replace(number.get() + 1)) {
                let began = Instant::now();
                let mounted = line.mount(frame).await;
                outcome.borrow_mut().note(began, mounted);
            }
        };
        let places = self
            .lines
            .iter()
            .flat_map(|line| std::iter::repeat_n(line, self.at_a_time));
        future::join_all(places.map(worker)).await;
        finish(outcome, started, &own)
    }

    /// Sends one frame; whether it was mounted, and how long that or the refusal took.
    pub(super) async fn one(&self, frame: Bytes) -> (bool, Duration) {
        let began = Instant::now();
        let mounted = self.lines[0].mount(frame).await;
        (mounted.is_ok(), began.elapsed())
    }

    /// Sends so many frames a second for a while, whatever became of those before; waits for the last ones.
    pub(super) async fn paced(
        &self,
        a_second: u32,
        long: Duration,
        frame: impl Fn(usize) -> Bytes,
    ) -> Result<Outcome> {
        let outcome = RefCell::new(Outcome::default());
        let (started, own) = (Instant::now(), Usage::own()?);
        let ticks = tokio::time::interval(Duration::from_secs(1) / a_second.max(1));
        let numbers = stream::unfold((ticks, 0), async |(mut ticks, number)| {
            if started.elapsed() >= long {
                return None;
            }
            ticks.tick().await;
            Some((number, (ticks, number + 1)))
        });
        numbers
            .for_each_concurrent(None, |number| {
                let line = &self.lines[number % self.lines.len()];
                let (frame, outcome) = (frame(number), &outcome);
                async move {
                    let began = Instant::now();
                    let mounted = line.mount(frame).await;
                    outcome.borrow_mut().note(began, mounted);
                }
            })
            .await;
        finish(outcome, started, &own)
    }
}

fn finish(outcome: RefCell<Outcome>, started: Instant, own: &Usage) -> Result<Outcome> {
    Ok(Outcome {
        took: started.elapsed(),
        own_cpu: Usage::own()?.since(own),
        ..outcome.into_inner()
    })
}

#[cfg(test)]
mod tests;
