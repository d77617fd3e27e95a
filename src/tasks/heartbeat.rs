//! Pings silent clients and ends those that stay silent: one timer per shard over all its
//! connections.

use std::{rc::Rc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    connection::{Connection, State},
    shard::{Shard, flush, life, relief},
};

/// Ticks of the timer in one heartbeat interval: how finely silence is measured.
const TICKS: u32 = 4;

/// What is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Ping,
    End,
}

fn due(silence: u32) -> Due {
    match silence {
        0..=TICKS => Due::Nothing,
        // The tick of the last byte counts as none, so one more makes two whole intervals.
        silence if silence <= 2 * TICKS => Due::Ping,
        _ => Due::End,
    }
}

/// Runs until the shard stops.
pub(crate) async fn run(shard: Rc<Shard>, every: Duration) {
    let mut timer = interval((every / TICKS).max(Duration::from_millis(1)));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let tick = shard.next_tick();
        for connection in shard.connections() {
            check(&shard, &connection, tick);
        }
    }
}

fn check(shard: &Rc<Shard>, connection: &Rc<Connection>, tick: u32) {
    if !matches!(connection.state(), State::Open | State::Closing) {
        return;
    }
    if connection.is_paused()
        || shard.is_unread(connection)
        || relief::holds_back(shard, connection)
    {
        // Nobody reads it, so its silence is ours. Pings go on: written to a client that is gone, they are answered with
        // a reset.
        connection.heard(tick);
        if tick.is_multiple_of(TICKS) && !connection.is_blocked() && connection.ping() {
            flush::flush_or_cut(shard, connection);
        }
        return;
    }
    match due(connection.silence(tick)) {
        Due::Nothing => {}
        Due::Ping => {
            if connection.ping() {
                flush::flush_or_cut(shard, connection);
            }
        }
        Due::End => life::cut(shard, connection),
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
