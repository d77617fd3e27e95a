//! Client connections: opened one after the other, then driven together by one poll.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};

use crate::{
    Fault,
    dialect::{Dialect, Own},
    frame::{self, Frame},
    options::Options,
};

/// How long nothing may happen before the generator gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The example key of RFC 6455, so that the answer is a constant too.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The upgrade request.
pub(crate) fn request(server: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
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

/// One open connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: mio::net::TcpStream,
    /// The start of a frame whose rest is still to come.
    partial: Vec<u8>,
    /// Frames that wait for [`flush`](Self::flush).
    pub(crate) out: Vec<u8>,
    dialect: Dialect,
}

impl Client {
    /// Connects, upgrades and opens the session, waiting for each.
    pub(crate) fn open(options: &Options) -> Result<Self, Fault> {
        let mut socket = TcpStream::connect_timeout(&options.server, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(request(options.server, &options.path).as_bytes())?;
        let mut bytes = Vec::new();
        let end = loop {
            read_more(&mut socket, &mut bytes)?;
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
        })
    }

    /// Sends one text message and gives the answer to `check`, waiting for it.
    pub(crate) fn ask(&mut self, text: &[u8], check: impl Fn(&[u8]) -> bool) -> Result<(), Fault> {
        frame::write(frame::TEXT, text, &mut self.out);
        let deadline = Instant::now() + PATIENCE;
        let mut scratch = vec![0; 64 * 1024];
        let mut answered = false;
        while !answered {
            self.flush()?;
            self.receive(&mut scratch, |answer| {
                answered = check(answer);
                if answered {
                    Ok(())
                } else {
                    Err(format!("unexpected {}", String::from_utf8_lossy(answer)).into())
                }
            })?;
            if Instant::now() > deadline {
                return Err("no answer in time".into());
            }
            if !answered {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }

    /// Reads what is there and gives every message of the application to `each`.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let count = match self.socket.read(scratch) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(count) => count,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
                Err(fault) => return Err(fault.into()),
            };
            if self.partial.is_empty() {
                let rest = self.take(&scratch[..count], &mut each)?;
                self.partial
                    .extend_from_slice(&scratch[count - rest..count]);
            } else {
                self.partial.extend_from_slice(&scratch[..count]);
                let mut partial = std::mem::take(&mut self.partial);
                let rest = self.take(&partial, &mut each)?;
                partial.drain(..partial.len() - rest);
                self.partial = partial;
            }
            // A short read emptied the socket, and the poll tells of what comes from here on.
            if count < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Walks whole frames; returns how many bytes are left.
    fn take(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        while let Some(frame) = frame::read(&mut bytes)? {
            match frame {
                Frame::Text(text) => match self.dialect.own(text) {
                    Own::No => each(text)?,
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
        Ok(bytes.len())
    }

    /// Writes as much as the socket takes; the poll says when it takes the rest.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
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

fn read_more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk)? {
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

/// Many clients and the poll that watches them.
pub(crate) struct Swarm {
    pub(crate) clients: Vec<Client>,
    poll: Poll,
    events: Events,
    pub(crate) scratch: Vec<u8>,
}

impl Swarm {
    /// Opens `count` clients.
    pub(crate) fn open(options: &Options, count: usize) -> Result<Self, Fault> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let mut client = Client::open(options)
                .map_err(|fault| format!("client {index} of {count}: {fault}"))?;
            poll.registry().register(
                &mut client.socket,
                Token(index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            clients.push(client);
        }
        Ok(Self {
            clients,
            poll,
            events: Events::with_capacity(1024),
            scratch: vec![0; 256 * 1024],
        })
    }

    /// Waits for sockets at most until `deadline`; fills `ready` with those that have something.
    pub(crate) fn wait(&mut self, deadline: Instant, ready: &mut Vec<usize>) -> Result<(), Fault> {
        ready.clear();
        let left = deadline.saturating_duration_since(Instant::now());
        // The poll counts in whole milliseconds and rounds up: shorter waits are spent spinning.
        let timeout = left
            .checked_sub(Duration::from_millis(2))
            .map_or(Duration::ZERO, |it| it.min(Duration::from_millis(100)));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            if event.is_writable() && !self.clients[index].out.is_empty() {
                self.clients[index].flush()?;
            }
            if event.is_readable() {
                ready.push(index);
            }
        }
        Ok(())
    }
}
