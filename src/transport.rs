//! What tungstenite reads from and writes to: the shard's scratch on the way in, the connection's
//! outbox on the way out. Never a socket.
//!
//! tungstenite's own reads are as long as a buffer that each connection keeps for ever, so the
//! socket is read into one large scratch per shard and served from there in small pieces.

use std::{
    io::{self, Read, Write},
    rc::Rc,
};

use crate::connection::Connection;

/// Bytes that have arrived for one connection and wait to be read by tungstenite.
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
}

/// One connection as tungstenite sees it.
pub(crate) struct Transport {
    pub(crate) arrived: Arrived,
    pub(crate) connection: Rc<Connection>,
}

impl Read for Transport {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.arrived.bytes[self.arrived.at..self.arrived.end];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.arrived.at += n;
        Ok(n)
    }
}

impl Write for Transport {
    /// Takes the control frames tungstenite sends by itself; `write_buffer_size(0)` makes each
    /// call whole frames.
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.connection.push_control(frames);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
