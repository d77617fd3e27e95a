//! Encoded frames that wait for one connection.
//!
//! Frames for one client are appended to a buffer of the outbox's own; frames for many are shared.
//! Bounded in bytes by the caller's limit, measured before a message is added; what then happens
//! is the caller's decision. Every message that entered leaves as written or as dropped. One whose route
//! keeps its latest alone may be dropped while it waits, for a newer one; never once it has begun to leave.

use std::{collections::VecDeque, io::IoSlice, mem, rc::Rc};

use rustc_hash::FxHashMap;

/// An own buffer takes no more frames past this, so that a long queue is freed as it is written.
const OWN_BYTES: usize = 64 * 1024;
/// Most buffers handed to the system in one call.
pub(crate) const SLICES: usize = 16;
/// Marks the length of a frame that is no message.
const CONTROL: u32 = 1 << 31;
/// Queues of up to so many chunks, and of so many lengths, keep their memory when they run empty: 128 and 64 bytes.
const KEPT_CHUNKS: usize = 4;
const KEPT_LENGTHS: usize = 16;
/// Up to so many gaps stay in any queue; in a long one it may be a quarter of the entries, so that closing them up costs each
/// message that was taken out no more than a few entries.
const MOST_GAPS: usize = 32;

/// Whole frames, encoded once for many outboxes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Frames {
    /// Appends frames: `write` appends one to the buffer it is given and returns its length.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        let length = write(&mut self.bytes);
        self.lengths.push(frame_length(length));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.lengths.len()
    }
}

fn frame_length(length: usize) -> u32 {
    u32::try_from(length)
        .ok()
        .filter(|length| length & CONTROL == 0)
        .expect("payloads are limited to 1 GiB where they enter")
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared {
        frames: Rc<Frames>,
        end: usize,
    },
    /// One message that a newer one of its route supersedes.
    Latest {
        frame: Rc<Frames>,
        route: u32,
    },
    /// Where one was taken out. Its entry among the lengths is that of an empty control frame.
    Gap,
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared { frames, end } => &frames.bytes[..*end],
            Self::Latest { frame, .. } => &frame.bytes,
            Self::Gap => &[],
        }
    }

    /// The route whose latest message it is.
    fn latest(&self) -> Option<u32> {
        match self {
            Self::Latest { route, .. } => Some(*route),
            _ => None,
        }
    }
}

/// Where the newest message of each route that keeps its latest alone waits, so that a long queue is not searched for it.
#[derive(Debug, Default)]
struct Places {
    /// By route, its chunk and its entry among the lengths, counted from when this was made.
    newest: FxHashMap<u32, (usize, usize)>,
    /// Chunks and entries that have left since.
    chunks_left: usize,
    entries_left: usize,
    /// Gaps there have been since.
    gaps: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written.
    front: usize,
    /// What is left of each frame, oldest first.
    lengths: VecDeque<u32>,
    bytes: usize,
    messages: usize,
    /// From the first message that is superseded until nothing waits.
    places: Option<Box<Places>>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Queues a message of this connection's own.
    pub(crate) fn push_message(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        let length = self.push_own(write);
        self.lengths.push_back(frame_length(length));
        self.messages += 1;
    }

    /// Queues bytes that are no message: a control frame, or the handshake's answer.
    pub(crate) fn push_control(&mut self, bytes: &[u8]) {
        let length = self.push_own(|out| {
            out.extend_from_slice(bytes);
            bytes.len()
        });
        self.lengths.push_back(frame_length(length) | CONTROL);
    }

