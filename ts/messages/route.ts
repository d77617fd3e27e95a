// An incoming route as every message of it needs it.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { isBytes } from "../contract/bytes.js";
import { deserialized } from "../contract/transform.js";
import type { ErrorSchemas } from "../types/message.js";
import type { IncomingRoute } from "../types/routes.js";
import type { Transformer } from "../types/transformer.js";
import { failOf, usesOf, type Fail } from "./run.js";

type Schema = Pick<StandardSchemaV1["~standard"], "validate">;

/** One incoming route. */
export interface Route {
  readonly name: string;
  readonly number: number;
  readonly schema: Schema;
  readonly reply: Schema | undefined;
  readonly stream: Schema | undefined;
  /** Whether replies and items are bytes. */
  readonly hasBytesReply: boolean;
  readonly hasBytesItems: boolean;
  /** Whether its messages are calls. */
  readonly isCall: boolean;
  readonly errors: ErrorSchemas | undefined;
  /** The codes of those, in the order in which the engine was told of them. */
  readonly codes: readonly string[];
  readonly middlewares: IncomingRoute["middlewares"];
  readonly handler: IncomingRoute["handler"];
  /** Whether the handler may copy its argument. */
  readonly copies: boolean;
  /** Whether a middleware or the handler may read the context. */
  readonly takesContext: boolean;
  readonly fail: Fail;
}

/** The routes by their numbers. */
export function routesOf(
  incoming: readonly IncomingRoute[],
  transformer: Transformer | undefined,
): readonly Route[] {
  return incoming.map((route, number) => {
    const { name, schema, reply, stream, errors, middlewares, handler } = route;
    const { copies, takesContext } = usesOf(handler);
    return {
      name,
      number,
      schema:
        transformer && !isBytes(schema) ? afterwards(schema, transformer) : schema["~standard"],
      reply: reply?.["~standard"],
      stream: stream?.["~standard"],
      hasBytesReply: isBytes(reply),
      hasBytesItems: isBytes(stream),
      isCall: reply !== undefined || stream !== undefined,
      errors,
      codes: codesOf(errors),
      middlewares,
      handler,
      copies,
      takesContext: takesContext || middlewares.length > 0,
      fail: failOf({ name, errors }),
    };
  });
}

/** A payload that the transformer cannot read, because of the client that sent it. */
export class Unreadable extends Error {
  /** Whether something that was thrown is one. */
  static is(error: unknown): error is Unreadable {
    try {
      return error instanceof Unreadable;
    } catch {
      // What was thrown may be a `Proxy` that throws at each look.
      return false;
    }
  }
}

/** The schema, which gets what the transformer makes of a payload. */
function afterwards(schema: StandardSchemaV1, transformer: Transformer): Schema {
  const standard = schema["~standard"];
  return {
    validate(json) {
      let payload: unknown;
      try {
        payload = deserialized(transformer, json);
      } catch (cause) {
        throw new Unreadable("", { cause });
      }
      return standard.validate(payload);
    },
  };
}

/** The codes of declared errors, in one order for both sides of the border. */
export function codesOf(errors: ErrorSchemas | undefined): readonly string[] {
  return Object.keys(errors ?? {});
}
