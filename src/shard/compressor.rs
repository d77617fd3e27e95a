//! Compresses and inflates the messages of all connections of a shard: one deflater, one inflater and one buffer serve them
//! all. They are made when the first message needs them.

use std::cell::{Cell, RefCell};

use crate::{
    config::Compression,
    frame::{
        COMPRESSED, OPCODE,
        deflate::{Deflater, Inflater, Window},
        fault::Fault,
        outgoing::{self, push_header},
    },
    message::inflating::{Inflating, Turn},
    metrics::Metrics,
};

/// Bytes of the buffer through which both streams go.
const BUFFER: usize = 64 * 1024;
/// So much of the memory that one message needed stays for the next one.
const KEPT: usize = 64 * 1024;

/// The deflater, the inflater and the buffer of a shard.
pub(crate) struct Compressor {
    settings: Option<Compression>,
    deflater: RefCell<Option<Deflater>>,
    inflater: Cell<Option<Box<Inflater>>>,
    buffer: Cell<Vec<u8>>,
    /// A frame for one client, until it is compressed.
    frame: Cell<Vec<u8>>,
    /// What came of it, until it has a header.
    compressed: Cell<Vec<u8>>,
}

impl Compressor {
    pub(crate) fn new(settings: Option<Compression>) -> Self {
        Self {
            settings,
            deflater: RefCell::default(),
            inflater: Cell::default(),
            buffer: Cell::default(),
            frame: Cell::default(),
            compressed: Cell::default(),
        }
    }

    /// Whether a frame that is so long may be worth it.
    pub(crate) fn wants(&self, frame: usize) -> bool {
        (self.settings.as_ref()).is_some_and(|settings| frame >= settings.threshold)
    }

    /// Appends a frame to `out` which is a whole message: compressed if it has as many bytes as the threshold and that makes it
    /// shorter, else as it is. Whether it is compressed.
    pub(crate) fn push(
        &self,
        frame: &[u8],
        window: Window,
        out: &mut Vec<u8>,
        metrics: &Metrics,
    ) -> bool {
        let payload = outgoing::payload(frame);
        let is_long = |it: &&Compression| payload.len() >= it.threshold;
        let compressed = self.settings.as_ref().filter(is_long).is_some_and(|it| {
            metrics.compressions.add(1);
            self.compress(it.level, frame[0], payload, window, out)
        });
        if !compressed {
            out.extend_from_slice(frame);
        }
        compressed
    }

    /// Appends the frame of a compressed message; false, and nothing is appended, if that is not shorter.
    fn compress(
        &self,
        level: u8,
        first: u8,
        payload: &[u8],
        window: Window,
        out: &mut Vec<u8>,
    ) -> bool {
        let window = window.reaching(payload.len());
        let mut deflater = self.deflater.borrow_mut();
        let deflater = deflater.get_or_insert_with(|| Deflater::new(level, window));
        let (mut buffer, mut compressed) = (self.take_buffer(), self.compressed.take());
        let shrinks = deflater.compress(payload, window, &mut buffer, &mut compressed);
        if shrinks {
            push_header(out, first & OPCODE | COMPRESSED, compressed.len());
            out.extend_from_slice(&compressed);
        }
        self.buffer.set(buffer);
        keep(&self.compressed, compressed);
        shrinks
    }

    /// Writes a frame with `write` and appends it as [`push`](Self::push) does.
    pub(crate) fn write(
        &self,
        window: Window,
        out: &mut Vec<u8>,
        metrics: &Metrics,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> usize {
        let mut frame = self.frame.take();
        write(&mut frame);
        let start = out.len();
        self.push(&frame, window, out, metrics);
        keep(&self.frame, frame);
        out.len() - start
    }

    /// Inflates a message until it is done or the turn is over; whether it is done.
    ///
    /// # Errors
    /// When it is broken, or too large.
    pub(crate) fn inflate(
        &self,
        inflating: &mut Inflating,
        max_payload: usize,
        turn: &mut Turn,
    ) -> Result<bool, Fault> {
        let mut idle = self.inflater.take();
        let mut buffer = self.take_buffer();
        let outcome = inflating.inflate(&mut idle, &mut buffer, max_payload, turn);
        self.buffer.set(buffer);
        self.inflater.set(idle);
        outcome
    }

    fn take_buffer(&self) -> Vec<u8> {
        let buffer = self.buffer.take();
        if buffer.is_empty() {
            return vec![0; BUFFER];
        }
        buffer
    }
}

/// Empties a buffer and puts it back for the next message, a part of the memory if it is large.
fn keep(place: &Cell<Vec<u8>>, mut bytes: Vec<u8>) {
    bytes.clear();
    bytes.shrink_to(KEPT);
    place.set(bytes);
}

#[cfg(all(test, feature = "deflate"))]
mod tests {
    use super::*;
    use crate::message::envelope::encode_frame;

    #[test]
    fn what_is_kept_for_the_next_message_is_bounded() {
        let compressor = Compressor::new(Some(Compression::default()));
        let window = Window::new(15).expect("the largest window");
        let metrics = Metrics::default();
        // It neither shrinks well nor not at all.
        let payload: Vec<u8> = (0..2_000_000_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes())
            .collect();
        let mut out = Vec::new();
        let length = compressor.write(window, &mut out, &metrics, |out| {
            encode_frame(out, b"{\"type\":\"a\"", Some(&payload))
        });
        assert_eq!(length, out.len());
        assert!(out.len() > 8 * KEPT && out.len() < payload.len());
        assert_eq!(out[0], 0xc1);
        for kept in [&compressor.frame, &compressor.compressed] {
            assert!(kept.take().capacity() <= KEPT);
        }
        assert_eq!(compressor.buffer.take().len(), BUFFER);
    }
}
