//! A server and its owner, in one thread with the clients.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use serde_json::value::RawValue;
use socket2::SockRef;
use zocket::{
    CommandWriter, Config, EnvelopeProtocol, Handle, RoutePolicy, Routes, Server, ServerHandle,
};

/// How often something is waited for until it hangs, and how long each time: a process that was suspended meanwhile has
/// waited once, not for all of the time that went by.
const WAITS: u32 = 20;
const WAIT: Duration = Duration::from_secs(1);
/// A deadline that nothing here is to reach.
pub const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

pub const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub const UPGRADE: i64 = -1;
pub const CLOSED: i64 = -2;
pub const BAD: i64 = -3;
pub const FAULT: i64 = -4;
pub const STOPPED: i64 = -5;
pub const MEMBERS: i64 = -9;
pub const OPENED: i64 = -10;

/// One event.
#[derive(Debug)]
pub struct Told {
    pub handle: Handle,
    pub code: i64,
    pub value: String,
}

pub struct Owner {
    pub server: ServerHandle,
    rung: Arc<(Mutex<u64>, Condvar)>,
    heard: u64,
    events: VecDeque<Told>,
}

impl Owner {
    pub fn start(config: Config) -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let outgoing = ["echo", "state", "tick", "vital"];
        let policies = vec![
            RoutePolicy::Server,
            RoutePolicy::Latest,
            RoutePolicy::Drop,
            RoutePolicy::Disconnect,
        ];
        let routes = Routes::new(names(&["echo", "nothing"]), names(&outgoing));
        let routes = Arc::new(routes.with_policies(policies));
        let rung = Arc::new((Mutex::new(0), Condvar::new()));
        let bell = rung.clone();
        let sink = move || {
            *bell.0.lock().expect("no panic") += 1;
            bell.1.notify_all();
        };
        let config = Config {
            hostname: Some("127.0.0.1".into()),
            port: 0,
            ..config
        };
        let server = Server::bind(config, routes.clone(), EnvelopeProtocol::new(routes), sink)
            .expect("a port");
        Self {
            server,
            rung,
            heard: 0,
            events: VecDeque::new(),
        }
    }

    pub fn connect(&self) -> TcpStream {
        self.try_connect().expect("a connection")
    }

    /// `None` when nobody listens.
    pub fn try_connect(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect(self.server.address()).ok()?;
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(WAIT)).expect("an option");
        stream
            .set_write_timeout(Some(WAIT * WAITS))
            .expect("an option");
        // Thousands of connections a second must not leave as many ports waiting.
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("an option");
        Some(stream)
    }

    pub fn submit(&self, write: impl FnOnce(&mut CommandWriter)) {
        let mut writer = CommandWriter::new();
        write(&mut writer);
        self.server.submit(writer.bytes());
    }

    /// The next event; panics when none comes.
    pub fn next(&mut self) -> Told {
        let mut waits = 0;
        loop {
            if let Some(told) = self.next_now() {
                return told;
            }
            if !self.wait(WAIT) {
                waits += 1;
                assert!(waits < WAITS, "no event");
            }
        }
    }

    /// Waits until there may be an event to take; false if for so long there was none.
    pub fn wait(&mut self, limit: Duration) -> bool {
        let count = self.rung.0.lock().expect("no panic");
        let is_quiet = |count: &mut u64| *count == self.heard;
        let waited = self.rung.1.wait_timeout_while(count, limit, is_quiet);
        let (count, outcome) = waited.expect("no panic");
        self.heard = *count;
        !outcome.timed_out()
    }

    /// The next event, if there is one already.
    pub fn next_now(&mut self) -> Option<Told> {
        if self.events.is_empty() {
            self.take();
        }
        self.events.pop_front()
    }

    fn take(&mut self) {
        self.server.answer();
        for shard in 0..self.server.shards() {
            while let Some(batch) = self.server.take(shard) {
                let values: Vec<&RawValue> =
                    serde_json::from_slice(batch.values()).expect("a batch is JSON");
                assert_eq!(values.len(), batch.heads().len());
                for (head, value) in batch.heads().iter().zip(values) {
                    self.events.push_back(Told {
                        handle: head.handle,
                        code: head.code.into(),
                        value: value.get().to_owned(),
                    });
                }
                self.server.recycle(shard, batch);
            }
        }
    }
}

/// Sends what it can: the server may have closed.
pub fn send(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

pub fn send_no_more(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
}

/// Everything until the server closes, or until `end` has come.
pub fn read_until(mut stream: &TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut chunk = [0; 4096];
    let mut waits = 0;
    while end.is_empty() || !read.ends_with(end) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => read.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                waits += 1;
                assert!(waits < WAITS, "the server neither answers nor closes");
            }
            // A reset.
            Err(_) => break,
        }
    }
    read
}

/// Checks what a server sent: a 101 and frames, none after a close frame. The close code and reason, if one came.
pub fn check_output(read: &[u8]) -> Option<(u16, &str)> {
    let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        assert!(read.is_empty(), "half a head");
        return None;
    };
    if !read.starts_with(b"HTTP/1.1 101 ") {
        return None;
    }
    let mut rest = &read[at + 4..];
    while let [first, second, more @ ..] = rest {
        assert!(
            [0x81, 0x88, 0x89, 0x8a].contains(first),
            "first byte {first}"
        );
        let (extended, length) = match second {
            126 => (
                2,
                more.get(..2).map(|two| {
                    two.iter()
                        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
                }),
            ),
            127 => (
                8,
                more.get(..8).map(|all| {
                    all.iter()
                        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
                }),
            ),
            short => (0, Some(usize::from(*short))),
        };
        assert!(
            *second < 128 && (*first < 0x88 || *second < 126),
            "second byte {second}"
        );
        // Cut off in the middle is no frame.
        let payload = length.and_then(|length| more.get(extended..extended + length))?;
        rest = &more[extended + payload.len()..];
        if *first == 0x88 {
            assert!(rest.is_empty(), "a frame after the close frame");
            let Some((code, reason)) = payload.split_first_chunk() else {
                assert!(payload.is_empty(), "half a close code");
                return Some((1005, ""));
            };
            let reason = str::from_utf8(reason).expect("a reason is text");
            return Some((u16::from_be_bytes(*code), reason));
        }
    }
    None
}
