//! Events: reports of the engine to its owner, and their form on the border.
//!
//! Events travel in batches. Each event has a [`Head`] of five numbers and a value. The values of a batch form one JSON array, so
//! the owner parses all of them at once. Numbers are not in the JSON, because parsing them would cost more. Payloads that are bytes
//! stand beside the values, in the order of their events.
//!
//! | code | value | meaning |
//! |---|---|---|
//! | 0 and up | payload or `null` | a message for incoming route `code >> 3`; with `code & 1` it had no payload |
//! | with `code & 2` | the same | one to be answered, by the number of its head: of a call that is the owner's, otherwise it is the client's `id` |
//! | with `code & 4` | `null` | one whose payload is bytes, beside the values |
//! | −1 | a list, as those are quicker to parse | an upgrade waits for admission: id, headers, the names of the real header fields with commas between (`null` if all are), origin (or `null`), url, path (`null` if it is the whole url), host, address (empty if nobody knows it), [port and more](crate::border::codes::upgrade), subprotocol and certificate (text or `null`) |
//! | −2 | `[by,code,reason]`, or `by` alone | the connection ended, after its 101 or before: who ended it, and the code and reason of the close frame |
//! | −3 | `{"code","route"?,"message","retryAfterMs"?,"count"?}` | a bad message, already answered with `$error`; with `count`, that number of further ones |
//! | −4 | `{"code","message","id"?}` | something else went wrong |
//! | −5 | `null` | the shard has stopped; the handle is its number |
//! | −7 | number | the client aborted this call |
//! | −8 | `[number,items]` | the client took so many items of this call |
//! | −10 | `null` | the connection is open; told once, if the owner has asked for it |
//! | −11 | `{"order","act","ids"}` with `"rooms"`, or with `"code"` and `"reason"` | somebody else wants something done with these clients; the handle is the shard's number, which goes into the answer |
//! | −12 | `{"number","refused","why"?,"failure"?}` | an order of the owner has ended |
//! | −13 | `[question,missing,size,id,…]` | a part of what other processes have answered: how many of them have not, how many members or clients they have, and ids of some |
//! | −16 | an object | the bus: see `bus/notices.rs` |
//! | −6 | text | the shard's thread panicked; the handle is its number |
//! | −9 | `[question,size,id,…]` | a part of an answer about the members of a room: how many the shard has, and ids of some; the handle is its number |

use std::{fmt::Display, io::Write as _};

use crate::{
    border::{
        act::{self, Act, Outcome},
        codes::{event, head, message, upgrade},
        ending::Ending,
        handle::{ClientId, Handle},
    },
    handshake::{headers::Headers, request::UpgradeRequest, rules::Site, subprotocol::Subprotocol},
    message::{
        json::push_json_string,
        protocol::{Bytes, Payload},
    },
};

/// Wakes the owner of a server. The engine calls its owner in no other way.
pub trait EventSink: Send + Sync + 'static {
    /// Tells the owner that events wait. I/O threads call it, and not again before the owner has answered with
    /// [`ServerHandle::answer`](crate::ServerHandle::answer). It must not block.
    fn ring(&self);

    /// Tells the owner that many connections or rooms have gone and left free memory, which it can now return to the system. The
    /// threads of the engine call it twice within ten seconds. It must not block.
    fn thinned(&self) {}
}

impl<F: Fn() + Send + Sync + 'static> EventSink for F {
    fn ring(&self) {
        self();
    }
}

/// A fault that does not concern a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// A client was cut off because it read too slowly.
    SlowClient,
    /// An upgrade from an origin that is not allowed was refused.
    Origin,
    /// A client did not finish the closing handshake in time when the server stopped.
    Stop,
    /// The engine or the system failed.
    Internal,
}

