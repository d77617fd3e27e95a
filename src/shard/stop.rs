//! Stops a shard: refuses, drains, closes, cuts off.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    border::{ending::EndedBy, event::FaultCode, mailbox::StopMode},
    connection::State,
    shard::{
        Shard,
        drain::{Drain, GOING_AWAY, close_for_good, close_for_later},
        life,
    },
};

pub(crate) fn stop(shard: &Shard, mode: StopMode) {
    let is_milder = |current| !mode.is_harder_than(current);
    if shard.stopping.get().is_some_and(is_milder) {
        return;
    }
    shard.stopping.set(Some(mode));
    shard.stop_signal.notify_waiters();
    if let StopMode::Drain(over) = mode {
        // A client that connects now still gets an answer: a refusal.
        *shard.drain.borrow_mut() = Some(plan(shard, over));
        return;
    }
    shard.drain.take();
    if let Some(listener) = shard.listener.take() {
        listener.abort();
    }
    for connection in shard.connections() {
        match mode {
            // Pending upgrades hear the signal. Others may have a close frame with a hint already.
            StopMode::Close => close_for_good(&connection, GOING_AWAY),
            StopMode::Terminate => life::cut(shard, &connection, EndedBy::Stop),
            StopMode::Drain(_) => {}
        }
    }
}

/// Whether the shard has stopped. The first shard listens, or gets the sockets of other servers. It waits for the other shards, so
/// that every new client gets the same refusal.
pub(crate) fn is_done(shard: &Shard) -> bool {
    let refuses = matches!(shard.stopping.get(), Some(StopMode::Drain(_)))
        && shard.index == 0
        && shard.shared.capacity.connections() > 0;
    shard.is_stopping() && shard.tasks.count() == 0 && !refuses
}

fn plan(shard: &Shard, over: Duration) -> Drain {
    let connections = shard.connections();
    let open = connections.iter().filter(|it| it.state() == State::Open);
    let handles = open.map(|it| it.handle()).collect();
    Drain::new(handles, over, shard.index, shard.shared.shards())
}

/// Closes those whose turn it is; true when the time is up.
pub(crate) fn drain_on(shard: &Shard) -> bool {
    let mut drain = shard.drain.borrow_mut();
    let Some(drain) = &mut *drain else {
        return false;
    };
    let now = Instant::now();
    for handle in drain.due(now) {
        // Its number is nobody else's yet: no upgrade has been taken since.
        if let Some(connection) = shard.connection(handle) {
            close_for_later(&connection, GOING_AWAY, drain.over());
        }
    }
    drain.is_over(now)
}

/// Reports the clients that did not close in time.
pub(crate) fn tell_unclosed(shard: &Shard) {
    for connection in shard.connections() {
        if matches!(connection.state(), State::Open | State::Closing) {
            let message = "the client did not finish the closing handshake in time";
            shard.fault_of(&connection, FaultCode::Stop, message);
        }
    }
}
