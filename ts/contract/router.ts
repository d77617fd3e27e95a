// `zo.router`: walks routes and handlers once, and leaves the flat table that the dispatcher and the engine number their routes by.
import { isFunction, isPlainObject, listed, quote, shorten, unexpected } from "../faults/check.js";
import type { IncomingRoute, OutgoingRoute } from "../types/routes.js";
import type { Transformer } from "../types/transformer.js";
import { partsOf } from "./guarded.js";
import { checkKey } from "./key.js";
import { readPlace } from "./route.js";

/** How deep routes nest at most. A tree that a person writes is never so deep. One that contains itself always is. */
const MAX_DEPTH = 64;
/** How many messages a router holds at most, and how many groups of them. */
const MAX_ROUTES = 65_536;
/** How long the wire name of a route is at most, in bytes of UTF-8. It travels with every message. */
const MAX_NAME = 1_024;

/** A router as it is before it has types. */
export interface UntypedRouter {
  readonly routes: unknown;
  readonly handlers: unknown;
  readonly _table: {
    readonly incoming: readonly IncomingRoute[];
    readonly outgoing: readonly OutgoingRoute[];
    readonly missing: readonly string[];
    /** The transformer of all payloads. */
    readonly transformer?: Transformer;
  };
}

/**
 * `zo.router`: makes the application router from nested routes and the handlers of the incoming ones. `strict` does the same, and
 * does not allow a handler to be missing.
 *
 * @throws `TypeError` naming the path of a wrong route or handler, or of a message that was made for another transformer or none.
 */
export function routerFor(transformer: Transformer | undefined) {
  const make = (routes: unknown, handlers: unknown) => routerOf(routes, handlers, transformer);
  return Object.assign(make, {
    strict(routes: unknown, handlers: unknown): UntypedRouter {
      const made = make(routes, handlers);
      const { missing } = made._table;
      if (missing.length === 0) return made;
      const expected = "expected a handler for each incoming route";
      throw new TypeError(
        `zo.router.strict: handlers: ${expected}, got none for ${listed(missing)}`,
      );
    },
  });
}

function routerOf(
  routes: unknown,
  handlers: unknown,
  transformer: Transformer | undefined,
): UntypedRouter {
  if (!isPlainObject(routes)) {
    throw unexpected("zo.router: routes", "a plain object of routes", routes);
  }
  const walk = new Walk(transformer !== undefined);
  walk.group("", 0, routes, handlerGroup("", handlers));
  const { incoming, outgoing, missing } = walk;
  // Hidden, so that spreading, `Object.keys` and `JSON.stringify` pass over it.
  const value: UntypedRouter["_table"] = {
    incoming,
    outgoing,
    missing,
    ...(transformer && { transformer }),
  };
  const table = { __proto__: null, value };
  return Object.defineProperty({ routes, handlers }, "_table", table) as never;
}

/** One pass over the routes with their handlers, and the table as far as it got. */
class Walk {
  readonly incoming: IncomingRoute[] = [];
  readonly outgoing: OutgoingRoute[] = [];
  /** The wire names of the incoming routes without a handler. */
  readonly missing: string[] = [];
  readonly #isTransformed: boolean;
  #messages = 0;
  #groups = 0;

  /** With `isTransformed` all messages must be made for a transformer, and without it none. */
  constructor(isTransformed: boolean) {
    this.#isTransformed = isTransformed;
  }

