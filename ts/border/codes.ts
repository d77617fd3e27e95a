// The numbers that both sides of the border know. The engine has them in `src/border/codes.rs`; here they are read once, when
// the addon is loaded. Copies, as the addon may be of another realm; frozen, so that V8 takes them for constants.
import { codes } from "./native.js";

/** What a command does: its first word, together with {@link PAYLOAD_WORD}. */
export const OPCODE = Object.freeze({ ...codes.opcode });

/** What an event is. A code from 0 up is a message for incoming route `code >> 1`, without a payload if it is odd. */
export const EVENT = Object.freeze({ ...codes.event });

/** Why JavaScript refuses an upgrade: numbers of the engine's reasons. */
export const REFUSAL = Object.freeze({ ...codes.refusal });

/**
 * Where the words stand that are beside the values of events: `MORE` says whether there are more to take, for which the bell does not
 * ring. From `FIRST` on each event has `WORDS`, with `HANDLE`, `CODE`, and `BYTES` and `WEIGHT` of its value in their places.
 */
export const HEAD = Object.freeze({ ...codes.head });

const { DOUBLE, INTEGER, SHIFT, TEXT } = codes.piece;

/** What the highest bits of a piece's word say; without one it is JSON. */
export const PIECE = Object.freeze({
  TEXT: TEXT << SHIFT,
  INTEGER: INTEGER << SHIFT,
  DOUBLE: DOUBLE << SHIFT,
});

/** The first byte of a room name that is not well-formed text, the route of `$error`, and the length of a payload that is none. */
export const { ERROR_ROUTE, ILL_FORMED, NO_PAYLOAD } = codes.word;

/** What the number of a payload's words is counted in, in the first word of its command. */
export const PAYLOAD_WORD = 1 << codes.word.OPCODE_BITS;

/** How many events are taken at once, how long a payload may be and how long a room name, both in bytes. */
export const { BATCH_EVENTS, MAX_OUTGOING, MAX_ROOM_NAME } = codes.limit;
