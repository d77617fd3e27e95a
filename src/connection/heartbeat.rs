//! Measures how long a client has been silent, and says whether a ping or the end is due.

use std::cell::Cell;

/// Ticks of the timer in one heartbeat interval: how finely silence is measured.
pub(crate) const TICKS: u16 = 4;

/// The step that is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    End,
}

/// The silence of one client, in ticks of the shard's timer. It is checked at each tick, so the number never overflows.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// The tick of the last byte read.
    last_read: Cell<u16>,
    pinged: Cell<bool>,
}

impl Heartbeat {
    /// Notes that a byte came at this tick.
    pub(crate) fn heard(&self, tick: u16) {
        self.last_read.set(tick);
        self.pinged.set(false);
    }

    pub(crate) fn due(&self, tick: u16) -> Due {
        due(tick.wrapping_sub(self.last_read.get()))
    }

    /// Notes a ping; false if one is unanswered.
    pub(crate) fn ping(&self) -> bool {
        !self.pinged.replace(true)
    }
}

fn due(silence: u16) -> Due {
    match silence {
        0..=TICKS => Due::Nothing,
        // The tick of the last byte may be nearly over, so two whole intervals need one tick more.
        silence if silence <= 2 * TICKS => Due::Ping,
        _ => Due::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_comes_after_one_interval_and_the_end_after_two() {
        assert_eq!(due(0), Due::Nothing);
        assert_eq!(due(TICKS), Due::Nothing);
        assert_eq!(due(TICKS + 1), Due::Ping);
        assert_eq!(due(2 * TICKS), Due::Ping);
        assert_eq!(due(2 * TICKS + 1), Due::End);
    }
}
