//! Pings silent clients and ends those that stay silent: one timer per shard over all its
//! connections.

use std::{rc::Rc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    border::ending::EndedBy,
    connection::{
        Connection, State,
        heartbeat::{Due, TICKS},
    },
    shard::{Shard, flush, life, relief},
};

/// Runs until the shard stops.
pub(crate) async fn run(shard: Rc<Shard>, every: Duration) {
    let mut timer = interval((every / u32::from(TICKS)).max(Duration::from_millis(1)));
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let tick = shard.next_tick();
        for connection in shard.connections() {
            check(&shard, &connection, tick);
        }
    }
}

fn check(shard: &Rc<Shard>, connection: &Rc<Connection>, tick: u16) {
    if !matches!(connection.state(), State::Open | State::Closing) {
        return;
    }
    if connection.read_gate.is_paused()
        || shard.is_unread(connection)
        || relief::holds_back(shard, connection)
    {
        // The engine is not reading this client, so its silence says nothing. Pings continue, because a client that has gone answers
        // them with a reset.
        connection.heartbeat.heard(tick);
        if tick.is_multiple_of(TICKS) && !connection.output.is_blocked() && connection.ping() {
            // Its `$ping` may stand behind what is not read. Without an answer it would take the line for dead.
            connection.pong();
            flush::flush_or_cut(shard, connection);
        }
        return;
    }
    match connection.heartbeat.due(tick) {
        Due::Nothing => {}
        Due::Ping => {
            if connection.ping() {
                flush::flush_or_cut(shard, connection);
            }
        }
        Due::End => life::cut(shard, connection, EndedBy::Network),
    }
}
