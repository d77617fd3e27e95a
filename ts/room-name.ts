// What a room's name may be.
import { quote, unexpected } from "./check.js";
import { MAX_ROOM_NAME } from "./native.js";

/** Returns the names a caller gave, one or several; `place` and `method` tell an error where. */
export function roomNames(rooms: unknown, place: string, method: string): readonly string[] {
  if (typeof rooms === "string") {
    checkLength(rooms, place, method);
    return [rooms];
  }
  if (!Array.isArray(rooms)) {
    throw unexpected(`${place}.${method}`, "a room name or an array of them", rooms);
  }
  for (const name of rooms as readonly unknown[]) {
    if (typeof name !== "string") throw unexpected(`${place}.${method}`, "a room name", name);
    checkLength(name, place, method);
  }
  return rooms as readonly string[];
}

function checkLength(name: string, place: string, method: string): void {
  const { length } = name;
  // No character takes more than three bytes per unit, so most names need no counting.
  if (length > 0 && length * 3 <= MAX_ROOM_NAME) return;
  if (length > 0 && length <= MAX_ROOM_NAME && byteLength(name) <= MAX_ROOM_NAME) return;
  throw new RangeError(
    `${place}.${method}: expected a room name of 1 to ${MAX_ROOM_NAME} bytes, got ${quote(name)}`,
  );
}

/** As it is written in commands: text that UTF-8 cannot hold goes as marked UTF-16. */
function byteLength(name: string): number {
  return name.isWellFormed() ? Buffer.byteLength(name) : 1 + 2 * name.length;
}
