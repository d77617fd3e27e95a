//! Handles messages in envelopes. It checks the client's rate, and passes each message to its route or answers it with `$error`.

use std::{borrow::Cow, sync::Arc};

use crate::message::{
    binary::{self, carries_bytes},
    envelope::{self, BadEnvelope, Envelope, Id},
    error::{BadCode, ErrorPayload},
    json::push_json_string,
    own::PING_TYPE,
    protocol::{Admission, Bytes, CallRefused, Exchange, Kind, Message, Payload, Protocol},
    routes::{Answers, ERROR_ROUTE, Routes},
};

/// How many bytes of an unknown name the `$error` repeats. Otherwise a client could make the server send, and the owner read, as much
/// as it likes.
const MAX_TOLD_ROUTE: usize = 1024;

/// The type of the message that aborts a call.
const ABORT_TYPE: &str = "$abort";
/// The type of the message that acknowledges items of a call.
const MORE_TYPE: &str = "$more";

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

    /// Answers a message past the client's rate. The route of a long one is not looked for.
    fn limit(&self, message: &Message<'_>, wait: u64, exchange: &mut dyn Exchange) {
        let text = match message {
            Message::Text(text) => Some(&**text),
            Message::Binary(bytes) if carries_bytes(bytes) => {
                let head = binary::parse(bytes);
                let id = head.as_ref().map_or_else(|bad| bad.id, |head| head.id);
                let known = head
                    .ok()
                    .filter(|it| self.routes.incoming(it.name).is_some());
                let route = known.map(|head| told_name(head.name));
                return self.refuse_limited(exchange, id, route.as_deref(), wait);
            }
            Message::Binary(bytes) => str::from_utf8(bytes).ok(),
        };
        // All of it, as its sender may wait for an answer with its `id`.
        let parsed = text.map(envelope::parse);
        let (route, id) = match &parsed {
            Some(Ok(parsed)) => {
                if control(parsed, exchange) == Control::Done {
                    return;
                }
                let is_short = text.is_some_and(|text| text.len() <= MAX_TOLD_ROUTE);
                let kind = parsed.kind.as_deref().filter(|_| is_short);
                let known = kind.and_then(|kind| self.routes.incoming(kind));
                (known.map(|_| parsed.raw_kind), parsed.id)
            }
            Some(Err(bad)) => (None, bad.id),
            None => (None, Id::Missing),
        };
        self.refuse_limited(exchange, id, route, wait);
    }

    fn refuse_limited(&self, exchange: &mut dyn Exchange, id: Id, route: Option<&str>, wait: u64) {
        let payload = ErrorPayload {
            route,
            retry_after_ms: Some(wait.div_ceil(1_000_000)),
            ..ErrorPayload::new(BadCode::RateLimited)
        };
        self.refuse(exchange, BadCode::RateLimited, id, payload);
    }

    /// Hands over a message of a route. `name` gives the JSON text of the route's name, for a `$error`.
    fn hand_over<'a>(
        &self,
        route: u32,
        id: Id,
        payload: Option<Payload<'_>>,
        name: impl FnOnce() -> Cow<'a, str>,
        exchange: &mut dyn Exchange,
    ) {
        let (code, text) = match (self.routes.answers(route), id) {
            (Answers::None, id) => {
                exchange.hand_over(route, id.number(), payload);
                return;
            }
            (Answers::Reply, Id::Missing) => {
                exchange.hand_over(route, None, payload);
                return;
            }
            (_, Id::Number(id)) => match exchange.call(route, id, payload) {
                Ok(()) => return,
                Err(CallRefused::InUse) => (BadCode::BadMessage, "a call with this `id` is open"),
                Err(CallRefused::TooMany) => (BadCode::TooManyCalls, BadCode::TooManyCalls.text()),
            },
            (_, Id::Missing) => (BadCode::BadMessage, "the message needs an `id`"),
            (_, Id::Unreadable) => (
                BadCode::BadMessage,
                "the `id` is not a whole number from 0 to 2^53 - 1",
            ),
        };
        let payload = ErrorPayload {
            route: Some(&name()),
            message: text,
            ..ErrorPayload::new(code)
        };
        self.refuse(exchange, code, id, payload);
    }

    /// Takes a message that carries bytes.
    fn binary(&self, message: &Bytes, exchange: &mut dyn Exchange) {
        let (code, id, name, text) = match binary::parse(message) {
            Ok(head) => match self.routes.incoming(head.name) {
                Some(route) if self.routes.kind(route) == Kind::Bytes => {
                    let payload = message.slice(head.length..);
                    let payload = Some(Payload::Bytes(&payload));
                    let name = || told_name(head.name);
                    return self.hand_over(route, head.id, payload, name, exchange);
                }
                Some(_) => {
                    let text = "the payload of this route is JSON, not bytes";
                    (BadCode::BadMessage, head.id, Some(head.name), text.into())
                }
                None => {
                    let text = BadCode::NoRoute.text();
                    (BadCode::NoRoute, head.id, Some(head.name), text.into())
                }
            },
            Err(bad) => (BadCode::BadMessage, bad.id, None, bad.to_string()),
        };
        let route = name.map(told_name);
        let payload = ErrorPayload {
            route: route.as_deref(),
            message: &text,
            ..ErrorPayload::new(code)
        };
        self.refuse(exchange, code, id, payload);
    }

    fn refuse(
        &self,
        exchange: &mut dyn Exchange,
        code: BadCode,
        id: Id,
        payload: ErrorPayload<'_>,
    ) {
        let payload = payload.to_json();
        let prefix = self.routes.prefix(ERROR_ROUTE).unwrap_or_default();
        // An answer to an open call would settle it.
        let id = id.number().filter(|id| !exchange.is_open(*id));
        // The owner hears of it first. The answer may be too much for a slow client and end it, and no event may follow that end.
        exchange.refuse(code, &payload);
        exchange.reply(&mut |out| envelope::encode_answer(out, prefix, id, Some(&payload)));
    }
}

