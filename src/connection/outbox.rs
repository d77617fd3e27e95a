//! Encoded frames that wait for one connection.
//!
//! The outbox appends frames for one client to a buffer that only this outbox has. It shares frames for many clients with other
//! outboxes.
//!
//! The caller gives a limit in bytes, which is compared before a message is added. The caller also decides what happens past it. The
//! limit is about memory ([`Outbox::held`]): the bytes that wait, the written and unused parts of buffers, and the bookkeeping.
//!
//! Every message that entered leaves as written or as dropped. A message of a route that keeps only its latest one may be dropped for
//! a newer one, but not once its first byte has left.

mod chunk;
pub(crate) mod latest;
mod places;

use std::{collections::VecDeque, io::IoSlice, rc::Rc};

pub(crate) use self::chunk::Frames;
use self::{
    chunk::{Chunk, shrink},
    places::Places,
};
use crate::{frame::outgoing::first_frame, limits::buffered::Tally};

/// Past this size, a buffer takes no more frames, so that a long queue is freed as it is written.
const OWN_BYTES: usize = 64 * 1024;
/// A buffer also takes no more frames past this share of the limit, because a growing buffer may take twice what it needs.
const OWN_SHARE: usize = 16;
/// The smallest such share, in bytes.
const OWN_LEAST: usize = 512;
/// Shared frames that are shorter than this are copied once the socket is full: to share them would cost more.
const COPIED: usize = 512;
/// Most buffers handed to the system in one call.
pub(crate) const SLICES: usize = 16;
/// A queue of up to this many chunks keeps its memory when it runs empty: 96 bytes.
const KEPT_CHUNKS: usize = 4;
/// A queue of up to this many chunks doubles when it grows. A longer one grows by a quarter.
const DOUBLES: usize = 64;
/// This much bookkeeping is not counted, so that a limit of a few bytes still takes a message.
const FREE: usize = 256;

/// The frame that has begun to leave.
#[derive(Debug, Default)]
struct UnderWay {
    left: u32,
    ends_message: bool,
}

impl UnderWay {
    fn new(length: usize, ends_message: bool) -> Self {
        Self {
            left: u32::try_from(length).unwrap_or(u32::MAX),
            ends_message,
        }
    }

    /// Passes over the next `length` bytes of a chunk, which start where the last ones ended; returns how many messages that
    /// completes.
    fn pass(&mut self, bytes: &[u8], length: usize) -> usize {
        let (mut at, mut completed) = (0, 0);
        while at < length {
            if self.left == 0 {
                let head = first_frame(&bytes[at..]);
                *self = Self::new(head.length, head.ends_message);
            }
            let step = self
                .left
                .min(u32::try_from(length - at).unwrap_or(u32::MAX));
            at += step as usize;
            self.left -= step;
            completed += usize::from(self.left == 0 && self.ends_message);
        }
        completed
    }
}

#[derive(Debug)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    front: usize,
    under_way: UnderWay,
    bytes: usize,
    messages: usize,
    /// The cost of the chunks; see [`Chunk::cost`].
    cost: usize,
    /// The part of that which other outboxes may share.
    shared: usize,
    /// The cost without that part, as the shard was last told.
    told: usize,
    /// The bytes that could not be saved when the queue was last made small.
    lasting: usize,
    /// From the first message that is superseded until nothing waits.
    places: Option<Box<Places>>,
    tally: Rc<Tally>,
}

impl Outbox {
    pub(crate) fn new(tally: Rc<Tally>) -> Self {
        Self {
            chunks: VecDeque::new(),
            front: 0,
            under_way: UnderWay::default(),
            bytes: 0,
            messages: 0,
            cost: 0,
            shared: 0,
            told: 0,
            lasting: 0,
            places: None,
            tally,
        }
    }

