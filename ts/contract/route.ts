// Reads one place in a tree of routes: a message, or a group of further routes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { isFunction, isPlainObject, isSchema, SCHEMA, unexpected } from "../faults/check.js";
import { answerOf, type Answer } from "./answer.js";
import { isBytes } from "./bytes.js";
import { readSending, refuseSending, type Sending } from "./outgoing.js";

/** A value of a user, before it is checked. */
type Unchecked = Readonly<Record<string, unknown>>;

/** A function that stands in a list of middlewares. */
type Middleware = (message: { ctx: object; payload: unknown }) => unknown;

/** The content of one place in a tree of routes. */
export type Place =
  | {
      readonly kind: "incoming";
      readonly schema: StandardSchemaV1;
      /** A copy, so that what users do to the definition later changes nothing. */
      readonly middlewares: readonly Middleware[];
      readonly answer: Answer;
      readonly isTransformed: boolean;
    }
  | {
      readonly kind: "outgoing";
      readonly schema: StandardSchemaV1;
      readonly sending: Sending;
      readonly isTransformed: boolean;
    }
  | { readonly kind: "group"; readonly routes: object };

/** Reads the value at `place`. Only a message has a string for `_direction`; a group may hold a route of that name. */
export function readPlace(place: string, value: unknown): Place {
  const isPlain = isPlainObject(value);
  if (isPlain && Object.hasOwn(value, "_direction")) {
    const direction = (value as Unchecked)["_direction"];
    if (typeof direction === "string") return readMessage(place, value as Unchecked, direction);
  }
  if (isSchema(value)) {
    const wrap = "wrap it: zo.message.incoming({ payload: schema })";
    throw new TypeError(`${place}: expected a message definition, got a schema; ${wrap}`);
  }
  if (isPlain) return { kind: "group", routes: value };
  throw unexpected(place, "a message definition or a plain object of nested routes", value);
}

/** Checks a message definition again: it is an object that users can change, copy and write themselves. */
function readMessage(place: string, definition: Unchecked, direction: string): Place {
  const { payload: schema } = definition;
  if (!isSchema(schema)) throw unexpected(`${place}.payload`, SCHEMA, schema);
  const isTransformed = definition["_transformed"] === true;
  if (direction === "out") {
    const sending = readSending(`${place}.`, definition);
    const bytes = isBytes(schema) && { bytes: true };
    return { kind: "outgoing", schema, isTransformed, sending: { ...sending, ...bytes } };
  }
  if (direction !== "in") throw unexpected(`${place}._direction`, '"in" or "out"', direction);
  refuseSending(`${place}.`, definition);
  const found = definition["_middlewares"];
  // From an iterator it would leave out nothing: `Array.from` reads the holes of an array too.
  const middlewares: unknown[] | undefined = Array.isArray(found) ? Array.from(found) : undefined;
  if (!middlewares?.every(isFunction)) {
    throw unexpected(`${place}._middlewares`, "an array of functions", found);
  }
  const answer = answerOf(`${place}.`, definition);
  return {
    kind: "incoming",
    schema,
    answer,
    isTransformed,
    middlewares: middlewares as unknown[] as Middleware[],
  };
}
