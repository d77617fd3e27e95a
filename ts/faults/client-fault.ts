// What a client did wrong, told apart from what the application did wrong.

/** Something a client did wrong, as `onError` gets it. */
export class ClientFault extends Error {
  /** What the log shows; `message` can be changed by whoever gets the error. */
  readonly #text: string;
  /** What a schema found. */
  declare readonly issues?: readonly unknown[];

  constructor(message: string, issues?: readonly unknown[]) {
    super(message);
    this.#text = message;
    if (issues) this.issues = issues;
  }

  /** The text of a fault of this class; `undefined` for anything else. Runs no code of the value, which may be a `Proxy`. */
  static text(fault: object): string | undefined {
    return #text in fault ? fault.#text : undefined;
  }
}

/** Errors that user code gets for what a client sent, such as the name of a room. */
const provoked = new WeakSet<object>();

/** Marks an error that user code gets: a client is most likely its cause, and can cause it without end. */
export function provokedBy<TError extends Error>(error: TError): TError {
  provoked.add(error);
  return error;
}

/** Whether an error was marked so. */
export function isProvoked(error: unknown): boolean {
  return provoked.has(error as object);
}
