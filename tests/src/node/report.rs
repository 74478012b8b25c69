//! What is printed: each case with its time and what was observed in it, and the numbers at the end.
//!
//! One line per fact. What a case does stands elsewhere.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;

/// The report.
pub(super) struct Report {
    start: Instant,
    passed: AtomicUsize,
    failed: AtomicUsize,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            passed: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }
}

impl Report {
    /// Runs a case and notes how it ended. A case that fails does not keep the next from running.
    pub(super) async fn case(&self, name: &str, case: impl Future<Output = Result<()>>) {
        let began = Instant::now();
        let outcome = case.await;
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                self.passed.fetch_add(1, Ordering::Relaxed);
                self.line(&format!("ok     {name} ({took:.1} s)"));
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.line(&format!("FAILED {name} ({took:.1} s): {error:#}"));
            }
        }
    }

    /// Says what was observed.
    pub(super) fn saw(&self, what: &str) {
        self.line(&format!("         {what}"));
    }

    /// Ends with the numbers; whether there was a case and all passed.
    pub(super) fn end(&self) -> bool {
        let numbers = [&self.passed, &self.failed].map(|number| number.load(Ordering::Relaxed));
        let [passed, failed] = numbers;
        self.line(&format!("{passed} passed, {failed} failed"));
        failed == 0 && passed > 0
    }

    fn line(&self, text: &str) {
        let at = self.start.elapsed().as_secs();
        let is_end = text.ends_with(" failed") && !text.contains(':');
        let line = match is_end {
            true => format!("{text}\n"),
            false => format!("{at:>4} s  {text}\n"),
        };
        // Nobody may be reading any more.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}
