//! Decides whether a connection takes a message. It takes it or drops it, or its client is too slow and is cut off.

use std::{mem, rc::Rc};

use crate::{
    border::{ending::EndedBy, event::FaultCode},
    config::SlowClient,
    connection::{Connection, State, outbox::Frames, output::Flush},
    message::routes::RoutePolicy,
    shard::{Shard, life, relief, twins::Twins},
};

/// The outcome of messages for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// They were queued, or dropped and counted.
    Settled,
    /// Some were dropped, and the engine has to cut the client off.
    TooSlow,
}

/// Sends the same to any number of clients, and counts it.
struct Delivery<'a> {
    shard: &'a Shard,
    /// Whether a message that finds no room cuts its client off.
    cuts_off: bool,
    sent: usize,
    dropped: usize,
}

impl<'a> Delivery<'a> {
    fn new(shard: &'a Shard, policy: RoutePolicy) -> Self {
        let cuts_off = match policy {
            RoutePolicy::Server => shard.config().slow_client == SlowClient::Disconnect,
            RoutePolicy::Disconnect => true,
            RoutePolicy::Drop | RoutePolicy::Latest => false,
        };
        Self {
            shard,
            cuts_off,
            sent: 0,
            dropped: 0,
        }
    }

    /// Offers `count` messages to a client, of about `length` bytes together. `push` gets the number of the first message and a
    /// limit. It queues messages while the connection holds no more bytes than the limit, and returns how many it took.
    fn offer(
        &mut self,
        connection: &Rc<Connection>,
        count: usize,
        length: usize,
        mut push: impl FnMut(usize, usize) -> usize,
    ) -> Outcome {
        self.sent += count;
        if connection.state() != State::Open {
            self.dropped += count;
            return Outcome::Settled;
        }
        let limit = relief::backpressure(self.shard, connection, length);
        let mut taken = push(0, limit);
        if taken < count {
            // The flush counts written messages, and somebody may read the counters at any time. So `sent` has to be
            // counted before.
            let metrics = self.shard.metrics();
            metrics.sent.add(mem::take(&mut self.sent) as u64);
            if connection.output.has_room(limit, metrics) {
                taken += push(taken, limit);
            }
        }
        self.dropped += count - taken;
        if taken < count && self.cuts_off {
            return Outcome::TooSlow;
        }
        Outcome::Settled
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let metrics = self.shard.metrics();
        metrics.sent.add(self.sent as u64);
        metrics.dropped.add(self.dropped as u64);
    }
}

/// How the messages of a route are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Manner {
    pub(crate) policy: RoutePolicy,
    /// They are never compressed.
    pub(crate) as_they_are: bool,
}

impl Manner {
    /// That of an outgoing route.
    pub(crate) fn of(shard: &Shard, route: u32) -> Self {
        Self {
            policy: shard.routes().policy(route),
            as_they_are: !shard.routes().may_compress(route),
        }
    }
}

/// Queues a message of about `length` bytes for one client; `write` appends the frame and returns its length. Messages of
/// routes that keep their latest alone have a way of their own.
pub(crate) fn send_one(
    shard: &Shard,
    connection: &Rc<Connection>,
    manner: Manner,
    length: usize,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) {
    let limit = shard.config().max_backpressure;
    let window = connection.window().filter(|_| !manner.as_they_are);
    let mut write = Some(write);
    let mut delivery = Delivery::new(shard, manner.policy);
    let outcome = delivery.offer(connection, 1, length, |_, room| {
        let write = |out: &mut Vec<u8>| match (write.take(), window) {
            (None, _) => 0,
            (Some(write), None) => write(out),
            (Some(write), Some(window)) => {
                (shard.compressor()).write(window, out, shard.metrics(), write)
            }
        };
        let is_taken = connection.output.push_message(room, limit, write);
        if is_taken {
            shard.touch(connection);
        }
        usize::from(is_taken)
    });
    drop(delivery);
    if outcome == Outcome::TooSlow {
        disconnect_slow(shard, connection);
    }
}

/// Queues frames for many clients, and returns those that were too slow. The caller cuts them off afterwards, because that
/// changes the registry.
pub(crate) fn send_shared(
    shard: &Shard,
    manner: Manner,
    frames: Frames,
    to: impl Iterator<Item = Rc<Connection>>,
) -> Vec<Rc<Connection>> {
    let mut twins = Twins::new(shard, frames, !manner.as_they_are);
    let mut slow = Vec::new();
    let mut delivery = Delivery::new(shard, manner.policy);
    for connection in to {
        let frames = twins.of(&connection);
        let (count, length) = (frames.count(), frames.length());
        let outcome = delivery.offer(&connection, count, length, |from, limit| {
            shard.touch(&connection);
            connection.output.push_shared(frames, from, limit)
        });
        if outcome == Outcome::TooSlow {
            slow.push(connection);
        }
    }
    slow
}

/// Queues a message of a route that keeps only its latest. No client is too slow for it.
pub(crate) fn send_latest(
    shard: &Shard,
    route: u32,
    manner: Manner,
    frame: Frames,
    to: impl Iterator<Item = Rc<Connection>>,
) {
    let mut twins = Twins::new(shard, frame, !manner.as_they_are);
    let limit = shard.config().max_backpressure;
    let metrics = shard.metrics();
    for connection in to {
        metrics.sent.add(1);
        if connection.state() == State::Open {
            let frame = twins.of(&connection);
            connection.output.push_latest(frame, route, limit, metrics);
            shard.touch(&connection);
        } else {
            metrics.dropped.add(1);
        }
    }
}

/// Cuts off clients that read too slowly.
pub(crate) fn cut_slow(shard: &Shard, slow: Vec<Rc<Connection>>) {
    for connection in slow {
        disconnect_slow(shard, &connection);
    }
}

fn disconnect_slow(shard: &Shard, connection: &Rc<Connection>) {
    // A client that has gone cannot read either, and is not to blame.
    let mut by = EndedBy::Network;
    if connection.output.flush(shard.metrics()) != Flush::Broken {
        by = EndedBy::Slow;
        let message = "the client read too slowly, so the server disconnected it";
        shard.fault_of(connection, FaultCode::SlowClient, message);
    }
    life::cut(shard, connection, by);
}
