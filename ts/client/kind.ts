// Names what a caller gave, for errors. Never the value itself, which may be a secret.

/** What a wrong value is, for errors. */
export function kindOf(value: unknown): string {
  if (typeof value !== "object") return typeof value;
  const name = Object.prototype.toString.call(value).slice(8, -1);
  return name === "Object" || name === "Null" ? name.toLowerCase() : name;
}
