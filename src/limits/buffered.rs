//! Counts the bytes that the I/O threads of one server hold for their clients, and knows whether they are too many.
//!
//! Each shard counts for itself ([`Tally`]), and tells the others only of larger changes ([`Buffered`]). So counting a message costs
//! two plain additions. One flag says whether the server is over its bound, and the shards almost never write it.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// The inboxes of all shards together get at most this share of the bound.
const INBOXES: usize = 4;
/// Once over its bound, the server stays over it until this share of the bound is free.
const RELIEF: usize = 8;
/// If the server holds more than the bound and this part of it, it does not wait a second.
const FAR: usize = 4;
/// The shards together may be wrong by this part of the bound, and queue as much before they write.
const PARTS: usize = 64;
/// A shard tells the others when it holds this many bytes more or less, or earlier.
const GRAIN: usize = 64 * 1024;
/// Of an equal share for each connection, this part may be used while the server is over its bound. All together that is
/// little beside the bound.
const SHARE: usize = 32;
/// Every connection may have at least this many bytes.
const LEAST_SHARE: usize = 512;
/// A shard queues no more than this many bytes before it writes.
const UNWRITTEN: usize = 4 * 1024 * 1024;

/// The bytes that one shard holds. It has its own cache lines, because each is written by another thread.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Held(AtomicUsize);

/// The bytes that the shards of one server hold, without the inboxes.
#[derive(Debug)]
pub(crate) struct Buffered {
    by_shard: Vec<Held>,
    /// The sum, to within a grain of each shard.
    total: AtomicUsize,
    is_over: AtomicBool,
    /// How large the sum may be.
    limit: usize,
    grain: usize,
    /// So many bytes a shard queues before it writes.
    unwritten: usize,
}

impl Buffered {
    /// For a server whose shards may hold `max` bytes together, and whose inboxes take `inbox` each at most.
    pub(crate) fn new(max: usize, inbox: usize, shards: usize) -> Self {
        let part = max / PARTS / shards.max(1);
        Self {
            by_shard: (0..shards).map(|_| Held::default()).collect(),
            total: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            limit: max.saturating_sub(inbox.saturating_mul(shards)).max(1),
            grain: part.clamp(1, GRAIN),
            unwritten: part.min(UNWRITTEN),
        }
    }

    /// How many bytes each inbox may take.
    pub(crate) fn inbox(max: usize, wanted: usize, shards: usize) -> usize {
        wanted.min(max / INBOXES / shards.max(1))
    }

    /// Bytes that are held now.
    pub(crate) fn bytes(&self) -> usize {
        let held = self.by_shard.iter();
        held.map(|held| held.0.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The same, by the exact bytes. The sum leaves out small changes, and two shards that change it at the same time may leave an
    /// old flag.
    pub(crate) fn is_still_over(&self) -> bool {
        self.judge(self.bytes());
        self.is_over()
    }

    /// Whether it is so much that the engine has to act at once.
    pub(crate) fn is_far_over(&self) -> bool {
        self.is_over() && self.bytes() > self.limit.saturating_add(self.limit / FAR)
    }

    /// How many bytes are too many.
    pub(crate) fn excess(&self) -> usize {
        self.bytes().saturating_sub(self.relieved())
    }

    /// How many bytes each of so many connections may hold while the server is over its bound.
    pub(crate) fn share(&self, connections: usize) -> usize {
        (self.limit / SHARE / connections.max(1)).max(LEAST_SHARE)
    }

    fn relieved(&self) -> usize {
        self.limit - self.limit / RELIEF
    }

    fn judge(&self, total: usize) {
        let is_over = self.is_over.load(Ordering::SeqCst);
        if !is_over && total > self.limit {
            self.is_over.store(true, Ordering::SeqCst);
        } else if is_over && total <= self.relieved() {
            self.is_over.store(false, Ordering::SeqCst);
        }
    }
}

/// The count of one shard.
#[derive(Debug)]
pub(crate) struct Tally {
    server: Arc<Buffered>,
    shard: usize,
    bytes: Cell<usize>,
    /// The part that is in the server's sum.
    told: Cell<usize>,
    /// Up to here the batch under way may grow before it is written.
    written_at: Cell<usize>,
}

impl Tally {
    pub(crate) fn new(server: Arc<Buffered>, shard: usize) -> Self {
        Self {
            server,
            shard,
            bytes: Cell::new(0),
            told: Cell::new(0),
            written_at: Cell::new(0),
        }
    }

    pub(crate) fn server(&self) -> &Buffered {
        &self.server
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Counts that something held `before` bytes and holds `now` bytes from now on.
    pub(crate) fn change(&self, before: usize, now: usize) {
        if before == now {
            return;
        }
        let bytes = (self.bytes.get() + now).saturating_sub(before);
        self.bytes.set(bytes);
        self.server.by_shard[self.shard]
            .0
            .store(bytes, Ordering::Relaxed);
        if bytes.abs_diff(self.told.get()) >= self.server.grain {
            self.tell();
        }
    }

    fn tell(&self) {
        let (bytes, told) = (self.bytes.get(), self.told.replace(self.bytes.get()));
        let total = &self.server.total;
        let now = if bytes >= told {
            total.fetch_add(bytes - told, Ordering::SeqCst) + (bytes - told)
        } else {
            total.fetch_sub(told - bytes, Ordering::SeqCst) - (told - bytes)
        };
        self.server.judge(now);
    }

    /// Whether so much has been queued since the last [`all_written`](Self::all_written) that it should be written.
    pub(crate) fn is_much_unwritten(&self) -> bool {
        self.bytes.get() > self.written_at.get() || self.server.is_over()
    }

    pub(crate) fn all_written(&self) {
        self.written_at
            .set(self.bytes.get() + self.server.unwritten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn what_shards_hold_is_added_up_and_is_too_much_until_some_is_free() {
        let server = Arc::new(Buffered::new(16 * MIB, MIB, 2));
        let shards = [0, 1].map(|shard| Tally::new(server.clone(), shard));
        for shard in &shards {
            shard.change(0, 7 * MIB);
        }
        assert_eq!(server.bytes(), 14 * MIB);
        assert!(!server.is_over());
        shards[1].change(0, MIB);
        assert!(server.is_over());
        shards[0].change(MIB, 0);
        assert!(server.is_still_over());
        assert_eq!(server.excess(), 14 * MIB / RELIEF);
        shards[0].change(2 * MIB, 0);
        assert!(!server.is_over());
        for shard in &shards {
            shard.change(shard.bytes(), 0);
        }
        assert_eq!(server.bytes(), 0);
        assert_eq!(server.total.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn small_changes_are_not_told() {
        let server = Arc::new(Buffered::new(1024 * MIB, MIB, 1));
        let shard = Tally::new(server.clone(), 0);
        for _ in 0..100 {
            shard.change(0, 600);
            shard.change(600, 0);
        }
        shard.change(0, GRAIN - 1);
        assert_eq!(server.total.load(Ordering::SeqCst), 0);
        assert_eq!(server.bytes(), GRAIN - 1);
        shard.change(0, 1);
        assert_eq!(server.total.load(Ordering::SeqCst), GRAIN);
    }

    #[test]
    fn inboxes_get_a_part_of_a_small_bound_and_what_they_want_of_a_large_one() {
        assert_eq!(Buffered::inbox(MIB, 4 * MIB, 4), MIB / 16);
        assert_eq!(Buffered::inbox(1024 * MIB, 4 * MIB, 4), 4 * MIB);
    }
}
