//! Messages of routes that keep their latest alone: taken out of the queue for a newer one. And the queue made small again.

use std::mem;

use rustc_hash::FxHashMap;

use super::{COPIED, Outbox, chunk::Chunk};

/// Up to so many gaps stay in any queue; in a long one it may be a quarter of the entries, so that closing them up costs each
/// message that was taken out no more than a few entries.
const MOST_GAPS: usize = 32;

/// Where the newest message of each route that keeps its latest alone waits, so that a long queue is not searched for it.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By route, its chunk, counted from when this was made.
    newest: FxHashMap<u32, usize>,
    /// Chunks that have left since.
    pub(super) chunks_left: usize,
    /// Gaps there have been since.
    gaps: usize,
}

impl Places {
    pub(super) fn insert(&mut self, route: u32, chunk: usize) {
        self.newest.insert(route, self.chunks_left + chunk);
    }

    /// The memory it holds.
    pub(super) fn cost(&self) -> usize {
        // A table is an eighth larger than what it can hold, and has a byte for each place.
        size_of::<Self>() + self.newest.capacity() * 8 / 7 * (size_of::<(u32, usize)>() + 1)
    }
}

impl Outbox {
    /// Takes out what waits of a route that keeps its latest alone, unless it has begun to leave; returns how many messages
    /// that drops. To be asked before each [`push_latest`](Self::push_latest) while the socket is full.
    pub(crate) fn drop_latest(&mut self, route: u32) -> usize {
        let mut dropped = 0;
        if self.places.is_none() {
            dropped = self.coalesce();
        }
        let places = self.places.get_or_insert_default();
        let place = places.newest.remove(&route);
        let Some(index) = place.and_then(|chunk| chunk.checked_sub(places.chunks_left)) else {
            return dropped;
        };
        if index == 0 && self.front > 0 {
            return dropped;
        }
        let is_last = index + 1 == self.chunks.len();
        places.gaps += usize::from(!is_last);
        let closes_gaps = places.gaps > MOST_GAPS.max(self.chunks.len() / 4);
        let taken = mem::replace(&mut self.chunks[index], Chunk::Gap);
        self.count_out(&taken);
        self.bytes -= taken.bytes().len();
        self.messages -= 1;
        if is_last {
            self.chunks.pop_back();
        } else if closes_gaps {
            dropped += self.coalesce();
        }
        self.tell();
        dropped + 1
    }

    /// Of each route that keeps its latest alone, takes out all messages but the newest; returns how many that drops. What
    /// has begun to leave stays.
    pub(crate) fn coalesce(&mut self) -> usize {
        if self.places.is_none() && self.chunks.iter().all(|chunk| chunk.latest().is_none()) {
            return 0;
        }
        self.rebuild()
    }

    /// Lets go of memory that is not needed for what waits, if there is much of it. To be asked while the socket is full; what
    /// is superseded by then is dropped, and returned as a number.
    pub(crate) fn compact(&mut self) -> usize {
        let waste = self.waste();
        self.lasting = self.lasting.min(waste);
        // What could not be saved the last time would only be looked at again.
        if waste < self.lasting + self.bytes / 8 {
            return 0;
        }
        self.trim();
        let dropped = self.rebuild();
        self.lasting = self.waste();
        dropped
    }

    fn waste(&self) -> usize {
        self.held() - self.bytes
    }

    /// Lets go of the part of the first chunk that is written.
    fn trim(&mut self) {
        if self.front == 0 || self.chunks.front().is_none_or(Chunk::is_shared) {
            return;
        }
        let Some(first) = self.chunks.pop_front() else {
            return;
        };
        self.count_out(&first);
        // A latest one that has begun is no longer superseded, so it may become an ordinary one.
        let mut bytes = match first {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(frames) | Chunk::Latest { frame: frames, .. } => frames.take(),
            Chunk::Gap => Vec::new(),
        };
        bytes.drain(..mem::take(&mut self.front));
        bytes.shrink_to_fit();
        let rest = Chunk::Own(bytes);
        self.count_in(&rest);
        self.chunks.push_front(rest);
    }

    /// Writes the queue anew without gaps, without what is superseded, and with small chunks put together.
    fn rebuild(&mut self) -> usize {
        let mut newest = FxHashMap::default();
        for (index, chunk) in self.chunks.iter().enumerate() {
            if let Some(route) = chunk.latest() {
                newest.insert(route, index);
            }
        }
        let has_latest = !newest.is_empty() || self.places.is_some();
        let mut places = Places::default();
        let mut dropped = 0;
        for (index, chunk) in mem::take(&mut self.chunks).into_iter().enumerate() {
            self.count_out(&chunk);
            let has_begun = index == 0 && self.front > 0;
            match chunk {
                Chunk::Gap => {}
                Chunk::Latest { frame, route } => {
                    if has_begun || newest[&route] == index {
                        places.insert(route, self.chunks.len());
                        self.enqueue(Chunk::Latest { frame, route });
                    } else {
                        self.bytes -= frame.bytes().len();
                        dropped += 1;
                    }
                }
                Chunk::Shared(frames) if !has_begun && frames.bytes().len() < COPIED => {
                    self.copy(frames.bytes());
                }
                Chunk::Own(bytes) if bytes.len() < COPIED => self.copy(&bytes),
                other => self.enqueue(other),
            }
        }
        self.shrink_last();
        self.chunks.shrink_to(self.chunks.len() * 9 / 8);
        self.messages -= dropped;
        if has_latest {
            self.places = Some(Box::new(places));
        }
        self.tell();
        dropped
    }
}
