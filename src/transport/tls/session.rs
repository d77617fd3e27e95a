//! The server's end of a TLS connection: opens what comes, and seals what goes.
//!
//! Every buffer has a bound. rustls keeps an incomplete record, of 18 KiB at most, and what it opened of one and nobody has read
//! yet. On the way out it gets no more than [`SEALED`] bytes, and nothing more while some of these wait for the socket.

use std::{
    io::{self, IoSlice, Read, Write},
    mem,
    task::{Context, Poll, ready},
};

use rustls::ServerConnection;
use tokio::io::ReadBuf;

use super::{
    below::{Below, Now, Polled, Watched},
    certificate::pem,
    material::Tls,
    records::Records,
};

/// Most bytes that are sealed at once. They may wait while the socket is full.
const SEALED: usize = 32 * 1024;

/// Bytes that a client may send before its handshake is complete, without and with certificates. rustls would keep 64 KiB of
/// a message; a hello has 2 KiB at most, and a chain of certificates rarely more than 8 KiB.
const HANDSHAKE: usize = 16 * 1024;
const HANDSHAKE_WITH_CERTIFICATES: usize = 64 * 1024;

/// The reason why the TLS handshake of a socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client speaks something that may be HTTP. It gets its answer in the same way.
    Plain,
    /// The client's bytes are not a valid handshake, or the two sides cannot agree.
    Broken,
    /// The client gave up.
    Left,
}

/// Why nothing more can be read.
pub(super) enum End {
    /// The socket failed.
    Socket(io::Error),
    /// TLS failed.
    Failed(Failure),
}

/// The server's end of a TLS connection.
pub(super) struct Session {
    rustls: ServerConnection,
    material: Tls,
    records: Records,
    /// Bytes that are sealed and wait for the socket, and how many the shard knows of.
    sealed: usize,
    told: usize,
    /// Messages whose last byte is among those.
    unsettled: usize,
    /// Messages that have reached the socket and are not counted yet.
    settled: usize,
    /// The client has been told that nothing follows.
    is_closed: bool,
    /// Bytes that came before the handshake was complete.
    shaken: usize,
    /// Bytes of memory for the certificates of the client.
    certificates: usize,
}

