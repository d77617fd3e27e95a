// The message builder: `incoming`, `outgoing` and `use`.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { isFunction, isSchema, SCHEMA, unexpected } from "../faults/check.js";
import type { MessageBuilder } from "../types/builder.js";
import type { BytesOptions, BytesSchema } from "../types/bytes.js";
import type { Mark } from "../types/transformed.js";
import { refuseOtherNameOf, refuseUnknown } from "../unknown-options.js";
import { ANSWER, answerOf } from "./answer.js";
import { bytes } from "./bytes.js";
import { bringing } from "./checks.js";
import { readSending, refuseSending, SENDING } from "./outgoing.js";
import { makeChecks } from "./validation.js";

/** The names that other libraries use for the schema of a message, and for how it is sent. */
const ALIASES = {
  args: "payload",
  body: "payload",
  data: "payload",
  input: "payload",
  output: "payload",
  schema: "payload",
  error: "errors",
  failures: "errors",
  response: "reply",
  result: "reply",
  returns: "reply",
  items: "stream",
  yields: "stream",
  backpressure: "slowClient",
  policy: "slowClient",
  compression: "compress",
};

/** A middleware, as the builder keeps it. */
type AnyMiddleware = (message: never) => unknown;

/** What stands in each message of a builder with a transformer. */
const MARK: Mark<true> = { _transformed: true };

/**
 * Makes a message builder. Its incoming messages go through `middlewares`, an array that nobody changes. With `isTransformed`,
 * payloads go through a transformer.
 */
export function builder<TTransformed extends boolean>(
  middlewares: readonly AnyMiddleware[],
  isTransformed: TTransformed,
): MessageBuilder<{}, {}, TTransformed> {
  const mark = isTransformed ? MARK : {};
  const made = {
    incoming(definition: unknown) {
      const place = "zo.message.incoming";
      const fields = fieldsOf(place, definition);
      const payload = payloadOf(place, fields);
      const answer = answerOf(`${place}: `, fields);
      refuseSending(`${place}: `, fields);
      refuseUnknown(`${place}: `, fields, ["payload", ...ANSWER], ALIASES, SENDING);
      const made = {
        payload,
        _direction: "in",
        ...mark,
        ...answer,
        _middlewares: [...middlewares],
      };
      return bringing(made, makeChecks);
    },
    outgoing(definition: unknown) {
      const place = "zo.message.outgoing";
      const fields = fieldsOf(place, definition);
      const payload = payloadOf(place, fields);
      const sending = readSending(`${place}: `, fields);
      refuseUnknown(`${place}: `, fields, ["payload", ...SENDING], ALIASES);
      return bringing({ payload, _direction: "out", ...mark, ...sending }, makeChecks);
    },
    use(middleware: unknown) {
      if (!isFunction(middleware)) {
        throw unexpected("zo.message.use", "a middleware (a function)", middleware);
      }
      return builder([...middlewares, middleware], isTransformed);
    },
  };
  return made as never;
}

/** The functions that need no server. */
type Outside<TTransformed> = Pick<MessageBuilder<{}, {}, TTransformed>, "incoming" | "outgoing"> & {
  /** Makes the schema of a payload that is bytes, as `zo.bytes` does. */
  readonly bytes: (options?: BytesOptions) => BytesSchema;
};

function outside<TTransformed extends boolean>(isTransformed: TTransformed): Outside<TTransformed> {
  const { incoming, outgoing } = builder([], isTransformed);
  return { incoming, outgoing, bytes };
}

/**
 * Defines messages without a server, for a package that the server and its clients share. `zo.router` takes routes made of them.
 *
 * @example
 * ```ts
 * import { message } from "@zocket/core/contract";
 *
 * export const routes = {
 *   chat: {
 *     message: message.incoming({ payload: z.object({ text: z.string() }) }),
 *     onMessage: message.outgoing({ payload: z.object({ from: z.string(), text: z.string() }) }),
 *   },
 * };
 * ```
 */
export const message: Outside<false> & {
  /** Defines messages for a `zocket.create` with a `transformer`. */
  readonly withTransformer: () => Outside<true>;
} = { ...outside(false), withTransformer: () => outside(true) };

/** A definition as users write it: `{ payload: schema }`. */
function fieldsOf(place: string, definition: unknown): Readonly<Record<string, unknown>> {
  // As in libraries whose builders take the schema itself.
  if (isSchema(definition) && !("payload" in definition)) {
    throw new TypeError(`${place}: expected an object { payload: schema }, got the schema itself`);
  }
  if (typeof definition === "object" && definition !== null && !Array.isArray(definition)) {
    return definition as Readonly<Record<string, unknown>>;
  }
  throw unexpected(place, "an object { payload: schema }", definition);
}

function payloadOf(place: string, fields: Readonly<Record<string, unknown>>): StandardSchemaV1 {
  const { payload } = fields;
  if (isSchema(payload)) return payload;
  // An error that names the wrong option helps more than "got undefined".
  if (payload === undefined) refuseOtherNameOf("payload", `${place}: `, fields, ALIASES);
  throw unexpected(`${place}: payload`, SCHEMA, payload);
}
