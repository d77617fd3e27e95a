// Checks the names of rooms.
import { MAX_ROOM_NAME } from "../border/codes.js";
import { quote, unexpected } from "../faults/check.js";
import { provokedBy } from "../faults/client-fault.js";

/**
 * The name a caller gave; `place` and `method` tell an error where. A wrong name most likely came in a payload, so a client
 * can provoke the error.
 */
export function roomName(name: unknown, place: string, method: string): string {
  if (typeof name !== "string") {
    throw provokedBy(unexpected(`${place}.${method}`, "a room name", name));
  }
  if (fits(name)) return name;
  throw provokedBy(
    new TypeError(
      `${place}.${method}: expected a room name of 1 to ${MAX_ROOM_NAME} bytes, got ${quote(name)}`,
    ),
  );
}

/** V8 copies a shorter part of a text by itself. */
const SHORTEST_PART = 13;
/** Never holds anything for longer than a call. */
const table: Record<string, true> = Object.create(null) as Record<string, true>;

/**
 * Copies a name that is going to be kept. V8 keeps a whole text in memory as long as a part of it, such as a result of `slice`, is
 * in use. So a name could keep a whole payload. V8 copies a text that it uses as a key. Clients that join the same room
 * share the copy.
 */
export function separate(name: string): void {
  if (name.length < SHORTEST_PART) return;
  table[name] = true;
  // oxlint-disable-next-line typescript/no-dynamic-delete -- The table is there for its side effect.
  delete table[name];
}

/** The names a caller gave, one or several; copied, so that what was checked is what is sent. */
export function roomNames(rooms: unknown, place: string, method: string): readonly string[] {
  if (typeof rooms === "string") return [roomName(rooms, place, method)];
  if (!Array.isArray(rooms)) {
    throw provokedBy(unexpected(`${place}.${method}`, "a room name or an array of them", rooms));
  }
  return Array.from(rooms as readonly unknown[], (name) => roomName(name, place, method));
}

function fits(name: string): boolean {
  const { length } = name;
  if (length === 0 || length > MAX_ROOM_NAME) return false;
  // No character takes more than three bytes per unit, so most names need no counting.
  return length * 3 <= MAX_ROOM_NAME || byteLength(name) <= MAX_ROOM_NAME;
}

/** Bytes of a name as it is written in commands: text that UTF-8 cannot hold goes as marked UTF-16. */
export function byteLength(name: string): number {
  return name.isWellFormed() ? Buffer.byteLength(name) : 1 + 2 * name.length;
}
