//! The numbers of the border: what commands, events and pieces of payloads are, and how much of each there may be.
//!
//! This list is the only place that defines them. A binding passes a macro to [`border_codes!`](crate::border_codes), which exports
//! all of them. So no other code repeats a number.

/// Hands all numbers of the border to the macro `$with`, in groups: `name: type { NAME = value, … }`.
#[macro_export]
macro_rules! border_codes {
    ($with:ident) => {
        $with! {
            /// The opcodes of commands; see [`command`](crate::border::command).
            opcode: u32 {
                /// Sends the 101.
                ADMIT = 1,
                /// Refuses an upgrade.
                REFUSE = 2,
                /// Frees the handle of a client that is gone.
                RELEASE = 3,
                /// Puts a client into a room.
                JOIN = 4,
                /// Takes a client out of a room.
                LEAVE = 5,
                /// Sends to single clients.
                TO = 6,
                /// Sends to rooms.
                ROOMS = 7,
                /// Sends to every client.
                BROADCAST = 8,
                /// Starts the closing handshake.
                CLOSE = 9,
                /// Stops reading a client.
                PAUSE = 10,
                /// Reads it again.
                RESUME = 11,
                /// Cuts it off.
                TERMINATE = 12,
                /// Answers a message with `$error`.
                ERROR = 13,
                /// Answers a message with an `id`.
                ANSWER = 14,
                /// Ends a call without an answer.
                SETTLE = 15,
                /// Asks who is in a room.
                MEMBERS = 16,
                /// Asks for more of an answer to that.
                MORE_MEMBERS = 17,
                /// Has the opening of a client told.
                ANNOUNCE = 18,
                /// Sends to single clients by their ids, wherever they are.
                TO_IDS = 24,
                /// Leaves clients out of the send that follows, by their ids.
                EXCEPT_IDS = 26,
                /// Gives an outgoing route a number. For the bus alone.
                ROUTE = 27,
                /// Asks whether the bus has all that was published before.
                FLUSH = 28,
                /// Asks whether the bus has confirmed all rooms that were joined before.
                MARK = 25,
            }
            /// How a message with an `id` is answered.
            answer: u32 {
                /// `$reply`, which ends a call.
                REPLY = 0,
                /// `$item`: one of many.
                ITEM = 1,
                /// `$end`, which ends a call with a stream.
                END = 2,
                /// `$reply` to a message that is no call. Its number is the client's `id`.
                DONE = 3,
                /// Added to one of those: the payload is bytes.
                BYTES = 4,
            }
            /// What a question about the members of a room asks for.
            members: u32 {
                /// How many there are.
                SIZE = 0,
                /// Their ids, too.
                IDS = 1,
                /// How many clients other processes have. The room does not matter.
                CLIENTS = 2,
                /// Stands for the bus where more of an answer is asked for.
                BUS = u32::MAX,
            }
            /// What is to be done with clients that somebody else owns.
            order: u32 {
                /// Put them into rooms.
                JOIN = 0,
                /// Take them out of rooms.
                LEAVE = 1,
                /// Close their connections.
                DISCONNECT = 2,
            }
            /// What the code of a message holds beside its route: bits.
            message: u32 {
                /// How many bits there are.
                BITS = 3,
                /// The message had no payload.
                BARE = 1,
                /// It is to be answered, by the number of its head.
                NUMBERED = 2,
                /// Its payload is bytes, which are beside the values.
                BYTES = 4,
            }
            /// What the number of an upgrade holds: bits.
            upgrade: u32 {
                /// How many bits the client's port has.
                PORT_BITS = 16,
                /// The client's way here is encrypted.
                SECURE = 1 << 16,
                /// A page of another site asks, that no rule has let in.
                OTHER_SITE = 1 << 17,
                /// Headers that may tell of the visitor were left out.
                WITHHELD = 1 << 18,
            }
            /// Special values in the words of a command; see [`payloads`](crate::border::payloads).
            word: u32 {
                /// Bits of the first word that hold the opcode. The others count the words of the payload.
                OPCODE_BITS = 8,
                /// The payload length of a message without a payload.
                NO_PAYLOAD = u32::MAX,
                /// In a refusal: it is not known when to try again.
                NO_RETRY = u32::MAX,
                /// The upper half of the number of a message that has none.
                NO_NUMBER_HIGH = u32::MAX,
                /// The first byte of a room name that is not well-formed text. UTF-8 never has it.
                ILL_FORMED = 0xff,
            }
            /// The kinds of pieces of a payload: the highest bits of a piece's word; see [`payloads`](crate::border::payloads).
            piece: u32 {
                /// Where those bits begin.
                SHIFT = 29,
                /// JSON.
                JSON = 0,
                /// Text that the engine escapes.
                TEXT = 1,
                /// A number in one word.
                INTEGER = 2,
                /// A number in two words.
                DOUBLE = 3,
                /// Bytes, as they are.
                BYTES = 4,
            }
            /// What the payload of a route is.
            kind: u32 {
                /// JSON.
                JSON = 0,
                /// Bytes.
                BYTES = 1,
            }
            /// The codes of events that are not messages; see [`event`](crate::border::event).
            event: i32 {
                /// An upgrade waits for an answer.
                UPGRADE = -1,
                /// A connection ended.
                CLOSED = -2,
                /// The engine refused a message.
                BAD = -3,
                /// Something else went wrong.
                FAULT = -4,
                /// A shard has stopped.
                STOPPED = -5,
                /// A shard's thread panicked.
                DIED = -6,
                /// A client aborted a call.
                ABORT = -7,
                /// A client took items of a call.
                MORE = -8,
                /// Members of a room.
                MEMBERS = -9,
                /// Somebody else wants something done with some of the owner's clients.
                ORDER = -11,
                /// An order of the owner has been carried out.
                ORDERED = -12,
                /// What other processes have answered to a question about members.
                ELSEWHERE = -13,
                /// Something about the bus.
                BUS = -16,
                /// A client is open, as its owner wanted to know.
                OPENED = -10,
            }
            /// Who ended a connection; see [`EndedBy`](crate::border::ending::EndedBy).
            ended: u32 {
                /// Its client, with a close frame.
                CLIENT = 0,
                /// The server.
                SERVER = 1,
                /// Nobody: it broke, or the client fell silent.
                NETWORK = 2,
                /// The server, because its client read too slowly.
                SLOW = 3,
                /// The server, because it stops.
                STOP = 4,
            }
            /// Where the words stand that are beside the values of a batch: first two about all of it, then those of each event.
            head: usize {
                /// Whether more events can be taken now. No bell rings for those.
                MORE = 0,
                /// Bytes of all payloads that are bytes, together.
                BESIDE = 1,
                /// Where the words of the first event begin.
                FIRST = 2,
                /// How many words each event has. Their places follow.
                WORDS = 6,
                /// The connection.
                HANDLE = 0,
                /// The code of the event.
                CODE = 1,
                /// Bytes of the value, or of the payload beside it.
                BYTES = 2,
                /// Bytes of memory that the value may take.
                WEIGHT = 3,
                /// The lower half of the number by which a message is to be answered.
                NUMBER = 4,
                /// The upper half.
                NUMBER_HIGH = 5,
            }
            /// Why the owner refuses an upgrade; see [`Reason`](crate::Reason).
            refusal: u32 {
                /// The headers schema.
                HEADERS = $crate::Reason::Headers as u32,
                /// `onConnect`.
                CONNECT = $crate::Reason::Connect as u32,
                /// The rule for origins.
                ORIGIN = $crate::Reason::Origin as u32,
            }
            /// Why the owner refuses a message; see [`BadCode`](crate::message::error::BadCode).
            bad: u32 {
                /// Its schema refused the payload, or threw.
                INVALID_PAYLOAD = $crate::message::error::BadCode::InvalidPayload as u32,
                /// A middleware threw.
                REJECTED = $crate::message::error::BadCode::Rejected as u32,
                /// The handler threw.
                HANDLER_ERROR = $crate::message::error::BadCode::HandlerError as u32,
                /// From here on: the errors that the route declares, by their places.
                DECLARED = $crate::message::error::BadCode::COUNT,
            }
            /// How much there may be.
            limit: usize {
                /// Most events of one batch, so that the owner's event loop breathes.
                BATCH_EVENTS = $crate::sync::bound(1000, 1),
                /// Most bytes of an outgoing payload: the length of a frame is counted in 31 bits.
                MAX_OUTGOING = 1 << 30,
                /// Most bytes of one that is bytes: what the word of its piece can say.
                MAX_OUTGOING_BYTES = (1 << 29) - 1,
                /// Most bytes of the issues and the route of an `$error`, together, both as JSON.
                MAX_ISSUES_AND_ROUTE = $crate::message::error::MAX_ISSUES_AND_ROUTE,
                /// Most bytes of the reason in a close frame.
                MAX_REASON = $crate::frame::MAX_REASON,
                /// Most bytes of a room name.
                MAX_ROOM_NAME = $crate::rooms::MAX_ROOM_NAME,
                /// Most questions about members that may be under way.
                MAX_QUESTIONS = 16,
            }
        }
    };
}

