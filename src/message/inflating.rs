//! A compressed message: collected as it comes, and inflated once it is complete.
//!
//! It is inflated in steps, so that a long one does not keep other connections waiting, and so that one that grows past
//! `maxPayload` is noticed as soon as it does.

use std::time::{Duration, Instant};

use crate::{
    frame::{
        deflate::{END, Inflater},
        fault::Fault,
    },
    message::{
        partial::{Partial, append},
        protocol::Message,
    },
};

/// For so long a connection inflates at once.
const TURN: Duration = Duration::from_millis(1);
/// Bytes that are inflated between two looks at the clock. A stream of empty blocks is slow to read and gives nothing.
const SLICE: usize = 2048;

/// The time in which a connection inflates before others have their turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    started: Option<Instant>,
}

impl Turn {
    fn start(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    /// Whether others are to have their turn. Never before something was inflated.
    pub(crate) fn is_over(&self) -> bool {
        self.started
            .is_some_and(|started| started.elapsed() >= TURN)
    }
}

/// A compressed message on its way to become a message.
pub(crate) struct Inflating {
    /// The bytes that came, without their mask.
    compressed: Vec<u8>,
    is_complete: bool,
    /// Bytes that are read of that, and of what ends it.
    read: usize,
    message: Partial,
    /// Where it is inflated, while that takes several turns.
    inflater: Option<Box<Inflater>>,
}

impl Inflating {
    pub(crate) fn new(is_text: bool) -> Self {
        Self {
            compressed: Vec::new(),
            is_complete: false,
            read: 0,
            message: Partial::new(is_text),
            inflater: None,
        }
    }

    /// Appends what has arrived of it; it has at most `most` bytes.
    pub(crate) fn collect(&mut self, bytes: &[u8], most: usize) {
        append(&mut self.compressed, bytes, most);
    }

    /// All of it has arrived.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether it is ready to be inflated.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |_| Inflater::COST);
        self.compressed.capacity() + self.message.capacity() + inflater
    }

    /// Inflates until it is done or the turn is over; whether it is done. Takes the inflater from `idle`, or one of its own
    /// if there is none, and leaves it there once it is done. `buffer` may hold anything.
    ///
    /// # Errors
    /// When this is no compressed message, when it would have more than `max_payload` bytes, or when a text is not UTF-8.
    pub(crate) fn inflate(
        &mut self,
        idle: &mut Option<Box<Inflater>>,
        buffer: &mut [u8],
        max_payload: usize,
        turn: &mut Turn,
    ) -> Result<bool, Fault> {
        turn.start();
        let mut inflater = self.inflater.take().unwrap_or_else(|| {
            let mut inflater = idle.take().unwrap_or_else(|| Box::new(Inflater::new()));
            inflater.reset();
            inflater
        });
        let outcome = self.run(&mut inflater, buffer, max_payload, turn);
        if outcome == Ok(false) {
            self.inflater = Some(inflater);
        } else {
            *idle = Some(inflater);
        }
        outcome
    }

    fn run(
        &mut self,
        inflater: &mut Inflater,
        buffer: &mut [u8],
        max_payload: usize,
        turn: &Turn,
    ) -> Result<bool, Fault> {
        let length = self.compressed.len();
        let whole = length + END.len();
        loop {
            let rest = match self.compressed.get(self.read..) {
                Some(rest @ [_, ..]) => &rest[..rest.len().min(SLICE)],
                _ => &END[self.read - length..],
            };
            // One byte more than there may be is enough to notice it.
            let left = max_payload.saturating_sub(self.message.length());
            let room = buffer.len().min(left.saturating_add(1));
            let step = inflater.step(rest, &mut buffer[..room])?;
            self.read += step.read;
            if step.written > left {
                return Err(Fault::TooLarge);
            }
            self.message.extend(&buffer[..step.written], max_payload)?;
            if step.ends {
                // A stream that ends by itself needs no other end. RFC 7692, section 7.2.3.4.
                if self.read == length || self.read == whole {
                    self.message.check_end()?;
                    return Ok(true);
                }
                if self.read > length {
                    return Err(Fault::NotDeflate);
                }
                inflater.reset();
            } else if step.written < room && (self.read == whole || step.read == 0) {
                // It wants more, and there is none.
                return Err(Fault::NotDeflate);
            }
            if turn.is_over() {
                return Ok(false);
            }
        }
    }

    /// What it was.
    pub(crate) fn into_message(self) -> Message<'static> {
        self.message.into_message()
    }
}

#[cfg(test)]
mod tests;
