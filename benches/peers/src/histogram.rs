//! Latencies in buckets whose width grows with the value: at most 1.6 % off, whatever the range.

use std::time::Duration;

/// Buckets for each power of two; 64 of them make an error of at most 1/64.
const STEPS: u64 = 64;
/// Powers of two above the linear part: nanoseconds up to 2^42, which is over an hour.
const POWERS: u64 = 37;

/// Counts durations and tells percentiles.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let buckets = usize::try_from(STEPS * POWERS).expect("a small number");
        Self {
            counts: vec![0; buckets],
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, duration: Duration, times: u64) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[bucket(nanoseconds).min(last)] += times;
        self.total += times;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The smallest latency that this share of all stays within, in microseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts stay far below 2^52"
        )]
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(bucket);
            }
        }
        0.0
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let index = if nanoseconds < STEPS {
        nanoseconds
    } else {
        let power = u64::from(nanoseconds.ilog2()) - u64::from(STEPS.ilog2());
        power * STEPS + (nanoseconds >> power)
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The middle of a bucket, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "buckets are below 2^13")]
fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    let power = (bucket / STEPS).saturating_sub(1);
    let first = bucket - power * STEPS;
    let exponent = i32::try_from(power).unwrap_or(i32::MAX);
    (first as f64 + 0.5) * 2_f64.powi(exponent) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_back_within_two_percent() {
        for seconds in [70e-9, 127e-9, 128e-9, 1e-6, 50e-6, 999e-6, 3.0] {
            let mut histogram = Histogram::new();
            histogram.record(Duration::from_secs_f64(seconds), 1);
            let told = histogram.percentile(0.5);
            let real = seconds * 1e6;
            assert!((told - real).abs() / real < 0.02, "{real} told as {told}");
        }
    }

    #[test]
    fn percentiles_count_from_the_smallest() {
        let mut histogram = Histogram::new();
        for microseconds in 1..=100 {
            histogram.record(Duration::from_micros(microseconds), 1);
        }
        assert!((histogram.percentile(0.5) - 50.0).abs() < 1.0);
        assert!((histogram.percentile(0.99) - 99.0).abs() < 2.0);
    }
}
