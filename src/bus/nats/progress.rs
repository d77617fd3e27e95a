//! Which asks a server of NATS has taken.
//!
//! The server answers an ask only if it refuses it. So the connection publishes marks to itself: the server takes everything in order,
//! and a mark that comes back stands behind all that was written before it. Refusals reach us on another way than messages, and one may
//! still be on that way when a mark comes. So a mark speaks for what was written before the mark ahead of it.

use std::mem;

/// How many asks may be ahead of the last mark that came back. `async_nats` keeps 128 errors for us and discards more, so this must
/// be less.
const MOST: u64 = 100;

/// The asks of one connection, by their numbers. The first one is 1.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last one that was written.
    written: u64,
    /// The last one before the mark that is under way.
    marked: Option<u64>,
    /// The last one before the mark that came back last.
    echoed: u64,
    /// The last one that was certainly taken, or refused.
    taken: u64,
}

impl Progress {
    /// Numbers an ask that is written now.
    pub(super) fn write(&mut self) -> u64 {
        self.written += 1;
        self.written
    }

    /// How many may be written now.
    pub(super) fn room(&self) -> usize {
        usize::try_from(MOST.saturating_sub(self.written - self.echoed)).unwrap_or_default()
    }

    /// The mark to write now, if one is needed. One at a time is under way.
    pub(super) fn mark(&mut self) -> Option<u64> {
        if self.marked.is_some() || self.taken == self.written {
            return None;
        }
        self.marked = Some(self.written);
        self.marked
    }

    /// The mark that is under way.
    pub(super) fn under_way(&self) -> Option<u64> {
        self.marked
    }

    /// A mark has come back. Returns the last ask that was taken; `None` if the mark is not the one that is under way.
    pub(super) fn echo(&mut self, mark: u64) -> Option<u64> {
        self.marked.take_if(|it| *it == mark)?;
        self.taken = mem::replace(&mut self.echoed, mark);
        Some(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_is_taken_when_the_second_mark_behind_it_is_back() {
        let mut asks = Progress::default();
        assert_eq!(asks.mark(), None, "nothing was asked");
        assert_eq!((asks.write(), asks.write()), (1, 2));
        assert_eq!(asks.mark(), Some(2));
        assert_eq!(asks.mark(), None, "one is under way");
        assert_eq!(asks.write(), 3);
        assert_eq!(asks.echo(1), None, "nobody wrote it");
        assert_eq!(asks.echo(2), Some(0));
        assert_eq!(asks.echo(2), None, "it was here");
        assert_eq!(asks.mark(), Some(3));
        assert_eq!(asks.echo(3), Some(2));
        assert_eq!(asks.mark(), Some(3));
        assert_eq!(asks.echo(3), Some(3));
        assert_eq!(asks.mark(), None);
    }

    #[test]
    fn a_hundred_asks_are_ahead_of_the_last_mark_at_most() {
        let mut asks = Progress::default();
        for _ in 0..MOST {
            assert_ne!(asks.room(), 0);
            asks.write();
        }
        assert_eq!(asks.room(), 0);
        let mark = asks.mark().unwrap();
        asks.echo(mark);
        assert_eq!(asks.room(), 100);
    }
}
