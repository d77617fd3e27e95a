// Moves objects and errors of an addon into this realm. Jest loads modules in a separate realm, and addons in the outer one. There,
// an error of the addon would not be an instance of the module's `TypeError`. Only set-up functions use this file.

/** The beginnings of the addon's error texts. An error that user code throws in a getter passes through as it is. */
const OWN = /^(?:zocket\.create|createServer|server\.setTls): /;

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
