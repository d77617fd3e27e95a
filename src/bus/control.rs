//! The messages by which processes find each other, ask each other and give each other orders. Clients never see them.
//!
//! They have the head and the fields of [`format`](super::format). `docs/bus-format.md` describes them for other programs.

use std::{str, sync::Arc, time::Duration};

use crate::{
    border::{
        act::{Act, Outcome},
        codes::{limit::MAX_REASON, word::ILL_FORMED},
        command::Asks,
        handle::{ClientId, Process},
    },
    bus::format::{MAGIC, Malformed, VERSION, exactly, field, ids, read_ids, tag, take, text},
    rooms::MAX_ROOM_NAME,
};

/// The third byte of each kind.
mod kind {
    pub(super) const ANNOUNCEMENT: u8 = 2;
    pub(super) const QUESTION: u8 = 3;
    pub(super) const ANSWER: u8 = 4;
    pub(super) const ORDER: u8 = 5;
    pub(super) const DONE: u8 = 6;
}

/// The values of [`tag::WHAT`].
mod what {
    pub(super) const SIZE: u8 = 0;
    pub(super) const IDS: u8 = 1;
    pub(super) const CLIENTS: u8 = 2;
    pub(super) const JOIN: u8 = 0;
    pub(super) const LEAVE: u8 = 1;
    pub(super) const DISCONNECT: u8 = 2;
}

/// The longest order that is read, and the most clients of one.
const MAX_ORDER: usize = 1024 * 1024;
pub(crate) const MAX_CLIENTS: usize = 4_096;
/// The longest text of an answer that is kept.
const MAX_TEXT: usize = 1_024;

/// A message between processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control<'a> {
    /// Who sends it.
    pub(crate) process: Process,
    pub(crate) note: Note<'a>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note<'a> {
    /// The process is there.
    Announcement {
        /// After how long it says so again; `None` if it serves nobody.
        interval: Option<Duration>,
        /// It wants to know who else is there.
        asks: bool,
        /// It stops now.
        ends: bool,
    },
    /// Who is in a room, or how many clients the process has.
    Question {
        number: u64,
        asks: Asks,
        room: &'a [u8],
    },
    /// A part of the answer to a question.
    Answer {
        number: u64,
        /// How many parts came before.
        place: u32,
        /// How many members there are.
        size: u64,
        clients: Vec<ClientId>,
    },
    /// What is to be done with clients of the process that reads it.
    Order {
        number: u64,
        act: Act,
        clients: Vec<ClientId>,
    },
    /// An order was carried out.
    Done { number: u64, outcome: Outcome },
}

/// Whether a message is of one of these kinds.
pub(crate) fn is_control(bytes: &[u8]) -> bool {
    matches!(bytes, [MAGIC, VERSION, kind::ANNOUNCEMENT..=kind::DONE, ..])
}

/// Writes a message.
pub(crate) fn write(control: &Control<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    let out = &mut message;
    out.extend_from_slice(&[MAGIC, VERSION, kind_of(&control.note)]);
    field(out, tag::PROCESS, &control.process.0);
    match &control.note {
        Note::Announcement {
            interval,
            asks,
            ends,
        } => {
            if let Some(interval) = interval {
                let milliseconds = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
                field(out, tag::INTERVAL, &milliseconds.to_le_bytes());
            }
            for (tag, is_said) in [(tag::ASKS, *asks), (tag::ENDS, *ends)] {
                if is_said {
                    field(out, tag, &[]);
                }
            }
        }
        Note::Question { number, asks, room } => {
            field(out, tag::NUMBER, &number.to_le_bytes());
            let code = match asks {
                Asks::Size => what::SIZE,
                Asks::Ids => what::IDS,
                Asks::Clients => what::CLIENTS,
            };
            field(out, tag::WHAT, &[code]);
            if *asks != Asks::Clients {
                field(out, tag::ROOM, room);
            }
        }
        Note::Answer {
            number,
            place,
            size,
            clients,
        } => {
            field(out, tag::NUMBER, &number.to_le_bytes());
            field(out, tag::PLACE, &place.to_le_bytes());
            field(out, tag::SIZE, &size.to_le_bytes());
            ids(out, tag::CLIENTS, clients);
        }
        Note::Order {
            number,
            act,
            clients,
        } => {
            field(out, tag::NUMBER, &number.to_le_bytes());
            write_act(out, act);
            ids(out, tag::CLIENTS, clients);
        }
        Note::Done { number, outcome } => {
            field(out, tag::NUMBER, &number.to_le_bytes());
            ids(out, tag::CLIENTS, &outcome.refused);
            for (tag, text) in [(tag::WHY, &outcome.why), (tag::FAILURE, &outcome.failure)] {
                if let Some(text) = text {
                    field(out, tag, text.as_bytes());
                }
            }
        }
    }
    message
}

