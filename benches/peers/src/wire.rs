//! Client connections: opened one after the other, read and written without blocking.

use std::{
    cell::RefCell,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::{
    Fault,
    dialect::{Dialect, Own},
    frame::{self, Frame},
    options::Options,
    secure::{Session, Trust},
};

/// How long nothing may happen before the generator gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The example key of RFC 6455, so that the answer is a constant too.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The upgrade request. Its `authorization` is what a server with a schema for headers asks for.
pub(crate) fn request(server: SocketAddr, path: &str, deflate: bool) -> String {
    let extensions = if deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover\r\n"
    } else {
        ""
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer bench\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n"
    )
}

/// Checks a response head; returns its length, or `None` while it is incomplete.
pub(crate) fn check_response(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let accepted = head.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
        })
    });
    if head.starts_with("HTTP/1.1 101 ") && accepted {
        Ok(Some(end + 4))
    } else {
        Err(format!(
            "the server refused: {}",
            head.lines().next().unwrap_or_default()
        )
        .into())
    }
}

/// Whoever checks what one client gets.
pub(crate) trait Answers {
    /// How many bytes at the front are whole frames just as they must be; those are then accepted.
    /// What a server writes otherwise, and what is no message, is left to [`message`](Self::message).
    fn exact(&mut self, _bytes: &[u8]) -> Result<usize, Fault> {
        Ok(0)
    }

    /// One message of the application.
    fn message(&mut self, text: &[u8]) -> Result<(), Fault>;
}

impl<F: FnMut(&[u8]) -> Result<(), Fault>> Answers for F {
    fn message(&mut self, text: &[u8]) -> Result<(), Fault> {
        self(text)
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    Goodbye,
    Reset,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: mio::net::TcpStream,
    /// The start of a frame whose rest is still to come.
    partial: Vec<u8>,
    /// Frames that wait for [`flush`](Self::flush).
    pub(crate) out: Vec<u8>,
    dialect: Dialect,
    tls: Option<Session>,
}

impl Client {
    /// Connects client `index` and asks for the upgrade, unless TLS comes first.
    pub(crate) fn begin(options: &Options, index: usize) -> Result<TcpStream, Fault> {
        let server = options.server_of(index);
        let mut socket = TcpStream::connect_timeout(&server, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        if options.tls.is_none() {
            socket.write_all(request(server, &options.path, options.deflate).as_bytes())?;
        }
        Ok(socket)
    }

    /// Waits for the upgrade and opens the session.
    pub(crate) fn open(mut socket: TcpStream, options: &Options) -> Result<Self, Fault> {
        let mut bytes = Vec::new();
        let mut tls = (options.tls.as_ref()).map(Trust::session).transpose()?;
        if let Some(tls) = &mut tls {
            let request = request(socket.peer_addr()?, &options.path, options.deflate);
            tls.blocking(&mut socket).write_all(request.as_bytes())?;
        }
        let end = loop {
            match &mut tls {
                Some(tls) => read_more(&mut tls.blocking(&mut socket), &mut bytes)?,
                None => read_more(&mut socket, &mut bytes)?,
            }
            if let Some(end) = check_response(&bytes)? {
                break end;
            }
        };
        bytes.drain(..end);
        if options.dialect == Dialect::SocketIo {
            open_session(&mut socket, &mut bytes)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: mio::net::TcpStream::from_std(socket),
            partial: bytes,
            out: Vec::new(),
            dialect: options.dialect,
            tls,
        })
    }

    /// Sends text messages and waits for their answers, which must be these and come in order.
    pub(crate) fn ask(
        &mut self,
        scratch: &mut [u8],
        pairs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), Fault> {
        for (text, _) in pairs {
            self.say(text)?;
        }
        let expected = pairs.iter().map(|(_, answer)| answer.as_slice());
        self.hear(scratch, expected)
    }

    /// Sends a text message.
    pub(crate) fn say(&mut self, text: &[u8]) -> Result<(), Fault> {
        frame::write(frame::TEXT, text, &mut self.out);
        self.flush()
    }

    /// Waits for messages, which must be these and come in order.
    pub(crate) fn hear<'a>(
        &mut self,
        scratch: &mut [u8],
        mut due: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        while due.len() > 0 {
            let before = due.len();
            self.flush()?;
            self.receive(scratch, &mut |answer: &[u8]| match due.next() {
                Some(expected) if expected == answer => Ok(()),
                _ => Err(format!("unexpected {}", String::from_utf8_lossy(answer)).into()),
            })?;
            if Instant::now() > deadline {
                return Err("no answer in time".into());
            }
            if due.len() == before {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
        Ok(())
    }

    /// Reads what is there and gives it to `answers`.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        answers: &mut impl Answers,
    ) -> Result<(), Fault> {
        loop {
            let read = match &mut self.tls {
                Some(tls) => tls.read(&mut self.socket, scratch),
                None => self.socket.read(scratch),
            };
            let count = match read {
                Ok(0) => return Err("the server hung up".into()),
                Ok(count) => count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
                Err(fault) => return Err(fault.into()),
            };
            if self.partial.is_empty() {
                let rest = self.take(&scratch[..count], answers)?;
                self.partial
                    .extend_from_slice(&scratch[count - rest..count]);
            } else {
                self.partial.extend_from_slice(&scratch[..count]);
                let mut partial = std::mem::take(&mut self.partial);
                let rest = self.take(&partial, answers)?;
                partial.drain(..partial.len() - rest);
                self.partial = partial;
            }
            // A short read emptied the socket, and the poll tells of what comes from here on.
            if count < scratch.len() && self.tls.is_none() {
                return Ok(());
            }
        }
    }

