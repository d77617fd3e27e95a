//! An accepted socket, of whichever kind, and its two halves.
//!
//! A match per call, and no trait object: this is on the way of every message. A kind that has a state of its own beside the
//! system's keeps it in a cell, so that a write needs no more than a shared borrow.

#[cfg(unix)]
use std::os::unix::net::UnixStream as StdUnixStream;
use std::{
    cell::RefCell,
    io::{self, IoSlice},
    net::TcpStream as StdTcpStream,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};
#[cfg(feature = "tls")]
use std::{io::Read, sync::Arc};

use socket2::SockRef;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

#[cfg(feature = "tls")]
use crate::transport::tls::{below::Below, material::Current, session::Failure, stream::TlsStream};
use crate::transport::{peer::Peer, socket};

/// An accepted socket that the runtime of one thread serves.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS on one of the others.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<Stream>>),
}

/// An accepted socket that no runtime knows yet.
#[derive(Debug)]
pub enum StdStream {
    /// TCP, version 4 or 6.
    Tcp(StdTcpStream),
    /// A Unix-domain socket, of a client or one of a [pair](crate::pair).
    #[cfg(unix)]
    Unix(StdUnixStream),
}

impl StdStream {
    /// Where it comes from.
    ///
    /// # Errors
    /// When the peer has left already.
    pub fn peer(&self) -> io::Result<Peer> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(Peer::Inet),
            #[cfg(unix)]
            Self::Unix(_) => Ok(Peer::Local),
        }
    }

    /// Makes a socket that somebody else accepted like one of ours.
    ///
    /// # Errors
    /// When it cannot be read without blocking.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // A socket that cannot be told so is slower, not wrong.
                let _ = stream.set_nodelay(true);
                stream.set_nonblocking(true)
            }
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    /// Sends an answer and a FIN, as far as the system takes it at once.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream),
        };
        // A client that has gone needs no answer.
        let _ = socket.send(bytes);
        socket::shut_down(&socket);
    }
}

/// Runs the same expression on the socket of each kind.
macro_rules! each {
    ($stream:expr, $socket:ident => $do:expr) => {
        match $stream {
            Stream::Tcp($socket) => $do,
            #[cfg(unix)]
            Stream::Unix($socket) => $do,
            #[cfg(feature = "tls")]
            Stream::Tls($socket) => $do,
        }
    };
}

impl Stream {
    /// # Errors
    /// When the runtime cannot watch one more socket.
    pub(crate) fn from_std(stream: StdStream) -> io::Result<Self> {
        Ok(match stream {
            StdStream::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            StdStream::Unix(stream) => Self::Unix(UnixStream::from_std(stream)?),
        })
    }

    /// # Errors
    /// When the runtime cannot let go of it.
    pub(crate) fn into_std(self) -> io::Result<StdStream> {
        Ok(match self {
            Self::Tcp(stream) => StdStream::Tcp(stream.into_std()?),
            #[cfg(unix)]
            Self::Unix(stream) => StdStream::Unix(stream.into_std()?),
            #[cfg(feature = "tls")]
            Self::Tls(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// TLS on this socket.
    #[cfg(feature = "tls")]
    pub(crate) fn with_tls(self, material: Arc<Current>) -> Self {
        Self::Tls(Box::new(TlsStream::new(self, material)))
    }

    /// Makes a fresh socket send at once what it is given.
    pub(crate) fn send_at_once(&self) {
        match self {
            Self::Tcp(stream) => socket::send_at_once(stream),
            // There is nothing that it waits for.
            #[cfg(unix)]
            Self::Unix(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(_) => {}
        }
    }

    /// Reads what the system has, also where the runtime does not know of it yet, until `bytes` are more than `most`.
    pub(crate) fn read_arrived(&self, bytes: &mut Vec<u8>, most: usize) {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.read_arrived(bytes, most);
        }
        socket::read_arrived(&self.socket(), bytes, most);
    }

    /// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
    pub(crate) fn end_with_reset(&self) {
        socket::end_with_reset(&self.socket());
    }

    pub(crate) fn into_split(self) -> (Reader, Writer) {
        let stream = Rc::new(RefCell::new(self));
        (Reader(stream.clone()), Writer(stream))
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.below().socket(),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_write(bytes))
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, stream => stream.try_write_vectored(slices))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_write_ready(cx))
    }

    async fn failed(&self) {
        // What comes of waiting is the same: it is over.
        let _ = match self {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await.map(drop),
            #[cfg(unix)]
            Self::Unix(stream) => stream.ready(Interest::ERROR).await.map(drop),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                Box::pin(stream.below().failed()).await;
                Ok(())
            }
        };
    }
}

