//! A protocol that echoes every message.

use crate::{
    frame::{BINARY, TEXT, outgoing::push_header},
    message::protocol::{Admission, Exchange, Message, Protocol},
};

/// Sends every message back as it came, admits everybody: for conformance suites and benchmarks.
#[derive(Debug, Default)]
pub struct Echo;

impl Protocol for Echo {
    fn admission(&self) -> Admission {
        Admission::Immediate
    }

    fn message(&self, message: Message<'_>, exchange: &mut dyn Exchange) {
        exchange.count();
        let (opcode, payload) = match &message {
            Message::Text(text) => (TEXT, text.as_bytes()),
            Message::Binary(bytes) => (BINARY, &**bytes),
        };
        exchange.reply(&mut |out| {
            let start = out.len();
            push_header(out, opcode, payload.len());
            out.extend_from_slice(payload);
            out.len() - start
        });
    }
}