    /// Walks whole frames; returns how many bytes are left.
    fn take(&mut self, mut bytes: &[u8], answers: &mut impl Answers) -> Result<usize, Fault> {
        loop {
            bytes = &bytes[answers.exact(bytes)?..];
            let Some(frame) = frame::read(&mut bytes)? else {
                return Ok(bytes.len());
            };
            match frame {
                Frame::Binary(bytes) => answers.message(bytes)?,
                Frame::Compressed(bytes) => inflated(bytes, |text| answers.message(text))?,
                Frame::Text(text) => match self.dialect.own(text) {
                    Own::No => answers.message(text)?,
                    Own::Reply(reply) => {
                        frame::write(frame::TEXT, reply, &mut self.out);
                        self.flush()?;
                    }
                    Own::Ready => {}
                },
                Frame::Ping(content) => {
                    frame::write_pong(content, &mut self.out);
                    self.flush()?;
                }
                Frame::Pong => {}
            }
        }
    }

    /// Ends the connection: with a close frame and the server's end of it, or with a reset, as of a
    /// client that is gone.
    pub(crate) fn close(mut self, how: Leaving) -> Result<(), Fault> {
        let socket = SockRef::from(&self.socket);
        if how == Leaving::Reset {
            return Ok(socket.set_linger(Some(Duration::ZERO))?);
        }
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        frame::write_close(&mut self.out);
        self.flush()?;
        let mut rest = [0; 1024];
        loop {
            let read = match &mut self.tls {
                Some(tls) => tls.read(&mut self.socket, &mut rest),
                None => self.socket.read(&mut rest),
            };
            match read {
                Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(fault) if fault.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(fault) => return Err(format!("a close was not answered: {fault}").into()),
            }
        }
    }

    /// Writes as much as the socket takes; the poll says when it takes the rest.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        if let Some(tls) = &mut self.tls {
            tls.write(&mut self.socket, &self.out)?;
            self.out.clear();
            return Ok(());
        }
        let mut written = 0;
        while written < self.out.len() {
            match self.socket.write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        self.out.drain(..written);
        Ok(())
    }
}

/// Texts that were inflated. All members of a room get the same ones, and only the first member has each inflated.
struct Inflated {
    stream: flate2::Decompress,
    /// The last ones, each as it came and as it reads. The oldest makes room for the next.
    known: Vec<Known>,
    oldest: usize,
}

#[derive(Default)]
struct Known {
    compressed: Vec<u8>,
    text: Vec<u8>,
}

/// More than any case has publications in flight.
const KNOWN: usize = 32;
const MAX_TEXT: usize = 1 << 20;

thread_local! {
    static INFLATED: RefCell<Inflated> = RefCell::new(Inflated {
        stream: flate2::Decompress::new(false),
        known: Vec::new(),
        oldest: 0,
    });
}

fn inflated(bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    INFLATED.with_borrow_mut(|it| {
        let known = it.known.iter().position(|one| one.compressed == bytes);
        let at = match known {
            Some(at) => at,
            None => it.add(bytes)?,
        };
        read(&it.known[at].text)
    })
}

impl Inflated {
    fn add(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let at = self.oldest;
        self.oldest = (at + 1) % KNOWN;
        if at == self.known.len() {
            self.known.push(Known::default());
        }
        let one = &mut self.known[at];
        one.compressed.clear();
        one.text.clear();
        one.text.reserve(MAX_TEXT);
        self.stream.reset(false);
        (self.stream).decompress_vec(bytes, &mut one.text, flate2::FlushDecompress::Sync)?;
        one.compressed.extend_from_slice(bytes);
        Ok(at)
    }
}

fn read_more(socket: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let mut chunk = [0; 4096];
    let count = socket
        .read(&mut chunk)
        .map_err(|fault| match fault.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                "the upgrade was not answered in time".into()
            }
            _ => Fault::from(fault),
        })?;
    match count {
        0 => Err("the server hung up during the handshake".into()),
        count => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

/// Waits for the `0{…}` and `40{…}` of Socket.IO.
fn open_session(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    loop {
        let mut left = bytes.as_slice();
        while let Some(frame) = frame::read(&mut left)? {
            let Frame::Text(text) = frame else { continue };
            match Dialect::SocketIo.own(text) {
                Own::Reply(reply) => {
                    let mut out = Vec::new();
                    frame::write(frame::TEXT, reply, &mut out);
                    socket.write_all(&out)?;
                }
                Own::Ready => {
                    let rest = left.len();
                    bytes.drain(..bytes.len() - rest);
                    return Ok(());
                }
                Own::No => return Err("an early message".into()),
            }
        }
        let rest = left.len();
        bytes.drain(..bytes.len() - rest);
        read_more(socket, bytes)?;
    }
}
