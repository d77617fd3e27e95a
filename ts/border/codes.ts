// The numbers that both sides of the border use. The engine defines them in `src/border/codes.rs`, and this file reads them once,
// when the addon is loaded. It copies them, because the addon may be of another realm. It freezes them, so that V8 treats them as
// constants.
import { codes } from "./native.js";

/** The opcodes of commands. A command's first word holds one, together with {@link PAYLOAD_WORD}. */
export const OPCODE = Object.freeze({ ...codes.opcode });

/** The codes of events. A code from 0 up is a message; see {@link MESSAGE}. */
export const EVENT = Object.freeze({ ...codes.event });

/** The bits of the code of a message: how many there are, and what they say. The rest is the number of its route. */
export const MESSAGE = Object.freeze({ ...codes.message });

/** The bits of the number of an upgrade: how many the client's port has, and what those above say. */
export const UPGRADE = Object.freeze({ ...codes.upgrade });

/** The ways to answer a message with an `id`. `BYTES` is a bit: the payload is bytes. */
export const ANSWER = Object.freeze({ ...codes.answer });

/** What the payload of a route is. */
export const KIND = Object.freeze({ ...codes.kind });

/** What is to be done with clients that another thread or process owns. */
export const ORDER = Object.freeze({ ...codes.order });

/** What a question about the members of a room asks for. */
export const MEMBERS = Object.freeze({ ...codes.members });

/** The numbers of the codes with which JavaScript refuses a message. */
export const BAD = Object.freeze({ ...codes.bad });

/** The numbers of who ended a connection. */
export const ENDED = Object.freeze({ ...codes.ended });

/** The numbers of the reasons for which JavaScript refuses an upgrade. */
export const REFUSAL = Object.freeze({ ...codes.refusal });

/**
 * The places of the words beside the values of events. `MORE` says whether more events can be taken now, because the bell does not
 * ring for them. `BESIDE` is how long the payloads are that are bytes. The words of the events begin at `FIRST`. Each event has
 * `WORDS` words: `HANDLE`, `CODE`, `BYTES` and `WEIGHT` of its value or of the payload beside it, and `NUMBER` with `NUMBER_HIGH`,
 * by which a message is to be answered.
 */
export const HEAD = Object.freeze({ ...codes.head });

const { BYTES, DOUBLE, INTEGER, SHIFT, TEXT } = codes.piece;

/** The highest bits of a piece's word, which give its kind. Without any of them the piece is JSON. */
export const PIECE = Object.freeze({
  TEXT: TEXT << SHIFT,
  INTEGER: INTEGER << SHIFT,
  DOUBLE: DOUBLE << SHIFT,
  BYTES: BYTES << SHIFT,
});

/**
 * The first byte of a room name that is not well-formed text, the length of a payload that is none, the upper half of a number that is
 * none, and in a refusal the time after which to try again if that is not known.
 */
export const { ILL_FORMED, NO_NUMBER_HIGH, NO_PAYLOAD, NO_RETRY } = codes.word;

/** One word of payload, as the first word of its command counts it. */
export const PAYLOAD_WORD = 1 << codes.word.OPCODE_BITS;

/**
 * How many events are taken at once, and how many questions about members the I/O threads may have at once. The others are bytes: of the
 * issues and the route of a `$error` together, of a payload of JSON, of a payload of bytes, of the reason in a close frame, and of a room
 * name.
 */
export const {
  BATCH_EVENTS,
  MAX_ISSUES_AND_ROUTE,
  MAX_OUTGOING,
  MAX_OUTGOING_BYTES,
  MAX_QUESTIONS,
  MAX_REASON,
  MAX_ROOM_NAME,
} = codes.limit;
