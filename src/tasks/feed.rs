//! Takes the bytes of one connection, frame by frame. It puts messages and close frames together itself, and gives the other control
//! frames to tungstenite.
//!
//! tungstenite never sees a message. It would reserve the memory that a frame announces and keep it for ever, and it would copy
//! fragments once more. Nor does it see a client's close frame, as it takes a code for wrong that IANA has registered: 1014. It reads
//! pings and pongs, and answers them.

use std::{
    io::{self, Read, Write},
    rc::Rc,
};

use crate::{
    connection::Connection,
    frame::{
        closing::Closing,
        fault::Fault,
        incoming::{Frame, unmask},
    },
    message::{
        inflating::{Inflating, Turn},
        partial::Partial,
        protocol::Message,
    },
    shard::compressor::Compressor,
};

/// Bytes that have arrived for one connection and wait to be read.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Arrived {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { bytes, at: 0, end }
    }

    /// Lends the shard's scratch, of which `end` bytes are filled, until [`settle`](Self::settle).
    pub(crate) fn lend(&mut self, scratch: Vec<u8>, end: usize) {
        *self = Self {
            bytes: scratch,
            at: 0,
            end,
        };
    }

    /// Gives the buffer back and keeps only what has not been read.
    pub(crate) fn settle(&mut self) -> Vec<u8> {
        let rest = self.bytes[self.at..self.end].to_vec();
        std::mem::replace(self, Self::new(rest)).bytes
    }

    fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.at..self.end]
    }
}

