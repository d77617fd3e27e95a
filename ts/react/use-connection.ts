// `useConnection`: what the client is doing.
import { useSyncExternalStore } from "react";

import { useSession } from "./provider.js";
import type { ConnectionHook } from "./types.js";

/**
 * Returns the state of the connection. The component renders again when it changes.
 *
 * @throws `Error` if there is no provider around the component.
 */
export function useConnection(): ConnectionHook {
  const { subscribe, connection, connectionOnServer } = useSession("useConnection");
  return useSyncExternalStore(subscribe, connection, connectionOnServer);
}
