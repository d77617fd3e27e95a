//! Relieves a server that holds more for its clients than it may.
//!
//! The engine at once stops reading each connection that holds more than its share. Once the socket of such a connection is full,
//! its client counts as slow. A share is a small part of the bound divided by all connections, so most connections hold less and
//! continue. After a second, the engine cuts off those that hold the most, as many as needed. If the server holds far too much, it
//! does so at once.

use std::{cmp::Reverse, rc::Rc};

use crate::{
    border::{ending::EndedBy, event::FaultCode, mailbox::Mail},
    connection::{Connection, State},
    shard::{SCRATCH, Shard, life},
};

/// Begins to relieve the server if it holds too much.
pub(crate) fn watch_buffers(shard: &Shard) {
    let server = shard.tally.server();
    if !server.is_over() {
        return;
    }
    if !shard.is_relieving.replace(true) {
        shard.is_over.notify_one();
    }
    // One message for each of very many clients can be many times the bound.
    if server.is_far_over() {
        cut_largest(shard, holders(shard));
    }
}

/// How many bytes each connection may hold while the server holds too much. `None` while it does not.
pub(crate) fn share(shard: &Shard) -> Option<usize> {
    shard.tally.server().is_over().then(|| equal_share(shard))
}

fn equal_share(shard: &Shard) -> usize {
    let connections = shard.shared.capacity.connections();
    shard.tally.server().share(connections)
}

/// Whether a connection is not read because the server holds too much.
pub(crate) fn holds_back(shard: &Shard, connection: &Connection) -> bool {
    share(shard).is_some_and(|share| connection.holds_more_than(share))
}

/// The same; the connection is woken when that may have changed.
pub(crate) fn waits_for_relief(shard: &Shard, connection: &Rc<Connection>) -> bool {
    let waits = holds_back(shard, connection);
    if waits {
        shard.wake_later(connection);
    }
    waits
}

/// How many bytes may be read at once.
pub(crate) fn reads_at_once(shard: &Shard) -> usize {
    share(shard).map_or(SCRATCH, |share| share.min(SCRATCH))
}

/// How many bytes may wait for a client before a message of so many bytes is added. While the server holds too much, a client
/// whose socket is full gets its share, and the message counts towards it.
pub(crate) fn backpressure(shard: &Shard, connection: &Connection, length: usize) -> usize {
    let limit = shard.config().max_backpressure;
    match share(shard) {
        Some(most) if connection.output.is_blocked() => limit.min(most.saturating_sub(length)),
        _ => limit,
    }
}

/// Wakes the other shards, because an idle shard may hold a part too.
pub(crate) fn tell_others(shard: &Shard) {
    for (index, mailbox) in (0..).zip(&shard.shared.mailboxes) {
        if index != shard.index {
            mailbox.post(Mail::Full);
        }
    }
}

/// The connections that hold more than their share.
pub(crate) fn holders(shard: &Shard) -> Vec<Rc<Connection>> {
    let most = equal_share(shard);
    let mut holders = shard.connections();
    holders.retain(|connection| connection.holds_more_than(most));
    holders
}

/// Cuts off the largest of `holders` until this shard has freed its part. Returns whether it cut off any.
pub(crate) fn cut_largest(shard: &Shard, holders: Vec<Rc<Connection>>) -> bool {
    let mut holders: Vec<_> = (holders.into_iter())
        .map(|connection| (connection.weight(), connection))
        .collect();
    holders.sort_unstable_by_key(|(weight, _)| Reverse(*weight));
    let mut excess = part_of_excess(shard);
    let cuts = excess > 0 && !holders.is_empty();
    for (weight, connection) in holders {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(weight);
        cut_holder(shard, &connection);
    }
    cuts
}

/// How many bytes this shard has to free. Its part of the excess is as large as its part of all that the server holds.
fn part_of_excess(shard: &Shard) -> usize {
    let server = shard.tally.server();
    let (here, all) = (shard.tally.bytes() as u128, server.bytes().max(1) as u128);
    let part = (server.excess() as u128 * here).div_ceil(all);
    usize::try_from(part).unwrap_or(usize::MAX)
}

fn cut_holder(shard: &Shard, connection: &Rc<Connection>) {
    if connection.state() != State::Ended {
        let message =
            "the server held too much for its clients, so it cut off this one, which held the most";
        shard.fault_of(connection, FaultCode::SlowClient, message);
    }
    life::cut(shard, connection, EndedBy::Slow);
}
