// The errors for wrong values. They name the kind of what a caller gave, never the value itself, which may be a secret.

/** What a wrong value is, for errors. */
export function kindOf(value: unknown): string {
  if (typeof value !== "object") return typeof value;
  const name = Object.prototype.toString.call(value).slice(8, -1);
  return name === "Object" || name === "Null" ? name.toLowerCase() : name;
}

/** The `TypeError` for a value of the wrong kind. It names the place and the expected kind. `show` says what the value is. */
export function wrongKind(
  place: string,
  expected: string,
  given: unknown,
  show = kindOf,
): TypeError {
  return new TypeError(`${place}: expected ${expected}, got ${show(given)}`);
}