/// The next thing to read.
pub(crate) enum Next<'a> {
    /// A complete message.
    Message(Message<'a>),
    /// A complete message that is to be inflated.
    Compressed,
    /// A complete close frame.
    Close(&'a Closing),
    /// Another control frame, or a part of one, which tungstenite is to read.
    Control,
    /// Nothing that is complete.
    Nothing,
}

/// The bytes that tungstenite reads for one connection, and those that it writes. Never a socket.
///
/// The socket is read into one large scratch per shard and served from there.
pub(crate) struct Feed {
    pub(crate) arrived: Arrived,
    connection: Rc<Connection>,
    frame: Frame,
    /// How much of the header under way tungstenite has been given.
    given: usize,
    message: Option<Partial>,
    /// The same of a compressed message.
    inflating: Option<Box<Inflating>>,
    /// The close frame under way.
    closing: Option<Box<Closing>>,
}

impl Feed {
    pub(crate) fn new(connection: Rc<Connection>, arrived: Arrived) -> Self {
        Self {
            arrived,
            frame: Frame::new(connection.window().is_some()),
            connection,
            given: 0,
            message: None,
            inflating: None,
            closing: None,
        }
    }

    /// The next message or control frame in what has arrived.
    ///
    /// # Errors
    /// At the first byte that says so. Nothing may be read after that.
    pub(crate) fn next(&mut self, max_payload: usize) -> Result<Next<'_>, Fault> {
        if self.is_inflating() {
            return Ok(Next::Compressed);
        }
        loop {
            if !self.frame.has_header() {
                let taken = (self.frame).read_header(self.arrived.rest(), max_payload)?;
                self.arrived.at += taken;
                if !self.frame.has_header() {
                    return Ok(Next::Nothing);
                }
            }
            if self.frame.is_close() {
                return Ok(self.close());
            }
            if self.frame.is_control() {
                let has_more =
                    self.given < self.frame.header().len() || self.arrived.at < self.arrived.end;
                return Ok(if has_more {
                    Next::Control
                } else {
                    Next::Nothing
                });
            }
            if self.is_whole() {
                return self.whole().map(Next::Message);
            }
            if !self.collect(max_payload)? {
                return Ok(Next::Nothing);
            }
            if !self.frame.is_between_messages() {
                continue;
            }
            if let Some(message) = self.message.take() {
                message.check_end()?;
                return Ok(Next::Message(message.into_message()));
            }
            if let Some(inflating) = &mut self.inflating {
                inflating.complete();
                return Ok(Next::Compressed);
            }
        }
    }

    /// Takes what has arrived of the close frame under way.
    fn close(&mut self) -> Next<'_> {
        let mask = self.frame.mask();
        let rest = self.arrived.rest();
        let arrived = rest.len().min(self.frame.left());
        let payload = &mut rest[..arrived];
        unmask(payload, mask);
        let closing = self.closing.get_or_insert_default();
        closing.extend(payload);
        self.arrived.at += arrived;
        if self.frame.pass(arrived) {
            Next::Close(closing)
        } else {
            Next::Nothing
        }
    }

    /// Whether a complete message is to be inflated, or inflated further.
    pub(crate) fn is_inflating(&self) -> bool {
        (self.inflating.as_ref()).is_some_and(|inflating| inflating.is_complete())
    }

    /// Inflates the message that [`next`](Self::next) has found; `None` if that goes on in another turn.
    ///
    /// # Errors
    /// When it is broken, or too large. Nothing may be read after that.
    pub(crate) fn inflate(
        &mut self,
        compressor: &Compressor,
        max_payload: usize,
        turn: &mut Turn,
    ) -> Result<Option<Message<'static>>, Fault> {
        let Some(mut inflating) = self.inflating.take() else {
            return Ok(None);
        };
        if compressor.inflate(&mut inflating, max_payload, turn)? {
            return Ok(Some(inflating.into_message()));
        }
        self.inflating = Some(inflating);
        Ok(None)
    }

    /// Whether the frame under way is a whole text message, and all of it has arrived. Most messages are.
    fn is_whole(&self) -> bool {
        self.message.is_none()
            && self.frame.is_whole_text()
            && self.frame.left() <= self.arrived.end - self.arrived.at
    }

    /// That message, where it has arrived: a copy would cost as much as to read it.
    fn whole(&mut self) -> Result<Message<'_>, Fault> {
        let length = self.frame.left();
        let mask = self.frame.mask();
        self.frame.pass(length);
        let start = self.arrived.at;
        self.arrived.at += length;
        let text = &mut self.arrived.bytes[start..start + length];
        unmask(text, mask);
        let text = str::from_utf8(text).map_err(|_| Fault::NotUtf8)?;
        Ok(Message::Text(text.into()))
    }

    /// Appends what has arrived of the frame under way to its message; whether that is all of the frame.
    fn collect(&mut self, max_payload: usize) -> Result<bool, Fault> {
        let mask = self.frame.mask();
        let rest = self.arrived.rest();
        let arrived = rest.len().min(self.frame.left());
        let payload = &mut rest[..arrived];
        unmask(payload, mask);
        let frame = &self.frame;
        let most = frame.most(max_payload);
        if frame.is_compressed() {
            let inflating = &mut self.inflating;
            let inflating =
                inflating.get_or_insert_with(|| Box::new(Inflating::new(frame.is_text())));
            inflating.collect(payload, most);
        } else {
            let message = (self.message).get_or_insert_with(|| Partial::new(frame.is_text()));
            message.extend(payload, most)?;
        }
        self.arrived.at += arrived;
        Ok(self.frame.pass(arrived))
    }

    /// Bytes of memory held for a message that is not complete, and for what has arrived but is not to be read yet. At
    /// most `maxPayload` and a scratch; twice `maxPayload` and an inflater while a compressed message is inflated.
    pub(crate) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Partial::capacity);
        let inflating = self.inflating.as_ref().map_or(0, |it| it.capacity());
        message + inflating + self.arrived.bytes.len()
    }
}

impl Read for Feed {
    /// Reads of the control frame under way, and no further.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.frame.has_header() || !self.frame.is_control() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut header = &self.frame.header()[self.given..];
        let from_header = header.read(into)?;
        self.given += from_header;
        let into = &mut into[from_header..];
        let length = (self.frame.left())
            .min(self.arrived.rest().len())
            .min(into.len());
        into[..length].copy_from_slice(&self.arrived.rest()[..length]);
        self.arrived.at += length;
        if self.given == self.frame.header().len() && self.frame.pass(length) {
            self.given = 0;
        }
        match from_header + length {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Feed {
    /// Takes the control frames tungstenite sends by itself; `write_buffer_size(0)` makes each
    /// call whole frames.
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.connection.output.push_control(frames);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
