//! The command line.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use crate::{Fault, dialect::Dialect, message, secure::Trust};

pub(crate) const HELP: &str = "\
Load generator for WebSocket servers: one thread, every answer checked, one JSON line of results.

usage: zocket-load MODE --port PORT [options]

modes
  echo         send {\"type\":\"echo\"} and wait for the answer; closed loop, or open with --rate
  bytes        the same with payloads that are bytes, in binary messages
  call         the same with calls and their replies
  stream       each client reads one stream after the other; the items are counted
  fan-out      one client publishes to a room, all others are its members
  handshakes   connect, upgrade, reset; as often as it goes
  rooms        clients in many rooms, with one publisher that takes the rooms in turn
  idle         open connections, one echo each; then, at every line on stdin, close all or open
               them again; says on stdout how many are open, and ends with stdin

options
  --port N,...        port of the server on 127.0.0.1; of several, clients take them in turn, and who
                      publishes is at the first
  --connections N     clients; for fan-out members of the room; for handshakes under way at once [64]
  --in-flight N       messages under way, for each client (echo, call) or in all (fan-out, rooms) [1]
  --active N          how many of the connections talk, the others being idle (echo)           [all]
  --rooms N           rooms (rooms)                                                              [1]
  --members N         members of each room (rooms)                                              [10]
  --rate N            messages or publications per second in all, sent on time whatever comes back
                      (echo, fan-out)
  --bytes N           size of the payload: of its JSON text, 26 or more, or of its bytes         [64]
  --warm-up SECONDS   before the window                                                         [1]
  --seconds SECONDS   the window that is measured                                               [3]
  --server-pid PID,... measure the CPU time of these processes in the window, by thread
  --bus-pid PID       measure what the bus between them used and moved in the window
  --dialect NAME      json, raw (answers are what was sent), socketio, trpc or orpc (calls and
                      streams alone), or send (json, with an echo for a call)                 [json]
  --tls FILE          speak TLS, and trust this certificate (not with handshakes)
  --deflate yes       offer permessage-deflate without contexts, and send compressed messages      [no]
  --path PATH         what the upgrade asks for                             [/, or that of the dialect]
";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Echo,
    Bytes,
    Call,
    Stream,
    FanOut,
    Rooms,
    Handshakes,
    Idle,
}

/// The command line, read and checked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) active: usize,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    /// Messages or publications per second of the open loop.
    pub(crate) rate: Option<f64>,
    /// Bytes of the payload's JSON text.
    pub(crate) bytes: usize,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) server_pids: Vec<u32>,
    pub(crate) bus_pid: Option<u32>,
    pub(crate) dialect: Dialect,
    pub(crate) path: String,
    pub(crate) tls: Option<Trust>,
    /// Compressed messages, both ways.
    pub(crate) deflate: bool,
}

impl Options {
    /// Reads the arguments; `None` when they ask for help.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Fault> {
        let mut mode = None;
        let mut path = None;
        let mut options = Self {
            mode: Mode::Echo,
            servers: Vec::new(),
            connections: 64,
            in_flight: 1,
            active: usize::MAX,
            rooms: 1,
            members: 10,
            rate: None,
            bytes: 64,
            warm_up: Duration::from_secs(1),
            seconds: Duration::from_secs(3),
            server_pids: Vec::new(),
            bus_pid: None,
            dialect: Dialect::Json,
            path: String::new(),
            tls: None,
            deflate: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !name.starts_with("--") {
                mode = Some(match name.as_str() {
                    "echo" => Mode::Echo,
                    "bytes" => Mode::Bytes,
                    "call" => Mode::Call,
                    "stream" => Mode::Stream,
                    "fan-out" => Mode::FanOut,
                    "rooms" => Mode::Rooms,
                    "handshakes" => Mode::Handshakes,
                    "idle" => Mode::Idle,
                    _ => return Err(format!("no mode named {name}").into()),
                });
                continue;
            }
            let text = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--port" => {
                    let ports: Vec<u16> = numbers(&name, &text)?;
                    let of = |port| SocketAddr::from(([127, 0, 0, 1], port));
                    options.servers = ports.into_iter().map(of).collect();
                }
                "--connections" => options.connections = number(&name, &text)?,
                "--in-flight" => options.in_flight = number(&name, &text)?,
                "--active" => options.active = number(&name, &text)?,
                "--rooms" => options.rooms = number(&name, &text)?,
                "--members" => options.members = number(&name, &text)?,
                "--rate" => options.rate = Some(number(&name, &text)?),
                "--bytes" => options.bytes = number(&name, &text)?,
                "--warm-up" => {
                    options.warm_up = Duration::try_from_secs_f64(number(&name, &text)?)?;
                }
                "--seconds" => {
                    options.seconds = Duration::try_from_secs_f64(number(&name, &text)?)?;
                }
                "--server-pid" => options.server_pids = numbers(&name, &text)?,
                "--bus-pid" => options.bus_pid = Some(number(&name, &text)?),
                "--dialect" => options.dialect = Dialect::named(&text)?,
                "--tls" => options.tls = Some(Trust::of(&text)?),
                "--path" => path = Some(text),
                "--deflate" => options.deflate = text == "yes",
                _ => return Err(format!("no option named {name}").into()),
            }
        }
        options.mode = mode.ok_or("a mode is missing")?;
        options.path = path.unwrap_or_else(|| options.dialect.path().into());
        options.check()?;
        Ok(Some(options))
    }

    /// Where a client connects to.
    pub(crate) fn server_of(&self, client: usize) -> SocketAddr {
        self.servers[client % self.servers.len()]
    }

    /// Whether a client is at another server than who publishes.
    pub(crate) fn is_remote(&self, client: usize) -> bool {
        !client.is_multiple_of(self.servers.len())
    }

    /// A message as clients send it.
    pub(crate) fn sent(&self, template: message::Template) -> message::Template {
        if self.deflate {
            template.compressed()
        } else {
            template
        }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.servers.is_empty() {
            return Err("--port is missing".into());
        }
        // Who publishes has the number behind the last member.
        if !self.connections.is_multiple_of(self.servers.len()) {
            return Err("--connections must be a multiple of the number of ports".into());
        }
        let counts = [
            ("--connections", self.connections),
            ("--in-flight", self.in_flight),
            ("--active", self.active),
            ("--rooms", self.rooms),
            ("--members", self.members),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name} must be above 0").into());
        }
        if self.seconds.is_zero() {
            return Err("--seconds must be above 0".into());
        }
        let calls = matches!(self.mode, Mode::Call | Mode::Stream);
        if !calls && !self.dialect.has_messages() && self.mode != Mode::Handshakes {
            return Err("this dialect has calls and streams alone".into());
        }
        if (calls || self.mode == Mode::Bytes) && self.deflate {
            return Err("--deflate is not for calls, streams and bytes".into());
        }
        if self.mode == Mode::Bytes && self.dialect != Dialect::Json {
            return Err("this dialect has no bytes".into());
        }
        if self.members > self.connections && self.mode == Mode::Rooms {
            return Err("--members must be at most --connections".into());
        }
        if self.bytes < message::SMALLEST {
            return Err(format!("--bytes must be {} or more", message::SMALLEST).into());
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
            return Err("--rate must be above 0 and at most 10 million".into());
        }
        Ok(())
    }
}

fn numbers<T: FromStr>(name: &str, text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|one| number(name, one)).collect()
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{name} does not take {text}"))
}
