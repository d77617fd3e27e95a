//! An owner written in Rust: takes events, admits clients, keeps what it saw for the test to look at.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate that uses its own part"
)]

pub mod raw;
#[cfg(feature = "tls")]
pub mod tls;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, value::RawValue};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};
use zocket::{
    Answers, CommandWriter, Config, EnvelopeProtocol, Handle, Kind, Protocol, RouteAnswers,
    RoutePolicy, Routes, Server, ServerHandle, StopMode, border::codes::message::BYTES,
};

pub type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// How long a test waits for something before it gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Outgoing routes by their numbers.
pub const ECHO: u32 = 0;
/// This one and the next keep their latest message alone.
pub const STATE: u32 = 2;
pub const CURSOR: u32 = 3;
/// Dropped for a slow client, whatever the server's policy is.
pub const TICK: u32 = 4;
/// Cuts a slow client off, whatever the server's policy is.
pub const VITAL: u32 = 5;

/// Never compressed.
pub const SECRET: u32 = 6;
/// Its payload is bytes.
pub const CHUNK: u32 = 7;

/// One event as the border carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub handle: Handle,
    pub code: i64,
    /// As text, where `Value` cannot hold it: deep nesting, numbers past those of Rust.
    pub value: Value,
    /// The payload beside the value, if it is bytes.
    pub bytes: Option<Vec<u8>>,
    /// By which number a message is to be answered, or 0.
    pub number: u64,
}

#[derive(Default)]
struct Rung {
    count: Mutex<u64>,
    changed: Condvar,
}

/// A server with the incoming routes `echo`, `nothing`, `upload` and `store` (of bytes, `store` with a reply), and the outgoing routes
/// `echo`, `news`, those with a policy, and `chunk` (of bytes).
pub struct Owner {
    pub server: ServerHandle,
    rung: Arc<Rung>,
    heard: u64,
    events: VecDeque<Told>,
}

fn routes() -> Routes {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let outgoing = [
        "echo", "news", "state", "cursor", "tick", "vital", "secret", "chunk",
    ];
    let mut uncompressed = vec![false; outgoing.len()];
    uncompressed[SECRET as usize] = true;
    let mut kinds = vec![Kind::Json; outgoing.len()];
    kinds[CHUNK as usize] = Kind::Bytes;
    let incoming = ["echo", "nothing", "upload", "store"];
    let mut answers = vec![RouteAnswers::default(); incoming.len()];
    answers[3].how = Answers::Reply;
    Routes::new(names(&incoming), names(&outgoing))
        .with_kinds(vec![Kind::Json, Kind::Json, Kind::Bytes, Kind::Bytes])
        .with_outgoing_kinds(kinds)
        .with_answers(answers)
        .with_policies(vec![
            RoutePolicy::Server,
            RoutePolicy::Server,
            RoutePolicy::Latest,
            RoutePolicy::Latest,
            RoutePolicy::Drop,
            RoutePolicy::Disconnect,
        ])
        .with_uncompressed(uncompressed)
}

pub fn config() -> Config {
    Config {
        hostname: Some("127.0.0.1".into()),
        port: 0,
        io_threads: 1,
        ..Config::default()
    }
}

impl Owner {
    pub fn start(config: Config) -> Self {
        let routes = Arc::new(routes());
        Self::start_with(config, EnvelopeProtocol::new(routes))
    }

    pub fn start_with(config: Config, protocol: impl Protocol) -> Self {
        let rung = Arc::new(Rung::default());
        let bell = rung.clone();
        let server = Server::bind(config, Arc::new(routes()), protocol, move || {
            *bell.count.lock().unwrap() += 1;
            bell.changed.notify_all();
        })
        .unwrap();
        Self {
            server,
            rung,
            heard: 0,
            events: VecDeque::new(),
        }
    }

    /// One more owner of the same engine.
    pub fn share(&self) -> Self {
        let rung = Arc::new(Rung::default());
        let bell = rung.clone();
        let server = self.server.share(move || {
            *bell.count.lock().unwrap() += 1;
            bell.changed.notify_all();
        });
        Self {
            server: server.unwrap(),
            rung,
            heard: 0,
            events: VecDeque::new(),
        }
    }

