//! Commands: the orders of the owner, and their binary form. The engine takes orders in no other way.
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
        codes::{
            answer, kind,
            limit::MAX_REASON,
            members, opcode,
            word::{self, NO_NUMBER_HIGH},
        },
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
    fn from_code(code: u32) -> Option<Self> {
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

    fn from_code(code: u32) -> Self {
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
    fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            answer::REPLY => Self::Reply,
            answer::ITEM => Self::Item,
            answer::END => Self::End,
            answer::DONE => Self::Done,
            _ => return None,
        })
    }

    /// The same with what the payload is, from the code in a command.
    fn with_kind(code: u32) -> Option<(Self, Kind)> {
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
    fn read(words: &mut Words<'a>) -> Option<Self> {
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
    fn read(words: &mut Words<'a>) -> Option<Self> {
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

/// Walks the commands of one buffer. It stops at the first command that it cannot decode. Then [`is_done`](Self::is_done) is
/// false.
#[derive(Debug)]
pub struct Commands<'a>(&'a [u8]);

impl<'a> Commands<'a> {
    /// The commands in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether every byte was understood.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    #[inline]
    fn next(&mut self) -> Option<Command<'a>> {
        let mut rest = Words(self.0);
        let mut words = Words(rest.command()?);
        let opcode = words.word()?;
        words.word()?;
        let command = decode(opcode, words)?;
        self.0 = rest.0;
        Some(command)
    }
}

fn decode(opcode: u32, mut words: Words<'_>) -> Option<Command<'_>> {
    Some(match opcode {
        opcode::ADMIT => Command::Admit(words.handle()?),
        opcode::REFUSE => {
            let handle = words.handle()?;
            let status = u16::try_from(words.word()?).ok()?;
            let reason = words.word()?;
            let retry = words.word()?;
            let length = words.word()? as usize;
            Command::Refuse {
                handle,
                status,
                reason,
                retry_after_ms: (retry != word::NO_RETRY).then_some(retry),
                issues: words.padded(length)?,
            }
        }
        opcode::RELEASE => Command::Release(words.handle()?),
        opcode::JOIN => Command::Join(words.handle()?, words.room_name()?),
        opcode::LEAVE => Command::Leave(words.handle()?, words.room_name()?),
        opcode::TO | opcode::ROOMS | opcode::BROADCAST => decode_send(opcode, words)?,
        opcode::TO_IDS => {
            let length = words.word()?;
            let route = words.word()?;
            let clients = ClientIds::read(&mut words)?;
            Command::ToIds {
                route,
                payload: words.payload(length)?,
                clients,
            }
        }
        opcode::CLOSE => {
            let handle = words.handle()?;
            let code = u16::try_from(words.word()?).ok()?;
            let length = words.word()? as usize;
            if length > MAX_REASON {
                return None;
            }
            Command::Close {
                handle,
                code,
                reason: words.padded(length)?,
            }
        }
        opcode::ANNOUNCE => Command::Announce(words.handle()?),
        opcode::ERROR => {
            let length = words.word()?;
            Command::Error {
                handle: words.handle()?,
                code: ErrorCode::from_code(words.word()?),
                route: words.word()?,
                number: Some(words.double()?)
                    .filter(|number| number >> 32 != u64::from(NO_NUMBER_HIGH)),
                detail: words.payload(length)?,
            }
        }
        opcode::PAUSE => Command::Pause(words.handle()?),
        opcode::RESUME => Command::Resume(words.handle()?),
        opcode::TERMINATE => Command::Terminate(words.handle()?),
        opcode::ANSWER => {
            let length = words.word()?;
            let (how, kind) = Answer::with_kind(words.word()?)?;
            let handle = words.handle()?;
            Command::Answer {
                how,
                handle,
                number: words.double()?,
                kind,
                payload: words.payload(length)?,
            }
        }
        opcode::SETTLE => Command::Settle(words.handle()?, words.word()?),
        opcode::EXCEPT_IDS => Command::ExceptIds(ClientIds::read(&mut words)?),
        opcode::ROUTE => {
            let number = words.word()?;
            let kind = match words.word()? {
                kind::JSON => Kind::Json,
                kind::BYTES => Kind::Bytes,
                _ => return None,
            };
            let length = words.word()? as usize;
            Command::Route(number, kind, words.padded(length)?)
        }
        opcode::FLUSH => Command::Flush(words.word()?),
        opcode::MARK => Command::Mark(words.word()?),
        opcode::MEMBERS => Command::Members {
            question: words.word()?,
            asks: Asks::from_code(words.word()?)?,
            room: words.room_name()?,
        },
        opcode::MORE_MEMBERS => Command::MoreMembers {
            question: words.word()?,
            shard: words.word()?,
        },
        _ => return None,
    })
}

/// A command that sends a message of a route.
fn decode_send(opcode: u32, mut words: Words<'_>) -> Option<Command<'_>> {
    let length = words.word()?;
    let route = words.word()?;
    let clients = Handles::read(&mut words)?;
    Some(match opcode {
        opcode::TO => Command::To {
            route,
            payload: words.payload(length)?,
            clients,
        },
        opcode::ROOMS => {
            let count = words.word()?;
            let rooms = RoomNames {
                words: words.0,
                count,
            };
            for _ in 0..count {
                words.room_name()?;
            }
            Command::Rooms {
                route,
                payload: words.payload(length)?,
                except: clients,
                rooms,
            }
        }
        _ => Command::Broadcast {
            route,
            payload: words.payload(length)?,
            except: clients,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{border::writer::CommandWriter, message::envelope::MAX_ID, rooms::MAX_ROOM_NAME};

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = CommandWriter::new();
        writer
            .admit(Handle(7))
            .refuse(Handle(8), 403, 1, Some(7), b"[no]")
            .join(Handle(7), b"lobby")
            .to(2, Some(b"{}"), &[Handle(1), Handle(2)])
            .rooms_except(1, None, &[b"a", b"", b"four"], &[Handle(3)])
            .broadcast(0, Some(b"12345"))
            .answer(Answer::Item, Handle(7), 7, Kind::Bytes, Some(b"\0"))
            .answer(
                Answer::Item,
                Handle(7),
                (1 << 53) - 1,
                Kind::Json,
                Some(b"[]"),
            )
            .settle(Handle(7), 3)
            .close(Handle(7), 1000, b"bye")
            .release(Handle(7));
        let mut commands = Commands::new(writer.bytes());
        assert_eq!(commands.next(), Some(Command::Admit(Handle(7))));
        let refuse = Command::Refuse {
            handle: Handle(8),
            status: 403,
            reason: 1,
            retry_after_ms: Some(7),
            issues: b"[no]",
        };
        assert_eq!(commands.next(), Some(refuse));
        assert_eq!(commands.next(), Some(Command::Join(Handle(7), b"lobby")));
        let Some(Command::To {
            route: 2,
            payload: Some(b"{}"),
            clients,
        }) = commands.next()
        else {
            panic!("not a To")
        };
        assert_eq!(clients.collect::<Vec<_>>(), [Handle(1), Handle(2)]);
        let Some(Command::Rooms {
            route: 1,
            payload: None,
            except,
            rooms,
        }) = commands.next()
        else {
            panic!("not a Rooms")
        };
        assert_eq!(except.collect::<Vec<_>>(), [Handle(3)]);
        assert_eq!(rooms.collect::<Vec<_>>(), [&b"a"[..], b"", b"four"]);
        let broadcast = Command::Broadcast {
            route: 0,
            payload: Some(b"12345"),
            except: Handles(&[]),
        };
        assert_eq!(commands.next(), Some(broadcast));
        let answer = Command::Answer {
            how: Answer::Item,
            handle: Handle(7),
            number: 7,
            kind: Kind::Bytes,
            payload: Some(b"\0"),
        };
        assert_eq!(commands.next(), Some(answer));
        let answer = Command::Answer {
            how: Answer::Item,
            handle: Handle(7),
            number: (1 << 53) - 1,
            kind: Kind::Json,
            payload: Some(b"[]"),
        };
        assert_eq!(commands.next(), Some(answer));
        assert_eq!(commands.next(), Some(Command::Settle(Handle(7), 3)));
        let close = Command::Close {
            handle: Handle(7),
            code: 1000,
            reason: b"bye",
        };
        assert_eq!(commands.next(), Some(close));
        assert_eq!(commands.next(), Some(Command::Release(Handle(7))));
        assert_eq!(commands.next(), None);
        assert!(commands.is_done());
    }

    #[test]
    fn nonsense_ends_the_buffer_without_a_panic() {
        for bytes in [
            &[0_u8; 3][..],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[1, 0, 0, 0, 255, 255, 255, 255],
            &[
                6, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255,
            ],
            &[99, 0, 0, 0, 2, 0, 0, 0],
        ] {
            let mut commands = Commands::new(bytes);
            assert_eq!(commands.next(), None);
            assert!(!commands.is_done());
        }
    }

    #[test]
    fn a_room_name_past_the_limit_is_nonsense() {
        let mut writer = CommandWriter::new();
        writer.join(Handle(0), &[b'x'; MAX_ROOM_NAME + 1]);
        assert_eq!(Commands::new(writer.bytes()).next(), None);
    }

    /// One command of any kind, as its owner says it.
    #[derive(Debug, Clone)]
    enum Said {
        Handle(u8, u32),
        Refuse(u32, u16, u32, Option<u32>, Vec<u8>),
        Room(u8, u32, Vec<u8>),
        To(u32, Option<Vec<u8>>, Vec<u32>),
        ToIds(u32, Option<Vec<u8>>, Vec<[u8; 16]>),
        ExceptIds(Vec<[u8; 16]>),
        Route(u32, bool, Vec<u8>),
        Flush(u32),
        Mark(u32),
        Rooms(u32, Option<Vec<u8>>, Vec<Vec<u8>>, Vec<u32>),
        Broadcast(u32, Option<Vec<u8>>, Vec<u32>),
        Close(u32, u16, Vec<u8>),
        Error(u32, u32, u32, Option<u64>, Option<Vec<u8>>),
        Answer(u32, u32, u64, bool, Option<Vec<u8>>),
        Settle(u32, u32),
        Members(u32, u32, Vec<u8>),
        MoreMembers(u32, u32),
    }

    fn said() -> impl Strategy<Value = Said> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let payload = || prop::option::of(prop::collection::vec(any::<u8>(), 0..50));
        let except = || prop::collection::vec(any::<u32>(), 0..5);
        prop_oneof![
            (0..6_u8, any::<u32>()).prop_map(|(kind, handle)| Said::Handle(kind, handle)),
            (
                any::<u32>(),
                any::<u16>(),
                any::<u32>(),
                prop::option::of(0..word::NO_RETRY),
                bytes()
            )
                .prop_map(|(handle, status, reason, retry, issues)| Said::Refuse(
                    handle, status, reason, retry, issues
                )),
            (0..2_u8, any::<u32>(), bytes())
                .prop_map(|(kind, handle, room)| Said::Room(kind, handle, room)),
            (
                any::<u32>(),
                payload(),
                prop::collection::vec(any::<u32>(), 0..5)
            )
                .prop_map(|(route, payload, clients)| Said::To(route, payload, clients)),
            (
                any::<u32>(),
                payload(),
                prop::collection::vec(any::<[u8; 16]>(), 0..5)
            )
                .prop_map(|(route, payload, clients)| Said::ToIds(route, payload, clients)),
            prop::collection::vec(any::<[u8; 16]>(), 0..5).prop_map(Said::ExceptIds),
            (any::<u32>(), any::<bool>(), bytes())
                .prop_map(|(number, is_bytes, name)| Said::Route(number, is_bytes, name)),
            any::<u32>().prop_map(Said::Flush),
            any::<u32>().prop_map(Said::Mark),
            (
                any::<u32>(),
                payload(),
                prop::collection::vec(bytes(), 0..5),
                except(),
            )
                .prop_map(|(route, payload, rooms, except)| {
                    Said::Rooms(route, payload, rooms, except)
                }),
            (any::<u32>(), payload(), except())
                .prop_map(|(route, payload, except)| Said::Broadcast(route, payload, except)),
            (any::<u32>(), any::<u16>(), bytes())
                .prop_map(|(handle, code, reason)| Said::Close(handle, code, reason)),
            (
                any::<u32>(),
                0..99_u32,
                any::<u32>(),
                prop::option::of(0..=MAX_ID),
                payload()
            )
                .prop_map(|(handle, code, route, number, detail)| {
                    Said::Error(handle, code, route, number, detail)
                }),
            (0..4_u32, any::<u32>(), 0..=MAX_ID, any::<bool>(), payload()).prop_map(
                |(how, handle, number, is_bytes, payload)| {
                    Said::Answer(how, handle, number, is_bytes, payload)
                }
            ),
            (any::<u32>(), any::<u32>()).prop_map(|(handle, number)| Said::Settle(handle, number)),
            (any::<u32>(), 0..2_u32, bytes())
                .prop_map(|(question, asks, room)| Said::Members(question, asks, room)),
            (any::<u32>(), any::<u32>())
                .prop_map(|(question, shard)| Said::MoreMembers(question, shard)),
        ]
    }

    fn kind(is_bytes: bool) -> Kind {
        if is_bytes { Kind::Bytes } else { Kind::Json }
    }

    fn handles(numbers: &[u32]) -> Vec<Handle> {
        numbers.iter().copied().map(Handle).collect()
    }

    fn numbers(handles: Handles<'_>) -> Vec<u32> {
        handles.map(|handle| handle.0).collect()
    }

    fn ids(ids: &[[u8; 16]]) -> Vec<ClientId> {
        ids.iter().copied().map(ClientId::from_bytes).collect()
    }

    fn write(said: &Said, writer: &mut CommandWriter) {
        match said {
            Said::Handle(0, handle) => writer.admit(Handle(*handle)),
            Said::Handle(1, handle) => writer.release(Handle(*handle)),
            Said::Handle(2, handle) => writer.pause(Handle(*handle)),
            Said::Handle(3, handle) => writer.resume(Handle(*handle)),
            Said::Handle(4, handle) => writer.terminate(Handle(*handle)),
            Said::Handle(_, handle) => writer.announce(Handle(*handle)),
            Said::Refuse(handle, status, reason, retry, issues) => {
                writer.refuse(Handle(*handle), *status, *reason, *retry, issues)
            }
            Said::Room(0, handle, room) => writer.join(Handle(*handle), room),
            Said::Room(_, handle, room) => writer.leave(Handle(*handle), room),
            Said::To(route, payload, clients) => {
                writer.to(*route, payload.as_deref(), &handles(clients))
            }
            Said::ToIds(route, payload, clients) => {
                writer.to_ids(*route, payload.as_deref(), &ids(clients))
            }
            Said::ExceptIds(clients) => writer.except_ids(&ids(clients)),
            Said::Route(number, is_bytes, name) => writer.route(*number, kind(*is_bytes), name),
            Said::Flush(number) => writer.flush(*number),
            Said::Mark(number) => writer.mark(*number),
            Said::Rooms(route, payload, rooms, except) => {
                let rooms: Vec<_> = rooms.iter().map(Vec::as_slice).collect();
                writer.rooms_except(*route, payload.as_deref(), &rooms, &handles(except))
            }
            Said::Broadcast(route, payload, except) => {
                writer.broadcast_except(*route, payload.as_deref(), &handles(except))
            }
            Said::Close(handle, code, reason) => writer.close(Handle(*handle), *code, reason),
            Said::Error(handle, code, route, number, detail) => {
                let code = ErrorCode::from_code(*code);
                writer.error(Handle(*handle), code, *route, *number, detail.as_deref())
            }
            Said::Answer(how, handle, number, is_bytes, payload) => {
                let how = Answer::from_code(*how).unwrap();
                let kind = kind(*is_bytes);
                writer.answer(how, Handle(*handle), *number, kind, payload.as_deref())
            }
            Said::Settle(handle, number) => writer.settle(Handle(*handle), *number),
            Said::Members(question, asks, room) => {
                writer.members(*question, Asks::from_code(*asks).unwrap(), room)
            }
            Said::MoreMembers(question, shard) => writer.more_members(*question, *shard),
        };
    }

    fn heard(command: Command<'_>) -> Said {
        let owned = |payload: Option<&[u8]>| payload.map(<[u8]>::to_vec);
        match command {
            Command::Admit(handle) => Said::Handle(0, handle.0),
            Command::Release(handle) => Said::Handle(1, handle.0),
            Command::Pause(handle) => Said::Handle(2, handle.0),
            Command::Resume(handle) => Said::Handle(3, handle.0),
            Command::Terminate(handle) => Said::Handle(4, handle.0),
            Command::Announce(handle) => Said::Handle(5, handle.0),
            Command::Refuse {
                handle,
                status,
                reason,
                retry_after_ms,
                issues,
            } => Said::Refuse(handle.0, status, reason, retry_after_ms, issues.to_vec()),
            Command::Join(handle, room) => Said::Room(0, handle.0, room.to_vec()),
            Command::Leave(handle, room) => Said::Room(1, handle.0, room.to_vec()),
            Command::To {
                route,
                payload,
                clients,
            } => Said::To(route, owned(payload), numbers(clients)),
            Command::ToIds {
                route,
                payload,
                clients,
            } => Said::ToIds(
                route,
                owned(payload),
                clients.map(ClientId::to_bytes).collect(),
            ),
            Command::ExceptIds(clients) => {
                Said::ExceptIds(clients.map(ClientId::to_bytes).collect())
            }
            Command::Route(number, kind, name) => {
                Said::Route(number, kind == Kind::Bytes, name.to_vec())
            }
            Command::Flush(number) => Said::Flush(number),
            Command::Mark(number) => Said::Mark(number),
            Command::Rooms {
                route,
                payload,
                except,
                rooms,
            } => {
                let rooms = rooms.map(<[u8]>::to_vec).collect();
                Said::Rooms(route, owned(payload), rooms, numbers(except))
            }
            Command::Broadcast {
                route,
                payload,
                except,
            } => Said::Broadcast(route, owned(payload), numbers(except)),
            Command::Close {
                handle,
                code,
                reason,
            } => Said::Close(handle.0, code, reason.to_vec()),
            Command::Error {
                handle,
                code,
                route,
                number,
                detail,
            } => Said::Error(handle.0, code.code(), route, number, owned(detail)),
            Command::Answer {
                how,
                handle,
                number,
                kind,
                payload,
            } => Said::Answer(
                how.code(),
                handle.0,
                number,
                kind == Kind::Bytes,
                owned(payload),
            ),
            Command::Settle(handle, number) => Said::Settle(handle.0, number),
            Command::Members {
                question,
                asks,
                room,
            } => Said::Members(question, asks.code(), room.to_vec()),
            Command::MoreMembers { question, shard } => Said::MoreMembers(question, shard),
        }
    }

    proptest! {
        #[test]
        fn any_commands_are_read_back_and_a_cut_buffer_gives_a_beginning_of_them(
            all in prop::collection::vec(said(), 0..10),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut writer = CommandWriter::new();
            for said in &all {
                write(said, &mut writer);
            }
            let text = |all: &[Said]| all.iter().map(|said| format!("{said:?}")).collect::<Vec<_>>();
            let mut commands = Commands::new(writer.bytes());
            let read: Vec<_> = (&mut commands).map(heard).collect();
            prop_assert!(commands.is_done());
            prop_assert_eq!(text(&read), text(&all));

            let cut = cut.index(writer.bytes().len() + 1);
            let mut commands = Commands::new(&writer.bytes()[..cut]);
            let read: Vec<_> = (&mut commands).map(heard).collect();
            prop_assert_eq!(text(&read), text(&all[..read.len()]));
            prop_assert!(commands.is_done() || read.len() < all.len());
        }
    }
}
