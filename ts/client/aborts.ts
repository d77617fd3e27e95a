// What signals end. Many calls may share one signal, and it gets one listener for all of them: Node.js warns of a leak past ten, and
// compares each one that is added with all the others.
import type { CallOptions } from "../types/call.js";

type Signal = CallOptions["signal"];

/** What one signal ends. */
class Ends {
  readonly all = new Set<() => void>();
  readonly fire = () => {
    for (const end of this.all) end();
  };
}

const known = new WeakMap<object, Ends>();

/** Calls `end` when the signal fires, if there is one. */
export function watch(signal: Signal, end: () => void): void {
  if (!signal) return;
  const ends = known.get(signal) ?? new Ends();
  if (ends.all.size === 0) signal.addEventListener("abort", ends.fire);
  ends.all.add(end);
  known.set(signal, ends);
}

/** Does so no more. */
export function unwatch(signal: Signal, end: () => void): void {
  const ends = signal && known.get(signal);
  if (ends?.all.delete(end) && ends.all.size === 0) signal?.removeEventListener("abort", ends.fire);
}
