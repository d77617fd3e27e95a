//! May this connection take this message: it is taken, dropped, or its client is too slow and cut off.

use std::rc::Rc;

use crate::{
    border::event::FaultCode,
    config::SlowClient,
    connection::{Connection, Flush, State},
    message::routes::RoutePolicy,
    shard::{Shard, life, relief},
};

/// Queues a message of about `length` bytes for one client; `write` appends the frame and returns its length. Messages of routes that keep
/// their latest alone have a way of their own.
pub(crate) fn send_one(
    shard: &Shard,
    connection: &Rc<Connection>,
    policy: RoutePolicy,
    length: usize,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) {
    shard.metrics().sent.add(1);
    if connection.state() == State::Open && has_room(shard, connection, policy, length) {
        let limit = shard.config().max_backpressure;
        connection.outbox().borrow_mut().push_message(limit, write);
        shard.touch(connection);
    } else {
        shard.metrics().dropped.add(1);
    }
}

/// Whether another message may wait for this client; if not, the policy has been applied.
fn has_room(
    shard: &Shard,
    connection: &Rc<Connection>,
    policy: RoutePolicy,
    length: usize,
) -> bool {
    let limit = relief::backpressure(shard, connection, length);
    if connection.has_room(limit, shard.metrics()) {
        return true;
    }
    if cuts_off(shard, policy) {
        disconnect_slow(shard, connection);
    }
    false
}

/// Whether a message that finds no room cuts its client off.
pub(crate) fn cuts_off(shard: &Shard, policy: RoutePolicy) -> bool {
    match policy {
        RoutePolicy::Server => shard.config().slow_client == SlowClient::Disconnect,
        RoutePolicy::Disconnect => true,
        RoutePolicy::Drop | RoutePolicy::Latest => false,
    }
}

/// Cuts off a client that reads too slowly.
pub(crate) fn disconnect_slow(shard: &Shard, connection: &Rc<Connection>) {
    // One that is gone reads nothing either, and is not to blame for it.
    if connection.flush(shard.metrics()) != Flush::Broken {
        let message = "the client reads too slowly and was disconnected";
        shard.fault(FaultCode::SlowClient, message, Some(connection.id()));
    }
    life::cut(shard, connection);
}
