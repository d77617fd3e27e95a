// Reads the ids of clients that a caller gives.
import { unexpected } from "../faults/check.js";

/** The ids a caller gave, one or several; copied, so that what was checked is what is used. */
export function clientIds(ids: unknown, place: string): readonly string[] {
  if (typeof ids === "string") return [ids];
  if (!Array.isArray(ids)) throw unexpected(place, "a client id or an array of them", ids);
  return Array.from(ids as readonly unknown[], (id) => {
    if (typeof id !== "string") throw unexpected(place, "a client id", id);
    return id;
  });
}
