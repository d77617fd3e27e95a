//! A rate limit: a token bucket that is one number.
//!
//! The number is the moment at which the bucket is full again (the generic cell rate algorithm). So the bucket needs no timer, and
//! each limited thing needs eight bytes.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;

/// A rate with bursts of one second's worth, at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Nanoseconds until one more is allowed.
    interval: u64,
    /// How far ahead of now the bucket may be full.
    burst: u64,
}

impl Rate {
    /// `per_second` is one of [`RATES`](crate::config::RATES).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the configuration is checked to be in range"
    )]
    pub(crate) fn new(per_second: f64) -> Self {
        let interval = (SECOND as f64 / per_second) as u64;
        Self {
            interval,
            burst: SECOND.saturating_sub(interval),
        }
    }

    /// Takes one at `now` from a bucket that is full at `full`: when it is full then, or how many nanoseconds from now
    /// there is one.
    pub(crate) fn take(self, full: u64, now: u64) -> Result<u64, u64> {
        match full.saturating_sub(self.burst).checked_sub(now) {
            None | Some(0) => Ok(full.max(now) + self.interval),
            Some(wait) => Err(wait),
        }
    }

    /// Undoes a [`take`](Self::take) from a bucket that is full at `full`.
    pub(crate) fn give_back(self, full: u64) -> u64 {
        full.saturating_sub(self.interval)
    }
}

/// A bucket that all shards take from.
#[derive(Debug)]
pub(crate) struct SharedBucket {
    rate: Rate,
    full: AtomicU64,
}

impl SharedBucket {
    pub(crate) fn new(per_second: f64) -> Self {
        Self {
            rate: Rate::new(per_second),
            full: AtomicU64::new(0),
        }
    }

    /// Whether there was one to take.
    pub(crate) fn take(&self, now: u64) -> bool {
        let take = |full| self.rate.take(full, now).ok();
        // The number orders nothing but itself.
        self.full
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RATES;

    /// How many can be taken at once.
    fn burst(rate: Rate, full: &mut u64, now: u64) -> u32 {
        let mut taken = 0;
        while let Ok(next) = rate.take(*full, now) {
            *full = next;
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_one_seconds_worth_and_comes_back_within_a_second() {
        let rate = Rate::new(50.0);
        let mut full = 0;
        assert_eq!(burst(rate, &mut full, 0), 50);
        assert_eq!(burst(rate, &mut full, SECOND / 2), 25);
        assert_eq!(burst(rate, &mut full, SECOND / 2), 0);
        assert_eq!(burst(rate, &mut full, 100 * SECOND), 50);
    }

    #[test]
    fn less_than_one_a_second_is_one_at_a_time() {
        let rate = Rate::new(0.5);
        let mut full = 0;
        assert_eq!(burst(rate, &mut full, 7), 1);
        assert_eq!(rate.take(full, 7), Err(2 * SECOND));
        assert_eq!(rate.take(full, 7 + SECOND), Err(SECOND));
        assert_eq!(burst(rate, &mut full, 7 + 2 * SECOND), 1);
    }

    #[test]
    fn the_wait_is_exact_and_asking_in_vain_does_not_lengthen_it() {
        let rate = Rate::new(10.0);
        let mut full = 0;
        burst(rate, &mut full, 0);
        for now in [0, 1, SECOND / 20] {
            assert_eq!(rate.take(full, now), Err(SECOND / 10 - now));
        }
        assert!(rate.take(full, SECOND / 10).is_ok());
    }

    #[test]
    fn the_ends_of_the_range_work() {
        let mut full = 0;
        assert_eq!(burst(Rate::new(*RATES.end()), &mut full, 0), 1_000_000);
        let mut full = 0;
        let rate = Rate::new(*RATES.start());
        assert_eq!(burst(rate, &mut full, 0), 1);
        assert_eq!(rate.take(full, 0), Err(1000 * SECOND));
    }

    #[test]
    fn a_shared_bucket_is_one_for_all_threads() {
        let bucket = SharedBucket::new(100.0);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..80).filter(|_| bucket.take(5)).count()))
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(taken, 100);
    }
}
