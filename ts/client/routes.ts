// The objects behind `client.send`, `client.on` and their like. The client has types of the routes and no table of them, so every
// name is a route until it is called. Names that are read keep their functions, up to a bound: most come from code, which has only
// so many, but an application may have made them of data.

/** Names that JavaScript looks up by itself on any value: `await`, `JSON.stringify`, text. They are never routes. */
const NEVER_ROUTES = new Set(["then", "toJSON", "toString", "valueOf"]);

/** How many names of one group keep their functions; with one more, all of them get new ones. */
const MOST_NAMES = 1_024;

/**
 * An object on which `a.b.c(...args)` calls `call("a.b.c", ...args)`. Reading the same name twice gives the same
 * function. With `iterate`, a loop over `a.b.c` takes the iterator `iterate("a.b.c")`.
 */
export function routes(
  call: (route: string, ...args: unknown[]) => unknown,
  iterate?: (route: string) => unknown,
  route = "",
): object {
  const inner = new Map<string, object>();
  return new Proxy(() => {}, {
    get(target, key): unknown {
      if (iterate && key === Symbol.asyncIterator) return () => iterate(route);
      if (typeof key === "symbol" || NEVER_ROUTES.has(key)) return Reflect.get(target, key);
      let found = inner.get(key);
      if (!found) {
        found = routes(call, iterate, route === "" ? key : `${route}.${key}`);
        if (inner.size === MOST_NAMES) inner.clear();
        inner.set(key, found);
      }
      return found;
    },
    apply: (_target, _this, args: unknown[]) => call(route, ...args),
  });
}
