//! Tables in Markdown, and how figures are written in them.

use std::fmt;
use std::time::Duration;

use super::quantiles::Summary;

/// A table with a head; every row has as many cells as the head.
#[derive(Clone, Debug)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; what is missing is left empty, what is too much is not shown.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, &self.head)?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String]) -> fmt::Result {
    writeln!(f, "| {} |", cells.join(" | "))
}

/// p50, p99 and the longest, in milliseconds; dashes when nothing was measured.
pub(super) fn cells(summary: Option<Summary>) -> [String; 3] {
    match summary {
        Some(Summary { p50, p99, max }) => [p50, p99, max].map(millis),
        None => ["-"; 3].map(str::to_owned),
    }
}

/// Milliseconds with two digits after the point.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// Microseconds of processor time for each of so many operations; a dash for none.
pub(super) fn micros_each(time: Duration, count: usize) -> String {
    if count == 0 {
        return "-".to_owned();
    }
    format!("{:.0}", time.as_secs_f64() * 1e6 / float(count))
}

/// How many for each of so many operations, with two digits; a dash for none.
pub(super) fn each(total: u64, count: usize) -> String {
    if count == 0 {
        return "-".to_owned();
    }
    format!("{:.2}", float(total) / float(count))
}

/// How many a second.
pub(super) fn per_second(count: usize, took: Duration) -> String {
    format!("{:.0}", float(count) / took.as_secs_f64().max(1e-9))
}

/// MiB with one digit, of KiB.
pub(super) fn mebi(kibi: u64) -> String {
    format!("{:.1}", float(kibi) / 1024.0)
}

/// For figures that people read: counts here are far below 2^53.
pub(super) fn float(count: impl TryInto<u64>) -> f64 {
    let count = count.try_into().unwrap_or(u64::MAX);
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a run are far below 2^53"
    )]
    let float = count as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_as_many_cells_in_every_row() {
        let mut table = Table::new(&["what", "value"]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["b".to_owned()]);
        assert_eq!(
            table.to_string(),
            "| what | value |\n|---|---|\n| a | 1 |\n| b |  |\n"
        );
    }

    #[test]
    fn figures_have_fixed_digits() {
        assert_eq!(millis(Duration::from_micros(12_345)), "12.35");
        assert_eq!(micros_each(Duration::from_millis(3), 2), "1500");
        assert_eq!(each(7, 2), "3.50");
        assert_eq!(per_second(500, Duration::from_millis(250)), "2000");
        assert_eq!(mebi(1536), "1.5");
    }

    #[test]
    fn a_rate_of_nothing_is_a_dash_and_no_division_by_zero() {
        assert_eq!(each(7, 0), "-");
        assert_eq!(micros_each(Duration::from_secs(1), 0), "-");
        assert_eq!(cells(None), ["-", "-", "-"]);
    }
}
