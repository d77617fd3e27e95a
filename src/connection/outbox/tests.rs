use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::limits::buffered::Buffered;

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
        outbox.push_uncounted(answer);
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
    assert_eq!(latest::coalesce(&mut outbox), 2);
    assert_eq!(latest::coalesce(&mut outbox), 0);
    assert_eq!(latest::drop_latest(&mut outbox, 3), 0);
    assert_eq!(latest::drop_latest(&mut outbox, 2), 1);
    assert_eq!(latest::drop_latest(&mut outbox, 2), 0);
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
        assert_eq!(latest::coalesce(&mut outbox), 1);
        if is_made_small {
            let before = outbox.held();
            assert_eq!(latest::compact(&mut outbox), 0);
            assert!(outbox.held() < before - 3000);
        }
        assert_eq!(latest::drop_latest(&mut outbox, 1), 1);
        assert_eq!(latest::drop_latest(&mut outbox, 1), 0);
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
    assert_eq!(latest::drop_latest(&mut outbox, 2), 0);
    outbox.push_latest(&single("b1"), 2);
    outbox.push_message(usize::MAX, write(&text("third")));
    assert_eq!(outbox.advance(7), 1);
    assert_eq!(latest::drop_latest(&mut outbox, 1), 1);
    outbox.push_latest(&single("a2"), 1);
    assert_eq!(latest::drop_latest(&mut outbox, 2), 1);
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
    let mut dropped = latest::coalesce(&mut outbox);
    for round in ["000", "001", "002"] {
        for route in 0..ROUTES {
            dropped += latest::drop_latest(&mut outbox, route);
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
        latest::compact(outbox);
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
            latest::drop_latest(outbox, 1);
            outbox.push_latest(frames, 1);
        },
    ];
    for kind in kinds {
        let mut outbox = outbox();
        loop {
            if outbox.held() > LIMIT {
                latest::compact(&mut outbox);
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
                        outbox.push_uncounted(&bytes);
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
                        let lost = latest::coalesce(&mut outbox);
                        prop_assert_eq!(lost, model.supersede_all());
                        dropped += lost;
                    }
                    for route in (route..route + times).map(|route| route % 3) {
                        if is_full {
                            let replaced = latest::drop_latest(&mut outbox, route);
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
                    let lost = latest::coalesce(&mut outbox);
                    prop_assert_eq!(lost, model.supersede_all());
                    dropped += lost;
                }
                Step::Compact => {
                    // As it is only ever done while the socket is full.
                    let lost = latest::coalesce(&mut outbox) + latest::compact(&mut outbox);
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
