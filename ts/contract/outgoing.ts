// The fields that outgoing messages alone have: `slowClient` and `compress`.
import { unexpected } from "../faults/check.js";
import type { OutgoingRoute } from "../types/routes.js";

/** How the messages of an outgoing route are sent. A field that was left out is missing. */
export type Sending = Omit<OutgoingRoute, "name" | "schema">;

type SlowClient = NonNullable<OutgoingRoute["slowClient"]>;

const WORDS: readonly unknown[] = ["disconnect", "drop", "latest"] satisfies SlowClient[];

/** The fields by name. */
export const SENDING = ["slowClient", "compress"] as const;

/** Reads and checks the fields. `place` is the text before a name in errors. */
export function readSending(place: string, fields: Readonly<Record<string, unknown>>): Sending {
  const { slowClient, compress } = fields;
  if (slowClient !== undefined && !isSlowClient(slowClient)) {
    throw unexpected(`${place}slowClient`, '"disconnect", "drop" or "latest"', slowClient);
  }
  if (compress !== undefined && typeof compress !== "boolean") {
    throw unexpected(`${place}compress`, "true or false", compress);
  }
  return {
    ...(slowClient !== undefined && { slowClient }),
    ...(compress !== undefined && { compress }),
  };
}

/** Refuses the fields where they would do nothing: in an incoming message. */
export function refuseSending(place: string, fields: Readonly<Record<string, unknown>>): void {
  for (const name of SENDING) {
    if (fields[name] !== undefined) {
      throw new TypeError(`${place}${name}: only outgoing messages have a ${name}`);
    }
  }
}

function isSlowClient(value: unknown): value is SlowClient {
  return WORDS.includes(value);
}