impl FaultCode {
    fn name(self) -> &'static str {
        match self {
            Self::SlowClient => "SLOW_CLIENT",
            Self::Origin => "ORIGIN",
            Self::Stop => "STOP",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The numbers of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The connection it is about.
    pub handle: Handle,
    /// The kind of event; see [the table](self).
    pub code: i32,
    /// Bytes of its value, or of the payload beside it.
    pub bytes: u32,
    /// Bytes of memory that its value may take once it is parsed; 0 unless the owner has [asked](crate::ServerHandle::weigh) for it.
    pub weight: u32,
    /// By which number a message is to be answered, or 0. It is not in the value, because JavaScript parses payloads of one shape
    /// quickest where they are neighbours in the array.
    pub number: u64,
}

impl Head {
    /// The same as words, in their places on the border.
    #[must_use]
    pub fn words(self) -> [u32; head::WORDS] {
        let mut words = [0; head::WORDS];
        words[head::HANDLE] = self.handle.0;
        words[head::CODE] = self.code.cast_unsigned();
        words[head::BYTES] = self.bytes;
        words[head::WEIGHT] = self.weight;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = self.number as u32;
        words[head::NUMBER] = low;
        words[head::NUMBER_HIGH] = (self.number >> 32) as u32;
        words
    }
}

/// One thing that happened, borrowed from where it happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message for an incoming route.
    Message {
        /// Number of the incoming route.
        route: u32,
        /// By which number it is to be answered, if it is: see [`call`](crate::message::protocol::Exchange::call).
        number: Option<u64>,
        /// `None` when the envelope had no payload.
        payload: Option<Payload<'a>>,
    },
    /// The client aborted a call.
    Abort {
        /// The owner's number for it.
        number: u32,
    },
    /// The client took items of a call.
    More {
        /// The owner's number for it.
        number: u32,
        /// How many.
        items: u64,
    },
    /// An upgrade request that awaits admission.
    Upgrade {
        /// The id the client will have.
        id: ClientId,
        /// The request.
        request: &'a UpgradeRequest,
    },
    /// The connection is over.
    Closed {
        /// Whether the 101 had been sent.
        opened: bool,
        /// How it ended.
        ending: &'a Ending,
    },
    /// The connection is open.
    Opened,
    /// A message that was answered with `$error`, or a count of them; see `bad`.
    Bad {
        /// The `$error` payload, JSON text.
        payload: &'a [u8],
    },
    /// A fault that does not concern a message.
    Fault {
        /// The kind of fault.
        code: FaultCode,
        /// A text for people.
        message: &'a str,
        /// The client it is about.
        id: Option<ClientId>,
    },
    /// News of the bus.
    Bus {
        /// JSON text.
        value: &'a str,
    },
    /// A part of the shard's answer to a question about the members of a room.
    Members {
        /// The number of the question.
        question: u32,
        /// How many the shard had when it was asked.
        size: usize,
        /// The next ones of their ids.
        ids: &'a [ClientId],
    },
    /// A part of the answer of other processes to a question about members.
    Elsewhere {
        /// The number of the question.
        question: u32,
        /// How many processes have not answered.
        missing: usize,
        /// How many members or clients the others have.
        size: u64,
        /// The next ones of their ids.
        ids: &'a [ClientId],
    },
    /// Somebody else wants something done with clients of this owner.
    Order {
        /// The number for the answer.
        order: u32,
        /// What is to be done.
        act: &'a Act,
        /// With whom.
        ids: &'a [ClientId],
    },
    /// An order of this owner has ended.
    Ordered {
        /// The owner's number for it.
        number: u32,
        /// How it ended.
        outcome: &'a Outcome,
    },
    /// The shard has no connection left and takes no more commands.
    Stopped,
    /// The shard's thread panicked.
    Died {
        /// The panic's text.
        message: &'a str,
    },
}