fn kind_of(note: &Note<'_>) -> u8 {
    match note {
        Note::Announcement { .. } => kind::ANNOUNCEMENT,
        Note::Question { .. } => kind::QUESTION,
        Note::Answer { .. } => kind::ANSWER,
        Note::Order { .. } => kind::ORDER,
        Note::Done { .. } => kind::DONE,
    }
}

fn write_act(out: &mut Vec<u8>, act: &Act) {
    let (code, rooms) = match act {
        Act::Join(rooms) => (what::JOIN, &rooms[..]),
        Act::Leave(rooms) => (what::LEAVE, &rooms[..]),
        Act::Disconnect { .. } => (what::DISCONNECT, &[][..]),
    };
    field(out, tag::WHAT, &[code]);
    for room in rooms {
        field(out, tag::ROOM, room);
    }
    if let Act::Disconnect { code, reason } = act {
        field(out, tag::CODE, &code.to_le_bytes());
        field(out, tag::REASON, reason.as_bytes());
    }
}

/// The fields of a message of any kind.
#[derive(Default)]
struct Fields<'a> {
    process: Option<Process>,
    number: Option<u64>,
    interval: Option<u32>,
    asks: bool,
    ends: bool,
    what: Option<u8>,
    rooms: Vec<&'a [u8]>,
    clients: Vec<ClientId>,
    place: Option<u32>,
    size: Option<u64>,
    code: Option<u16>,
    reason: Option<&'a str>,
    why: Option<&'a str>,
    failure: Option<&'a str>,
}

/// Reads a message for which [`is_control`] holds.
pub(crate) fn read(bytes: &[u8]) -> Result<Control<'_>, Malformed> {
    let [_, _, kind, rest @ ..] = bytes else {
        return Err(Malformed::Foreign);
    };
    let fields = read_fields(rest)?;
    let process = fields.process.ok_or(Malformed::Control)?;
    let number = fields.number.ok_or(Malformed::Control);
    let note = match *kind {
        kind::ANNOUNCEMENT => Note::Announcement {
            interval: fields.interval.map(|it| Duration::from_millis(it.into())),
            asks: fields.asks,
            ends: fields.ends,
        },
        kind::QUESTION => {
            let (asks, room) = match (fields.what, &fields.rooms[..]) {
                (Some(what::SIZE), [room]) => (Asks::Size, *room),
                (Some(what::IDS), [room]) => (Asks::Ids, *room),
                (Some(what::CLIENTS), _) => (Asks::Clients, &[][..]),
                _ => return Err(Malformed::Control),
            };
            let number = number?;
            Note::Question { number, asks, room }
        }
        kind::ANSWER => Note::Answer {
            number: number?,
            place: fields.place.ok_or(Malformed::Control)?,
            size: fields.size.ok_or(Malformed::Control)?,
            clients: fields.clients,
        },
        kind::ORDER if bytes.len() > MAX_ORDER => return Err(Malformed::Control),
        kind::ORDER | kind::DONE if fields.clients.len() > MAX_CLIENTS => {
            return Err(Malformed::Control);
        }
        kind::ORDER => Note::Order {
            number: number?,
            act: act_of(&fields)?,
            clients: fields.clients,
        },
        kind::DONE => {
            let kept = |text: Option<&str>| text.map(|it| cut(it).to_owned());
            let outcome = Outcome {
                why: kept(fields.why),
                failure: kept(fields.failure),
                refused: fields.clients,
            };
            let number = number?;
            Note::Done { number, outcome }
        }
        _ => return Err(Malformed::Foreign),
    };
    Ok(Control { process, note })
}

