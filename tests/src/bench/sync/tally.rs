//! Counters of a `/metrics` page, added up by a label, and what they gained between two looks.
//!
//! Only what the scene counts is read; the rest of a page is skipped.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<String, u64>);

/// The labels of one series.
pub(super) struct Labels<'a>(&'a str);

impl Tally {
    /// Adds up the series of a counter by the key that its labels give; those without a key are left out.
    pub(super) fn read(
        page: &str,
        counter: &str,
        key: impl Fn(&Labels<'_>) -> Option<String>,
    ) -> Self {
        let mut counts = BTreeMap::new();
        for line in page.lines() {
            let Some((labels, value)) = series(line, counter) else {
                continue;
            };
            if let (Some(key), Some(value)) = (key(&labels), whole(value)) {
                *counts.entry(key).or_default() += value;
            }
        }
        Self(counts)
    }

    /// What came on top.
    pub(super) fn since(&self, before: &Self) -> Self {
        let gained = self.0.iter().map(|(key, count)| {
            let gained = count.saturating_sub(before.of(key));
            (key.clone(), gained)
        });
        Self(gained.filter(|(_, gained)| *gained > 0).collect())
    }

    pub(super) fn of(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

/// `patch 10000, update 90`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sum() == 0 {
            return f.write_str("none");
        }
        let counts = self.0.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counts
            .map(|(key, count)| format!("{key} {count}"))
            .collect();
        f.write_str(&counts.join(", "))
    }
}

impl Labels<'_> {
    /// The value of a label; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut pairs = self
            .0
            .split("\",")
            .filter_map(|pair| pair.split_once("=\""));
        let value = pairs.find(|(label, _)| *label == name);
        value.map_or("", |(_, value)| value.trim_end_matches('"'))
    }
}

fn series<'a>(line: &'a str, counter: &str) -> Option<(Labels<'a>, &'a str)> {
    let rest = line.strip_prefix(counter)?.strip_prefix('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    Some((Labels(labels), value))
}

/// Go writes large counts with an exponent.
fn whole(value: &str) -> Option<u64> {
    let value: f64 = value.trim().parse().ok()?;
    format!("{value:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE apiserver_request_total counter
apiserver_request_total{code=\"200\",dry_run=\"\",group=\"\",resource=\"secrets\",verb=\"APPLY\",version=\"v1\"} 1.25e+06
apiserver_request_total{code=\"201\",dry_run=\"\",group=\"\",resource=\"secrets\",verb=\"APPLY\",version=\"v1\"} 7
apiserver_request_total{code=\"200\",dry_run=\"\",group=\"\",resource=\"pods\",verb=\"LIST\",version=\"v1\"} 3
apiserver_request_total_of_others{verb=\"APPLY\"} 9
";

    fn secrets(page: &str) -> Tally {
        Tally::read(page, "apiserver_request_total", |labels| {
            let wanted = labels.get("resource") == "secrets";
            wanted.then(|| labels.get("verb").to_owned())
        })
    }

    #[test]
    fn series_with_one_key_are_added_up_and_others_left_out() {
        let tally = secrets(PAGE);
        assert_eq!((tally.of("APPLY"), tally.of("LIST")), (1_250_007, 0));
        assert_eq!(tally.sum(), 1_250_007);
    }

    #[test]
    fn a_label_is_found_wherever_it_stands_and_may_be_empty() {
        let labels = Labels("code=\"200\",dry_run=\"\",version=\"v1\"");
        for (name, value) in [
            ("code", "200"),
            ("dry_run", ""),
            ("version", "v1"),
            ("run", ""),
        ] {
            assert_eq!(labels.get(name), value, "{name}");
        }
    }

    #[test]
    fn what_gained_nothing_is_not_told() {
        let (before, after) = (secrets(""), secrets(PAGE));
        assert_eq!(after.since(&after).to_string(), "none");
        assert_eq!(after.since(&before).to_string(), "APPLY 1250007");
    }
}
