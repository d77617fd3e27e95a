// Reads the ids of clients that a caller gives.
import { unexpected } from "../faults/check.js";

/** A UUID of version 4, as all ids are. */
const CLIENT_ID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

/** Whether a text may be the id of a client, perhaps of another process. */
export function mayBeClientId(text: string): boolean {
  return CLIENT_ID.test(text);
}

/** The ids a caller gave, one or several; copied, so that what was checked is what is used. */
export function clientIds(ids: unknown, place: string): readonly string[] {
  if (typeof ids === "string") return [ids];
  if (!Array.isArray(ids)) throw unexpected(place, "a client id or an array of them", ids);
  return Array.from(ids as readonly unknown[], (id) => {
    if (typeof id !== "string") throw unexpected(place, "a client id", id);
    return id;
  });
}
