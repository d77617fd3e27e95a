//! The command line.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use crate::{Fault, dialect::Dialect, message};

pub(crate) const HELP: &str = "\
Load generator for WebSocket servers: one thread, every answer checked, one JSON line of results.

usage: zocket-load MODE --port PORT [options]

modes
  echo         send {\"type\":\"echo\"} and wait for the answer; closed loop, or open with --rate
  fan-out      one client publishes to a room, all others are its members
  handshakes   connect, upgrade, reset; as often as it goes
  idle         open connections, one echo each, say so on stdout, hold until stdin ends

options
  --port N            port of the server on 127.0.0.1
  --connections N     clients; for fan-out members of the room; for handshakes under way at once [64]
  --in-flight N       messages under way, for each client (echo) or in all (fan-out)             [1]
  --rate N            messages per second in all, sent on time whatever comes back (echo)
  --bytes N           size of the payload's JSON text, 26 or more                               [64]
  --warm-up SECONDS   before the window                                                         [1]
  --seconds SECONDS   the window that is measured                                               [3]
  --server-pid PID    measure this process's CPU time in the window, by thread
  --dialect NAME      json, raw (answers are what was sent) or socketio                         [json]
  --path PATH         what the upgrade asks for                             [/, or that of the dialect]
";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Echo,
    FanOut,
    Handshakes,
    Idle,
}

/// The command line, read and checked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) server: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Messages per second of the open loop.
    pub(crate) rate: Option<f64>,
    /// Bytes of the payload's JSON text.
    pub(crate) bytes: usize,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) server_pid: Option<u32>,
    pub(crate) dialect: Dialect,
    pub(crate) path: String,
}

impl Options {
    /// Reads the arguments; `None` when they ask for help.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Fault> {
        let mut mode = None;
        let mut port = None;
        let mut path = None;
        let mut options = Self {
            mode: Mode::Echo,
            server: SocketAddr::from(([127, 0, 0, 1], 0)),
            connections: 64,
            in_flight: 1,
            rate: None,
            bytes: 64,
            warm_up: Duration::from_secs(1),
            seconds: Duration::from_secs(3),
            server_pid: None,
            dialect: Dialect::Json,
            path: String::new(),
        };
        while let Some(name) = arguments.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !name.starts_with("--") {
                mode = Some(match name.as_str() {
                    "echo" => Mode::Echo,
                    "fan-out" => Mode::FanOut,
                    "handshakes" => Mode::Handshakes,
                    "idle" => Mode::Idle,
                    _ => return Err(format!("no mode named {name}").into()),
                });
                continue;
            }
            let text = arguments.next().ok_or(format!("{name} needs a value"))?;
            match name.as_str() {
                "--port" => port = Some(number(&name, &text)?),
                "--connections" => options.connections = number(&name, &text)?,
                "--in-flight" => options.in_flight = number(&name, &text)?,
                "--rate" => options.rate = Some(number(&name, &text)?),
                "--bytes" => options.bytes = number(&name, &text)?,
                "--warm-up" => {
                    options.warm_up = Duration::try_from_secs_f64(number(&name, &text)?)?;
                }
                "--seconds" => {
                    options.seconds = Duration::try_from_secs_f64(number(&name, &text)?)?;
                }
                "--server-pid" => options.server_pid = Some(number(&name, &text)?),
                "--dialect" => options.dialect = Dialect::named(&text)?,
                "--path" => path = Some(text),
                _ => return Err(format!("no option named {name}").into()),
            }
        }
        options.mode = mode.ok_or("a mode is missing")?;
        options.server.set_port(port.ok_or("--port is missing")?);
        options.path = path.unwrap_or_else(|| options.dialect.path().into());
        if options.connections == 0 || options.in_flight == 0 || options.seconds.is_zero() {
            return Err("--connections, --in-flight and --seconds must be above 0".into());
        }
        if options.bytes < message::SMALLEST {
            return Err(format!("--bytes must be {} or more", message::SMALLEST).into());
        }
        if options
            .rate
            .is_some_and(|rate| !(rate > 0.0 && rate <= 1e7))
        {
            return Err("--rate must be above 0 and at most 10 million".into());
        }
        Ok(Some(options))
    }
}

fn number<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{name} does not take {text}"))
}