    /// Where the memory of its shard's connections is counted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes of memory that are held for what waits, the bookkeeping included.
    pub(crate) fn held(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut held = self.cost + self.chunks.capacity() * size_of::<Chunk>();
        if let Some(places) = &self.places {
            held += places.cost();
        }
        // Once the frames are written, this client is not to blame for memory that other outboxes still hold.
        if self.front > 0 && self.chunks.front().is_some_and(Chunk::is_shared) {
            held -= self.front;
        }
        held.saturating_sub(FREE).max(self.bytes)
    }

    /// Bytes of memory that its end would free. Frames that other outboxes hold too count in part.
    pub(crate) fn weight(&self) -> usize {
        self.told + self.chunks.iter().map(Chunk::part).sum::<usize>()
    }

    /// Tells the shard what it costs without what may be shared. A short queue is not counted, so that a message that is
    /// written at once changes nothing.
    fn tell(&mut self) {
        let chunks = self.chunks.capacity().saturating_sub(KEPT_CHUNKS);
        let mut now = self.cost - self.shared + chunks * size_of::<Chunk>();
        if let Some(places) = &self.places {
            now += places.cost();
        }
        self.tally.change(self.told, now);
        self.told = now;
    }

    /// Queues a message of this connection's own: one whole frame, or several that are one message. `limit` is that of the
    /// connection.
    pub(crate) fn push_message(&mut self, limit: usize, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        self.push_own((limit / OWN_SHARE).clamp(OWN_LEAST, OWN_BYTES), |out| {
            write(out);
        });
        self.messages += 1;
    }

    /// Queues a control frame.
    pub(crate) fn push_control(&mut self, frame: &[u8]) {
        self.push_own(OWN_BYTES, |out| out.extend_from_slice(frame));
    }

    /// Queues a frame of the engine's own that no message is counted for. Nothing else may wait.
    pub(crate) fn push_uncounted(&mut self, frame: &[u8]) {
        debug_assert!(self.is_empty());
        self.under_way = UnderWay::new(frame.len(), false);
        self.push_control(frame);
    }

    /// Queues the answer to the upgrade request, and frames that no message is counted for. Nothing else may wait.
    pub(crate) fn push_answer(&mut self, answer: Vec<u8>) {
        debug_assert!(self.is_empty());
        self.under_way = UnderWay::new(answer.len(), false);
        self.bytes += answer.len();
        self.enqueue(Chunk::Own(answer));
        self.tell();
    }

    /// Queues shared messages while no more than `limit` bytes are held; returns how many it took. Short ones are copied
    /// where `copies` says that they are going to wait.
    pub(crate) fn push_shared(
        &mut self,
        frames: &Rc<Frames>,
        from: usize,
        limit: usize,
        copies: bool,
    ) -> usize {
        let Some(room) = limit.checked_sub(self.held()) else {
            return 0;
        };
        let bytes = frames.bytes();
        let (taken, length) = if from == 0 && bytes.len() <= room {
            (frames.count(), bytes.len())
        } else {
            let start = frames.length_of(from);
            let (taken, length) = frames.fitting(start, room);
            if taken == 0 {
                return 0;
            }
            if length < bytes.len() {
                // A share in all of them would hold the rest too.
                self.push_own(OWN_BYTES, |out| {
                    out.extend_from_slice(&bytes[start..start + length]);
                });
                self.messages += taken;
                return taken;
            }
            (taken, length)
        };
        if copies && length < COPIED {
            self.push_own(OWN_BYTES, |out| out.extend_from_slice(bytes));
        } else {
            self.bytes += length;
            self.enqueue(Chunk::Shared(frames.clone()));
            self.tell();
        }
        self.messages += taken;
        taken
    }

    /// Queues a message that a newer one of its route replaces. `frame` holds only this message.
    pub(crate) fn push_latest(&mut self, frame: &Rc<Frames>, route: u32) {
        debug_assert_eq!(frame.count(), 1);
        if let Some(places) = &mut self.places {
            places.insert(route, self.chunks.len());
        }
        self.bytes += frame.bytes().len();
        self.messages += 1;
        self.enqueue(Chunk::Latest {
            frame: frame.clone(),
            route,
        });
        self.tell();
    }