    /// Queues shared messages while fewer than or exactly `limit` bytes wait; returns how many it took.
    pub(crate) fn push_shared(&mut self, frames: &Rc<Frames>, from: usize, limit: usize) -> usize {
        let mut taken = 0;
        let mut bytes = 0;
        for &length in &frames.lengths[from..] {
            if self.bytes + bytes > limit {
                break;
            }
            bytes += length as usize;
            taken += 1;
            self.lengths.push_back(length);
        }
        if taken > 0 {
            let start: usize = frames.lengths[..from]
                .iter()
                .map(|&length| length as usize)
                .sum();
            if start == 0 {
                self.chunks.push_back(Chunk::Shared {
                    frames: frames.clone(),
                    end: bytes,
                });
            } else {
                self.chunks
                    .push_back(Chunk::Own(frames.bytes[start..start + bytes].to_vec()));
            }
            self.bytes += bytes;
            self.messages += taken;
        }
        taken
    }

    /// Queues a message that a newer one of its route supersedes; `frame` holds it alone.
    pub(crate) fn push_latest(&mut self, frame: &Rc<Frames>, route: u32) {
        debug_assert_eq!(frame.count(), 1);
        if let Some(places) = &mut self.places {
            let chunk = places.chunks_left + self.chunks.len();
            let entry = places.entries_left + self.lengths.len();
            places.newest.insert(route, (chunk, entry));
        }
        self.lengths.extend(&frame.lengths);
        self.bytes += frame.bytes.len();
        self.messages += 1;
        self.chunks.push_back(Chunk::Latest {
            frame: frame.clone(),
            route,
        });
    }

    /// Takes out what waits of a route that keeps its latest alone, unless it has begun to leave; returns how many messages
    /// that drops. To be asked before each [`push_latest`](Self::push_latest) while the socket is full.
    pub(crate) fn drop_latest(&mut self, route: u32) -> usize {
        let mut dropped = 0;
        if self.places.is_none() {
            dropped = self.coalesce();
        }
        let places = self.places.get_or_insert_default();
        let Some((chunk, entry)) = places.newest.remove(&route) else {
            return dropped;
        };
        let Some(index) = chunk.checked_sub(places.chunks_left) else {
            return dropped;
        };
        if index == 0 && self.front > 0 {
            return dropped;
        }
        let entry = entry - places.entries_left;
        self.bytes -= self.chunks[index].bytes().len();
        self.messages -= 1;
        if index + 1 == self.chunks.len() {
            self.chunks.pop_back();
            self.lengths.pop_back();
        } else {
            self.chunks[index] = Chunk::Gap;
            self.lengths[entry] = CONTROL;
            places.gaps += 1;
            if places.gaps > MOST_GAPS.max(self.lengths.len() / 4) {
                dropped += self.coalesce();
            }
        }
        dropped + 1
    }

    /// Of each route that keeps its latest alone, takes out all messages but the newest; returns how many that drops. What
    /// has begun to leave stays.
    pub(crate) fn coalesce(&mut self) -> usize {
        let mut newest = FxHashMap::default();
        for (index, chunk) in self.chunks.iter().enumerate() {
            if let Some(route) = chunk.latest() {
                newest.insert(route, index);
            }
        }
        if newest.is_empty() && self.places.is_none() {
            return 0;
        }
        let mut places = Places::default();
        let mut entries = mem::take(&mut self.lengths).into_iter();
        let (mut index, mut kept, mut dropped) = (0, 0, 0);
        self.chunks.retain(|chunk| {
            // Of the first, only what has not left is listed.
            let gone = if index == 0 { self.front } else { 0 };
            let is_newest = (chunk.latest()).is_none_or(|route| newest[&route] == index);
            let stays = gone > 0 || (is_newest && !matches!(chunk, Chunk::Gap));
            index += 1;
            if stays && let Some(route) = chunk.latest() {
                places.newest.insert(route, (kept, self.lengths.len()));
            }
            kept += usize::from(stays);
            let mut left = chunk.bytes().len() - gone;
            if left == 0 {
                entries.next();
            }
            while left > 0 {
                let entry = entries.next().expect("chunks consist of whole frames");
                let length = (entry & !CONTROL) as usize;
                left -= length;
                if stays {
                    self.lengths.push_back(entry);
                } else {
                    self.bytes -= length;
                    dropped += 1;
                }
            }
            stays
        });
        self.lengths.extend(entries);
        self.messages -= dropped;
        self.places = Some(Box::new(places));
        dropped
    }

