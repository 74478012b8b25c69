//! SRV records, and which of several is taken.
//!
//! Pure: luck is passed in. Who asks for records, and how long they are believed, is decided elsewhere.

/// One record: where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// The lowest one counts.
    pub priority: u16,
    /// Among equals: how often it is taken, in proportion to the others.
    pub weight: u16,
    /// TCP port.
    pub port: u16,
    /// Host name, usually with a dot at its end.
    pub host: String,
}

impl SrvRecord {
    /// The record for one request: of those with the lowest priority one by its weight, as the peers get it
    /// from Go's `net.LookupSRV`. `random` is a number from 0 up to 1.
    #[must_use]
    pub fn choose(records: &[Self], random: f64) -> Option<&Self> {
        let lowest = records.iter().map(|record| record.priority).min()?;
        let best: Vec<&Self> = records
            .iter()
            .filter(|record| record.priority == lowest)
            .collect();
        let sum: f64 = best.iter().map(|record| f64::from(record.weight)).sum();
        let mut left = random * sum;
        let drawn = best.iter().find(|record| {
            left -= f64::from(record.weight);
            left < 0.0
        });
        // Where none has a weight, the first: servers turn the order themselves.
        drawn.or_else(|| best.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::SrvRecord;

    fn chosen(records: &[(u16, u16, &str)], random: f64) -> Option<String> {
        let records: Vec<SrvRecord> = records
            .iter()
            .map(|(priority, weight, host)| SrvRecord {
                priority: *priority,
                weight: *weight,
                port: 8200,
                host: (*host).to_owned(),
            })
            .collect();
        SrvRecord::choose(&records, random).map(|record| record.host.clone())
    }

    #[test]
    fn the_lowest_priority_counts_and_weights_decide_among_equals() {
        let none: &[(u16, u16, &str)] = &[];
        let weighted = [(1, 1, "a"), (2, 9, "late"), (1, 0, "never"), (1, 3, "b")];
        let unweighted = [(5, 0, "a"), (5, 0, "b")];
        for (records, random, expected) in [
            (none, 0.0, None),
            (&[(9, 0, "only")], 0.9, Some("only")),
            (&[(2, 9, "late"), (1, 0, "first")], 0.9, Some("first")),
            (&weighted, 0.0, Some("a")),
            (&weighted, 0.24, Some("a")),
            (&weighted, 0.25, Some("b")),
            (&weighted, 0.999, Some("b")),
            (&unweighted, 0.0, Some("a")),
            (&unweighted, 0.999, Some("a")),
        ] {
            assert_eq!(
                chosen(records, random).as_deref(),
                expected,
                "{records:?} {random}"
            );
        }
    }
}
