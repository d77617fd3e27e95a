// The border to an addon of another realm. Jest loads modules in a realm of its own, and addons in the one around it: what the
// addon makes and throws would be no `Object` and no `TypeError` there. Only set-up functions come through here.

/** What `zocket.create` and what it leads to look like on the native side. */
export interface NativeZocket {
  create(config: unknown): Created;
}

interface Created {
  readonly message: Builder;
  readonly router: (routes: unknown, handlers: unknown) => Router;
}

interface Builder {
  readonly incoming: (definition: unknown) => { readonly _middlewares: readonly unknown[] };
  readonly outgoing: (definition: unknown) => object;
  readonly use: (middleware: unknown) => Builder;
}

interface Router {
  readonly _table: object;
}

/** How the texts of the addon's own errors begin. What user code throws in a getter passes through as it is. */
const OWN = /^(?:zocket\.create|zo\.message\.\w+|zo\.router|createServer): /;

/** Calls the addon; an error that it made becomes one of this realm. */
export function atHome<TResult>(call: () => TResult): TResult {
  try {
    return call();
  } catch (error) {
    throw errorAtHome(error);
  }
}

function errorAtHome(error: unknown): unknown {
  const { name, message, stack, code } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof message !== "string" || !OWN.test(message) || error instanceof Error) return error;
  const own: NodeJS.ErrnoException = new (name === "TypeError" ? TypeError : Error)(message);
  if (stack !== undefined) Object.defineProperty(own, "stack", { value: stack });
  if (code !== undefined) own.code = code;
  return own;
}

/** The same functions, which make objects of this realm. */
export function zocketAtHome(native: NativeZocket): { create(config: unknown): object } {
  return {
    create(config) {
      const created = atHome(() => native.create(config));
      return { ...created, message: builderAtHome(created.message), router: routerAtHome(created) };
    },
  };
}

function builderAtHome({ incoming, outgoing, use }: Builder): object {
  return {
    incoming(definition: unknown) {
      const made = atHome(() => incoming(definition));
      return { ...made, _middlewares: [...made._middlewares] };
    },
    outgoing: (definition: unknown) => ({ ...atHome(() => outgoing(definition)) }),
    use: (middleware: unknown) => builderAtHome(atHome(() => use(middleware))),
  };
}

function routerAtHome({ router }: Created) {
  return (routes: unknown, handlers: unknown): object => {
    const made = atHome(() => router(routes, handlers));
    return Object.defineProperty({ ...made }, "_table", { value: made._table });
  };
}
