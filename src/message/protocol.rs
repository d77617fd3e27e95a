//! What a server does with upgrades and messages: the trait, our envelope, and a raw echo.

use std::{borrow::Cow, io::Write, rc::Rc, sync::Arc};

use tokio_tungstenite::tungstenite::{
    Utf8Bytes,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    border::event::Event,
    connection::Connection,
    message::{
        envelope::{self, Envelope, error_payload, push_json_string},
        routes::{ERROR_ROUTE, RoutePolicy, Routes},
    },
    shard::{Shard, bad::BadCode},
};

/// So many bytes of a name are repeated in the `$error` about a route there is not: a peer is not to make the server
/// send, and the owner read, as much as it likes.
const MAX_TOLD_ROUTE: usize = 1024;

/// A complete message as it came.
#[derive(Debug)]
pub enum Message {
    /// Text, already checked to be UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(tokio_tungstenite::tungstenite::Bytes),
}

/// Who decides about an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nobody: it is admitted at once.
    Immediate,
    /// The owner, with a command, once it has seen the event.
    Owner,
}

/// What a connection hands upgrades and messages to. One value serves all connections of a server.
pub trait Protocol: Send + Sync + 'static {
    /// Whether upgrades wait for the owner.
    fn admission(&self) -> Admission;
    /// One complete message of an open connection.
    fn message(&self, message: Message, exchange: &mut Exchange<'_>);
}

/// What a protocol may do about one message.
pub struct Exchange<'a> {
    pub(crate) shard: &'a Rc<Shard>,
    pub(crate) connection: &'a Rc<Connection>,
}

impl Exchange<'_> {
    /// Tells the owner. What it has not taken yet of one client is bounded: past that the client is not read.
    pub fn tell(&mut self, event: &Event<'_>) {
        let bytes = self.shard.tell(self.connection.handle(), event);
        self.shard.count_message(self.connection, bytes);
    }

    /// Queues a whole frame for the sender of the message; `write` appends it and returns its length.
    pub fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        // What the frame holds is mostly a copy of what was read, or short.
        (self.shard).send_one(self.connection, RoutePolicy::Server, 0, write);
    }
}

/// Messages are JSON envelopes for named routes; bad ones are answered with `$error`.
#[derive(Debug)]
pub struct EnvelopeProtocol {
    routes: Arc<Routes>,
}

impl EnvelopeProtocol {
    /// The protocol for these routes.
    #[must_use]
    pub fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }

    /// Answers a message past the client's rate. The route of a long one is not looked for: that would cost what the limit
    /// is there to save.
    fn limit(&self, message: &Message, wait: u64, exchange: &mut Exchange<'_>) {
        exchange.shard.metrics().rate_limited.add(1);
        let text = match message {
            Message::Text(text) => Some(text.as_str()),
            Message::Binary(bytes) => str::from_utf8(bytes).ok(),
        };
        let short = text.filter(|text| text.len() <= MAX_TOLD_ROUTE);
        let parsed = short.and_then(|text| envelope::parse(text).ok());
        let known = parsed.filter(|it| {
            let kind = it.kind.as_ref();
            kind.is_some_and(|kind| self.routes.incoming(kind).is_some())
        });
        let route = known.map(|it| it.raw_kind);
        let text = "too many messages within a second";
        let mut payload = error_payload(BadCode::RateLimited.name(), route, text);
        payload.pop();
        let wait = wait.div_ceil(1_000_000);
        write!(payload, ",\"retryAfterMs\":{wait}}}").expect("a vector takes every write");
        self.refuse(exchange, BadCode::RateLimited, &payload);
    }

    fn refuse(&self, exchange: &mut Exchange<'_>, code: BadCode, payload: &[u8]) {
        let prefix = self.routes.prefix(ERROR_ROUTE).unwrap_or_default();
        // Told first: the answer may be what is too much for a slow client, and nothing follows its end.
        let Exchange { shard, connection } = exchange;
        shard.tell_bad(connection.handle(), code, payload);
        exchange.reply(|out| envelope::encode_frame(out, prefix, Some(payload)));
    }
}

impl Protocol for EnvelopeProtocol {
    fn admission(&self) -> Admission {
        Admission::Owner
    }

    fn message(&self, message: Message, exchange: &mut Exchange<'_>) {
        if let Err(wait) = exchange.shard.take_message(exchange.connection) {
            self.limit(&message, wait, exchange);
            return;
        }
        let parsed = match &message {
            Message::Text(text) => envelope::parse(text),
            Message::Binary(bytes) => str::from_utf8(bytes)
                .map_err(|_| envelope::BadEnvelope::NotUtf8)
                .and_then(envelope::parse),
        };
        match parsed {
            Ok(parsed) => {
                let route = parsed
                    .kind
                    .as_deref()
                    .and_then(|kind| self.routes.incoming(kind));
                if let Some(route) = route {
                    exchange.tell(&Event::Message {
                        route,
                        payload: parsed.payload,
                    });
                } else {
                    exchange.shard.metrics().no_route.add(1);
                    let name = told_route(&parsed);
                    let message = "there is no such route";
                    let payload = error_payload(BadCode::NoRoute.name(), name.as_deref(), message);
                    self.refuse(exchange, BadCode::NoRoute, &payload);
                }
            }
            Err(bad) => {
                exchange.shard.metrics().bad_message.add(1);
                let code = BadCode::BadMessage;
                self.refuse(
                    exchange,
                    code,
                    &error_payload(code.name(), None, &bad.to_string()),
                );
            }
        }
    }
}

/// The JSON text of a name as it is told: as it came, or the start of a long one. A long one that is no text is not told.
fn told_route<'a>(envelope: &Envelope<'a>) -> Option<Cow<'a, str>> {
    let Some(name) = &envelope.kind else {
        return Some(envelope.raw_kind)
            .filter(|raw| raw.len() <= MAX_TOLD_ROUTE)
            .map(Cow::Borrowed);
    };
    if name.len() <= MAX_TOLD_ROUTE {
        return Some(envelope.raw_kind.into());
    }
    let end = (0..=MAX_TOLD_ROUTE).rfind(|at| name.is_char_boundary(*at));
    let mut json = Vec::new();
    push_json_string(&mut json, &format!("{}…", &name[..end.unwrap_or(0)]));
    String::from_utf8(json).ok().map(Cow::Owned)
}

/// Sends every message back as it came, admits everybody: for conformance suites and benchmarks.
#[derive(Debug, Default)]
pub struct Echo;

impl Protocol for Echo {
    fn admission(&self) -> Admission {
        Admission::Immediate
    }

    fn message(&self, message: Message, exchange: &mut Exchange<'_>) {
        let frame = match message {
            Message::Text(text) => Frame::message(text, OpCode::Data(Data::Text), true),
            Message::Binary(bytes) => Frame::message(bytes, OpCode::Data(Data::Binary), true),
        };
        exchange.reply(|out| {
            let start = out.len();
            // Writing to memory cannot fail; a failure would leave the frame out whole.
            if frame.format(out).is_err() {
                out.truncate(start);
            }
            out.len() - start
        });
    }
}
