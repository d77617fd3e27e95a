// The options of one call, or of one wait for a message.
import { isObject } from "../faults/check.js";
import type { CallOptions } from "../types/call.js";
import { refuseUnknown } from "../unknown-options.js";
import { MAX_TIMER } from "./delay.js";
import { wrongKind } from "./kind.js";

/** How long somebody waits, in ms, where 0 is for ever; and what ends it early. */
export interface Patience {
  readonly timeout: number;
  readonly signal: CallOptions["signal"];
}

/** Checks the options of `client.call.x` or `client.once.x`, which is `name`. */
export function optionsOf(name: string, options: unknown, defaultTimeout: number): Patience {
  const place = `client.${name}: options`;
  if (options === undefined) return { timeout: defaultTimeout, signal: undefined };
  if (!isObject(options)) throw wrongKind(place, "an object", options);
  refuseUnknown(`${place}.`, options, ["timeout", "signal"], { abortsignal: "signal" });
  const { timeout = defaultTimeout, signal } = options as CallOptions;
  if (typeof timeout !== "number" || !(timeout >= 0 && timeout <= MAX_TIMER)) {
    const expected = `a number of milliseconds from 0 to ${MAX_TIMER}`;
    throw wrongKind(`${place}.timeout`, expected, timeout);
  }
  const isSignal = typeof signal === "object" && typeof signal?.addEventListener === "function";
  if (signal !== undefined && !isSignal) {
    throw wrongKind(`${place}.signal`, "an AbortSignal", signal);
  }
  return { timeout, signal };
}