fn read_fields(mut rest: &[u8]) -> Result<Fields<'_>, Malformed> {
    let mut fields = Fields::default();
    while let Some((tag, value)) = take(&mut rest)? {
        match tag {
            tag::PROCESS => fields.process = Some(Process(exactly(value)?)),
            tag::NUMBER => fields.number = Some(u64::from_le_bytes(exactly(value)?)),
            tag::INTERVAL => fields.interval = Some(u32::from_le_bytes(exactly(value)?)),
            tag::ASKS => fields.asks = true,
            tag::ENDS => fields.ends = true,
            tag::WHAT => fields.what = Some(u8::from_le_bytes(exactly(value)?)),
            tag::ROOM if !is_room(value) => return Err(Malformed::Field),
            tag::ROOM => fields.rooms.push(value),
            tag::CLIENTS => fields.clients.extend(read_ids(value)?),
            tag::PLACE => fields.place = Some(u32::from_le_bytes(exactly(value)?)),
            tag::SIZE => fields.size = Some(u64::from_le_bytes(exactly(value)?)),
            tag::CODE => fields.code = Some(u16::from_le_bytes(exactly(value)?)),
            tag::REASON => fields.reason = Some(text(value)?),
            tag::WHY => fields.why = Some(text(value)?),
            tag::FAILURE => fields.failure = Some(text(value)?),
            _ => {}
        }
    }
    Ok(fields)
}

fn act_of(fields: &Fields<'_>) -> Result<Act, Malformed> {
    let rooms = || fields.rooms.iter().map(|it| Arc::from(*it)).collect();
    Ok(match fields.what {
        Some(what::JOIN) => Act::Join(rooms()),
        Some(what::LEAVE) => Act::Leave(rooms()),
        Some(what::DISCONNECT) => {
            let code = fields.code.filter(|it| may_close_with(*it));
            let reason = fields.reason.unwrap_or_default();
            if reason.len() > MAX_REASON {
                return Err(Malformed::Control);
            }
            Act::Disconnect {
                code: code.ok_or(Malformed::Control)?,
                reason: reason.to_owned(),
            }
        }
        _ => return Err(Malformed::Control),
    })
}

/// Whether bytes are the name of a room as commands have it: text, or marked UTF-16.
fn is_room(name: &[u8]) -> bool {
    match name.split_first() {
        None => false,
        Some(_) if name.len() > MAX_ROOM_NAME => false,
        Some((first, units)) if u32::from(*first) == ILL_FORMED => {
            !units.is_empty() && units.len().is_multiple_of(2)
        }
        Some(_) => str::from_utf8(name).is_ok(),
    }
}

/// Whether a server may close with a code: those of RFC 6455 and its registry that a server may send, and the free ones.
fn may_close_with(code: u16) -> bool {
    matches!(code, 1000 | 1008 | 1011..=1014 | 3000..=4999)
}

