// The border to an addon of another realm. Jest loads modules in a realm of its own, and addons in the one around it: what the
// addon makes and throws would be no `Object` and no `TypeError` there. Only set-up functions come through here.

/** How the texts of the addon's own errors begin. What user code throws in a getter passes through as it is. */
const OWN = /^(?:zocket\.create|createServer): /;

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
