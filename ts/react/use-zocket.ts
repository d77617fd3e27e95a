// `useZocket`: the client, with the types of the router.
import type { NoRouter } from "../client/types.js";
import type { AnyRouter } from "../types/routes.js";
import { useSession } from "./provider.js";
import type { ZocketHook } from "./types.js";

/**
 * Returns the client of the nearest provider, typed by the router.
 *
 * @example
 * ```tsx
 * const { client, useEvent } = useZocket<AppRouter>();
 * useEvent(client.on.chat.onMessage, (message) => add(message));
 * ```
 *
 * @throws `Error` if there is no provider around the component.
 */
export function useZocket<TRouter extends AnyRouter = NoRouter>(): ZocketHook<TRouter> {
  return useSession("useZocket").hook as unknown as ZocketHook<TRouter>;
}
