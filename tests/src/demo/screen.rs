//! What the demo says while it runs: numbered steps with the time since the start, details, tables.
//!
//! Colour only on a terminal, and not when `NO_COLOR` is set.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;

/// How many steps the demo has.
const STEPS: usize = 7;

/// The screen.
pub struct Screen {
    start: Instant,
    colour: bool,
    step: AtomicUsize,
}

impl Default for Screen {
    fn default() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            start: Instant::now(),
            colour,
            step: AtomicUsize::new(0),
        }
    }
}

impl Screen {
    /// Begins the next step.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn step(&self, title: &str) -> Result<()> {
        let step = self.step.fetch_add(1, Ordering::Relaxed) + 1;
        let title = self.paint("1", title);
        self.write(&format!("[{step}/{STEPS}] {} {title}\n", self.elapsed()))
    }

    /// A line below the step.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn detail(&self, text: &str) -> Result<()> {
        self.write(&format!("      {text}\n"))
    }

    /// A line below the step about a change.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn changed(&self, text: &str) -> Result<()> {
        self.detail(&self.paint("33", text))
    }

    /// Rows of equal length below the step; the first is their heading.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn table(&self, rows: &[Vec<String>]) -> Result<()> {
        let columns = rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for (number, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let line = cells.join("  ");
            let line = line.trim_end();
            if number == 0 {
                self.detail(&self.paint("2", line))?;
            } else {
                self.detail(line)?;
            }
        }
        Ok(())
    }

    /// The last line.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn end(&self, text: &str) -> Result<()> {
        let text = self.paint("32", text);
        self.write(&format!("      {} {text}\n", self.elapsed()))
    }

    fn elapsed(&self) -> String {
        format!("{:5.1} s", self.start.elapsed().as_secs_f64())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            return format!("\x1b[{code}m{text}\x1b[0m");
        }
        text.to_owned()
    }

    #[expect(clippy::unused_self, reason = "the screen is what is written to")]
    fn write(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}