    /// How often the engine has rung.
    pub fn rings(&self) -> u64 {
        *self.rung.count.lock().unwrap()
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.server.address())
    }

    pub fn submit(&self, write: impl FnOnce(&mut CommandWriter)) {
        let mut writer = CommandWriter::new();
        write(&mut writer);
        self.server.submit(writer.bytes());
    }

    /// The next event; panics when none comes.
    pub fn next(&mut self) -> Told {
        self.next_within(DEADLINE).expect("an event in time")
    }

    /// The next event, if one comes in time.
    pub fn next_within(&mut self, limit: Duration) -> Option<Told> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let mut count = self.rung.count.lock().unwrap();
            while *count == self.heard {
                let left = deadline.checked_duration_since(Instant::now())?;
                count = self.rung.changed.wait_timeout(count, left).unwrap().0;
            }
            self.heard = *count;
            drop(count);
            self.server.answer();
            for shard in 0..self.server.shards() {
                while let Some(batch) = self.server.take(shard) {
                    let values: Vec<&RawValue> = serde_json::from_slice(batch.values()).unwrap();
                    assert_eq!(values.len(), batch.heads().len());
                    let events = batch.heads().iter().zip(values);
                    let mut beside = batch.beside().iter();
                    self.events.extend(events.map(|(head, value)| {
                        let is_bytes = head.code >= 0 && head.code.cast_unsigned() & BYTES != 0;
                        let bytes = is_bytes.then(|| beside.next().unwrap().to_vec());
                        let length = bytes.as_ref().map_or(value.get().len(), Vec::len);
                        assert_eq!(head.bytes as usize, length);
                        Told {
                            handle: head.handle,
                            code: head.code.into(),
                            value: serde_json::from_str(value.get())
                                .unwrap_or_else(|_| value.get().into()),
                            bytes,
                            number: head.number,
                        }
                    }));
                    assert!(beside.next().is_none());
                    self.server.recycle(shard, batch);
                }
            }
        }
    }

    /// The next event with this code; those before it are thrown away.
    pub fn next_of(&mut self, code: i64) -> Told {
        loop {
            let event = self.next();
            if event.code == code {
                return event;
            }
        }
    }

    /// Connects a client and admits it.
    pub async fn client(&mut self) -> (Socket, Handle) {
        let url = self.url();
        let connecting = tokio::spawn(async move { connect_async(url).await.unwrap().0 });
        let handle = self.admit();
        (connecting.await.unwrap(), handle)
    }

    /// Admits whoever asks next.
    pub fn admit(&mut self) -> Handle {
        let handle = self.next_of(UPGRADE).handle;
        self.submit(|it| {
            it.admit(handle);
        });
        handle
    }

    /// Stops and waits for every shard to say so; returns the events before that.
    pub fn stop(&mut self, mode: StopMode) -> Vec<Told> {
        self.server.stop(mode);
        let mut seen = Vec::new();
        let mut left = self.server.shards();
        while left > 0 {
            let event = self.next();
            left -= u32::from(event.code == STOPPED);
            seen.push(event);
        }
        self.server.join();
        seen
    }
}

/// No client is soon too slow.
pub fn patient() -> Config {
    Config {
        max_backpressure: 64 * 1024 * 1024,
        ..config()
    }
}

/// Sends to a client that does not read until more waits than the system's own buffers hold; returns how many messages. No more
/// than that, since what waits at the end is written for two seconds at most.
pub fn fill(owner: &Owner, handle: Handle) -> u64 {
    const MOST: u64 = 1000;
    let chunk = format!("\"{}\"", "x".repeat(64 * 1024));
    let before = owner.server.metrics().sent;
    for count in 1..=MOST {
        owner.submit(|it| {
            it.to(ECHO, Some(chunk.as_bytes()), &[handle]);
        });
        wait_for(&owner.server, |it| it.sent == before + count);
        if owner.server.metrics().queued > 1 {
            return count;
        }
    }
    panic!("the system holds all of {MOST} messages")
}

/// A message for the route `nothing`, with and without a payload; one for `upload` and for `store`, whose payloads are bytes.
pub const NOTHING: i64 = 1 << BITS;
pub const NOTHING_BARE: i64 = NOTHING | 1;
pub const UPLOAD: i64 = 2 << BITS;
pub const STORE: i64 = 3 << BITS;
const BITS: u32 = zocket::border::codes::message::BITS;

pub const UPGRADE: i64 = -1;
pub const CLOSED: i64 = -2;
pub const BAD: i64 = -3;
pub const FAULT: i64 = -4;
pub const STOPPED: i64 = -5;
pub const MEMBERS: i64 = -9;
pub const OPENED: i64 = -10;

/// The next message's text, whatever else comes before it.
pub async fn text(socket: &mut Socket) -> String {
    use futures_util::StreamExt;
    loop {
        let message = tokio::time::timeout(DEADLINE, socket.next())
            .await
            .expect("in time");
        if let Message::Text(text) = message.expect("open").expect("sound") {
            return text.to_string();
        }
    }
}

/// Waits for the end of the connection; the close code if there was one.
pub async fn closed(socket: &mut Socket) -> Option<u16> {
    use futures_util::StreamExt;
    let mut code = None;
    loop {
        match tokio::time::timeout(DEADLINE, socket.next())
            .await
            .expect("in time")
        {
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return code,
            Some(Ok(Message::Close(frame))) => code = frame.map(|frame| u16::from(frame.code)),
            Some(Ok(_)) => {}
            Some(Err(_)) => return None,
        }
    }
}

/// Waits until the counters satisfy a condition.
pub fn wait_for(server: &ServerHandle, what: impl Fn(&zocket::Snapshot) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !what(&server.metrics()) {
        assert!(
            Instant::now() < deadline,
            "counters stay at {:?}",
            server.metrics()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}
