//! Encoded frames that wait for one connection.
//!
//! Frames for one client are appended to a buffer of the outbox's own; frames for many are shared.
//! Bounded in bytes by the caller's limit, measured before a message is added; what then happens
//! is the caller's decision. What is measured is the memory that is held ([`Outbox::held`]): what waits, the part of a buffer
//! that is written or not used yet, and the bookkeeping. Every message that entered leaves as written or as dropped. One whose
//! route keeps its latest alone may be dropped while it waits, for a newer one; never once it has begun to leave.

mod chunk;
mod latest;

use std::{collections::VecDeque, io::IoSlice, rc::Rc};

pub(crate) use self::chunk::Frames;
use self::{
    chunk::{Chunk, first_frame, shrink},
    latest::Places,
};
use crate::buffered::Tally;

/// An own buffer takes no more frames past this, so that a long queue is freed as it is written.
const OWN_BYTES: usize = 64 * 1024;
/// Nor past this share of the limit, as a buffer that grows may take twice what it needs.
const OWN_SHARE: usize = 16;
/// The least of that.
const OWN_LEAST: usize = 512;
/// Shared frames that are shorter than this are copied once the socket is full: to share them would cost more.
const COPIED: usize = 512;
/// Most buffers handed to the system in one call.
pub(crate) const SLICES: usize = 16;
/// A queue of up to so many chunks keeps its memory when it runs empty: 96 bytes.
const KEPT_CHUNKS: usize = 4;
/// Up to so many chunks the queue doubles when it grows; a longer one grows by a quarter.
const DOUBLES: usize = 64;
/// So much bookkeeping is not counted, so that a limit of a few bytes means what it says.
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
    /// What the chunks cost; see [`Chunk::cost`].
    cost: usize,
    /// The part of that which other outboxes may share.
    shared: usize,
    /// What the shard has been told that it costs without that part.
    told: usize,
    /// What could not be saved when the queue was last made small.
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
        // What others hold too is not this client's fault once it has been written.
        if self.front > 0 && self.chunks.front().is_some_and(Chunk::is_shared) {
            held -= self.front;
        }
        held.saturating_sub(FREE).max(self.bytes)
    }

    /// Bytes of memory that would be free without it: frames that others hold too count in part.
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

    /// Queues the answer to the upgrade request, which comes before all frames.
    pub(crate) fn push_answer(&mut self, answer: &[u8]) {
        debug_assert!(self.is_empty());
        self.under_way = UnderWay::new(answer.len(), false);
        self.push_control(answer);
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

    /// Queues a message that a newer one of its route supersedes; `frame` holds it alone.
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
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::buffered::Buffered;

    fn tally() -> Rc<Tally> {
        thread_local! {
            static TALLY: Rc<Tally> =
                Rc::new(Tally::new(Arc::new(Buffered::new(usize::MAX, 0, 1)), 0));
        }
        TALLY.with(Rc::clone)
    }

    fn outbox() -> Outbox {
        Outbox::new(tally())
    }

    const TEXT: u8 = 0x81;
    const PING: u8 = 0x89;

    /// A whole frame.
    fn whole(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ 0..126), _) => out.push(short),
            (_, Ok(medium)) => {
                out.push(126);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                out.push(127);
                out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    fn text(payload: &str) -> Vec<u8> {
        whole(TEXT, payload.as_bytes())
    }

    fn texts(payloads: &[&str]) -> Vec<u8> {
        payloads.iter().flat_map(|payload| text(payload)).collect()
    }

    fn write(frame: &[u8]) -> impl FnOnce(&mut Vec<u8>) -> usize {
        move |out| {
            out.extend_from_slice(frame);
            frame.len()
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

    fn shared(payloads: &[&str]) -> Rc<Frames> {
        let mut frames = Frames::default();
        for payload in payloads {
            frames.push(write(&text(payload)));
        }
        frames.share(&tally())
    }

    fn single(payload: &str) -> Rc<Frames> {
        shared(&[payload])
    }

    #[test]
    fn bytes_leave_in_order_whatever_the_system_takes_at_a_time() {
        let answer = b"HTTP/1.1 101 and so on";
        for step in 1..60 {
            let mut outbox = outbox();
            outbox.push_answer(answer);
            outbox.push_message(usize::MAX, write(&text("own-1")));
            outbox.push_control(&whole(PING, b"ping"));
            outbox.push_shared(&shared(&["shared-1", "shared-2"]), 0, usize::MAX, false);
            outbox.push_shared(&single("copied"), 0, usize::MAX, true);
            outbox.push_message(usize::MAX, write(&text("own-2")));
            let (out, completed) = drain(&mut outbox, step);
            let expected = [
                answer.to_vec(),
                text("own-1"),
                whole(PING, b"ping"),
                texts(&["shared-1", "shared-2", "copied", "own-2"]),
            ];
            assert_eq!(out, expected.concat());
            assert_eq!(completed.iter().sum::<usize>(), 5);
            assert_eq!(outbox.clear(), 0);
        }
    }

    #[test]
    fn a_message_counts_as_written_with_its_last_byte() {
        let mut outbox = outbox();
        outbox.push_message(usize::MAX, write(&text("ab")));
        outbox.push_message(usize::MAX, write(&text("ef")));
        assert_eq!(outbox.advance(3), 0);
        assert_eq!(outbox.advance(1), 1);
        assert_eq!(outbox.advance(3), 0);
        assert_eq!(outbox.clear(), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn shared_messages_are_taken_while_the_limit_is_not_passed() {
        let frames = shared(&["123", "123", "123", "123"]);
        let mut outbox = outbox();
        // 0, 5 and 10 bytes wait before each of the first three: none is more than 10.
        assert_eq!(outbox.push_shared(&frames, 0, 10, false), 3);
        assert_eq!(outbox.push_shared(&frames, 3, 10, false), 0);
        outbox.advance(10);
        assert_eq!(outbox.push_shared(&frames, 3, 10, false), 1);
        assert_eq!(drain(&mut outbox, 100).0, texts(&["123", "123"]));
    }

    #[test]
    fn of_a_route_that_keeps_its_latest_the_newest_stays_in_the_order_of_the_sends() {
        let mut outbox = outbox();
        outbox.push_latest(&single("a1"), 1);
        outbox.push_message(usize::MAX, write(&text("own")));
        outbox.push_latest(&single("b1"), 2);
        outbox.push_control(&whole(PING, b""));
        outbox.push_latest(&single("a2"), 1);
        outbox.push_message(usize::MAX, write(&text("own")));
        outbox.push_latest(&single("a3"), 1);
        assert_eq!(outbox.coalesce(), 2);
        assert_eq!(outbox.coalesce(), 0);
        assert_eq!(outbox.drop_latest(3), 0);
        assert_eq!(outbox.drop_latest(2), 1);
        assert_eq!(outbox.drop_latest(2), 0);
        outbox.push_latest(&single("b2"), 2);
        let expected = [text("own"), whole(PING, b""), texts(&["own", "a3", "b2"])];
        assert_eq!(drain(&mut outbox, 3).0, expected.concat());
        assert_eq!(outbox.clear(), 0);
    }

    #[test]
    fn what_has_begun_to_leave_is_never_taken_out() {
        for is_made_small in [false, true] {
            let mut outbox = outbox();
            let first = "first".repeat(1000);
            outbox.push_latest(&single(&first), 1);
            outbox.push_latest(&single("second"), 1);
            outbox.push_latest(&single("third"), 1);
            outbox.advance(4000);
            assert_eq!(outbox.coalesce(), 1);
            if is_made_small {
                let before = outbox.held();
                assert_eq!(outbox.compact(), 0);
                assert!(outbox.held() < before - 3000);
            }
            assert_eq!(outbox.drop_latest(1), 1);
            assert_eq!(outbox.drop_latest(1), 0);
            outbox.push_latest(&single("fourth"), 1);
            let (out, completed) = drain(&mut outbox, 4);
            assert_eq!(out, texts(&[&first, "fourth"])[4000..]);
            assert_eq!(completed.iter().sum::<usize>(), 2);
        }
    }

    #[test]
    fn what_is_taken_out_is_found_after_others_have_left() {
        let mut outbox = outbox();
        outbox.push_message(usize::MAX, write(&text("first")));
        outbox.push_latest(&single("a1"), 1);
        outbox.push_message(usize::MAX, write(&text("second")));
        assert_eq!(outbox.drop_latest(2), 0);
        outbox.push_latest(&single("b1"), 2);
        outbox.push_message(usize::MAX, write(&text("third")));
        assert_eq!(outbox.advance(7), 1);
        assert_eq!(outbox.drop_latest(1), 1);
        outbox.push_latest(&single("a2"), 1);
        assert_eq!(outbox.drop_latest(2), 1);
        outbox.push_latest(&single("b2"), 2);
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = outbox.slices(&mut slices);
        let slices: Vec<&[u8]> = slices[..filled].iter().map(|slice| &**slice).collect();
        let expected = ["second", "third", "a2", "b2"];
        assert_eq!(slices, expected.map(text));
        for message in expected.map(text) {
            assert_eq!(outbox.advance(message.len() - 1), 0);
            assert_eq!(outbox.advance(1), 1);
        }
        assert!(outbox.is_empty());
    }

    #[test]
    fn of_very_many_routes_the_latest_are_found_without_a_search() {
        // A search of the queue for each would take minutes.
        const ROUTES: u32 = 40_000;
        let mut outbox = outbox();
        outbox.push_message(usize::MAX, write(&text("first")));
        let mut dropped = outbox.coalesce();
        for round in ["000", "001", "002"] {
            for route in 0..ROUTES {
                dropped += outbox.drop_latest(route);
                outbox.push_latest(&single(round), route);
            }
        }
        assert_eq!(dropped, 2 * ROUTES as usize);
        assert!(outbox.chunks.len() <= 2 * ROUTES as usize);
        let (out, _) = drain(&mut outbox, usize::MAX);
        assert!(out.ends_with(&text("002")) && out.len() == 7 + 5 * ROUTES as usize);
        assert!(outbox.places.is_none());
    }

    #[test]
    fn a_message_that_is_almost_written_does_not_count_whole() {
        const LARGE: usize = 1024 * 1024;
        let large = "x".repeat(LARGE);
        let frames = single(&large);
        let mut outboxes = [(); 3].map(|()| outbox());
        outboxes[0].push_message(LARGE, write(&text(&large)));
        outboxes[1].push_shared(&single(&large), 0, LARGE, false);
        outboxes[2].push_shared(&frames, 0, LARGE, false);
        for outbox in &mut outboxes {
            assert!(outbox.held() > LARGE);
            outbox.advance(LARGE - 1000);
            outbox.compact();
            assert!(outbox.held() < 2000, "{}", outbox.held());
            assert_eq!(drain(outbox, 100).1.iter().sum::<usize>(), 1);
        }
    }

    #[test]
    fn small_messages_cost_about_their_bytes() {
        const LIMIT: usize = 1024 * 1024;
        let kinds: [fn(&mut Outbox, &Rc<Frames>); 4] = [
            |outbox, _| outbox.push_message(LIMIT, write(&text("0123456789"))),
            |outbox, frames| {
                outbox.push_shared(frames, 0, LIMIT, true);
            },
            |outbox, frames| {
                outbox.push_shared(frames, 0, LIMIT, false);
            },
            |outbox, frames| {
                outbox.push_message(LIMIT, write(&text("0123456789")));
                outbox.drop_latest(1);
                outbox.push_latest(frames, 1);
            },
        ];
        for kind in kinds {
            let mut outbox = outbox();
            loop {
                if outbox.held() > LIMIT {
                    outbox.compact();
                }
                if outbox.held() > LIMIT {
                    break;
                }
                kind(&mut outbox, &single("0123456789"));
            }
            let held = outbox.held();
            assert!(outbox.bytes > LIMIT * 7 / 8, "{} in {held}", outbox.bytes);
            assert!(held < LIMIT * 11 / 10, "{held}");
        }
    }

    /// What may happen to an outbox.
    #[derive(Debug, Clone)]
    enum Step {
        Answer,
        Message(usize),
        Control(usize),
        Shared {
            lengths: Vec<usize>,
            limit: usize,
            copies: bool,
        },
        /// Messages of routes that keep their latest alone; while the socket is full each supersedes the one before.
        Latest {
            route: u32,
            length: usize,
            is_full: bool,
            times: u32,
        },
        Coalesce,
        Compact,
        Write(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        let length = prop_oneof![20 => 0..50_usize, 3 => 0..2000_usize, 1 => 0..70_000_usize];
        prop_oneof![
            1 => Just(Step::Answer),
            4 => length.clone().prop_map(Step::Message),
            2 => (0..125_usize).prop_map(Step::Control),
            4 => (prop::collection::vec(length.clone(), 1..6), 0..100_000_usize, any::<bool>())
                .prop_map(|(lengths, limit, copies)| Step::Shared { lengths, limit, copies }),
            6 => (0..3_u32, length.clone(), any::<bool>(), prop_oneof![4 => Just(1), 1 => 2..80_u32])
                .prop_map(|(route, length, is_full, times)| Step::Latest { route, length, is_full, times }),
            2 => Just(Step::Coalesce),
            2 => Just(Step::Compact),
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

        fn supersede_all(&mut self) -> usize {
            (0..3).map(|route| self.supersede(route, 1)).sum()
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
            let mut outbox = outbox();
            let before = tally().bytes();
            let (mut sent, mut written, mut dropped) = (0, 0, 0);
            let mut model = Model::default();
            let mut next = 0_u8;
            let mut bytes = |first: u8, length: usize| {
                next = next.wrapping_add(1);
                whole(first, &vec![next; length])
            };
            for step in steps {
                match step {
                    Step::Answer => {
                        if outbox.is_empty() {
                            let bytes = bytes(b'H', 100);
                            outbox.push_answer(&bytes);
                            model.push(Kind::Control, &bytes);
                        }
                    }
                    Step::Message(length) => {
                        let bytes = bytes(TEXT, length);
                        outbox.push_message(length, write(&bytes));
                        model.push(Kind::Message, &bytes);
                        sent += 1;
                    }
                    Step::Control(length) => {
                        let bytes = bytes(PING, length);
                        outbox.push_control(&bytes);
                        model.push(Kind::Control, &bytes);
                    }
                    Step::Shared { lengths, limit, copies } => {
                        let mut frames = Frames::default();
                        let all: Vec<_> = lengths.iter().map(|length| bytes(TEXT, *length)).collect();
                        for bytes in &all {
                            frames.push(write(bytes));
                        }
                        let frames = frames.share(&tally());
                        let mut from = 0;
                        // Again after a partial write, as fan-out does.
                        for _ in 0..2 {
                            let mut held = outbox.held();
                            let taken = if from < all.len() {
                                outbox.push_shared(&frames, from, limit, copies)
                            } else {
                                0
                            };
                            for bytes in &all[from..from + taken] {
                                prop_assert!(held <= limit, "taken past the limit");
                                held += bytes.len();
                                model.push(Kind::Message, bytes);
                            }
                            from += taken;
                            prop_assert!(from == all.len() || held > limit, "stopped too early");
                            sent += taken;
                        }
                        sent += all.len() - from;
                        dropped += all.len() - from;
                    }
                    Step::Latest { route, length, is_full, times } => {
                        if is_full {
                            // What came while the socket was not full may be several: the newest goes.
                            let lost = outbox.coalesce();
                            prop_assert_eq!(lost, model.supersede_all());
                            dropped += lost;
                        }
                        for route in (route..route + times).map(|route| route % 3) {
                            if is_full {
                                let replaced = outbox.drop_latest(route);
                                prop_assert_eq!(replaced, model.supersede(route, 0));
                                dropped += replaced;
                            }
                            let bytes = bytes(TEXT, length.min(100_000 / times as usize));
                            let mut frames = Frames::default();
                            frames.push(write(&bytes));
                            outbox.push_latest(&frames.share(&tally()), route);
                            model.push(Kind::Latest(route), &bytes);
                            sent += 1;
                        }
                    }
                    Step::Coalesce => {
                        let lost = outbox.coalesce();
                        prop_assert_eq!(lost, model.supersede_all());
                        dropped += lost;
                    }
                    Step::Compact => {
                        // As it is only ever done while the socket is full.
                        let lost = outbox.coalesce() + outbox.compact();
                        prop_assert_eq!(lost, model.supersede_all());
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
                prop_assert_eq!(outbox.bytes, model.bytes());
                prop_assert_eq!(outbox.is_empty(), model.bytes() == 0);
                prop_assert_eq!(outbox.cost, outbox.chunks.iter().map(Chunk::cost).sum::<usize>());
                prop_assert!(outbox.held() >= outbox.bytes);
                let shared = outbox.chunks.iter().map(Chunk::shared_cost).sum::<usize>();
                prop_assert!(tally().bytes() - before >= outbox.told + shared);
                prop_assert_eq!(outbox.weight(), outbox.told + shared);
                prop_assert_eq!(sent, written + model.messages() + dropped);
            }
            outbox.clear();
            prop_assert_eq!(tally().bytes(), before);
        }
    }
}
