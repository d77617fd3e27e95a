//! Commands: what the owner has the shards do, and their binary form. Orders about clients of others go another way:
//! [`act`](super::act).
//!
//! Commands are little-endian `u32` words. Each starts with its opcode and its whole length in
//! words; text and payloads are padded with zeros to whole words.
//!
//! | opcode | words after the first two |
//! |---|---|
//! | 1 admit | handle |
//! | 2 refuse | handle, HTTP status, reason, milliseconds after which to try again or [`NO_RETRY`](super::codes::word::NO_RETRY), bytes of issues, issues |
//! | 3 release | handle |
//! | 4 join, 5 leave | handle, name bytes, name |
//! | 6 to | payload bytes, route, count, handles, payload |
//! | 7 rooms | payload bytes, route, count, handles that are left out, count, (name bytes, name) for each room, payload |
//! | 8 broadcast | payload bytes, route, count, handles that are left out, payload |
//! | 9 close | handle, close code, reason bytes, reason |
//! | 10 pause, 11 resume, 12 terminate | handle |
//! | 13 error | bytes of issues or data, handle, code, incoming route, number (lower half first), issues or data |
//! | 14 answer | payload bytes, how (with 4 added if the payload is bytes), handle, number (lower half first), payload |
//! | 15 settle | handle, number |
//! | 16 members | question, what it asks for, name bytes, name |
//! | 17 more members | question, shard |
//! | 18 announce | handle |
//! | 24 to ids | payload bytes, route, count, ids of 16 bytes, payload |
//! | 25 mark | number |
//! | 26 except ids | count, ids of 16 bytes |
//! | 27 route | number, kind, name bytes, name |
//! | 28 flush | number |
//!
//! A payload length of [`NO_PAYLOAD`](super::codes::word::NO_PAYLOAD) means that the envelope has none. An owner may hand over the payloads beside the
//! commands instead, as one text: see [`write_with_payloads`](super::payloads::write_with_payloads).

use crate::{
    border::{
        codes::{answer, members},
        handle::{ClientId, Handle},
        words::Words,
    },
    message::{error::BadCode, protocol::Kind},
};

/// One order from the owner, borrowed from the buffer it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// Send the 101 and start reading messages.
    Admit(Handle),
    /// Answer the upgrade with an HTTP status; releases the handle.
    Refuse {
        /// The connection that asked for the upgrade.
        handle: Handle,
        /// 400 to 599.
        status: u16,
        /// Index into [`Reason::ALL`](crate::handshake::refusal::Reason::ALL).
        reason: u32,
        /// After how many milliseconds to try again, if the owner knows.
        retry_after_ms: Option<u32>,
        /// The issues of its headers schema, a JSON array; or empty.
        issues: &'a [u8],
    },
    /// The owner has seen the end of this connection: its number may be used again.
    Release(Handle),
    /// Put a client into a room.
    Join(Handle, &'a [u8]),
    /// Take a client out of a room.
    Leave(Handle, &'a [u8]),
    /// Send to single clients.
    To {
        /// Number of the outgoing route.
        route: u32,
        /// JSON text or bytes, as the route has it.
        payload: Option<&'a [u8]>,
        /// The receivers. A client that is listed twice gets one copy.
        clients: Handles<'a>,
    },
    /// Send to single clients by their ids. With a bus they may be clients of other processes.
    ToIds {
        /// Number of the outgoing route.
        route: u32,
        /// JSON text.
        payload: Option<&'a [u8]>,
        /// The receivers. A client that is listed twice gets one copy.
        clients: ClientIds<'a>,
    },
    /// Send to everybody in any of some rooms, once.
    Rooms {
        /// Number of the outgoing route.
        route: u32,
        /// JSON text or bytes, as the route has it.
        payload: Option<&'a [u8]>,
        /// Clients that do not receive it.
        except: Handles<'a>,
        /// The rooms whose members receive it.
        rooms: RoomNames<'a>,
    },
    /// Send to every open client.
    Broadcast {
        /// Number of the outgoing route.
        route: u32,
        /// JSON text or bytes, as the route has it.
        payload: Option<&'a [u8]>,
        /// Clients that do not receive it.
        except: Handles<'a>,
    },
    /// Answer a message with `$error`.
    Error {
        /// Whose message it was.
        handle: Handle,
        /// Why.
        code: ErrorCode,
        /// Number of the incoming route.
        route: u32,
        /// The number of the message, if it has one.
        number: Option<u64>,
        /// What a schema found, or the data of a declared error: JSON text.
        detail: Option<&'a [u8]>,
    },
    /// Send what is queued, and start the closing handshake. Messages that come from then on are discarded.
    Close {
        /// The client.
        handle: Handle,
        /// The close code.
        code: u16,
        /// The reason: text of at most 123 bytes.
        reason: &'a [u8],
    },
    /// Stop reading from this client.
    Pause(Handle),
    /// Read from it again.
    Resume(Handle),
    /// Cut it off.
    Terminate(Handle),
    /// Answer a message.
    Answer {
        /// With what.
        how: Answer,
        /// Whose message.
        handle: Handle,
        /// Its number, as the event had it.
        number: u64,
        /// What the payload is.
        kind: Kind,
        /// JSON text or bytes.
        payload: Option<&'a [u8]>,
    },
    /// End a call that gets no answer.
    Settle(Handle, u32),
    /// Say that a client is open: [`Event::Opened`](super::event::Event::Opened) comes before its messages, and not at all if it
    /// is not open. To be asked for right after its admission.
    Announce(Handle),
    /// Leave these clients out of the next command, a send to rooms or to everybody. The owner has no handle for them.
    ExceptIds(ClientIds<'a>),
    /// Publish to this route, whose payloads are of this kind, under this number from now on. The shards do not know it.
    Route(u32, Kind, &'a [u8]),
    /// Tell when the bus has all that was published before.
    Flush(u32),
    /// Tell when the bus has confirmed all rooms that were joined before.
    Mark(u32),
    /// Tell who is in a room, by events with the number of the question.
    Members {
        /// The number. It must not be that of another question that is under way.
        question: u32,
        /// What it asks for.
        asks: Asks,
        /// The room.
        room: &'a [u8],
    },
    /// Tell more of an answer.
    MoreMembers {
        /// Which question it is about.
        question: u32,
        /// The shard that is to tell.
        shard: u32,
    },
}

/// What a question about the members of a room asks for; see the codes in [`members`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// How many there are.
    Size,
    /// Their ids, too.
    Ids,
    /// How many clients other processes have, in whatever rooms. Only the bus knows.
    Clients,
}

impl Asks {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            members::SIZE => Self::Size,
            members::IDS => Self::Ids,
            members::CLIENTS => Self::Clients,
            _ => return None,
        })
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Size => members::SIZE,
            Self::Ids => members::IDS,
            Self::Clients => members::CLIENTS,
        }
    }
}

