//! Counters. Each shard has a set, and the owner adds the sets up.
//!
//! Only the thread of a shard writes its counters.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::handshake::refusal::Reason;

/// A counter with one writer, so that counting costs no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        // Release pairs with the load of a snapshot: a thread that sees a message written also sees it sent.
        self.0
            .store(self.0.load(Ordering::Relaxed) + n, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The counters of one shard.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) opened: Counter,
    pub(crate) refused: [Counter; Reason::ALL.len()],
    pub(crate) received: Counter,
    pub(crate) bad_message: Counter,
    pub(crate) no_route: Counter,
    pub(crate) rate_limited: Counter,
    pub(crate) sent: Counter,
    pub(crate) written: Counter,
    pub(crate) dropped: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

impl Metrics {
    pub(crate) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].add(1);
    }
}

/// The counters of a server at one moment. `sent = written + queued + dropped` always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Upgrades answered with 101.
    pub accepted: u64,
    /// Upgrades answered otherwise, in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// Whole messages read.
    pub received: u64,
    /// Messages that were not envelopes.
    pub bad_message: u64,
    /// Messages for a route that does not exist.
    pub no_route: u64,
    /// Messages past `max_messages_per_second`.
    pub rate_limited: u64,
    /// Messages sent, once for each client they were meant for.
    pub sent: u64,
    /// Those whose last byte the system took.
    pub written: u64,
    /// Those that wait.
    pub queued: u64,
    /// Those that were given up.
    pub dropped: u64,
    /// Bytes read from upgraded connections.
    pub bytes_in: u64,
    /// Bytes written to them.
    pub bytes_out: u64,
    /// Rooms with a member.
    pub rooms: u64,
    /// Bytes that are held for clients now: in inboxes, messages that are not complete, and outboxes.
    pub buffered: u64,
}

impl Snapshot {
    pub(crate) fn add(&mut self, shard: &Metrics) {
        // The ends of messages are read before their beginnings, so that `queued` is never negative.
        let written = shard.written.get();
        let dropped = shard.dropped.get();
        let sent = shard.sent.get();
        self.written += written;
        self.dropped += dropped;
        self.sent += sent;
        self.queued += sent - written - dropped;
        self.accepted += shard.opened.get();
        let refused: [u64; Reason::ALL.len()] = array::from_fn(|i| shard.refused[i].get());
        for (total, n) in self.refused.iter_mut().zip(refused) {
            *total += n;
        }
        self.received += shard.received.get();
        self.bad_message += shard.bad_message.get();
        self.no_route += shard.no_route.get();
        self.rate_limited += shard.rate_limited.get();
        self.bytes_in += shard.bytes_in.get();
        self.bytes_out += shard.bytes_out.get();
    }
}
