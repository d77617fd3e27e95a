// Chooses how the payloads of a route become JSON or bytes: once for each route, so that a message pays for nothing that is off.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { copyOf } from "../border/copy.js";
import { serialise, type Payload } from "../border/payload.js";
import { serialized } from "../contract/transform.js";
import { isThenable } from "../faults/check.js";
import { issuesText } from "../faults/log-text.js";
import { issuesOf } from "../faults/schema.js";
import type { OutgoingRoute } from "../types/routes.js";
import type { Transformer } from "../types/transformer.js";

/** Makes JSON or bytes of a payload. Throws if that cannot be, or if it does not fit its schema. */
export type ToPayload = (payload: unknown) => Payload;

/** Makes JSON of any payload, by way of the transformer if there is one. `place` stands before the text of an error. */
export type Serialiser = (payload: unknown, place: string) => Payload;

export function serialiserOf(transformer: Transformer | undefined): Serialiser {
  if (transformer === undefined) return serialise;
  return (payload, place) => serialise(serialized(transformer, payload, place));
}

/** What chooses for each outgoing route. `place` is the name of its messages in errors. */
export function toPayloadOf(
  validates: boolean,
  transformer: Transformer | undefined,
): (place: string, route: OutgoingRoute) => ToPayload {
  const serialiser = serialiserOf(transformer);
  return (place, { schema, bytes }) => {
    const make = bytes ? copyOf : serialiser;
    if (!validates && make === serialise) return serialise;
    if (!validates) return (payload) => make(payload, place);
    return (payload) => {
      refuseUnfit(place, schema, payload);
      return make(payload, place);
    };
  };
}

/** @throws `TypeError` with the issues if the payload does not fit, and what the schema throws. */
function refuseUnfit(place: string, schema: StandardSchemaV1, payload: unknown): void {
  const result: unknown = schema["~standard"].validate(payload);
  if (isThenable(result)) {
    // Nobody waits for it, and a rejection that nobody handles would end the process.
    void Promise.resolve(result).then(undefined, () => {});
    throw new TypeError(`${place}: validateOutgoing takes no schema that returns a promise`);
  }
  const issues = issuesOf(result);
  if (issues === undefined) return;
  const text = `${place}: the payload does not fit its schema${issuesText({ issues })}`;
  throw Object.assign(new TypeError(text), { issues });
}
