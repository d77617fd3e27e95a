// How an incoming message is answered: the `reply`, `stream` and `errors` of its definition.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { isPlainObject, isSchema, quote, SCHEMA, unexpected } from "../faults/check.js";
import type { ErrorSchemas } from "../types/message.js";
import { CALL_ERROR_CODES } from "../zocket-error.js";
import { isBytes } from "./bytes.js";

/** What users may have written where we expect something of ours. */
type Unchecked = Readonly<Record<string, unknown>>;

/** The names in a definition. */
export const ANSWER = ["reply", "stream", "errors"];

/** What a definition says about answers; a name that is missing is not said. */
export interface Answer {
  readonly reply?: StandardSchemaV1;
  readonly stream?: StandardSchemaV1;
  readonly errors?: ErrorSchemas;
}

/**
 * Reads how a message is answered. `place` is what stands before a name in errors.
 *
 * @throws `TypeError` naming what is no schema, or a code that is the library's own.
 */
export function answerOf(place: string, definition: Unchecked): Answer {
  const { reply, stream, errors } = definition;
  if (reply !== undefined && !isSchema(reply)) throw unexpected(`${place}reply`, SCHEMA, reply);
  if (stream !== undefined && !isSchema(stream)) throw unexpected(`${place}stream`, SCHEMA, stream);
  return {
    ...(reply && { reply }),
    ...(stream && { stream }),
    ...(errors !== undefined && { errors: errorsOf(`${place}errors`, errors) }),
  };
}

/** A copy, so that what users do to the definition later changes nothing. */
function errorsOf(place: string, errors: unknown): ErrorSchemas {
  if (!isPlainObject(errors) || isSchema(errors)) {
    throw unexpected(place, "a plain object of schemas under their codes", errors);
  }
  const entries = Object.keys(errors).map((code): [string, StandardSchemaV1] => {
    if (CALL_ERROR_CODES.includes(code)) {
      throw new TypeError(`${place}: expected a code of your own, got ${quote(code)}`);
    }
    const schema = (errors as Unchecked)[code];
    if (!isSchema(schema)) throw unexpected(`${place}.${code}`, SCHEMA, schema);
    if (isBytes(schema)) {
      throw new TypeError(`${place}.${code}: the data of an error is JSON, so it cannot be bytes`);
    }
    return [code, schema];
  });
  return Object.fromEntries(entries);
}