    fn push_own(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) -> usize {
        let length = match self.chunks.back_mut() {
            Some(Chunk::Own(bytes)) if bytes.len() < OWN_BYTES => write(bytes),
            _ => {
                let mut bytes = Vec::new();
                let length = write(&mut bytes);
                self.chunks.push_back(Chunk::Own(bytes));
                length
            }
        };
        self.bytes += length;
        length
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
        self.bytes -= written;
        let mut left = written + self.front;
        while let Some(chunk) = self.chunks.front() {
            let length = chunk.bytes().len();
            if left < length {
                break;
            }
            left -= length;
            self.chunks.pop_front();
            if let Some(places) = &mut self.places {
                places.chunks_left += 1;
            }
        }
        self.front = left;
        let completed = self.complete(written);
        if self.is_empty() {
            self.shrink();
        }
        completed
    }

    fn complete(&mut self, mut written: usize) -> usize {
        let mut completed = 0;
        while let Some(entry) = self.lengths.front_mut() {
            let length = (*entry & !CONTROL) as usize;
            if written < length {
                // What is left is less than the length was, so it fits and leaves the mark alone.
                *entry -= u32::try_from(written).unwrap_or(0);
                break;
            }
            written -= length;
            completed += usize::from(*entry & CONTROL == 0);
            self.lengths.pop_front();
            if let Some(places) = &mut self.places {
                places.entries_left += 1;
            }
        }
        self.messages -= completed;
        completed
    }

    fn shrink(&mut self) {
        self.places = None;
        if self.chunks.capacity() > KEPT_CHUNKS {
            self.chunks = VecDeque::new();
        }
        if self.lengths.capacity() > KEPT_LENGTHS {
            self.lengths = VecDeque::new();
        }
    }

    /// Gives everything up; returns how many messages that loses.
    pub(crate) fn clear(&mut self) -> usize {
        let lost = self.messages;
        *self = Self::default();
        lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) -> usize {
        move |out| {
            out.extend_from_slice(bytes);
            bytes.len()
        }
    }

    fn drain(outbox: &mut Outbox, step: usize) -> (Vec<u8>, Vec<usize>) {
        let mut out = Vec::new();
        let mut completed = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbox.slices(&mut slices);
            assert!(slices[..filled].iter().all(|slice| !slice.is_empty()));
            let all: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            let n = step.min(all.len());
            out.extend_from_slice(&all[..n]);
            completed.push(outbox.advance(n));
        }
        (out, completed)
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_system_takes_at_a_time() {
        for step in 1..20 {
            let mut shared = Frames::default();
            shared.push(frame(b"shared-1"));
            shared.push(frame(b"shared-2"));
            let mut outbox = Outbox::default();
            outbox.push_message(frame(b"own-1"));
            outbox.push_control(b"ping");
            outbox.push_shared(&Rc::new(shared), 0, usize::MAX);
            outbox.push_message(frame(b"own-2"));
            let (out, completed) = drain(&mut outbox, step);
            assert_eq!(out, b"own-1pingshared-1shared-2own-2");
            assert_eq!(completed.iter().sum::<usize>(), 4);
            assert_eq!(outbox.clear(), 0);
        }
    }

