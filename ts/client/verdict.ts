// Decides whether another attempt makes sense after an end. Browsers hide the HTTP status of a refused WebSocket, so our servers close
// with 4000 and the status.
import { GIVEN_UP, POLICY_VIOLATION } from "./close-codes.js";
import type { ClientCloseEvent } from "./types.js";

const UNAUTHORIZED = 401;
/** Statuses from 400 to 499 that say "later", not "never". */
const FOR_NOW: readonly number[] = [408, 429];

/** Whether to connect again after an end, or to do so only if other headers may come of it. */
export function verdict({ code, refused }: ClientCloseEvent): boolean | "with other headers" {
  if (code === POLICY_VIOLATION) return false;
  // The close frame may get lost behind the reason.
  const status = refused?.status ?? code - GIVEN_UP;
  if (status === UNAUTHORIZED) return "with other headers";
  return status < 400 || status > 499 || FOR_NOW.includes(status);
}
