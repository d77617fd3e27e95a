//! Handshakes: connect, upgrade, reset; a fixed number under way.

use std::{
    io::{ErrorKind, Read, Write},
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
    response: Vec<u8>,
}

/// Keeps `--connections` handshakes under way until the window is over.
pub(crate) fn run(options: &Options) -> Result<Value, Fault> {
    let request = request(options.server, &options.path);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut attempts = Vec::new();
    for index in 0..options.connections {
        attempts.push(begin(options, &poll, index)?);
    }
    let mut window = Window::new(options);
    while window.phase(Instant::now())? != Phase::Over {
        match poll.poll(&mut events, Some(Duration::from_millis(100))) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let Token(index) = event.token();
            let attempt = &mut attempts[index];
            if !attempt.asked && event.is_writable() {
                if let Some(fault) = attempt.socket.take_error()? {
                    return Err(fault.into());
                }
                // A request of 200 bytes always fits into an empty socket buffer.
                attempt.socket.write_all(request.as_bytes())?;
                attempt.asked = true;
            }
            if event.is_readable() && attempt.upgraded()? {
                let now = Instant::now();
                window.answered(now, now - attempt.started, 1);
                // Closing with unread or lingering data off sends a reset, which leaves no port in
                // TIME_WAIT: with a closing handshake 28,000 of them would last for two seconds.
                attempts[index] = begin(options, &poll, index)?;
            }
        }
    }
    window.result("handshakes", options)
}

fn begin(options: &Options, poll: &Poll, index: usize) -> Result<Attempt, Fault> {
    let mut socket = TcpStream::connect(options.server)?;
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    poll.registry().register(
        &mut socket,
        Token(index),
        Interest::READABLE | Interest::WRITABLE,
    )?;
    Ok(Attempt {
        socket,
        started: Instant::now(),
        asked: false,
        response: Vec::new(),
    })
}

impl Attempt {
    /// Reads on; whether the right 101 is complete.
    fn upgraded(&mut self) -> Result<bool, Fault> {
        let mut chunk = [0; 4096];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err("the server hung up during the handshake".into()),
                Ok(count) => self.response.extend_from_slice(&chunk[..count]),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                    return Ok(check_response(&self.response)?.is_some());
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}
