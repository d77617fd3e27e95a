//! Answers messages: sends what the owner says, under the `id` that the client knows, and ends calls.

use std::rc::Rc;

use crate::{
    border::{
        command::{Answer, ErrorCode},
        handle::Handle,
    },
    connection::{Connection, State},
    message::{
        binary::encode_bytes,
        envelope::encode_answer,
        error::ErrorPayload,
        json::push_json_string,
        protocol::Kind,
        routes::{Answers, ERROR_ROUTE, RoutePolicy},
    },
    shard::{
        Shard,
        delivery::{self, Manner},
    },
};

/// What an answer is called: the start of its envelope, and its name in binary messages.
struct Called(&'static [u8], &'static str);

const REPLY: Called = Called(br#"{"type":"$reply""#, "$reply");
const ITEM: Called = Called(br#"{"type":"$item""#, "$item");
const END: Called = Called(br#"{"type":"$end""#, "$end");

/// Sends an answer. One for a call that was aborted, or that nobody knows, goes nowhere.
pub(crate) fn send(
    shard: &Shard,
    handle: Handle,
    how: Answer,
    number: u64,
    kind: Kind,
    payload: Option<&[u8]>,
) {
    let Some(connection) = open(shard, handle) else {
        return;
    };
    let (Called(prefix, name), id) = match how {
        Answer::Reply => (REPLY, settle(&connection, number)),
        Answer::Item => (ITEM, call(number).and_then(|it| connection.calls().id(it))),
        Answer::End => (END, settle(&connection, number)),
        Answer::Done => (REPLY, Some(number)),
    };
    if id.is_none() {
        return;
    }
    let length = prefix.len() + payload.map_or(0, <[u8]>::len);
    push(shard, &connection, id, length, |out| {
        match (kind, payload) {
            (Kind::Bytes, Some(payload)) => encode_bytes(out, name, id, payload),
            _ => encode_answer(out, prefix, id, payload),
        }
    });
}

/// Answers a message that the owner refused, or a call with a declared error. `number` is that of the message.
pub(crate) fn refuse(
    shard: &Shard,
    handle: Handle,
    code: ErrorCode,
    route: u32,
    number: Option<u64>,
    detail: Option<&[u8]>,
) {
    let Some(connection) = open(shard, handle) else {
        return;
    };
    let id = match number {
        None => None,
        Some(number) if shard.routes().answers(route) == Answers::None => Some(number),
        // It was aborted meanwhile.
        Some(number) => match settle(&connection, number) {
            None => return,
            id => id,
        },
    };
    let mut name = Vec::new();
    if let Some(route) = shard.routes().incoming_name(route) {
        push_json_string(&mut name, route);
    }
    let route_name = str::from_utf8(&name).ok().filter(|it| !it.is_empty());
    let payload = match code {
        ErrorCode::Bad(code) => {
            // Counted before it is queued, so that a client that has it is in the count.
            shard.metrics().bad[code as usize].add(1);
            let payload = ErrorPayload {
                route: route_name,
                issues: detail,
                ..ErrorPayload::new(code)
            };
            payload.to_json()
        }
        // An answer like any other.
        ErrorCode::Declared(place) => {
            let Some(code) = shard.routes().declared(route, place) else {
                return;
            };
            ErrorPayload::declared(code, route_name, detail).to_json()
        }
    };
    let prefix = shard.routes().prefix(ERROR_ROUTE).unwrap_or_default();
    push(shard, &connection, id, payload.len(), |out| {
        encode_answer(out, prefix, id, Some(&payload))
    });
}

fn open(shard: &Shard, handle: Handle) -> Option<Rc<Connection>> {
    let connection = shard.connection(handle)?;
    (connection.state() == State::Open).then_some(connection)
}

/// Ends a call; the client's `id` for it, unless it was aborted.
fn settle(connection: &Connection, number: u64) -> Option<u64> {
    connection.calls().settle(call(number)?)
}

/// The number of a call. Numbers of calls are the engine's own.
fn call(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

/// Queues an answer of about `length` bytes. What answers a call is never dropped: a client that is too slow for it is disconnected.
fn push(
    shard: &Shard,
    connection: &Rc<Connection>,
    id: Option<u64>,
    length: usize,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) {
    let policy = if id.is_some() {
        RoutePolicy::Disconnect
    } else {
        RoutePolicy::Server
    };
    let manner = Manner {
        policy,
        ..Manner::default()
    };
    delivery::send_one(shard, connection, manner, length, write);
}
