//! The parts of an outbox: buffers of whole frames, which are its own or shared.

use std::rc::Rc;

use crate::{frame::outgoing::first_frame, limits::buffered::Tally};

/// The bytes that an allocator needs for a block in addition to its content.
const BLOCK: usize = 16;
/// The overhead of shared frames: two blocks, and the content of the first.
const SHARED: usize = 2 * BLOCK + 2 * size_of::<usize>() + size_of::<Frames>();

/// Whole frames, encoded once for many outboxes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    count: usize,
    counted: Option<Counted>,
}

/// Memory that its shard counts once, however many outboxes hold it.
#[derive(Debug)]
struct Counted {
    tally: Rc<Tally>,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.change(self.bytes, 0);
    }
}

impl Frames {
    /// Appends a frame: `write` appends one to the buffer it is given and returns its length.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        write(&mut self.bytes);
        self.count += 1;
    }

    /// Ready to be shared. A buffer that has grown by doubling gives back what it does not use.
    pub(crate) fn share(mut self, tally: &Rc<Tally>) -> Rc<Self> {
        shrink(&mut self.bytes);
        let bytes = self.bytes.capacity() + SHARED;
        tally.change(0, bytes);
        let tally = tally.clone();
        self.counted = Some(Counted { tally, bytes });
        Rc::new(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all frames together.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The frames, one by one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.bytes;
        (0..self.count).map(move |_| {
            let (frame, behind) = rest.split_at(first_frame(rest).length);
            rest = behind;
            frame
        })
    }

    /// Bytes of the longest frame.
    pub(crate) fn longest(&self) -> usize {
        if self.count == 1 {
            return self.length();
        }
        self.iter().map(<[u8]>::len).max().unwrap_or(0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes; a copy where others hold them too.
    pub(super) fn take(self: Rc<Self>) -> Vec<u8> {
        Rc::try_unwrap(self).map_or_else(|shared| shared.bytes.clone(), |own| own.bytes)
    }

    /// Bytes of the first `count` frames.
    pub(super) fn length_of(&self, count: usize) -> usize {
        let lengths = (0..count).scan(0, |at, _| {
            *at += first_frame(&self.bytes[*at..]).length;
            Some(*at)
        });
        lengths.last().unwrap_or(0)
    }

    /// How many frames from the byte `start` on begin within `room` bytes, and their length together.
    pub(super) fn fitting(&self, start: usize, room: usize) -> (usize, usize) {
        let rest = &self.bytes[start..];
        let (mut taken, mut length) = (0, 0);
        while length < rest.len() && length <= room {
            length += first_frame(&rest[length..]).length;
            taken += 1;
        }
        (taken, length)
    }
}

/// Gives back what a buffer does not use, where that is more than a sixteenth.
pub(super) fn shrink(bytes: &mut Vec<u8>) {
    if bytes.capacity() - bytes.len() > bytes.len() / 16 {
        bytes.shrink_to_fit();
    }
}

#[derive(Debug)]
pub(super) enum Chunk {
    Own(Vec<u8>),
    Shared(Rc<Frames>),
    /// One message that a newer one of its route supersedes.
    Latest {
        frame: Rc<Frames>,
        route: u32,
    },
    /// Where one was taken out.
    Gap,
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(frames) => &frames.bytes,
            Self::Latest { frame, .. } => &frame.bytes,
            Self::Gap => &[],
        }
    }

    /// The memory it holds, by itself or together with other outboxes.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.capacity() + BLOCK,
            Self::Shared(frames) => frames.bytes.len() + SHARED,
            Self::Latest { frame, .. } => frame.bytes.len() + SHARED,
            Self::Gap => 0,
        }
    }

    /// The part of its cost that is the shard's, and not this outbox's.
    pub(super) fn shared_cost(&self) -> usize {
        match self {
            Self::Shared(_) | Self::Latest { .. } => self.cost(),
            Self::Own(_) | Self::Gap => 0,
        }
    }

    /// The same, divided by the number of outboxes that hold it.
    pub(super) fn part(&self) -> usize {
        match self {
            Self::Shared(frames) | Self::Latest { frame: frames, .. } => {
                self.cost() / Rc::strong_count(frames)
            }
            Self::Own(_) | Self::Gap => 0,
        }
    }

    /// Whether other outboxes hold it too.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Self::Shared(frames) | Self::Latest { frame: frames, .. } => {
                Rc::strong_count(frames) > 1
            }
            Self::Own(_) | Self::Gap => false,
        }
    }

    /// The route whose latest message it is.
    pub(super) fn latest(&self) -> Option<u32> {
        match self {
            Self::Latest { route, .. } => Some(*route),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_latest_messages_costs_no_more_memory_than_another() {
        assert_eq!(size_of::<Chunk>(), size_of::<Vec<u8>>());
    }

    #[test]
    fn frames_are_found_by_their_headers() {
        for length in [125, 126, 65535, 65536] {
            let mut frames = Frames::default();
            for _ in 0..3 {
                frames.push(|out| {
                    crate::message::envelope::encode_frame(out, &vec![b'x'; length - 1], None)
                });
            }
            let header = frames.bytes.len() / 3 - length;
            assert_eq!(frames.length_of(2), 2 * (header + length));
            assert_eq!(frames.length_of(3), frames.bytes.len());
        }
    }
}
