//! Handles messages in envelopes. It checks the client's rate, and passes each message to its route or answers it with `$error`.

use std::{borrow::Cow, sync::Arc};

use crate::message::{
    envelope::{self, BadEnvelope, Envelope},
    error::{BadCode, ErrorPayload},
    json::push_json_string,
    own::PING_TYPE,
    protocol::{Admission, Exchange, Message, Protocol},
    routes::{ERROR_ROUTE, Routes},
};

/// How many bytes of an unknown name the `$error` repeats. Otherwise a client could make the server send, and the owner read, as much
/// as it likes.
const MAX_TOLD_ROUTE: usize = 1024;

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
    fn limit(&self, message: &Message, wait: u64, exchange: &mut dyn Exchange) {
        let text = match message {
            Message::Text(text) => Some(text.as_str()),
            Message::Binary(bytes) => str::from_utf8(bytes).ok(),
        };
        let short = text.filter(|text| text.len() <= MAX_TOLD_ROUTE);
        let parsed = short.and_then(|text| envelope::parse(text).ok());
        if parsed.as_ref().is_some_and(is_ping) && exchange.pong() {
            return;
        }
        let known = parsed.filter(|it| {
            let kind = it.kind.as_ref();
            kind.is_some_and(|kind| self.routes.incoming(kind).is_some())
        });
        let route = known.map(|it| it.raw_kind);
        let payload = ErrorPayload {
            route,
            retry_after_ms: Some(wait.div_ceil(1_000_000)),
            ..ErrorPayload::new(BadCode::RateLimited)
        };
        self.refuse(exchange, payload);
    }

    fn refuse(&self, exchange: &mut dyn Exchange, payload: ErrorPayload<'_>) {
        let code = payload.code;
        let payload = payload.to_json();
        let prefix = self.routes.prefix(ERROR_ROUTE).unwrap_or_default();
        // The owner hears of it first. The answer may be too much for a slow client and end it, and no event may follow that end.
        exchange.refuse(code, &payload);
        exchange.reply(&mut |out| envelope::encode_frame(out, prefix, Some(&payload)));
    }
}

impl Protocol for EnvelopeProtocol {
    fn admission(&self) -> Admission {
        Admission::Owner
    }

    fn message(&self, message: Message, exchange: &mut dyn Exchange) {
        if let Err(wait) = exchange.take() {
            self.limit(&message, wait, exchange);
            return;
        }
        let parsed = match &message {
            Message::Text(text) => envelope::parse(text),
            Message::Binary(bytes) => str::from_utf8(bytes)
                .map_err(|_| BadEnvelope::NotUtf8)
                .and_then(envelope::parse),
        };
        let (code, route, text) = match &parsed {
            Ok(parsed) => {
                let name = parsed.kind.as_deref();
                if let Some(route) = name.and_then(|name| self.routes.incoming(name)) {
                    exchange.hand_over(route, parsed.payload);
                    return;
                }
                // Asked last, so that it costs other messages nothing.
                if is_ping(parsed) && exchange.pong() {
                    exchange.give_back();
                    return;
                }
                let text = Cow::Borrowed(BadCode::NoRoute.text());
                (BadCode::NoRoute, told_route(parsed), text)
            }
            Err(bad) => (BadCode::BadMessage, None, bad.to_string().into()),
        };
        let payload = ErrorPayload {
            route: route.as_deref(),
            message: &text,
            ..ErrorPayload::new(code)
        };
        self.refuse(exchange, payload);
    }
}

fn is_ping(envelope: &Envelope<'_>) -> bool {
    envelope.kind.as_deref() == Some(PING_TYPE)
}

/// The JSON text of a name for the `$error`: as it came, or the start of a long one. A long name with lone surrogates is left out.
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
