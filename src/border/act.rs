//! What is to be done with clients: a join, a leave or a disconnect. How it ended, and how events say both.

use std::sync::Arc;

use crate::{
    border::{
        codes::{order, word::ILL_FORMED},
        handle::ClientId,
    },
    message::json::push_json_string,
};

/// What is to be done with clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Put them into rooms.
    Join(Vec<Arc<[u8]>>),
    /// Take them out of rooms.
    Leave(Vec<Arc<[u8]>>),
    /// Close their connections.
    Disconnect {
        /// The close code.
        code: u16,
        /// The reason.
        reason: String,
    },
}

impl Act {
    /// Its number on the border; see [`order`].
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Join(_) => order::JOIN,
            Self::Leave(_) => order::LEAVE,
            Self::Disconnect { .. } => order::DISCONNECT,
        }
    }
}

/// How an order ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Clients that may not be in another room.
    pub refused: Vec<ClientId>,
    /// Why the first of them may not: a text for people.
    pub why: Option<String>,
    /// Why nobody knows whether all of it was done: a text for people.
    pub failure: Option<String>,
}

impl Outcome {
    /// Nobody knows whether all of it was done.
    pub(crate) fn failed(why: &str) -> Self {
        Self {
            failure: Some(why.to_owned()),
            ..Self::default()
        }
    }

    /// Adds how a part of the order ended.
    pub(crate) fn add(&mut self, part: Self) {
        self.refused.extend(part.refused);
        self.why = self.why.take().or(part.why);
        self.failure = self.failure.take().or(part.failure);
    }
}

/// An upper estimate of what [`write_order`] appends.
pub(crate) fn size_of_order(act: &Act, ids: &[ClientId]) -> usize {
    let inside: usize = match act {
        // A control character becomes six.
        Act::Join(rooms) | Act::Leave(rooms) => rooms.iter().map(|it| 3 + 6 * it.len()).sum(),
        Act::Disconnect { reason, .. } => 6 * reason.len(),
    };
    96 + inside + size_of_ids(ids)
}

/// Appends what an owner is to do with some of its clients.
pub(crate) fn write_order(out: &mut Vec<u8>, key: u32, act: &Act, ids: &[ClientId]) {
    out.extend_from_slice(b"{\"order\":");
    push_number(out, key);
    out.extend_from_slice(b",\"act\":");
    push_number(out, act.code());
    out.extend_from_slice(b",\"ids\":");
    push_ids(out, ids);
    match act {
        Act::Join(rooms) | Act::Leave(rooms) => {
            out.extend_from_slice(b",\"rooms\":");
            push_list(out, rooms, |out, name| push_room(out, name));
        }
        Act::Disconnect { code, reason } => {
            out.extend_from_slice(b",\"code\":");
            push_number(out, (*code).into());
            out.extend_from_slice(b",\"reason\":");
            push_json_string(out, reason);
        }
    }
    out.push(b'}');
}

/// An upper estimate of what [`write_outcome`] appends.
pub(crate) fn size_of_outcome(outcome: &Outcome) -> usize {
    let length = |text: &Option<String>| 6 * text.as_deref().map_or(0, str::len);
    64 + size_of_ids(&outcome.refused) + length(&outcome.why) + length(&outcome.failure)
}

/// Appends how an order ended.
pub(crate) fn write_outcome(out: &mut Vec<u8>, number: u32, outcome: &Outcome) {
    out.extend_from_slice(b"{\"number\":");
    push_number(out, number);
    out.extend_from_slice(b",\"refused\":");
    push_ids(out, &outcome.refused);
    for (name, text) in [("why", &outcome.why), ("failure", &outcome.failure)] {
        if let Some(text) = text {
            out.push(b',');
            push_json_string(out, name);
            out.push(b':');
            push_json_string(out, text);
        }
    }
    out.push(b'}');
}

fn size_of_ids(ids: &[ClientId]) -> usize {
    (ClientId::LENGTH + 3) * ids.len()
}

fn push_ids(out: &mut Vec<u8>, ids: &[ClientId]) {
    push_list(out, ids, |out, id| {
        out.push(b'"');
        id.push(out);
        out.push(b'"');
    });
}

fn push_list<T>(out: &mut Vec<u8>, list: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, it) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, it);
    }
    out.push(b']');
}

/// Appends the name of a room. A name that is not well-formed text has its units escaped.
fn push_room(out: &mut Vec<u8>, name: &[u8]) {
    let marked = name
        .split_first()
        .filter(|(first, _)| u32::from(**first) == ILL_FORMED);
    let Some((_, units)) = marked else {
        return push_json_string(out, &String::from_utf8_lossy(name));
    };
    out.push(b'"');
    for unit in units.as_chunks::<2>().0 {
        let unit = u16::from_le_bytes(*unit);
        out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
    }
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ClientId {
        ClientId::from_bytes([byte; 16])
    }

    fn written(act: &Act) -> String {
        let mut out = Vec::new();
        write_order(&mut out, 7, act, &[id(1), id(2)]);
        assert!(out.len() <= size_of_order(act, &[id(1), id(2)]));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_order_says_what_to_do_with_whom() {
        let ids = format!(r#""ids":["{}","{}"]"#, id(1), id(2));
        let rooms = vec![
            Arc::from(&b"a\"\n"[..]),
            Arc::from(&b"\xff\x00\xd8\x61\x00"[..]),
        ];
        assert_eq!(
            written(&Act::Join(rooms)),
            format!(r#"{{"order":7,"act":0,{ids},"rooms":["a\"\n","\ud800\u0061"]}}"#)
        );
        assert_eq!(
            written(&Act::Leave(vec![])),
            format!(r#"{{"order":7,"act":1,{ids},"rooms":[]}}"#)
        );
        let (code, reason) = (1008, "bye \"now\"".to_owned());
        assert_eq!(
            written(&Act::Disconnect { code, reason }),
            format!(r#"{{"order":7,"act":2,{ids},"code":1008,"reason":"bye \"now\""}}"#)
        );
    }

    #[test]
    fn an_outcome_has_the_first_reasons_and_all_who_were_refused() {
        let mut outcome = Outcome::default();
        outcome.add(Outcome {
            refused: vec![id(1)],
            why: Some("full".into()),
            failure: None,
        });
        outcome.add(Outcome {
            refused: vec![id(2)],
            why: Some("also full".into()),
            failure: Some("away".into()),
        });
        let mut out = Vec::new();
        write_outcome(&mut out, 3, &outcome);
        assert!(out.len() <= size_of_outcome(&outcome));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                r#"{{"number":3,"refused":["{}","{}"],"why":"full","failure":"away"}}"#,
                id(1),
                id(2)
            )
        );
    }
}