/// The beginning of a text that is not too long.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROCESS: Process = Process([1, 2, 3, 4, 5, 6]);

    fn client(byte: u8) -> ClientId {
        ClientId::from_bytes([byte; 16])
    }

    fn notes() -> Vec<Note<'static>> {
        let rooms = || vec![Arc::from(&b"lobby"[..]), Arc::from(&b"\xff\x00\xd8"[..])];
        let clients = vec![client(1), client(2)];
        let mut notes = vec![
            Note::Answer {
                number: 3,
                place: 1,
                size: 70_000,
                clients: clients.clone(),
            },
            Note::Done {
                number: 4,
                outcome: Outcome {
                    refused: clients.clone(),
                    why: Some("full".into()),
                    failure: Some("away".into()),
                },
            },
        ];
        for (asks, ends) in [(true, false), (false, true)] {
            for interval in [None, Some(Duration::from_millis(1_500))] {
                notes.push(Note::Announcement {
                    interval,
                    asks,
                    ends,
                });
            }
        }
        for (asks, room) in [
            (Asks::Size, &b"lobby"[..]),
            (Asks::Ids, b"\xff\x00\xd8"),
            (Asks::Clients, b""),
        ] {
            notes.push(Note::Question {
                number: u64::MAX,
                asks,
                room,
            });
        }
        for act in [
            Act::Join(rooms()),
            Act::Leave(rooms()),
            Act::Disconnect {
                code: 4000,
                reason: "bye".into(),
            },
        ] {
            let (number, clients) = (9, clients.clone());
            notes.push(Note::Order {
                number,
                act,
                clients,
            });
        }
        notes
    }

    fn written(note: Note<'_>) -> Vec<u8> {
        let process = PROCESS;
        write(&Control { process, note })
    }

    #[test]
    fn what_is_written_is_read_back_and_unknown_fields_are_skipped() {
        for note in notes() {
            let mut bytes = written(note.clone());
            bytes.extend_from_slice(b"\xc8\x01\x00\x00\x00?");
            assert!(is_control(&bytes));
            let process = PROCESS;
            assert_eq!(read(&bytes), Ok(Control { process, note }));
        }
    }

    #[test]
    fn an_order_that_no_caller_could_give_is_malformed() {
        let order = |act, clients| {
            written(Note::Order {
                number: 1,
                act,
                clients,
            })
        };
        let disconnect = |code, reason: &str| Act::Disconnect {
            code,
            reason: reason.into(),
        };
        let long = "x".repeat(MAX_REASON + 1);
        for act in [
            disconnect(1006, ""),
            disconnect(0, ""),
            disconnect(5000, ""),
            disconnect(1000, &long),
            Act::Join(vec![Arc::from(&b""[..])]),
            Act::Join(vec![Arc::from(&b"\x80"[..])]),
            Act::Join(vec![Arc::from(&b"\xff\x00"[..])]),
            Act::Leave(vec![Arc::from(&[b'x'; MAX_ROOM_NAME + 1][..])]),
        ] {
            assert!(read(&order(act.clone(), vec![])).is_err(), "{act:?}");
        }
        let crowd = vec![client(1); MAX_CLIENTS + 1];
        assert!(read(&order(Act::Join(vec![]), crowd.clone())).is_err());
        let mut outcome = Outcome::failed("why");
        outcome.refused = crowd;
        let done = Note::Done { number: 1, outcome };
        assert!(read(&written(done)).is_err(), "more than any order has");
        let rooms = vec![Arc::from(&[b'x'; MAX_ROOM_NAME][..]); MAX_ORDER / MAX_ROOM_NAME];
        assert!(read(&order(Act::Join(rooms), vec![])).is_err());
        for kind in kind::ANNOUNCEMENT..=kind::DONE {
            assert_eq!(read(&[MAGIC, VERSION, kind]), Err(Malformed::Control));
        }
    }

    #[test]
    fn texts_of_an_answer_are_cut_between_characters() {
        let outcome = Outcome::failed(&"é".repeat(MAX_TEXT));
        let bytes = written(Note::Done { number: 1, outcome });
        let Note::Done { outcome, .. } = read(&bytes).unwrap().note else {
            panic!("another kind");
        };
        assert_eq!(outcome.failure.unwrap(), "é".repeat(MAX_TEXT / 2));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            with: u8,
            rest in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut bytes = written(which.get(&notes()).clone());
            let at = at.index(bytes.len());
            let _ = read(&bytes[..at]);
            bytes[at] = with;
            let _ = read(&bytes);
            bytes.truncate(at);
            bytes.extend_from_slice(&rest);
            let _ = read(&bytes);
        }
    }
}
