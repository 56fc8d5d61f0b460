//! Durations that were measured, and what is said of them.

use std::time::Duration;

use serde::Serialize;

/// What was measured of one thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<Duration>);

/// The smallest durations that so many in a hundred do not exceed, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

impl Samples {
    pub(super) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: of one sample, all are that one.
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().map_or(0.0, us)
        };
        Percentiles {
            p50_us: percentile(50),
            p90_us: percentile(90),
            p99_us: percentile(99),
            max_us: percentile(100),
        }
    }
}

/// Microseconds, to a nanosecond.
pub(super) fn us(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e6, 3)
}

/// A figure with so many digits behind the point: what follows is noise.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// How many times the second the first is, to two digits behind the point; 0 without a second.
pub(super) fn ratio(first: f64, second: f64) -> f64 {
    match second > 0.0 {
        true => rounded(first / second, 2),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(microseconds: impl IntoIterator<Item = u64>) -> Percentiles {
        let samples = microseconds.into_iter().map(Duration::from_micros);
        Samples(samples.collect()).percentiles()
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let hundred = of((1..=100).rev());
        let expected = Percentiles {
            p50_us: 50.0,
            p90_us: 90.0,
            p99_us: 99.0,
            max_us: 100.0,
        };
        assert_eq!(hundred, expected);
        assert_eq!(of([7]).p50_us, 7.0);
        assert_eq!(of([1, 2, 3]).p50_us, 2.0);
        assert_eq!(of([]).max_us, 0.0);
    }

    #[test]
    fn ratio_without_a_second_is_none() {
        assert_eq!(ratio(3.0, 2.0), 1.5);
        assert_eq!(ratio(3.0, 0.0), 0.0);
    }
}