impl Event<'_> {
    /// An upper estimate of the bytes [`write`](Self::write) appends, exact enough to cut batches.
    pub(crate) fn size_hint(&self) -> usize {
        match self {
            Self::Message { payload, .. } => {
                1 + payload.map_or(4, |payload| payload.length().max(4))
            }
            Self::Bad { payload } => 1 + payload.len(),
            // A control character becomes six.
            Self::Closed { ending, .. } => 32 + 6 * ending.reason.len(),
            // Up to three numbers of at most 20 digits; an id has quotes and a comma.
            Self::Members { ids, .. } | Self::Elsewhere { ids, .. } => {
                96 + (ClientId::LENGTH + 3) * ids.len()
            }
            // The names of the fields stand there twice, and each pair has some punctuation.
            Self::Upgrade { request, .. } => {
                512 + request.headers.bytes()
                    + 8 * request.headers.len()
                    + request.url.len()
                    + request.path.as_deref().map_or(0, str::len)
                    + request.host.len()
                    + request.origin.as_deref().map_or(0, str::len)
                    + request.certificate.as_deref().map_or(0, str::len)
            }
            Self::Bus { value } => 1 + value.len(),
            Self::Order { act, ids, .. } => act::size_of_order(act, ids),
            Self::Ordered { outcome, .. } => act::size_of_outcome(outcome),
            _ => 256,
        }
    }

    pub(crate) fn code(&self) -> i32 {
        match self {
            // Routes are few.
            Self::Message {
                route,
                number,
                payload,
            } => {
                let kind = match payload {
                    None => message::BARE,
                    Some(Payload::Json(_)) => 0,
                    Some(Payload::Bytes(_)) => message::BYTES,
                };
                let numbered = number.map_or(0, |_| message::NUMBERED);
                (route << message::BITS | numbered | kind).cast_signed()
            }
            Self::Abort { .. } => event::ABORT,
            Self::More { .. } => event::MORE,
            Self::Upgrade { .. } => event::UPGRADE,
            Self::Closed { .. } => event::CLOSED,
            Self::Opened => event::OPENED,
            Self::Bad { .. } => event::BAD,
            Self::Fault { .. } => event::FAULT,
            Self::Bus { .. } => event::BUS,
            Self::Members { .. } => event::MEMBERS,
            Self::Elsewhere { .. } => event::ELSEWHERE,
            Self::Order { .. } => event::ORDER,
            Self::Ordered { .. } => event::ORDERED,
            Self::Stopped => event::STOPPED,
            Self::Died { .. } => event::DIED,
        }
    }

    /// By which number it is to be answered, or 0.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Message {
                number: Some(number),
                ..
            } => *number,
            _ => 0,
        }
    }

    /// The payload that stands beside the values, if it is bytes.
    pub(crate) fn beside(&self) -> Option<&Bytes> {
        match self {
            Self::Message {
                payload: Some(Payload::Bytes(bytes)),
                ..
            } => Some(bytes),
            _ => None,
        }
    }

    /// Appends the value.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { payload, .. } => out.extend_from_slice(match payload {
                Some(Payload::Json(json)) => json.as_bytes(),
                Some(Payload::Bytes(_)) | None => b"null",
            }),
            Self::Abort { number } => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            Self::More { number, items } => {
                out.push(b'[');
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
                out.push(b',');
                out.extend_from_slice(itoa::Buffer::new().format(*items).as_bytes());
                out.push(b']');
            }
            Self::Upgrade { id, request } => write_upgrade(out, *id, request),
            Self::Closed { opened, ending } => write_ending(out, *opened, ending),
            Self::Bad { payload } => out.extend_from_slice(payload),
            Self::Fault { code, message, id } => {
                out.extend_from_slice(b"{\"code\":\"");
                out.extend_from_slice(code.name().as_bytes());
                out.extend_from_slice(b"\",\"message\":");
                push_json_string(out, message);
                if let Some(id) = id {
                    out.extend_from_slice(b",\"id\":\"");
                    out.extend_from_slice(id.to_string().as_bytes());
                    out.push(b'"');
                }
                out.push(b'}');
            }
            Self::Bus { value } => out.extend_from_slice(value.as_bytes()),
            Self::Members {
                question,
                size,
                ids,
            } => {
                out.push(b'[');
                out.extend_from_slice(itoa::Buffer::new().format(*question).as_bytes());
                out.push(b',');
                out.extend_from_slice(itoa::Buffer::new().format(*size).as_bytes());
                push_ids(out, ids);
            }
            Self::Elsewhere {
                question,
                missing,
                size,
                ids,
            } => {
                out.push(b'[');
                push_shown(out, question);
                out.push(b',');
                push_shown(out, missing);
                out.push(b',');
                push_shown(out, size);
                push_ids(out, ids);
            }
            Self::Order { order, act, ids } => act::write_order(out, *order, act, ids),
            Self::Ordered { number, outcome } => act::write_outcome(out, *number, outcome),
            Self::Opened | Self::Stopped => out.extend_from_slice(b"null"),
            Self::Died { message } => push_json_string(out, message),
        }
    }
}

/// Appends ids to a list that has begun, and ends the list.
fn push_ids(out: &mut Vec<u8>, ids: &[ClientId]) {
    for id in ids {
        out.extend_from_slice(b",\"");
        id.push(out);
        out.push(b'"');
    }
    out.push(b']');
}

fn write_ending(out: &mut Vec<u8>, opened: bool, ending: &Ending) {
    if !opened {
        push_shown(out, ending.by.code());
        return;
    }
    out.push(b'[');
    push_shown(out, ending.by.code());
    out.push(b',');
    push_shown(out, ending.code);
    out.push(b',');
    push_json_string(out, &ending.reason);
    out.push(b']');
}

fn write_upgrade(out: &mut Vec<u8>, id: ClientId, request: &UpgradeRequest) {
    out.extend_from_slice(b"[\"");
    id.push(out);
    out.extend_from_slice(b"\",");
    write_headers(out, &request.headers);
    out.push(b',');
    write_fields(out, &request.headers);
    out.push(b',');
    push_text_or_null(out, request.origin.as_deref());
    out.push(b',');
    push_json_string(out, &request.url);
    out.push(b',');
    push_text_or_null(out, request.path.as_deref());
    out.push(b',');
    push_json_string(out, &request.host);
    out.extend_from_slice(b",\"");
    if let Some(address) = request.address {
        push_shown(out, address);
    }
    out.extend_from_slice(b"\",");
    out.extend_from_slice(itoa::Buffer::new().format(number_of(request)).as_bytes());
    out.push(b',');
    let protocol = match &request.protocol {
        Subprotocol::Other(name) => Some(&**name),
        // The owner has not asked for the subprotocol of our own client.
        Subprotocol::None | Subprotocol::Zocket => None,
    };
    push_text_or_null(out, protocol);
    out.push(b',');
    push_text_or_null(out, request.certificate.as_deref());
    out.push(b']');
}

