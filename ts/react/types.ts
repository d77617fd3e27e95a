// What the provider and the hooks take and return.
import type { ReactNode } from "react";

import type { ClientOptions, ClientState, ZocketClient } from "../client/types.js";
import type { Call } from "../types/call.js";
import type { AnyRouter } from "../types/routes.js";
import type { PlainRouter } from "../types/transformed.js";
import type { Transformer } from "../types/transformer.js";
import type { useEvent } from "./use-event.js";

/** Props of `ZocketProvider`: the address of the server and the options of the client. */
export interface ZocketProviderProps<TRouter = AnyRouter> extends ClientOptions<TRouter> {
  /** The address of the server. A changed one makes a new client. In a page, it may be a path such as `/socket`. */
  readonly url: string | URL;
  /** The components that use the client. */
  readonly children?: ReactNode;
}

/** What the props must have besides: the transformer, if the router has one. */
export type TransformerProp<TRouter> = [TRouter] extends [PlainRouter]
  ? unknown
  : { readonly transformer: Transformer };

/** What `useZocket` returns. It is the same object as long as the client is the same. */
export interface ZocketHook<TRouter> {
  /** The client of the nearest provider. */
  readonly client: ZocketClient<TRouter>;
  /** The hook of this name. */
  readonly useEvent: typeof useEvent;
}

/** What `useConnection` returns. */
export interface ConnectionHook {
  /** What the client is doing. It is `connecting` until the page is mounted, and on a server. */
  readonly state: ClientState;
  /** When the next attempt comes, in ms since 1970. Missing unless the client is waiting, and while there is no network. */
  readonly retryAt: number | undefined;
  /** Connects at once. It does what `client.reconnect` does. */
  readonly reconnect: () => void;
}

/** Options of `useCall`. */
export interface CallHookOptions {
  /**
   * How many items of a stream to keep, from 1. The newest ones stay.
   * @default Infinity
   */
  readonly maxItems?: number | undefined;
}

/** What `useCall` returns for a call without a stream. */
export interface CallHook<TArguments extends readonly unknown[], TReply, TError> {
  /** The last reply. It stays while the next call is pending, and if that one fails. */
  readonly data: TReply | undefined;
  /** Why the latest call failed. A call that was aborted is no failure. */
  readonly error: TError | undefined;
  /** Whether a call is under way. */
  readonly pending: boolean;
  /**
   * Makes a call, and aborts the one before. It takes what `client.call` takes, and returns the same promise. It is always the
   * same function.
   */
  readonly run: (...args: TArguments) => Call<TReply, TError>;
  /** Aborts the call that is under way. It is always the same function. */
  readonly abort: () => void;
}

/** What `useCall` returns for a call with a stream. */
export interface StreamHook<
  TArguments extends readonly unknown[],
  TItem,
  TReply,
  TError,
> extends CallHook<TArguments, TReply, TError> {
  /** The items of the latest call that have come so far. */
  readonly items: readonly TItem[];
}
