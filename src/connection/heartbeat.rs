//! How long a client has been silent, and what is due then.

use std::cell::Cell;

/// Ticks of the timer in one heartbeat interval: how finely silence is measured.
pub(crate) const TICKS: u16 = 4;

/// What is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    End,
}

/// The silence of one client, in ticks of the shard's timer. Each tick is looked at, so it never comes near the range of the number.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// The tick of the last byte read.
    last_read: Cell<u16>,
    pinged: Cell<bool>,
}

impl Heartbeat {
    /// A byte came at this tick.
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
        // The tick of the last byte counts as none, so one more makes two whole intervals.
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
