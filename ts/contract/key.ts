// The names that may stand in a tree of routes. Server and client share the rule.
import { quote } from "../faults/check.js";

/**
 * Checks one name of a message or of a group.
 *
 * @throws `TypeError` for a name that is empty, or has a dot, which joins names, or begins with `$`, as the library's own messages do.
 */
export function checkKey(place: string, key: string): void {
  if (key !== "" && !key.includes(".") && !key.startsWith("$")) return;
  const expected = "expected a key that is not empty, has no dot and does not start with $";
  throw new TypeError(`${place}: ${expected}, got ${quote(key)}`);
}