impl Session {
    pub(super) fn new(material: Tls) -> Result<Self, rustls::Error> {
        let mut rustls = ServerConnection::new(material.config())?;
        rustls.set_buffer_limit(Some(SEALED));
        Ok(Self {
            rustls,
            material,
            records: Records::default(),
            sealed: 0,
            told: 0,
            unsettled: 0,
            settled: 0,
            is_closed: false,
            shaken: 0,
            certificates: 0,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// The certificate of the client as PEM, if the server believes it.
    pub(super) fn client_certificate(&self) -> Option<String> {
        let chain = self.rustls.peer_certificates()?;
        let leaf = chain.first()?;
        self.material.believes(chain).then(|| pem(leaf))
    }

    /// Bytes of memory for what the client has sent and nobody can read yet.
    pub(super) fn held(&self) -> usize {
        self.records.incomplete() + self.certificates
    }

    /// Bytes that are sealed and wait for the socket.
    pub(super) fn sealed(&self) -> usize {
        self.sealed
    }

    /// How many those were at the last call, and how many they are now.
    pub(super) fn sealed_change(&mut self) -> (usize, usize) {
        (mem::replace(&mut self.told, self.sealed), self.sealed)
    }

    /// Hands what is sealed to the socket.
    ///
    /// # Errors
    /// Those of the socket. [`WouldBlock`](io::ErrorKind::WouldBlock) leaves the rest for later.
    pub(super) fn send(&mut self, socket: &mut dyn Write) -> io::Result<()> {
        while self.rustls.wants_write() {
            match self.rustls.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) => {
                    // All that came is processed, so this only counts.
                    let state = self.rustls.process_new_packets();
                    self.sealed = state.map_or(0, |state| state.tls_bytes_to_write());
                    return Err(error);
                }
            }
        }
        self.sealed = 0;
        self.settled += mem::take(&mut self.unsettled);
        Ok(())
    }

    pub(super) fn poll_send<S: Below>(
        &mut self,
        below: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self.send(&mut Polled(below, cx)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            sent => Poll::Ready(sent),
        }
    }

    /// Seals bytes and hands them to the socket. The session keeps what the socket does not take.
    ///
    /// # Errors
    /// Those of [`send`](Self::send). Where it would block, nothing was taken.
    pub(super) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        socket: &mut dyn Write,
    ) -> io::Result<usize> {
        self.send(socket)?;
        if self.is_closed {
            // rustls would take them, and never send them.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = self.rustls.writer().write_vectored(slices)?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        match self.send(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Counts messages that were sealed to their last byte; returns how many have reached the socket.
    pub(super) fn settle(&mut self, sealed: usize) -> usize {
        if self.rustls.wants_write() {
            self.unsettled += sealed;
        } else {
            self.settled += sealed;
        }
        mem::take(&mut self.settled)
    }

    /// Gives up the messages that have not reached the socket; returns how many those are.
    pub(super) fn give_up(&mut self) -> usize {
        mem::take(&mut self.unsettled)
    }

    /// Seals the word that nothing follows (RFC 8446, 6.1).
    pub(super) fn close(&mut self) {
        self.rustls.send_close_notify();
        self.is_closed = true;
    }

    /// Takes bytes that came. The answers, if any, go to `socket`.
    pub(super) fn receive(
        &mut self,
        from: &mut &[u8],
        socket: &mut dyn Write,
    ) -> Result<(), Failure> {
        let read = self.rustls.read_tls(&mut Watched(from, &mut self.records));
        // Nothing is taken after the word that nothing follows.
        match read {
            Ok(read @ 1..) => self.process(read, socket),
            Ok(0) | Err(_) => Err(Failure::Left),
        }
    }

    /// Appends what was opened.
    pub(super) fn read_opened(&mut self, bytes: &mut Vec<u8>) {
        // The error says that there is no more for now.
        let _ = self.rustls.reader().read_to_end(bytes);
    }

    /// Reads until the buffer is full or there is nothing more. Nothing read is the end.
    pub(super) fn poll_read<S: Below>(
        &mut self,
        below: &mut S,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), End>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            match self.rustls.reader().read(buffer.initialize_unfilled()) {
                Ok(0) => break,
                Ok(read) => {
                    buffer.advance(read);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Cut short without that word. Frames have lengths, so nothing is taken for whole that is not.
                Err(_) => break,
            }
            if self.rustls.is_handshaking() {
                ready!(self.poll_send(below, cx)).map_err(End::Socket)?;
            }
            let mut socket = Watched(Polled(below, cx), &mut self.records);
            let read = match self.rustls.read_tls(&mut socket) {
                Ok(read) => read,
                Err(_) if buffer.filled().len() > before => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(End::Socket(error))),
            };
            if let Err(failure) = self.process(read, &mut Now(&*below)) {
                return Poll::Ready(Err(End::Failed(failure)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Opens what came, which were so many bytes.
    fn process(&mut self, read: usize, socket: &mut dyn Write) -> Result<(), Failure> {
        let was_handshaking = self.rustls.is_handshaking();
        let outcome = self.rustls.process_new_packets();
        // That is also the alert that says what is wrong. What the socket does not take now goes with what is written next.
        let _ = self.send(socket);
        match outcome {
            Ok(_) if was_handshaking => self.shake(read),
            Ok(_) => Ok(()),
            Err(rustls::Error::AlertReceived(_)) => Err(Failure::Left),
            Err(_) => Err(Failure::Broken),
        }
    }

    fn shake(&mut self, read: usize) -> Result<(), Failure> {
        self.shaken += read;
        if self.rustls.is_handshaking() {
            let most = if self.material.asks_clients() {
                HANDSHAKE_WITH_CERTIFICATES
            } else {
                HANDSHAKE
            };
            return if self.shaken > most {
                Err(Failure::Broken)
            } else {
                Ok(())
            };
        }
        let chain = self.rustls.peer_certificates().unwrap_or_default();
        self.certificates = chain.iter().map(|it| it.len()).sum();
        Ok(())
    }
}
