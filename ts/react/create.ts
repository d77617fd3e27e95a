// `createZocketReact`: the same names for one router.
import type { ReactNode } from "react";

import type { AnyRouter } from "../types/routes.js";
import { ZocketProvider } from "./provider.js";
import type { ConnectionHook, TransformerProp, ZocketHook, ZocketProviderProps } from "./types.js";
import { useCall } from "./use-call.js";
import { useConnection } from "./use-connection.js";
import { useEvent } from "./use-event.js";
import { useZocket } from "./use-zocket.js";

/** What `createZocketReact` returns: the provider and the hooks for one router. */
export interface ZocketReact<TRouter extends AnyRouter> {
  /** The provider. */
  readonly ZocketProvider: (
    props: ZocketProviderProps<TRouter> & TransformerProp<TRouter>,
  ) => ReactNode;
  /** Returns the client of the nearest provider. */
  readonly useZocket: () => ZocketHook<TRouter>;
  /** The hook of this name. */
  readonly useEvent: typeof useEvent;
  /** The hook of this name. */
  readonly useCall: typeof useCall;
  /** Returns the state of the connection. */
  readonly useConnection: () => ConnectionHook;
}

/**
 * Returns the provider and the hooks with the type of the router put in once. They are the same functions at each call.
 *
 * @example
 * ```tsx
 * export const { ZocketProvider, useZocket, useCall } = createZocketReact<AppRouter>();
 * ```
 */
export function createZocketReact<TRouter extends AnyRouter>(): ZocketReact<TRouter> {
  return { ZocketProvider, useZocket, useEvent, useCall, useConnection };
}
