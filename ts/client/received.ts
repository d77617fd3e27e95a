// Takes apart what comes from a server, which may be anything.
import { type Envelope, type ErrorPayload, type RefusedPayload } from "../envelope.js";

/** What a server says of the connection that it admitted. */
export interface Welcome {
  readonly clientId: string | undefined;
  /** How many bytes a message may have. */
  readonly maxPayload: number;
}

/** The envelope in a message, or `undefined` if the message is not one. */
export function parse(data: unknown): Envelope | undefined {
  if (typeof data !== "string") return undefined;
  try {
    const envelope: unknown = JSON.parse(data);
    return isObject(envelope) && typeof envelope["type"] === "string"
      ? (envelope as unknown as Envelope)
      : undefined;
  } catch {
    return undefined;
  }
}

export function welcomeIn(payload: unknown): Welcome {
  const { clientId, maxPayload } = isObject(payload) ? payload : {};
  return {
    clientId: typeof clientId === "string" ? clientId : undefined,
    maxPayload: typeof maxPayload === "number" ? maxPayload : Infinity,
  };
}

export function isRefusedPayload(payload: unknown): payload is RefusedPayload {
  return isObject(payload) && typeof payload["status"] === "number";
}

export function isErrorPayload(payload: unknown): payload is ErrorPayload {
  return isObject(payload) && typeof payload["code"] === "string";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
