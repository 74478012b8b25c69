//! Randomness for jitter, which is all it is good for.
//!
//! Keys come from the system's generator, not from here.

use std::hash::{BuildHasher, RandomState};

/// A number from 0 up to 1.
#[must_use]
pub fn luck() -> f64 {
    // Every RandomState is keyed anew.
    let bits = RandomState::new().hash_one(0);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

#[cfg(test)]
mod tests {
    use super::luck;

    #[test]
    fn luck_lies_between_zero_and_one_and_differs() {
        let drawn: Vec<f64> = (0..32).map(|_| luck()).collect();
        assert!(drawn.iter().all(|x| (0.0..1.0).contains(x)), "{drawn:?}");
        assert!(drawn.iter().any(|x| (x - drawn[0]).abs() > 1e-9));
    }
}
