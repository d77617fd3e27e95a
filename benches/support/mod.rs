//! What the benchmarks over real sockets share: an owner written in Rust, and blocking clients.

#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::value::RawValue;
use zocket::{
    CommandWriter, Config, EnvelopeProtocol, Handle, Head, Routes, Server, ServerHandle, StopMode,
};

/// How long a client waits for an answer before the benchmark fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Number of the only outgoing route.
pub(crate) const ECHOED: u32 = 0;

/// One I/O thread on a free port.
pub(crate) fn config() -> Config {
    Config {
        hostname: Some("127.0.0.1".into()),
        port: 0,
        io_threads: 1,
        ..Config::default()
    }
}

/// A server whose owner admits everybody and sends back what comes for `echo` as `echoed`. It does
/// what the JavaScript side does, at next to no cost, so what is left is the engine.
pub(crate) struct Owner {
    pub(crate) server: Arc<ServerHandle>,
    admitted: Receiver<Handle>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    pub(crate) fn start() -> Self {
        let (bell, rung) = sync_channel(1);
        let (admit, admitted) = channel();
        let routes = Arc::new(Routes::new(vec!["echo".into()], vec!["echoed".into()]));
        let protocol = EnvelopeProtocol::new(routes.clone());
        let server = Server::bind(config(), routes, protocol, move || {
            // Full means that it rings already.
            let _ = bell.try_send(());
        })
        .expect("a free port");
        let server = Arc::new(server);
        let owned = server.clone();
        let thread = thread::spawn(move || {
            let mut commands = CommandWriter::new();
            while rung.recv().is_ok() {
                if answer_all(&owned, &mut commands, &admit) == Served::Stopped {
                    break;
                }
            }
        });
        Self {
            server,
            admitted,
            thread: Some(thread),
        }
    }

    /// Opens a client and tells its handle.
    pub(crate) fn client(&self) -> (Client, Handle) {
        let client = Client::open(self.server.address());
        let handle = self.admitted.recv_timeout(DEADLINE).expect("an upgrade");
        (client, handle)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.server.stop(StopMode::Terminate);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the owner does not panic");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Served {
    Open,
    Stopped,
}

/// Takes everything there is and answers it in one hand-over.
fn answer_all(
    server: &ServerHandle,
    commands: &mut CommandWriter,
    admit: &Sender<Handle>,
) -> Served {
    let mut outcome = Served::Open;
    server.answer();
    while let Some(batch) = server.take(0) {
        let values: Vec<&RawValue> = serde_json::from_slice(batch.values()).expect("a JSON array");
        for (Head { handle, code, .. }, value) in batch.heads().iter().zip(values) {
            match code {
                0 => {
                    commands.to(ECHOED, Some(value.get().as_bytes()), &[*handle]);
                }
                -1 => {
                    commands.admit(*handle);
                    // Nobody listens any more when the benchmark is over.
                    let _ = admit.send(*handle);
                }
                -2 => {
                    commands.release(*handle);
                }
                -5 => outcome = Served::Stopped,
                code => panic!("event {code}: {value}"),
            }
        }
        server.recycle(0, batch);
    }
    server.submit(commands.bytes());
    commands.clear();
    outcome
}

/// A blocking client that compares what it gets byte by byte.
pub(crate) struct Client {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn open(server: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(server).expect("a listening server");
        socket.set_nodelay(true).expect("an open socket");
        socket
            .set_read_timeout(Some(DEADLINE))
            .expect("an open socket");
        write!(
            socket,
            "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .expect("an open socket");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            // One byte at a time, so that nothing behind the head is lost.
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a response");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "refused");
        Self {
            socket,
            received: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, frames: &[u8]) {
        self.socket.write_all(frames).expect("an open connection");
    }

    /// Waits for exactly these bytes.
    pub(crate) fn expect(&mut self, frames: &[u8]) {
        self.received.resize(frames.len(), 0);
        self.socket
            .read_exact(&mut self.received)
            .expect("an answer in time");
        assert!(self.received == frames, "a different answer");
    }
}

/// The frames of one text, `count` times: as a client masks them, and as a server sends them.
pub(crate) fn frames(text: &str, count: usize, side: Side) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let masked = match side {
        Side::Client => 0x80,
        Side::Server => 0,
    };
    let mut frame = vec![0x81];
    if let Ok(short @ ..=125) = u8::try_from(text.len()) {
        frame.push(masked | short);
    } else {
        frame.push(masked | 0x7e);
        let length = u16::try_from(text.len()).expect("at most 64 KiB");
        frame.extend_from_slice(&length.to_be_bytes());
    }
    match side {
        Side::Client => {
            frame.extend_from_slice(&MASK);
            frame.extend(
                text.bytes()
                    .zip(MASK.iter().cycle())
                    .map(|(it, mask)| it ^ mask),
            );
        }
        Side::Server => frame.extend_from_slice(text.as_bytes()),
    }
    frame.repeat(count)
}

/// Who sends a frame.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A JSON payload of this many bytes, the same at every run.
pub(crate) fn payload(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let filler: String = (0..bytes - r#"{"text":""}"#.len())
        .map(|_| {
            // xorshift64, so that the text is neither constant nor different from run to run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + state.to_le_bytes()[4] % 26)
        })
        .collect();
    format!("{{\"text\":\"{filler}\"}}")
}
