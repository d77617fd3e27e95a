//! What arrives for one connection, frame by frame: messages are put together here, control frames go to tungstenite.
//!
//! tungstenite sets memory aside for what a frame announces, keeps it for ever, and copies what comes in fragments once
//! more. So it never sees a message. It reads control frames, which are short, and answers them.

use std::{
    io::{self, Read, Write},
    rc::Rc,
};

use crate::{
    connection::Connection,
    frame::{
        fault::Fault,
        incoming::{Frame, unmask},
    },
    message::{partial::Partial, protocol::Message},
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

/// What is there to be read.
pub(crate) enum Next {
    /// A complete message.
    Message(Message),
    /// A control frame, or a part of one, which tungstenite is to read.
    Control,
    /// Nothing that is complete.
    Nothing,
}

/// What one connection reads from and tungstenite writes to. Never a socket.
///
/// The socket is read into one large scratch per shard and served from there.
pub(crate) struct Feed {
    pub(crate) arrived: Arrived,
    connection: Rc<Connection>,
    frame: Frame,
    /// How much of the header under way tungstenite has been given.
    given: usize,
    message: Option<Partial>,
}

impl Feed {
    pub(crate) fn new(connection: Rc<Connection>, arrived: Arrived) -> Self {
        Self {
            arrived,
            connection,
            frame: Frame::default(),
            given: 0,
            message: None,
        }
    }

    /// The next message or control frame in what has arrived.
    ///
    /// # Errors
    /// At the first byte that says so. Nothing may be read after that.
    pub(crate) fn next(&mut self, max_payload: usize) -> Result<Next, Fault> {
        loop {
            if !self.frame.has_header() {
                let taken = (self.frame).read_header(self.arrived.rest(), max_payload)?;
                self.arrived.at += taken;
                if !self.frame.has_header() {
                    return Ok(Next::Nothing);
                }
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
            if !self.collect(max_payload)? {
                return Ok(Next::Nothing);
            }
            if self.frame.is_between_messages()
                && let Some(message) = self.message.take()
            {
                message.check_end()?;
                return Ok(Next::Message(message.into_message()));
            }
        }
    }

    /// Appends what has arrived of the frame under way to its message; whether that is all of the frame.
    fn collect(&mut self, max_payload: usize) -> Result<bool, Fault> {
        let mask = self.frame.mask();
        let rest = self.arrived.rest();
        let arrived = rest.len().min(self.frame.left());
        let payload = &mut rest[..arrived];
        unmask(payload, mask);
        let frame = &self.frame;
        let message = (self.message).get_or_insert_with(|| Partial::new(frame.is_text()));
        message.extend(payload, frame.most(max_payload))?;
        self.arrived.at += arrived;
        Ok(self.frame.pass(arrived))
    }

    /// Bytes of memory held for a message that is not complete, and for what has arrived but is not to be read yet. At
    /// most `maxPayload` and a scratch.
    pub(crate) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Partial::capacity);
        message + self.arrived.bytes.len()
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
