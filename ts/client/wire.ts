// Payloads on their way to the wire and back: through the transformer, if there is one. Bytes never go through it.
import { bytesIn } from "../bytes.js";
import { deserialized, serialized } from "../contract/transform.js";
import type { Transformer } from "../types/transformer.js";

/** The text of an error, whose `cause` says more. */
export const UNREADABLE = "the transformer cannot deserialize the payload";

/** What becomes of payloads. */
export interface Wire {
  /** A payload as JSON carries it. Throws a `TypeError` that names the method and the route. */
  write(payload: unknown, method: "send" | "call", route: string): unknown;
  /** Goes on with a payload as it was meant, or with what the transformer threw. */
  read: Read;
}

/** See {@link Wire}. */
export type Read = (
  json: unknown,
  next: (payload: unknown) => void,
  failed: (cause: unknown) => void,
) => void;

export function wireOf(transformer: Transformer | undefined): Wire {
  if (!transformer) return { write: (payload) => payload, read: (json, next) => next(json) };
  return {
    write: (payload, method, route) =>
      bytesIn(payload) ? payload : serialized(transformer, payload, `client.${method}.${route}`),
    read(json, next, failed) {
      if (bytesIn(json)) return next(json);
      let payload: unknown;
      try {
        payload = deserialized(transformer, json);
      } catch (cause) {
        return failed(cause);
      }
      next(payload);
    },
  };
}
