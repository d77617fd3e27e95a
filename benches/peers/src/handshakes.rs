//! Handshakes: connect, upgrade, reset; a fixed number under way.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use serde_json::Value;
use socket2::SockRef;

use crate::{
    Fault,
    options::Options,
    window::{Phase, Window},
    wire::{check_response, request},
};

struct Attempt {
    socket: TcpStream,
    started: Instant,
    asked: bool,
    /// The start of a response whose rest is still to come.
    partial: Vec<u8>,
}

/// What all attempts share.
struct Handshakes<'a> {
    options: &'a Options,
    request: String,
    poll: Poll,
    /// A response that was checked in full: one with the same bytes needs no second look.
    checked: Vec<u8>,
}

/// Keeps `--connections` handshakes under way until the window is over.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let mut handshakes = Handshakes {
        options,
        request: request(options.server_of(0), &options.path, options.deflate),
        poll: Poll::new()?,
        checked: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    let mut attempts = Vec::new();
    for index in 0..options.connections {
        attempts.push(handshakes.begin(index)?);
    }
    let mut window = Window::new(options);
    while window.phase(Instant::now())? != Phase::Over {
        let patience = Some(Duration::from_millis(100));
        match handshakes.poll.poll(&mut events, patience) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(index) = event.token();
            let attempt = &mut attempts[index];
            if !attempt.asked {
                attempt.ask(&handshakes.request)?;
            }
            if event.is_readable() && handshakes.is_upgraded(attempt)? {
                let now = Instant::now();
                window.answered(now, now - attempt.started, 1);
                if !handshakes.again(attempt)? {
                    attempts[index] = handshakes.begin(index)?;
                }
            }
        }
    }
    window.result("handshakes", options)
}

impl Handshakes<'_> {
    fn begin(&self, index: usize) -> Result<Attempt, Fault> {
        let started = Instant::now();
        let socket = TcpStream::connect(self.options.server_of(0))?;
        // Closing without lingering sends a reset, which leaves no port in TIME_WAIT: with a closing
        // handshake 28,000 of them would last for two seconds.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        let mut attempt = Attempt {
            socket,
            started,
            asked: false,
            partial: Vec::new(),
        };
        // On the loopback a connection is there when `connect` returns; where it is not, the poll
        // tells.
        attempt.ask(&self.request)?;
        let interest = if attempt.asked {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        self.poll
            .registry()
            .register(&mut attempt.socket, Token(index), interest)?;
        Ok(attempt)
    }

    /// Resets the connection and begins anew with the same socket, where the system can do that: half of
    /// what an attempt costs here would be sockets that are made, registered and closed.
    fn again(&self, attempt: &mut Attempt) -> Result<bool, Fault> {
        attempt.started = Instant::now();
        if !reconnect(&attempt.socket, self.options.server_of(0))? {
            return Ok(false);
        }
        attempt.asked = false;
        attempt.partial.clear();
        attempt.ask(&self.request)?;
        Ok(attempt.asked)
    }

    /// Reads once; whether the right 101 is complete. What comes later is told by the poll again.
    fn is_upgraded(&mut self, attempt: &mut Attempt) -> Result<bool, Fault> {
        let mut chunk = [0; 4096];
        let count = match attempt.socket.read(&mut chunk) {
            Ok(0) => return Err("the server hung up during the handshake".into()),
            Ok(count) => count,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(fault) => return Err(fault.into()),
        };
        if count == chunk.len() {
            return Err("a response of more than 4 KiB".into());
        }
        let chunk = &chunk[..count];
        if attempt.partial.is_empty() && chunk == self.checked {
            return Ok(true);
        }
        attempt.partial.extend_from_slice(chunk);
        let Some(length) = check_response(&attempt.partial)? else {
            return Ok(false);
        };
        self.checked.clear();
        self.checked.extend_from_slice(&attempt.partial[..length]);
        Ok(true)
    }
}

impl Attempt {
    /// Sends the request if the connection is there: a request of 200 bytes always fits into an empty
    /// socket buffer.
    fn ask(&mut self, request: &str) -> Result<(), Fault> {
        match self.socket.write(request.as_bytes()) {
            Ok(count) if count == request.len() => self.asked = true,
            Ok(_) => return Err("a request did not fit into the socket".into()),
            Err(fault)
                if matches!(
                    fault.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }
}

/// Dissolves the connection, which resets it, and connects the socket again; false where that is unheard of.
#[cfg(target_os = "linux")]
fn reconnect(socket: &TcpStream, server: SocketAddr) -> Result<bool, Fault> {
    use rustix::{io::Errno, net};

    net::connect_unspec(socket)?;
    match net::connect(socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(true),
        Err(fault) => Err(fault.into()),
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "Linux can fail")]
fn reconnect(_: &TcpStream, _: SocketAddr) -> Result<bool, Fault> {
    Ok(false)
}