/// Why a message is answered with `$error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// One of the library's codes.
    Bad(BadCode),
    /// One that its route declares: the place in [`Routes::declared`](crate::Routes::declared).
    Declared(u32),
}

impl ErrorCode {
    /// Declared ones stand behind the library's.
    const DECLARED: u32 = BadCode::COUNT;

    pub(super) fn from_code(code: u32) -> Self {
        BadCode::from_index(code).map_or_else(|| Self::Declared(code - Self::DECLARED), Self::Bad)
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Bad(code) => code as u32,
            Self::Declared(place) => place.saturating_add(Self::DECLARED),
        }
    }
}

/// With what a message is answered; see the codes in [`answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The reply to a call.
    Reply,
    /// An item of a call.
    Item,
    /// The end of a call with a stream.
    End,
    /// Its handler is done. It is no call, and its number is the client's `id`.
    Done,
}

impl Answer {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            answer::REPLY => Self::Reply,
            answer::ITEM => Self::Item,
            answer::END => Self::End,
            answer::DONE => Self::Done,
            _ => return None,
        })
    }

    /// The same with what the payload is, from the code in a command.
    pub(super) fn with_kind(code: u32) -> Option<(Self, Kind)> {
        let kind = match code & answer::BYTES {
            0 => Kind::Json,
            _ => Kind::Bytes,
        };
        Self::from_code(code & !answer::BYTES).map(|how| (how, kind))
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Reply => answer::REPLY,
            Self::Item => answer::ITEM,
            Self::End => answer::END,
            Self::Done => answer::DONE,
        }
    }
}

/// Handles in a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handles<'a>(&'a [u8]);

impl Handles<'_> {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Handles<'a> {
    /// Those that stand behind their count.
    pub(super) fn read(words: &mut Words<'a>) -> Option<Self> {
        let count = words.word()? as usize;
        words.take(count.checked_mul(4)?).map(Self)
    }
}

impl Iterator for Handles<'_> {
    type Item = Handle;

    fn next(&mut self) -> Option<Handle> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(Handle(u32::from_le_bytes(*word)))
    }
}

/// The ids of a [`Command::ToIds`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIds<'a>(&'a [u8]);

impl<'a> ClientIds<'a> {
    /// Those that stand behind their count.
    pub(super) fn read(words: &mut Words<'a>) -> Option<Self> {
        let count = words.word()? as usize;
        words.take(count.checked_mul(16)?).map(Self)
    }
}

impl Iterator for ClientIds<'_> {
    type Item = ClientId;

    fn next(&mut self) -> Option<ClientId> {
        let (id, rest) = self.0.split_first_chunk::<16>()?;
        self.0 = rest;
        Some(ClientId::from_bytes(*id))
    }
}

/// The room names of a [`Command::Rooms`]; checked when the command was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomNames<'a> {
    words: &'a [u8],
    count: u32,
}

impl<'a> RoomNames<'a> {
    /// Those that stand behind their count.
    pub(super) fn read(words: &mut Words<'a>) -> Option<Self> {
        let count = words.word()?;
        let names = Self {
            words: words.0,
            count,
        };
        for _ in 0..count {
            words.room_name()?;
        }
        Some(names)
    }

    /// The room, if it is a single one.
    #[must_use]
    pub fn only(&self) -> Option<&'a [u8]> {
        if self.count == 1 {
            self.clone().next()
        } else {
            None
        }
    }
}

impl<'a> Iterator for RoomNames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.count = self.count.checked_sub(1)?;
        let mut words = Words(self.words);
        let name = words.room_name()?;
        self.words = words.0;
        Some(name)
    }
}
