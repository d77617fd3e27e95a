// Says how long the client waits before the next attempt to connect.
import { GOING_AWAY } from "./close-codes.js";
import type { Settings } from "./settings.js";
import type { ClientCloseEvent } from "./types.js";

/** Longest time in ms that timers can wait for; they take a longer one for none. */
export const MAX_TIMER = 2 ** 31 - 1;
/** What grows where the first delay is none, in ms. */
const SMALLEST = 100;
/** Longest time in ms for which a server that drains can make the client wait. */
const MAX_HINT = 600_000;

/**
 * The delay in ms after so many failures in a row, from 1. It is jittered, so that the clients of a server that was restarted
 * do not all come back at the same moment.
 */
export function delayAfter(failures: number, { minDelay, maxDelay, growFactor }: Settings): number {
  // Without a delay the first time, it still has to grow.
  const first = minDelay < 1 && failures > 1 ? SMALLEST : minDelay;
  const grown = Math.min(first * growFactor ** (failures - 1), maxDelay);
  return Math.min(grown * (0.75 + Math.random() / 2), maxDelay, MAX_TIMER);
}

/** How many ms the server asks to wait for, so that its clients do not all come back at once; 0 if it does not. */
export function hinted({ code, reason, refused }: ClientCloseEvent): number {
  if (refused) return Math.max(Number(refused.retryAfterMs) || 0, 0);
  const hint = code === GOING_AWAY ? /^reconnect-after=(\d+)$/.exec(reason)?.[1] : undefined;
  return Math.min(Number(hint ?? 0), MAX_HINT);
}