    #[test]
    fn a_message_counts_as_written_with_its_last_byte() {
        let mut outbox = Outbox::default();
        outbox.push_message(frame(b"abcd"));
        outbox.push_message(frame(b"efgh"));
        assert_eq!(outbox.advance(3), 0);
        assert_eq!(outbox.advance(1), 1);
        assert_eq!(outbox.advance(3), 0);
        assert_eq!(outbox.clear(), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn shared_messages_are_taken_while_the_limit_is_not_passed() {
        let mut frames = Frames::default();
        for _ in 0..4 {
            frames.push(frame(b"12345"));
        }
        let frames = Rc::new(frames);
        let mut outbox = Outbox::default();
        // 0, 5 and 10 bytes wait before each of the first three: none is more than 10.
        assert_eq!(outbox.push_shared(&frames, 0, 10), 3);
        assert_eq!(outbox.push_shared(&frames, 3, 10), 0);
        outbox.advance(10);
        assert_eq!(outbox.push_shared(&frames, 3, 10), 1);
        assert_eq!(drain(&mut outbox, 100).0, b"1234512345");
    }

    fn single(bytes: &[u8]) -> Rc<Frames> {
        let mut frames = Frames::default();
        frames.push(frame(bytes));
        Rc::new(frames)
    }

    #[test]
    fn of_a_route_that_keeps_its_latest_the_newest_stays_in_the_order_of_the_sends() {
        let mut outbox = Outbox::default();
        outbox.push_latest(&single(b"a1"), 1);
        outbox.push_message(frame(b"own"));
        outbox.push_latest(&single(b"b1"), 2);
        outbox.push_control(b"ping");
        outbox.push_latest(&single(b"a2"), 1);
        outbox.push_message(frame(b"own"));
        outbox.push_latest(&single(b"a3"), 1);
        assert_eq!(outbox.coalesce(), 2);
        assert_eq!(outbox.coalesce(), 0);
        assert_eq!(outbox.drop_latest(3), 0);
        assert_eq!(outbox.drop_latest(2), 1);
        assert_eq!(outbox.drop_latest(2), 0);
        outbox.push_latest(&single(b"b2"), 2);
        assert_eq!(drain(&mut outbox, 3).0, b"ownpingowna3b2");
        assert_eq!(outbox.clear(), 0);
    }

    #[test]
    fn what_has_begun_to_leave_is_never_taken_out() {
        let mut outbox = Outbox::default();
        outbox.push_latest(&single(b"first"), 1);
        outbox.push_latest(&single(b"second"), 1);
        outbox.push_latest(&single(b"third"), 1);
        outbox.advance(1);
        assert_eq!(outbox.coalesce(), 1);
        assert_eq!(outbox.drop_latest(1), 1);
        assert_eq!(outbox.drop_latest(1), 0);
        outbox.push_latest(&single(b"fourth"), 1);
        let (out, completed) = drain(&mut outbox, 4);
        assert_eq!(out, b"irstfourth");
        assert_eq!(completed.iter().sum::<usize>(), 2);
    }

    #[test]
    fn what_is_taken_out_is_found_after_others_have_left() {
        let mut outbox = Outbox::default();
        outbox.push_message(frame(b"first"));
        outbox.push_latest(&single(b"a1"), 1);
        outbox.push_message(frame(b"second"));
        assert_eq!(outbox.drop_latest(2), 0);
        outbox.push_latest(&single(b"b1"), 2);
        outbox.push_message(frame(b"third"));
        assert_eq!(outbox.advance(5), 1);
        assert_eq!(outbox.drop_latest(1), 1);
        outbox.push_latest(&single(b"a2"), 1);
        assert_eq!(outbox.drop_latest(2), 1);
        outbox.push_latest(&single(b"b2"), 2);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = outbox.slices(&mut slices);
        let slices: Vec<&[u8]> = slices[..filled].iter().map(|slice| &**slice).collect();
        assert_eq!(slices, [&b"second"[..], b"third", b"a2", b"b2"]);
        for message in ["second", "third", "a2", "b2"] {
            assert_eq!(outbox.advance(message.len() - 1), 0, "{message}");
            assert_eq!(outbox.advance(1), 1, "{message}");
        }
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_queue_of_latest_messages_costs_no_more_memory_than_another() {
        assert_eq!(size_of::<Chunk>(), size_of::<Vec<u8>>());
    }

    #[test]
    fn of_very_many_routes_the_latest_are_found_without_a_search() {
        // A search of the queue for each would take minutes.
        const ROUTES: u32 = 40_000;
        let mut outbox = Outbox::default();
        outbox.push_message(frame(b"first"));
        let mut dropped = outbox.coalesce();
        for round in 0..3_u8 {
            for route in 0..ROUTES {
                dropped += outbox.drop_latest(route);
                outbox.push_latest(&single(&[b'0', b'0', round]), route);
            }
        }
        assert_eq!(dropped, 2 * ROUTES as usize);
        assert!(outbox.chunks.len() <= 2 * ROUTES as usize);
        let (out, _) = drain(&mut outbox, usize::MAX);
        assert!(out.ends_with(b"00\x02") && out.len() == 5 + 3 * ROUTES as usize);
        assert!(outbox.places.is_none());
    }

    /// What may happen to an outbox.
    #[derive(Debug, Clone)]
    enum Step {
        Message(usize),
        Control(usize),
        Shared {
            lengths: Vec<usize>,
            limit: usize,
        },
        /// Messages of routes that keep their latest alone; while the socket is full each supersedes the one before.
        Latest {
            route: u32,
            length: usize,
            is_full: bool,
            times: u32,
        },
        Coalesce,
        Write(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let length = prop_oneof![20 => 1..50_usize, 1 => 1..70_000_usize];
        prop_oneof![
            4 => length.clone().prop_map(Step::Message),
            2 => (2..127_usize).prop_map(Step::Control),
            4 => (prop::collection::vec(length.clone(), 1..6), 0..100_000_usize)
                .prop_map(|(lengths, limit)| Step::Shared { lengths, limit }),
            6 => (0..3_u32, length.clone(), any::<bool>(), prop_oneof![4 => Just(1), 1 => 2..80_u32])
                .prop_map(|(route, length, is_full, times)| Step::Latest { route, length, is_full, times }),
            2 => Just(Step::Coalesce),
            6 => length.prop_map(Step::Write),
            1 => Just(Step::Clear),
        ]
    }

    /// One frame as a naive outbox keeps it.
    #[derive(Debug, Clone, PartialEq)]
    enum Kind {
        Control,
        Message,
        Latest(u32),
    }

    /// An outbox without any cleverness: frames with what is left of them, and whether they have begun to leave.
    #[derive(Debug, Default)]
    struct Model(Vec<(Kind, Vec<u8>, bool)>);

    impl Model {
        fn push(&mut self, kind: Kind, bytes: &[u8]) {
            self.0.push((kind, bytes.to_vec(), false));
        }

        fn bytes(&self) -> usize {
            self.0.iter().map(|(_, bytes, _)| bytes.len()).sum()
        }

        fn messages(&self) -> usize {
            let messages = self.0.iter().filter(|(kind, ..)| *kind != Kind::Control);
            messages.count()
        }

        /// Drops all of a route's messages that have not begun to leave, but for the newest `keep`.
        fn supersede(&mut self, route: u32, keep: usize) -> usize {
            let is_waiting = |(kind, _, has_begun): &(Kind, Vec<u8>, bool)| {
                *kind == Kind::Latest(route) && !has_begun
            };
            let waiting = self.0.iter().filter(|it| is_waiting(it)).count();
            let mut drop = waiting.saturating_sub(keep);
            let dropped = drop;
            self.0.retain(|it| {
                let goes = drop > 0 && is_waiting(it);
                drop -= usize::from(goes);
                !goes
            });
            dropped
        }

        /// The next bytes; returns them and how many messages that completes.
        fn write(&mut self, mut length: usize) -> (Vec<u8>, usize) {
            let (mut out, mut completed) = (Vec::new(), 0);
            while length > 0 && !self.0.is_empty() {
                let (kind, bytes, has_begun) = &mut self.0[0];
                let taken: Vec<u8> = bytes.drain(..length.min(bytes.len())).collect();
                length -= taken.len();
                out.extend(taken);
                *has_begun = true;
                if bytes.is_empty() {
                    completed += usize::from(*kind != Kind::Control);
                    self.0.remove(0);
                }
            }
            (out, completed)
        }
    }

    proptest! {
        #[test]
        fn every_message_is_written_queued_or_dropped_and_bytes_leave_as_they_came(
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let mut outbox = Outbox::default();
            let (mut sent, mut written, mut dropped) = (0, 0, 0);
            let mut model = Model::default();
            let mut next = 0_u8;
            let mut bytes = |length: usize| {
                next = next.wrapping_add(1);
                vec![next; length]
            };
            for step in steps {
                match step {
                    Step::Message(length) => {
                        let bytes = bytes(length);
                        outbox.push_message(frame(&bytes));
                        model.push(Kind::Message, &bytes);
                        sent += 1;
                    }
                    Step::Control(length) => {
                        let bytes = bytes(length);
                        outbox.push_control(&bytes);
                        model.push(Kind::Control, &bytes);
                    }
                    Step::Shared { lengths, limit } => {
                        let mut frames = Frames::default();
                        let all: Vec<_> = lengths.iter().map(|length| bytes(*length)).collect();
                        for bytes in &all {
                            frames.push(frame(bytes));
                        }
                        let frames = Rc::new(frames);
                        let mut from = 0;
                        // Again after a partial write, as fan-out does.
                        for _ in 0..2 {
                            let taken = outbox.push_shared(&frames, from, limit);
                            for bytes in &all[from..from + taken] {
                                prop_assert!(model.bytes() <= limit, "taken past the limit");
                                model.push(Kind::Message, bytes);
                            }
                            from += taken;
                            prop_assert!(from == all.len() || model.bytes() > limit, "stopped too early");
                            sent += taken;
                        }
                        sent += all.len() - from;
                        dropped += all.len() - from;
                    }
                    Step::Latest { route, length, is_full, times } => {
                        if is_full {
                            // What came while the socket was not full may be several: the newest goes.
                            let lost = outbox.coalesce();
                            prop_assert_eq!(lost, (0..3).map(|route| model.supersede(route, 1)).sum::<usize>());
                            dropped += lost;
                        }
                        for route in (route..route + times).map(|route| route % 3) {
                            if is_full {
                                let replaced = outbox.drop_latest(route);
                                prop_assert_eq!(replaced, model.supersede(route, 0));
                                dropped += replaced;
                            }
                            let bytes = bytes(length.min(100_000 / times as usize));
                            let mut frames = Frames::default();
                            frames.push(frame(&bytes));
                            outbox.push_latest(&Rc::new(frames), route);
                            model.push(Kind::Latest(route), &bytes);
                            sent += 1;
                        }
                    }
                    Step::Coalesce => {
                        let lost = outbox.coalesce();
                        prop_assert_eq!(lost, (0..3).map(|route| model.supersede(route, 1)).sum::<usize>());
                        dropped += lost;
                    }
                    Step::Write(length) => {
                        let mut slices = [IoSlice::new(&[]); SLICES];
                        let filled = outbox.slices(&mut slices);
                        let mut offered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                        offered.truncate(length);
                        let (expected, completes) = model.write(offered.len());
                        prop_assert_eq!(&offered, &expected);
                        prop_assert_eq!(outbox.advance(offered.len()), completes);
                        written += completes;
                    }
                    Step::Clear => {
                        let lost = outbox.clear();
                        prop_assert_eq!(lost, model.messages());
                        dropped += lost;
                        model = Model::default();
                    }
                }
                prop_assert_eq!(outbox.bytes(), model.bytes());
                prop_assert_eq!(outbox.is_empty(), model.bytes() == 0);
                prop_assert_eq!(sent, written + model.messages() + dropped);
            }
        }
    }
}
