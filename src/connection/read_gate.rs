//! Decides whether the engine reads a client. It does not if the owner has paused it, or if enough of its messages wait.

use std::cell::Cell;

/// How many messages of one connection may wait for the owner, and how many bytes, before the engine stops reading it. So a client
/// that floods is never far ahead of the others, and the owner can pause it in time. The owner may hold as much again that it has
/// taken and not handled yet.
const MAX_WAITING: u16 = 64;
const MAX_WAITING_BYTES: u32 = 128 * 1024;

#[derive(Debug, Default)]
pub(crate) struct ReadGate {
    /// The number of its last event, and how many of its events may still wait.
    last_event: Cell<u64>,
    waiting: Cell<u16>,
    /// Bytes of those.
    waiting_bytes: Cell<u32>,
    /// The owner wants no more messages for now.
    paused: Cell<bool>,
    /// Listed for a wake when the owner has taken something.
    waits: Cell<bool>,
}

impl ReadGate {
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.set(paused);
    }

    /// Whether the owner has asked for no more messages.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// Counts a message of so many bytes that waits for the owner as event `number`.
    pub(crate) fn count(&self, number: u64, bytes: u32, is_taken: impl Fn(u64) -> bool) {
        let (mut count, mut sum) = (0_u16, 0);
        if !is_taken(self.last_event.get()) {
            (count, sum) = (self.waiting.get(), self.waiting_bytes.get());
        }
        self.waiting.set(count.saturating_add(1));
        self.waiting_bytes.set(bytes.saturating_add(sum));
        self.last_event.set(number);
    }

    /// Whether so much of it waits for the owner that the engine stops reading it.
    pub(crate) fn has_enough(&self, is_taken: impl Fn(u64) -> bool) -> bool {
        let enough =
            self.waiting.get() >= MAX_WAITING || self.waiting_bytes.get() >= MAX_WAITING_BYTES;
        enough && !is_taken(self.last_event.get())
    }

    /// Lists it for a wake when the owner has taken something; false if it was already.
    pub(crate) fn start_waiting(&self) -> bool {
        !self.waits.replace(true)
    }

    pub(crate) fn stop_waiting(&self) {
        self.waits.set(false);
    }
}
