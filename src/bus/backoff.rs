//! How long to wait between two attempts to connect.

use std::time::Duration;

use crate::bus::numbers;

/// The shortest and the longest time between two attempts.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// How long to wait before an attempt: twice as long each time, and up to half of it more or less.
pub(crate) fn backoff(attempts: u32) -> Duration {
    let [first, longest] = BACKOFF;
    let whole = first.saturating_mul(1 << attempts.min(8)).min(longest);
    let share = u32::try_from(numbers::random() % 1_001).unwrap_or_default();
    (whole / 2 + whole / 2_000 * share).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_more_and_more_rarely_and_not_in_step() {
        for attempts in 0..20 {
            let waits: Vec<_> = (0..50).map(|_| backoff(attempts)).collect();
            assert!(
                waits
                    .iter()
                    .all(|it| (BACKOFF[0]..=BACKOFF[1]).contains(it))
            );
            if attempts > 1 {
                assert!(waits.iter().any(|it| it != &waits[0]));
            }
        }
        assert!(backoff(10) >= BACKOFF[1] / 2);
    }
}