impl Protocol for EnvelopeProtocol {
    fn admission(&self) -> Admission {
        Admission::Owner
    }

    fn message(&self, message: Message<'_>, exchange: &mut dyn Exchange) {
        if let Err(wait) = exchange.take() {
            self.limit(&message, wait, exchange);
            return;
        }
        let parsed = match &message {
            Message::Text(text) => envelope::parse(text),
            Message::Binary(bytes) if carries_bytes(bytes) => {
                return self.binary(bytes, exchange);
            }
            Message::Binary(bytes) => str::from_utf8(bytes)
                .map_err(|_| BadEnvelope::NotUtf8.into())
                .and_then(envelope::parse),
        };
        let (code, id, route, text) = match &parsed {
            Ok(parsed) => {
                let name = parsed.kind.as_deref();
                if let Some(route) = name.and_then(|name| self.routes.incoming(name)) {
                    let payload = parsed.payload.map(Payload::Json);
                    let name = || parsed.raw_kind.into();
                    return self.hand_over(route, parsed.id, payload, name, exchange);
                }
                // Asked last, so that it costs other messages nothing.
                if control(parsed, exchange) == Control::Done {
                    exchange.give_back();
                    return;
                }
                let text = Cow::Borrowed(BadCode::NoRoute.text());
                (BadCode::NoRoute, parsed.id, told_route(parsed), text)
            }
            Err(bad) => (BadCode::BadMessage, bad.id, None, bad.to_string().into()),
        };
        let payload = ErrorPayload {
            route: route.as_deref(),
            message: &text,
            ..ErrorPayload::new(code)
        };
        self.refuse(exchange, code, id, payload);
    }
}

/// Whether a message was one for the engine itself.
#[derive(PartialEq, Eq)]
enum Control {
    Done,
    Other,
}

/// Does what a message asks of the engine: a `$ping`, or one about an open call. One for a call that is not open is passed over.
fn control(message: &Envelope<'_>, exchange: &mut dyn Exchange) -> Control {
    match message.kind.as_deref() {
        Some(PING_TYPE) if exchange.pong() => {}
        Some(ABORT_TYPE) => {
            if let Some(id) = message.id.number() {
                exchange.abort(id);
            }
        }
        Some(MORE_TYPE) => {
            let items = message.payload.map_or(Id::Missing, Id::read);
            if let (Some(id), Id::Number(items @ 1..)) = (message.id.number(), items) {
                exchange.more(id, items);
            }
        }
        _ => return Control::Other,
    }
    Control::Done
}

/// The JSON text of a name for the `$error`: as it came, or the start of a long one. A long name with lone surrogates is left out.
fn told_route<'a>(envelope: &Envelope<'a>) -> Option<Cow<'a, str>> {
    match &envelope.kind {
        Some(name) if name.len() > MAX_TOLD_ROUTE => Some(told_name(name)),
        None if envelope.raw_kind.len() > MAX_TOLD_ROUTE => None,
        _ => Some(envelope.raw_kind.into()),
    }
}

/// The JSON text of a name for the `$error`: all of it, or the start of a long one.
fn told_name(name: &str) -> Cow<'static, str> {
    let mut json = Vec::new();
    if name.len() <= MAX_TOLD_ROUTE {
        push_json_string(&mut json, name);
    } else {
        let end = (0..=MAX_TOLD_ROUTE).rfind(|at| name.is_char_boundary(*at));
        push_json_string(&mut json, &format!("{}…", &name[..end.unwrap_or(0)]));
    }
    String::from_utf8(json).unwrap_or_default().into()
}