  /** Walks one group. `prefix` is its path, empty for the root; without `handlers` all of it is left out. */
  group(prefix: string, depth: number, routes: object, handlers: object | undefined): void {
    this.#countGroup(prefix, depth);
    const left = new Map(handlers && entriesOf(placeOf("handlers", prefix), handlers));
    for (const [key, value] of entriesOf(placeOf("routes", prefix), routes)) {
      const name = nameOf("routes", prefix, key);
      const handler = left.get(key);
      left.delete(key);
      const found = readPlace(placeOf("routes", name), value);
      if (found.kind === "group") {
        const group = handler === undefined ? undefined : handlerGroup(name, handler);
        this.group(name, depth + 1, found.routes, group);
        continue;
      }
      this.#countMessage();
      this.#checkTransformer(name, found.isTransformed);
      if (found.kind === "incoming") {
        const { schema, middlewares, answer } = found;
        if (handler === undefined) {
          this.missing.push(name);
          continue;
        }
        if (!isFunction(handler)) {
          throw unexpected(placeOf("handlers", name), "a handler (a function)", handler);
        }
        const inner = partsOf(handler as never);
        const all = [...middlewares, ...inner.middlewares];
        this.incoming.push({ name, schema, ...answer, middlewares: all, handler: inner.handler });
      } else {
        if (handler !== undefined) {
          const rule = "is an outgoing route; only incoming routes have handlers";
          throw new TypeError(`${placeOf("handlers", name)}: ${quote(name)} ${rule}`);
        }
        // Hidden, because the rows go to the engine as they are, and it has no use for a schema.
        const schema = { __proto__: null, value: found.schema };
        const row = Object.defineProperty({ name, ...found.sending }, "schema", schema);
        this.outgoing.push(row as OutgoingRoute);
      }
    }
    for (const [key, handler] of left) {
      if (handler === undefined) continue;
      const name = nameOf("handlers", prefix, key);
      throw new TypeError(
        `${placeOf("handlers", name)}: expected the name of an incoming route, got ${quote(name)}`,
      );
    }
  }

  /** Bounds the walk, so that a tree that contains itself ends, and so does a group that very many paths lead to. */
  #countGroup(prefix: string, depth: number): void {
    this.#groups += 1;
    if (depth > MAX_DEPTH) {
      const place = placeOf("routes", shorten(prefix));
      const expected = `expected at most ${MAX_DEPTH} levels of nesting, got more`;
      throw new TypeError(`${place}: ${expected}; do the routes contain themselves?`);
    }
    if (this.#groups > MAX_ROUTES) {
      throw new TypeError(`zo.router: routes: expected at most ${MAX_ROUTES} groups, got more`);
    }
  }

  /** Payloads of one router go through the same transformer, because the client knows no routes. */
  #checkTransformer(name: string, isTransformed: boolean): void {
    if (isTransformed === this.#isTransformed) return;
    const place = placeOf("routes", name);
    throw new TypeError(
      isTransformed
        ? `${place}: this message needs a transformer, and zocket.create was given none`
        : `${place}: this message was made without the transformer of zocket.create; make it with zo.message, or message.withTransformer()`,
    );
  }

  #countMessage(): void {
    this.#messages += 1;
    if (this.#messages > MAX_ROUTES) {
      throw new TypeError(`zo.router: routes: expected at most ${MAX_ROUTES} routes, got more`);
    }
  }
}

/** The own enumerable properties whose keys are strings; each is read once. */
function entriesOf(place: string, group: object): [key: string, value: unknown][] {
  return Object.keys(group).map((key) => {
    // No two keys may become the same UTF-8 text.
    if (/\p{Surrogate}/u.test(key)) {
      const shown = key.replace(/\p{Surrogate}/gu, "\ufffd");
      throw new TypeError(`${place}: expected a key without lone surrogates, got ${quote(shown)}`);
    }
    return [key, (group as Readonly<Record<string, unknown>>)[key]];
  });
}

/** Checks a key and joins it to the path of its group: the wire name, if a message stands there. */
function nameOf(argument: string, prefix: string, key: string): string {
  checkKey(placeOf(argument, prefix), key);
  const name = join(prefix, key);
  const length = new TextEncoder().encode(name).length;
  if (length > MAX_NAME) {
    const place = placeOf(argument, shorten(name));
    throw new TypeError(`${place}: expected a path of at most ${MAX_NAME} bytes, got ${length}`);
  }
  return name;
}

/** The handlers of a group, which have the shape of its routes. */
function handlerGroup(path: string, value: unknown): object {
  if (isPlainObject(value)) return value;
  throw unexpected(placeOf("handlers", path), "a plain object of handlers", value);
}

/** Where something stands in one of the two arguments, as errors name it. */
function placeOf(argument: string, path: string): string {
  return `zo.router: ${join(argument, path)}`;
}

/** Joins two parts of a path, either of which may be empty. */
function join(left: string, right: string): string {
  return left === "" || right === "" ? `${left}${right}` : `${left}.${right}`;
}
