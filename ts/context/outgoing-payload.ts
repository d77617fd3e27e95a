// Chooses how the payloads of an outgoing route become JSON: once for each route, so that a message pays for nothing that is off.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { serialise, type Payload } from "../border/payload.js";
import { isThenable } from "../faults/check.js";
import { issuesText } from "../faults/log-text.js";
import { issuesOf } from "../faults/schema.js";
import type { OutgoingRoute } from "../types/routes.js";

/** Makes JSON of a payload. Throws if JSON cannot hold it, or if it does not fit its schema. */
export type ToPayload = (payload: unknown) => Payload;

/** What chooses for each route. `place` is the name of its messages in errors. */
export function toPayloadOf(
  validates: boolean,
): (place: string, route: OutgoingRoute) => ToPayload {
  if (!validates) return () => serialise;
  return (place, { schema }) =>
    (payload) => {
      refuseUnfit(place, schema, payload);
      return serialise(payload);
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
