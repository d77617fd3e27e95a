// The numbers that both sides of the border know. The engine has the same.

/** How many events are taken at once, at most. */
export const MAX_EVENTS = 1_000;

/**
 * Words beside the events that were taken: whether there are more to take, for which the bell does not ring, and then for each
 * event handle, code, the bytes of its value, and its weight: how much memory the value may take, once that was asked for.
 */
export const HEAD = { MORE: 0, FIRST: 1, WORDS: 4 } as const;

/** Codes of events; a code from 0 up is a message for incoming route `code >> 1`, without a payload if it is odd. */
export const EVENT = {
  UPGRADE: -1,
  CLOSED: -2,
  BAD: -3,
  FAULT: -4,
  STOPPED: -5,
  DIED: -6,
} as const;

/** Why JavaScript refuses an upgrade: numbers of the engine's reasons. */
export const REFUSAL = { HEADERS: 0, CONNECT: 1, ORIGIN: 2 } as const;

/** What a command does: its first word, together with {@link PAYLOAD_WORD}. */
export const OPCODE = {
  ADMIT: 1,
  REFUSE: 2,
  RELEASE: 3,
  JOIN: 4,
  LEAVE: 5,
  TO: 6,
  ROOMS: 7,
  BROADCAST: 8,
  PAUSE: 10,
  RESUME: 11,
  TERMINATE: 12,
} as const;

/** What the number of a payload's words is counted in, in the first word of its command. */
export const PAYLOAD_WORD = 0x100;

/** Length of a payload that says there is none. */
export const NO_PAYLOAD = 0xffff_ffff;

/** What the two highest bits of a piece's word say; without one it is JSON. */
export const PIECE = { TEXT: 1 << 30, INTEGER: 2 << 30, DOUBLE: 3 << 30 } as const;

/** First byte of a room name that is not well-formed text; UTF-8 never has it. */
export const ILL_FORMED = 0xff;

/** The route number of `$error`. */
export const ERROR_ROUTE = 0xffff_ffff;

/** Longest room name in bytes of UTF-8. */
export const MAX_ROOM_NAME = 4_096;

/** Longest payload in bytes: the engine counts frame lengths in 31 bits. */
export const MAX_PAYLOAD = 2 ** 30;