    fn push_own(&mut self, target: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes += self.append(target, write);
        self.tell();
    }

    /// Copies frames that are counted already behind the others.
    fn copy(&mut self, frames: &[u8]) {
        self.append(OWN_BYTES, |out| out.extend_from_slice(frames));
    }

    /// Writes to the last chunk, or to a new one where that has `target` bytes or is not the outbox's own; returns how many
    /// bytes that were.
    fn append(&mut self, target: usize, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let has_room =
            matches!(self.chunks.back(), Some(Chunk::Own(bytes)) if bytes.len() < target);
        if !has_room {
            self.shrink_last();
            self.enqueue(Chunk::Own(Vec::new()));
        }
        let Some(Chunk::Own(bytes)) = self.chunks.back_mut() else {
            return 0;
        };
        let (length, capacity) = (bytes.len(), bytes.capacity());
        write(bytes);
        self.cost += bytes.capacity() - capacity;
        bytes.len() - length
    }

    /// Gives back what the last chunk does not use.
    fn shrink_last(&mut self) {
        if let Some(Chunk::Own(bytes)) = self.chunks.back_mut() {
            self.cost -= bytes.capacity();
            shrink(bytes);
            self.cost += bytes.capacity();
        }
    }

    fn enqueue(&mut self, chunk: Chunk) {
        let chunks = self.chunks.len();
        if chunks >= DOUBLES && chunks == self.chunks.capacity() {
            self.chunks.reserve_exact(chunks / 4);
        }
        self.count_in(&chunk);
        self.chunks.push_back(chunk);
    }

    fn count_in(&mut self, chunk: &Chunk) {
        self.cost += chunk.cost();
        self.shared += chunk.shared_cost();
    }

    fn count_out(&mut self, chunk: &Chunk) {
        self.cost -= chunk.cost();
        self.shared -= chunk.shared_cost();
    }

    /// The oldest bytes, as the system takes them; returns how many of `slices` are filled.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.front;
        let mut filled = 0;
        let chunks = (self.chunks.iter()).filter(|chunk| !matches!(chunk, Chunk::Gap));
        for (slot, chunk) in slices.iter_mut().zip(chunks) {
            *slot = IoSlice::new(&chunk.bytes()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Forgets what the system took; returns how many messages that completes.
    pub(crate) fn advance(&mut self, written: usize) -> usize {
        if written >= self.bytes {
            return self.clear();
        }
        self.bytes -= written;
        let (mut left, mut completed) = (written, 0);
        while left > 0
            && let Some(chunk) = self.chunks.front()
        {
            let rest = &chunk.bytes()[self.front..];
            let length = left.min(rest.len());
            completed += self.under_way.pass(rest, length);
            left -= length;
            if length < rest.len() {
                self.front += length;
            } else {
                self.pop();
            }
        }
        let completed = completed.min(self.messages);
        self.messages -= completed;
        self.tell();
        completed
    }

    fn pop(&mut self) {
        self.front = 0;
        if let Some(chunk) = self.chunks.pop_front() {
            self.count_out(&chunk);
        }
        if let Some(places) = &mut self.places {
            places.chunks_left += 1;
        }
    }

    /// Forgets everything; returns how many messages that were. The memory of a short queue is kept.
    pub(crate) fn clear(&mut self) -> usize {
        self.chunks.clear();
        if self.chunks.capacity() > KEPT_CHUNKS {
            self.chunks = VecDeque::new();
        }
        self.front = 0;
        self.under_way = UnderWay::default();
        self.bytes = 0;
        self.cost = 0;
        self.shared = 0;
        self.lasting = 0;
        self.places = None;
        self.tell();
        std::mem::take(&mut self.messages)
    }
}

#[cfg(test)]
mod tests;
