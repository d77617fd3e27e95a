// `useEvent`: subscribes a component to messages, or to anything else that the client tells.
import { useEffect, useInsertionEffect, useRef } from "react";

import { kindOf } from "../client/kind.js";
import type { Unsubscribe } from "../client/types.js";

/**
 * Calls the listener for each message while the component is mounted. `on` is a function of the client that takes a listener,
 * such as `client.on.chat.onMessage` or `client.onError`. It is always the listener of the latest render that is called. A new
 * one does not subscribe again.
 *
 * @throws `TypeError` if one of them is not a function.
 */
export function useEvent<TArguments extends readonly unknown[]>(
  on: (listener: (...args: TArguments) => void) => Unsubscribe,
  listener: (...args: NoInfer<TArguments>) => unknown,
): void {
  for (const given of [on, listener] as unknown[]) {
    if (typeof given !== "function") {
      throw new TypeError(`useEvent: expected two functions, got ${kindOf(given)} for one`);
    }
  }
  const latest = useRef(listener);
  useInsertionEffect(() => {
    latest.current = listener;
  });
  // What it returns goes to the client, which reports the failure of an asynchronous listener.
  useEffect(() => on((...args) => latest.current(...args)), [on]);
}
