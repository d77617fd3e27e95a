// What the client's option `routes` is for: checks payloads against the schemas of the routes.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { bytesIn } from "../bytes.js";
import type { Issue } from "../envelope.js";
import {
  isObject,
  isPlainObject,
  isSchema,
  isThenable,
  SCHEMA,
  unexpected,
} from "../faults/check.js";
import { issuesOf } from "../faults/schema.js";
import { isBytes } from "./bytes.js";
import type { Checks, MakeChecks, Outgoing, Refusal, Verdict, Ways } from "./checks.js";
import { Gate } from "./gate.js";
import { checkKey } from "./key.js";

/** Routes nest no deeper at the server. */
const MAX_DEPTH = 64;

/** A message definition, as far as the client looks at it. */
interface Definition {
  readonly _direction: string;
  readonly payload: StandardSchemaV1;
  readonly reply?: StandardSchemaV1;
  readonly stream?: StandardSchemaV1;
  readonly errors?: Readonly<Record<string, StandardSchemaV1>>;
}

/** The checks of one client, made of the schemas of its routes. */
export const makeChecks: MakeChecks = (place, routes, ways, limit) =>
  new Validation(place, routes, ways, limit);

class Validation<TMessage extends Outgoing> implements Checks<TMessage> {
  readonly #definitions = new Map<string, Definition>();
  readonly #gate: Gate<TMessage>;
  readonly #isTransformed: boolean;

  constructor(place: string, routes: unknown, ways: Ways<TMessage>, limit: number) {
    this.#isTransformed = ways.isTransformed;
    const isRouter = isObject(routes) && "_table" in routes && "routes" in routes;
    this.#walk(place, "", isRouter ? routes.routes : routes, 0);
    this.#gate = new Gate(ways, limit);
  }

  enter(message: TMessage, payload: unknown): void {
    const definition = this.#definitions.get(message.route);
    const isKnown = definition?._direction === "in";
    this.#gate.enter(message, isKnown ? verdictOnSent(definition.payload, payload) : undefined);
  }

  opened(first: () => void, then: () => void): void {
    this.#gate.opened(first, then);
  }

  forget(call: unknown): void {
    this.#gate.forget(call);
  }

  received(route: string, payload: unknown): Verdict {
    const definition = this.#definitions.get(route);
    return definition?._direction === "out" ? atOnce(definition.payload, payload) : undefined;
  }

  answer(route: string, kind: "reply" | "stream", value: unknown): Verdict {
    return atOnce(this.#definitions.get(route)?.[kind], value);
  }

  error(route: string, code: string, data: unknown): Verdict {
    const { errors = {} } = this.#definitions.get(route) ?? {};
    return Object.hasOwn(errors, code) ? atOnce(errors[code], data) : undefined;
  }

  #walk(place: string, name: string, routes: unknown, depth: number): void {
    if (!isPlainObject(routes) || isSchema(routes) || depth > MAX_DEPTH) {
      throw unexpected(place, "message definitions under their names", routes);
    }
    const { _direction, _transformed, payload } = routes as Readonly<Record<string, unknown>>;
    if (typeof _direction === "string") {
      if (!isSchema(payload)) throw unexpected(`${place}.payload`, SCHEMA, payload);
      const isTransformed = _transformed === true;
      if (isTransformed !== this.#isTransformed) {
        const kind = isTransformed
          ? "needs"
          : "was made without a transformer, and does not go with";
        throw new TypeError(`${place}: this message ${kind} options.transformer`);
      }
      this.#definitions.set(name, routes as Definition);
      return;
    }
    for (const [key, value] of Object.entries(routes)) {
      checkKey(place, key);
      this.#walk(`${place}.${key}`, name === "" ? key : `${name}.${key}`, value, depth + 1);
    }
  }
}

/** The server takes a binary message for a route of `zo.bytes()` alone, even if another schema accepts bytes as well. */
function verdictOnSent(schema: StandardSchemaV1, value: unknown): Verdict | Promise<Verdict> {
  if (bytesIn(value) === undefined || isBytes(schema)) return verdict(schema, value);
  return { issues: [{ message: "expected JSON, got bytes: a payload of bytes needs zo.bytes()" }] };
}

function verdict(schema: StandardSchemaV1, value: unknown): Verdict | Promise<Verdict> {
  try {
    const result = schema["~standard"].validate(value);
    return isThenable(result) ? Promise.resolve(result).then(judged, failed) : judged(result);
  } catch (cause) {
    return { cause };
  }
}

/** The verdict of a schema that does not take its time: what comes next may not overtake what is judged. */
function atOnce(schema: StandardSchemaV1 | undefined, value: unknown): Verdict {
  const found = schema && verdict(schema, value);
  if (!isThenable(found)) return found;
  return failed(new TypeError("the schema is asynchronous, which validateIncoming does not allow"));
}

function judged(result: unknown): Verdict {
  try {
    const issues = issuesOf(result);
    return issues && { issues: issues as readonly Issue[] };
  } catch (cause) {
    return { cause };
  }
}

const failed = (cause: unknown): Refusal => ({ cause });
