// `useCall`: makes calls for a component, and shows what came of them.
import { useEffect, useInsertionEffect, useState, useSyncExternalStore } from "react";

import { wrongKind } from "../client/kind.js";
import type { Call, StreamCall } from "../types/call.js";
import { refuseUnknown } from "../unknown-options.js";
import { Runs, type Calling } from "./runs.js";
import type { CallHook, CallHookOptions, StreamHook } from "./types.js";

/**
 * Returns a function that makes a call, and the state of the latest call. Unmounting the component aborts it. Of a call with a
 * stream, it also returns the items.
 *
 * @example
 * ```tsx
 * const { data, error, pending, run } = useCall(client.call.chat.history);
 * useEffect(() => void run({ room }), [run, room]);
 * ```
 *
 * @throws `TypeError` if `call` is not a function, or for a wrong option.
 */
export function useCall<TArguments extends readonly unknown[], TItem, TReply, TError>(
  call: (...args: TArguments) => StreamCall<TItem, TReply, TError>,
  options?: CallHookOptions,
): StreamHook<TArguments, TItem, TReply, TError>;
export function useCall<TArguments extends readonly unknown[], TReply, TError>(
  call: (...args: TArguments) => Call<TReply, TError>,
): CallHook<TArguments, TReply, TError>;
export function useCall(call: unknown, options?: CallHookOptions): unknown {
  if (typeof call !== "function") throw wrongKind("useCall", "a function of client.call", call);
  const calling = call as Calling;
  const maxItems = maxItemsIn(options);
  const [runs] = useState(() => new Runs(calling));
  useInsertionEffect(() => {
    runs.calling = calling;
    runs.maxItems = maxItems;
  });
  useEffect(runs.mount, [runs]);
  const { subscribe, outcome, run, abort } = runs;
  return { ...useSyncExternalStore(subscribe, outcome, outcome), run, abort };
}

function maxItemsIn(options: CallHookOptions = {}): number {
  refuseUnknown("useCall: options.", options, ["maxItems"]);
  const { maxItems = Infinity } = options;
  if (typeof maxItems === "number" && maxItems >= 1) return maxItems;
  throw wrongKind("useCall: options.maxItems", "a number from 1", maxItems);
}