/// What only TLS has; see [`TlsStream`]. Without it, bytes that were taken have reached the system.
impl Stream {
    /// The reason why the TLS handshake of the socket failed.
    #[cfg(feature = "tls")]
    pub(crate) fn tls_failure(&self) -> Option<Failure> {
        match self {
            Self::Tls(stream) => stream.failure(),
            _ => None,
        }
    }

    /// The certificate of the client as PEM, if the server believes it.
    pub(crate) fn client_certificate(&self) -> Option<String> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.client_certificate(),
            _ => None,
        }
    }

    fn held(&self) -> usize {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.held(),
            _ => 0,
        }
    }

    fn seals(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
            _ => false,
        }
    }

    fn sealed(&self) -> usize {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.sealed(),
            _ => 0,
        }
    }

    fn sealed_change(&self) -> (usize, usize) {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.sealed_change(),
            _ => (0, 0),
        }
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unnecessary_wraps, reason = "only TLS can fail")
    )]
    fn try_flush(&self) -> io::Result<()> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_flush(),
            _ => Ok(()),
        }
    }

    fn settle(&self, taken: usize) -> usize {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.settle(taken),
            _ => taken,
        }
    }

    fn give_up(&self) -> usize {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.give_up(),
            _ => 0,
        }
    }
}

#[cfg(feature = "tls")]
impl Below for Stream {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn read_now(&self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.socket()).read(bytes)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// The way in. Its methods are for one task, which alone borrows the socket mutably, and never across an await.
#[derive(Debug)]
pub(crate) struct Reader(Rc<RefCell<Stream>>);

impl Reader {
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buffer)
    }

    /// Bytes of memory for what has come and cannot be read yet.
    pub(crate) fn held(&self) -> usize {
        self.0.borrow().held()
    }

    /// Resolves when the socket has failed, without reading from it.
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "`poll_read`, which alone borrows mutably, needs this reader too; those who write share the borrow"
    )]
    pub(crate) async fn failed(&mut self) {
        self.0.borrow().failed().await;
    }
}

/// The way out. Dropping it leaves the socket to the reader.
#[derive(Debug)]
pub(crate) struct Writer(Rc<RefCell<Stream>>);

impl Writer {
    /// Hands bytes to the system, as many as it takes at once.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when it takes none; anything else when the socket is broken.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow().try_write(bytes)
    }

    /// The same for bytes that stand in several places.
    ///
    /// # Errors
    /// Those of [`try_write`](Self::try_write).
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow().try_write_vectored(slices)
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow().poll_write_ready(cx)
    }

    /// Hands to the system what was taken and has not reached it.
    ///
    /// # Errors
    /// Those of [`try_write`](Self::try_write).
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        self.0.borrow().try_flush()
    }

    /// Whether what was taken may not have reached the system yet.
    pub(crate) fn seals(&self) -> bool {
        self.0.borrow().seals()
    }

    /// Bytes of memory for what was taken and has not reached the system.
    pub(crate) fn sealed(&self) -> usize {
        self.0.borrow().sealed()
    }

    /// How many those were at the last call, and how many they are now.
    pub(crate) fn sealed_change(&self) -> (usize, usize) {
        self.0.borrow().sealed_change()
    }

    /// Counts messages that were taken to their last byte; returns how many have reached the system.
    pub(crate) fn settle(&self, taken: usize) -> usize {
        self.0.borrow().settle(taken)
    }

    /// Gives up the messages that were taken and have not reached the system; returns how many those are.
    pub(crate) fn give_up(&self) -> usize {
        self.0.borrow().give_up()
    }

    /// Makes the end of the socket a reset, so that the system keeps nothing for a peer that does not read.
    pub(crate) fn end_with_reset(&self) {
        self.0.borrow().end_with_reset();
    }

    /// Sends a FIN.
    pub(crate) fn shut_down(&self) {
        let stream = self.0.borrow();
        #[cfg(feature = "tls")]
        if let Stream::Tls(stream) = &*stream {
            stream.close();
        }
        socket::shut_down(&stream.socket());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_socket_and_its_halves_stay_small() {
        // 8 bytes more than TCP alone would take, with tokio's own halves.
        let halves = size_of::<Option<Writer>>() + size_of::<Reader>();
        let shared = size_of::<RefCell<Stream>>();
        assert!(halves + shared <= 72, "{halves} + {shared}");
    }
}
