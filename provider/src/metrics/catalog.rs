//! How one metric is declared: name, help, label names and the sets their values come from.
//!
//! Every combination is created at once, so a series is there, at zero, before its first event. Which
//! metrics exist is said in `families.rs`.

use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Seconds, from a warm answer out of memory (5 ms) to the whole budget of a mount (30 s).
const DURATIONS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0,
];

/// Bytes, from one small secret (1 KiB) to the driver's limit of a reply (4 MiB).
const SIZES: [f64; 8] = [
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
];

/// A gauge of fractional seconds.
pub(super) type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// One metric per combination of N label values.
#[derive(Debug)]
pub(super) struct Labelled<M, const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, M, fn() -> M>,
}

impl<M: Clone, const N: usize> Labelled<M, N> {
    /// The metric of these values, in the order of the label names.
    pub(super) fn of(&self, values: [&'static str; N]) -> M {
        let labels = std::array::from_fn(|i| (self.names[i], values[i]));
        self.family.get_or_create_owned(&labels)
    }
}

/// The registry while it is being filled.
pub(super) struct Catalog<'a>(pub(super) &'a mut Registry);

impl Catalog<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    pub(super) fn gauge<N, A>(&mut self, name: &str, help: &str) -> Gauge<N, A>
    where
        N: EncodeGaugeValue + Send + Sync + std::fmt::Debug + 'static,
        A: Atomic<N> + Default + Send + Sync + std::fmt::Debug + 'static,
    {
        let gauge = Gauge::<N, A>::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    pub(super) fn sizes(&mut self, name: &str, help: &str) -> Histogram {
        let histogram = Histogram::new(SIZES);
        self.0.register(name, help, histogram.clone());
        histogram
    }

    pub(super) fn durations<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &[&'static str]); N],
    ) -> Labelled<Histogram, N> {
        self.labelled(name, help, labels, || Histogram::new(DURATIONS))
    }

    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &[&'static str]); N],
    ) -> Labelled<Counter, N> {
        self.labelled(name, help, labels, Counter::default)
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &[&'static str]); N],
    ) -> Labelled<Gauge, N> {
        self.labelled(name, help, labels, Gauge::default)
    }

    pub(super) fn timestamps<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &[&'static str]); N],
    ) -> Labelled<Seconds, N> {
        self.labelled(name, help, labels, Seconds::default)
    }

    fn labelled<M: Clone, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [(&'static str, &[&'static str]); N],
        new: fn() -> M,
    ) -> Labelled<M, N>
    where
        Family<Labels<N>, M, fn() -> M>: Metric,
    {
        let metric = Labelled {
            names: labels.map(|(name, _)| name),
            family: Family::new_with_constructor(new),
        };
        for values in combinations(labels.map(|(_, values)| values)) {
            metric.of(values);
        }
        self.0.register(name, help, metric.family.clone());
        metric
    }
}

/// Every way to take one value of each set.
fn combinations<const N: usize>(sets: [&[&'static str]; N]) -> Vec<[&'static str; N]> {
    let mut all = vec![[""; N]];
    for (position, set) in sets.into_iter().enumerate() {
        all = all
            .into_iter()
            .flat_map(|chosen| {
                set.iter().map(move |value| {
                    let mut next = chosen;
                    next[position] = value;
                    next
                })
            })
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::combinations;

    #[test]
    fn combinations_take_one_value_of_each_set() {
        assert_eq!(
            combinations([&["a", "b"], &["1", "2"]]),
            [["a", "1"], ["a", "2"], ["b", "1"], ["b", "2"]]
        );
    }
}