/// What fits into one number, which is quicker to parse than several: see [`upgrade`].
fn number_of(request: &UpgradeRequest) -> u32 {
    [
        (request.secure, upgrade::SECURE),
        (request.site == Site::Other, upgrade::OTHER_SITE),
        (request.is_withheld, upgrade::WITHHELD),
    ]
    .into_iter()
    .filter_map(|(holds, bit)| holds.then_some(bit))
    .fold(u32::from(request.port), |number, bit| number | bit)
}

/// Appends the names of the headers that are fields, or `null` if all are.
fn write_fields(out: &mut Vec<u8>, headers: &Headers) {
    if headers.count_of_fields() == headers.len() {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    // Names of fields are tokens (RFC 9110, section 5.1): no comma is in them, and nothing that JSON escapes.
    for (index, name) in headers.fields().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
}

fn push_text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_json_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends what needs no escaping as it shows itself.
fn push_shown(out: &mut Vec<u8>, value: impl Display) {
    // A vector takes every write.
    let _ = write!(out, "{value}");
}

/// Appends the headers as one JSON object.
pub fn write_headers(out: &mut Vec<u8>, headers: &Headers) {
    out.reserve(headers.bytes() + 6 * headers.len() + 2);
    out.push(b'{');
    for (index, (name, value)) in headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if index < headers.count_of_fields() {
            // A token, in which nothing is to be escaped.
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        } else {
            push_json_string(out, name);
        }
        out.push(b':');
        push_json_string(out, value);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::border::ending::EndedBy;

    fn text(event: &Event<'_>) -> String {
        let mut out = Vec::new();
        event.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_names_its_route_and_says_whether_a_payload_is_missing() {
        let message = |route, number, payload| Event::Message {
            route,
            number,
            payload,
        };
        let bytes = Bytes::from_static(b"[]");
        let (json, bytes) = (Some(Payload::Json("{}")), Some(Payload::Bytes(&bytes)));
        let most = (1 << 53) - 1;
        for (event, code, value) in [
            (message(3, None, json), 24, "{}"),
            (message(0, None, None), 1, "null"),
            (message(1, Some(7), json), 10, "{}"),
            (message(1, Some(most), None), 11, "null"),
            (message(1, None, bytes), 12, "null"),
            (message(1, Some(7), bytes), 14, "null"),
        ] {
            assert_eq!((event.code(), &*text(&event)), (code, value));
            assert!(value.len() <= event.size_hint());
        }
    }

    #[test]
    fn the_end_of_a_connection_has_a_code_and_a_reason_only_after_its_101() {
        let reason = "\u{1}".repeat(123);
        let ending = Ending::new(EndedBy::Client, 4000, &reason);
        let event = |opened| Event::Closed {
            opened,
            ending: &ending,
        };
        let opened = text(&event(true));
        assert_eq!(opened, format!("[0,4000,\"{}\"]", "\\u0001".repeat(123)));
        assert!(opened.len() <= event(true).size_hint());
        assert_eq!(text(&event(false)), "0");
    }

    #[test]
    fn the_value_of_every_event_is_json() {
        let id = ClientId::random();
        let ending = Ending::new(EndedBy::Stop, 1001, "\"bye\"");
        let events = [
            Event::Closed {
                opened: true,
                ending: &ending,
            },
            Event::Opened,
            Event::Bad {
                payload: b"{\"code\":\"NO_ROUTE\"}",
            },
            Event::Fault {
                code: FaultCode::SlowClient,
                message: "\"slow\"",
                id: Some(id),
            },
            Event::Fault {
                code: FaultCode::Internal,
                message: "x",
                id: None,
            },
            Event::Stopped,
            Event::Abort { number: 7 },
            Event::More {
                number: 7,
                items: 32,
            },
            Event::Members {
                question: u32::MAX,
                size: 7,
                ids: &[id, id],
            },
            Event::Members {
                question: 0,
                size: 0,
                ids: &[],
            },
            Event::Died {
                message: "line\nbreak",
            },
        ];
        for event in &events {
            assert!(
                serde_json::from_str::<serde_json::Value>(&text(event)).is_ok(),
                "{event:?}"
            );
            assert!(event.code() < 0);
            assert!(text(event).len() < event.size_hint());
        }
    }
}
