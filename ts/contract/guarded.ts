// `zo.use(middleware).handle(handler)`: middlewares that stand before one handler, instead of in its message. The router takes them apart
// again, so that they run as those of messages do.
import { isFunction, isObject, unexpected } from "../faults/check.js";
import type { HandlerBuilder } from "../types/guarded.js";
import type { IncomingRoute } from "../types/routes.js";

type Middleware = IncomingRoute["middlewares"][number];
type Handler = IncomingRoute["handler"];

/** A handler, and the middlewares before it. */
interface Guarded {
  readonly middlewares: readonly Middleware[];
  readonly handler: Handler;
}

/** What `handle` made, by the function that it returned. */
const guarded = new WeakMap<object, Guarded>();

/** `zo.use`. */
export const use = (middleware: unknown): HandlerBuilder => useOf("zo.use", [], middleware);

/** What `handle` returned, taken apart. Any other handler has no middlewares. */
export function partsOf(handler: Handler): Guarded {
  return guarded.get(handler) ?? { middlewares: [], handler };
}

function useOf(place: string, before: readonly Middleware[], middleware: unknown): HandlerBuilder {
  if (!isFunction(middleware)) throw unexpected(place, "a middleware (a function)", middleware);
  const middlewares = [...before, middleware as Middleware];
  const made = {
    use: (next: unknown) => useOf("zo.use(…).use", middlewares, next),
    handle(handler: unknown) {
      if (!isFunction(handler)) {
        throw unexpected("zo.use(…).handle", "a handler (a function)", handler);
      }
      const inner = partsOf(handler as Handler);
      const parts = { ...inner, middlewares: [...middlewares, ...inner.middlewares] };
      const whole: Handler = (message) => run(parts, message);
      guarded.set(whole, parts);
      return whole;
    },
  };
  return made as never;
}

/** Runs all of it for somebody who calls the handler by hand, such as a test. No middleware is left out. */
async function run({ middlewares, handler }: Guarded, message: Parameters<Handler>[0]) {
  const { payload } = message;
  const { clientId, send, rooms, disconnect } = message.ctx as Record<string, unknown>;
  let { ctx } = message;
  for (const middleware of middlewares) {
    const additions = await middleware({ ctx, payload });
    if (isObject(additions)) ctx = { ...ctx, ...additions, clientId, send, rooms, disconnect };
  }
  const { fail } = message as unknown as Argument;
  const argument: Argument = {
    payload,
    ctx,
    fail,
    // Read as late as the handler reads it: that makes the signal.
    get signal() {
      return (message as unknown as Argument).signal;
    },
  };
  return handler(argument);
}

/** What a handler gets. */
interface Argument {
  readonly payload: unknown;
  readonly ctx: object;
  readonly fail: unknown;
  readonly signal: unknown;
}
