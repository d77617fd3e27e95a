// The faults of clients, as opposed to the faults of the application.

/** A fault of a client, as `onError` gets it. */
export class ClientFault extends Error {
  /** The text for the log, because `onError` may change `message`. */
  readonly #text: string;
  /** The issues that a schema found. */
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

/** Errors that user code gets because of a client's message, for example for the name of a room. */
const provoked = new WeakSet<object>();

/** Marks an error that user code gets. A client has most likely caused it, and can cause it again and again. */
export function provokedBy<TError extends Error>(error: TError): TError {
  provoked.add(error);
  return error;
}

/** Whether an error was marked so. */
export function isProvoked(error: unknown): boolean {
  return provoked.has(error as object);
}
