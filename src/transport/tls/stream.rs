//! A socket that speaks TLS through another one.

use std::{
    cell::RefCell,
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    below::{Below, Now},
    material::{Current, Tls},
    session::{End, Failure, Session},
};

/// Bytes of the first look at what a client says.
const FIRST: usize = 2048;
/// The type of the first record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// A socket that speaks TLS through the one below.
pub(crate) struct TlsStream<S> {
    below: S,
    state: RefCell<State>,
}

enum State {
    /// The client has said nothing. The server chooses the material when it does.
    Silent(Arc<Current>),
    Speaks(Box<Session>),
    Failed(Failure),
}

impl State {
    /// What comes of the first bytes of a client.
    fn begin(material: Tls, first: u8) -> Self {
        match first {
            HANDSHAKE => match Session::new(material) {
                Ok(session) => Self::Speaks(Box::new(session)),
                Err(_) => Self::Failed(Failure::Broken),
            },
            // The methods of HTTP are upper case.
            b'A'..=b'Z' => Self::Failed(Failure::Plain),
            _ => Self::Failed(Failure::Broken),
        }
    }

    /// Takes bytes that came; what can be read of them is left to the caller.
    fn receive<S: Below>(&mut self, mut bytes: &[u8], below: &S) {
        if let Self::Silent(current) = self
            && let Some(first) = bytes.first()
        {
            *self = Self::begin(current.get(), *first);
        }
        while let Self::Speaks(session) = self
            && !bytes.is_empty()
        {
            if let Err(failure) = session.receive(&mut bytes, &mut Now(below)) {
                *self = Self::Failed(failure);
            }
        }
    }
}

impl<S: Below> TlsStream<S> {
    pub(crate) fn new(below: S, current: Arc<Current>) -> Self {
        Self {
            below,
            state: RefCell::new(State::Silent(current)),
        }
    }

    pub(crate) fn below(&self) -> &S {
        &self.below
    }

    /// The reason why the TLS handshake failed, if it has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match &*self.state.borrow() {
            State::Failed(failure) => Some(*failure),
            _ => None,
        }
    }

    /// The certificate of the client as PEM, if the server believes it.
    pub(crate) fn client_certificate(&self) -> Option<String> {
        self.with(None, |session| session.client_certificate())
    }

    /// Bytes of memory for what the client has sent and nobody can read yet.
    pub(crate) fn held(&self) -> usize {
        self.with(0, |session| session.held())
    }

    /// Bytes that are sealed and wait for the socket.
    pub(crate) fn sealed(&self) -> usize {
        self.with(0, |session| session.sealed())
    }

    /// How many those were at the last call, and how many they are now.
    pub(crate) fn sealed_change(&self) -> (usize, usize) {
        self.with((0, 0), Session::sealed_change)
    }

    /// Takes as many bytes as it keeps or hands to the socket.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while earlier bytes wait for the socket; anything else when it is broken.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let broken = Err(io::ErrorKind::NotConnected.into());
        self.with(broken, |session| {
            session.write(slices, &mut Now(&self.below))
        })
    }

    /// The same for bytes that stand together.
    ///
    /// # Errors
    /// Those of [`try_write_vectored`](Self::try_write_vectored).
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_write_ready(cx)
    }

    /// Hands to the socket what was taken.
    ///
    /// # Errors
    /// Those of [`try_write_vectored`](Self::try_write_vectored).
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        self.with(Ok(()), |session| session.send(&mut Now(&self.below)))
    }

    /// Counts messages that were taken to their last byte; returns how many have reached the socket.
    pub(crate) fn settle(&self, taken: usize) -> usize {
        self.with(taken, |session| session.settle(taken))
    }

    /// Gives up the messages that were taken and have not reached the socket; returns how many those are.
    pub(crate) fn give_up(&self) -> usize {
        self.with(0, Session::give_up)
    }

    /// Tells the client that nothing follows, if the socket takes that.
    pub(crate) fn close(&self) {
        self.with((), |session| {
            if !session.is_handshaking() {
                session.close();
                let _ = session.send(&mut Now(&self.below));
            }
        });
    }

    /// Reads what the system has until `bytes` are more than `most`.
    pub(crate) fn read_arrived(&self, bytes: &mut Vec<u8>, most: usize) {
        let mut chunk = [0; FIRST];
        while bytes.len() <= most
            && let Ok(read @ 1..) = self.below.read_now(&mut chunk)
        {
            let mut state = self.state.borrow_mut();
            state.receive(&chunk[..read], &self.below);
            match &mut *state {
                State::Speaks(session) => session.read_opened(bytes),
                State::Silent(_) | State::Failed(_) => return,
            }
        }
    }

    fn with<T>(&self, otherwise: T, action: impl FnOnce(&mut Session) -> T) -> T {
        match &mut *self.state.borrow_mut() {
            State::Speaks(session) => action(session),
            State::Silent(_) | State::Failed(_) => otherwise,
        }
    }
}

impl<S: Below> AsyncRead for TlsStream<S> {
    /// Shakes hands first. Where that fails, it says so once, and does not look at what comes later.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { below, state } = self.get_mut();
        let state = state.get_mut();
        if let State::Silent(_) = state {
            let mut first = [0; FIRST];
            let mut first = ReadBuf::new(&mut first);
            ready!(Pin::new(&mut *below).poll_read(cx, &mut first))?;
            if first.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            state.receive(first.filled(), below);
            if let State::Failed(_) = state {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        let State::Speaks(session) = state else {
            return Pin::new(below).poll_read(cx, buffer);
        };
        match ready!(session.poll_read(below, cx, buffer)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(End::Socket(error)) => Poll::Ready(Err(error)),
            Err(End::Failed(failure)) => {
                *state = State::Failed(failure);
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
        }
    }
}

impl<S: Below> AsyncWrite for TlsStream<S> {
    /// Without TLS, only a client that speaks HTTP can read an answer. For others it is discarded.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { below, state } = self.get_mut();
        let state = state.get_mut();
        match state {
            State::Failed(Failure::Plain) => Pin::new(below).poll_write(cx, bytes),
            State::Speaks(session) if !session.is_handshaking() => {
                ready!(session.poll_send(below, cx))?;
                Poll::Ready(session.write(&[IoSlice::new(bytes)], &mut Now(&*below)))
            }
            State::Silent(_) | State::Speaks(_) | State::Failed(_) => {
                *state = State::Failed(Failure::Broken);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { below, state } = self.get_mut();
        match state.get_mut() {
            State::Speaks(session) => session.poll_send(below, cx),
            State::Silent(_) | State::Failed(_) => Pin::new(below).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { below, state } = self.get_mut();
        if let State::Speaks(session) = state.get_mut() {
            session.close();
            ready!(session.poll_send(below, cx))?;
        }
        Pin::new(below).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what it holds.
        f.write_str("TlsStream")
    }
}
