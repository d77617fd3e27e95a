//! The counters of a bus. `published = confirmed + unconfirmed + dropped + queued` at every moment.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The ends of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The bus has it.
    Confirmed,
    /// It was written, and nobody knows whether the bus has it.
    Unconfirmed,
    /// The bus does not have it.
    Dropped,
}

/// The counters of one process. The thread of the bus counts, and anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Under one lock, as their sum has to be right.
    sent: Mutex<Sent>,
    connected: AtomicBool,
    /// Why the bus was away last, as users are told.
    why: Mutex<String>,
    pub(crate) received: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) rooms: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sent {
    published: u64,
    confirmed: u64,
    unconfirmed: u64,
    dropped: u64,
}

/// The counters of a bus at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusSnapshot {
    /// Whether the bus answers.
    pub connected: bool,
    /// Publications of the application, one for each channel.
    pub published: u64,
    /// Those that the bus has.
    pub confirmed: u64,
    /// Those that were written without an answer within 5 s.
    pub unconfirmed: u64,
    /// Those that wait, or wait for their answer.
    pub queued: u64,
    /// Those that the bus does not have.
    pub dropped: u64,
    /// Publications of other processes that came.
    pub received: u64,
    /// Those that never came, as far as their numbers tell.
    pub missed: u64,
    /// Messages that make no sense.
    pub malformed: u64,
    /// How often the connection was made again.
    pub reconnects: u64,
    /// Rooms that the process reads.
    pub rooms: u64,
}

impl BusSnapshot {
    /// Names and values of the numbers.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("published", self.published),
            ("confirmed", self.confirmed),
            ("unconfirmed", self.unconfirmed),
            ("queued", self.queued),
            ("dropped", self.dropped),
            ("received", self.received),
            ("missed", self.missed),
            ("malformed", self.malformed),
            ("reconnects", self.reconnects),
            ("rooms", self.rooms),
        ]
    }
}

impl Books {
    /// Counts a publication, which waits from now on.
    pub(crate) fn publish(&self) {
        self.lock().published += 1;
    }

    /// Counts the ends of publications.
    pub(crate) fn end(&self, fate: Fate, count: u64) {
        let mut sent = self.lock();
        match fate {
            Fate::Confirmed => sent.confirmed += count,
            Fate::Unconfirmed => sent.unconfirmed += count,
            Fate::Dropped => sent.dropped += count,
        }
    }

    /// How many publications did not arrive, or perhaps not.
    pub(crate) fn failed(&self) -> u64 {
        let sent = self.lock();
        sent.unconfirmed + sent.dropped
    }

    /// The bus is there or away, and what that changes is counted. Whoever reads it finds those counters too.
    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.connected.store(is_connected, Ordering::Release);
    }

    /// Notes why the bus is away.
    pub(crate) fn is_away(&self, why: &str) {
        why.clone_into(&mut self.why.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why the bus was away last; nothing if it never was.
    pub(crate) fn why(&self) -> String {
        (self.why.lock().unwrap_or_else(PoisonError::into_inner)).clone()
    }

    /// The counters now.
    pub(crate) fn snapshot(&self) -> BusSnapshot {
        let connected = self.connected.load(Ordering::Acquire);
        let Sent {
            published,
            confirmed,
            unconfirmed,
            dropped,
        } = *self.lock();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BusSnapshot {
            connected,
            published,
            confirmed,
            unconfirmed,
            queued: published - confirmed - unconfirmed - dropped,
            dropped,
            received: load(&self.received),
            missed: load(&self.missed),
            malformed: load(&self.malformed),
            reconnects: load(&self.reconnects),
            rooms: load(&self.rooms),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to one of the counters that stand alone. A number that a stranger made up ends at the largest one.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    let add = |old: u64| Some(old.saturating_add(count));
    let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}
