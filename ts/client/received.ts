// Reads what a server says of a connection or a message, which may be anything.
import type { ErrorPayload, RefusedPayload } from "../envelope.js";
import { isObject } from "../faults/check.js";

/** What a server says of the connection that it admitted. */
export interface Welcome {
  readonly clientId: string | undefined;
  /** How many bytes a message may have. */
  readonly maxPayload: number;
}

export function welcomeIn(payload: unknown): Welcome {
  const { clientId, maxPayload } = fieldsOf(payload);
  return {
    clientId: typeof clientId === "string" ? clientId : undefined,
    maxPayload: typeof maxPayload === "number" ? maxPayload : Infinity,
  };
}

export function isRefusedPayload(payload: unknown): payload is RefusedPayload {
  return typeof fieldsOf(payload)["status"] === "number";
}

export function isErrorPayload(payload: unknown): payload is ErrorPayload {
  return typeof fieldsOf(payload)["code"] === "string";
}

function fieldsOf(payload: unknown): Record<string, unknown> {
  return isObject(payload) ? (payload as Record<string, unknown>) : {};
}