macro_rules! modules {
    ($($(#[$about:meta])* $group:ident: $type:ty { $($(#[$doc:meta])* $name:ident = $value:expr,)* })*) => {
        $(
            $(#[$about])*
            pub mod $group {
                $($(#[$doc])* pub const $name: $type = $value;)*
            }
        )*
    };
}

border_codes!(modules);

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and numbers of a group.
    macro_rules! groups {
        ($($(#[$about:meta])* $group:ident: $type:ty { $($(#[$doc:meta])* $name:ident = $value:expr,)* })*) => {
            [$((stringify!($group), vec![$(i64::try_from($group::$name).unwrap()),*])),*]
        };
    }

    #[test]
    fn no_two_opcodes_events_or_refusals_have_the_same_number() {
        for (group, mut numbers) in border_codes!(groups) {
            if ["opcode", "event", "order", "ended", "refusal", "bad"].contains(&group) {
                let count = numbers.len();
                numbers.sort_unstable();
                numbers.dedup();
                assert_eq!(numbers.len(), count, "{group}");
            }
        }
    }

    #[test]
    fn opcodes_and_pieces_fit_into_their_bits() {
        for (group, numbers) in border_codes!(groups) {
            if group == "opcode" {
                assert!(
                    numbers
                        .iter()
                        .all(|code| (1..1 << word::OPCODE_BITS).contains(code))
                );
            }
        }
        let kinds = 1 << (u32::BITS - piece::SHIFT);
        assert!(
            [
                piece::JSON,
                piece::TEXT,
                piece::INTEGER,
                piece::DOUBLE,
                piece::BYTES
            ]
            .iter()
            .all(|kind| *kind < kinds)
        );
        const { assert!(limit::MAX_OUTGOING_BYTES < 1 << piece::SHIFT) };
    }
}
