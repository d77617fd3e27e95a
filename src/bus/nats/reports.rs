//! Reports that wait for the thread of the bus.
//!
//! `async_nats` discards messages when the queue of a subscription is full. That limits their number and not their bytes. So all
//! messages move on to this queue at once, which limits the bytes of all of them together.

use std::{collections::VecDeque, mem};

use crate::bus::link::Report;

/// Bytes of messages that may wait. Past that, they are discarded.
const MOST: usize = 16 * 1024 * 1024;
/// What one costs beside its bytes.
const OVERHEAD: usize = 128;
/// Places that are kept when none waits.
const KEPT: usize = 1_024;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: VecDeque<Report>,
    /// Bytes of the messages in it.
    bytes: usize,
    /// Messages that were discarded since the last report of some.
    discarded: u64,
}

impl Reports {
    /// Adds a report. The answers to our own asks are few, and always have a place. A message may be discarded.
    pub(super) fn push(&mut self, report: Report) {
        let size = size_of(&report);
        if size > 0 && self.bytes + size > MOST {
            self.discard();
        } else {
            self.bytes += size;
            self.waiting.push_back(report);
        }
    }

    /// Counts a message that somebody else has discarded.
    pub(super) fn discard(&mut self) {
        self.discarded += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.discarded == 0
    }

    /// The next one, which goes to the thread of the bus.
    pub(super) fn take(&mut self) -> Option<Report> {
        if self.discarded > 0 {
            return Some(Report::Discarded(mem::take(&mut self.discarded)));
        }
        let report = self.waiting.pop_front()?;
        self.bytes -= size_of(&report);
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        Some(report)
    }
}

fn size_of(report: &Report) -> usize {
    match report {
        Report::Received(_, bytes) => bytes.len() + OVERHEAD,
        Report::Foreign => OVERHEAD,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{books::Fate, channels::Channel};

    #[test]
    fn sixteen_megabytes_of_messages_wait_and_further_ones_are_counted() {
        let mut reports = Reports::default();
        let size = 100_000;
        let most = MOST / (size + OVERHEAD);
        for _ in 0..most + 3 {
            reports.push(Report::Received(Channel::Everybody, vec![0; size]));
        }
        reports.push(Report::Answered(1, Fate::Confirmed));
        assert!(matches!(reports.take(), Some(Report::Discarded(3))));
        for _ in 0..most {
            assert!(matches!(reports.take(), Some(Report::Received(..))));
        }
        assert!(matches!(reports.take(), Some(Report::Answered(..))));
        assert!(reports.is_empty() && reports.take().is_none());
        assert_eq!((reports.bytes, reports.waiting.len()), (0, 0));
    }

    #[test]
    fn many_small_ones_cost_what_they_hold_and_give_their_memory_back() {
        let mut reports = Reports::default();
        for _ in 0..2 * MOST / OVERHEAD {
            reports.push(Report::Foreign);
        }
        assert_eq!(reports.waiting.len(), MOST / OVERHEAD);
        while reports.take().is_some() {}
        assert_eq!(reports.waiting.capacity(), 0);
    }
}
