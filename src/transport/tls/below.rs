//! The socket below TLS, as rustls reads and writes it.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::records::Records;

/// The socket below.
pub(crate) trait Below: AsyncRead + AsyncWrite + Unpin {
    /// Writes what it takes at once.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// The same for bytes that stand in several places.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what the system has, also where the runtime does not know of it yet.
    fn read_now(&self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// Writes what the socket takes at once.
pub(super) struct Now<'a, S>(pub(super) &'a S);

impl<S: Below> Write for Now<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads and writes what the socket has and takes at once, and has the task woken when that is more.
pub(super) struct Polled<'a, 'cx, S>(pub(super) &'a mut S, pub(super) &'a mut Context<'cx>);

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: Below> Read for Polled<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        at_once(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: Below> Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.0).poll_write_vectored(self.1, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows the records that are read.
pub(super) struct Watched<'a, R>(pub(super) R, pub(super) &'a mut Records);

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(bytes)?;
        self.1.pass(&bytes[..read]);
        Ok(read)
    }
}
