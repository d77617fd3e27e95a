// Waiting for what is to happen, and never for ever.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Longest wait for anything that is to happen, in ms. Reaching it is always a failure. */
export const PATIENCE = 45_000;

/** Waits until the condition holds. */
export async function until(what: string, holds: () => unknown): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await holds())) {
    if (performance.now() > end) assert.fail(`waited in vain for ${what}`);
    await sleep(2);
  }
}

/** What the promise resolves to, or a failure that says what never came. */
export async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  const never = sleep(PATIENCE, undefined, { signal: late.signal }).then(
    () => assert.fail(`waited in vain for ${what}`),
    () => undefined as never,
  );
  try {
    return await Promise.race([promise, never]);
  } finally {
    late.abort();
  }
}

/** Whether the promise has settled by now. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  await new Promise(setImmediate);
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

/** A promise and the functions that settle it. */
export function latch<T = void>(): {
  promise: Promise<T>;
  open: (value: T) => void;
  fail: (error: unknown) => void;
} {
  let open!: (value: T) => void;
  let fail!: (error: unknown) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}
