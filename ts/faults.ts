// What went wrong and no handler saw: the way to `onError`, which may itself throw, and the logger that stands in for it.
import { isObject, isThenable } from "./check.js";
import type { Scope } from "./scope.js";
import type { ErrorCode, ErrorInfo } from "./types.js";

/** The option of that name. */
export type OnError = (error: unknown, info: ErrorInfo) => unknown;

/** How long the default logger counts faults of clients before it tells of them, in ms. */
const INTERVAL = 1_000;

/** Something a client did wrong, as `onError` gets it. */
export class ClientFault extends Error {
  readonly #text: string;
  /** What a schema found. */
  declare readonly issues?: readonly unknown[];

  constructor(message: string, issues?: readonly unknown[]) {
    super(message);
    this.#text = message;
    if (issues) this.issues = issues;
  }

  /** What the log shows of a fault: of one of ours the text. Others are not looked at, as a `Proxy` may throw then. */
  static shown(fault: unknown): unknown {
    return isObject(fault) && #text in fault ? fault.#text : fault;
  }
}

/** Tells the owner of a server, and never throws. */
export class Faults {
  readonly #onError: OnError | undefined;
  readonly #scope: Scope;
  /** Faults of clients since the last line about them, by code. */
  readonly #counts = new Map<ErrorCode, number>();
  /** Runs from one line about clients to the first moment there may be another. */
  #timer: NodeJS.Timeout | undefined;

  constructor(onError: OnError | undefined, scope: Scope) {
    this.#onError = onError;
    this.#scope = scope;
  }

  /** A fault of the application or of ours: what was thrown, as it is. */
  report(error: unknown, code: ErrorCode, clientId?: string, route?: string): void {
    if (this.#onError) this.#tell(this.#onError, error, info(code, clientId, route));
    else log(`zocket: ${code}${about(clientId, route)}:`, error);
  }

  /** A fault of a client. `error` is only called if somebody wants to see it: there may be very many. */
  reportClient(error: () => unknown, code: ErrorCode, clientId?: string, route?: string): void {
    if (this.#onError) this.#tell(this.#onError, error(), info(code, clientId, route));
    else if (this.#timer) this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
    else {
      const first = error();
      log(`zocket: 1 ${code}${about(clientId, route)}:`, ClientFault.shown(first));
      this.#wait();
    }
  }

  /** Ends the timer; what was counted is logged now. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#logCounts();
  }

  #tell(onError: OnError, error: unknown, info: ErrorInfo): void {
    try {
      const result = onError(error, info);
      if (isThenable(result)) void this.#follow(result, error, info);
    } catch (thrown) {
      failed(thrown, error, info);
    }
  }

  async #follow(result: PromiseLike<unknown>, error: unknown, info: ErrorInfo): Promise<void> {
    try {
      await this.#scope.later(result);
    } catch (thrown) {
      failed(thrown, error, info);
    }
  }

  #wait(): void {
    const ended = () => {
      this.#timer = undefined;
      if (this.#logCounts()) this.#wait();
    };
    this.#timer = setTimeout(ended, INTERVAL).unref();
  }

  #logCounts(): boolean {
    if (this.#counts.size === 0) return false;
    const counts = [...this.#counts].map(([code, count]) => `${count} ${code}`);
    this.#counts.clear();
    log(`zocket: ${counts.join(", ")} (clients are at fault; onError would see each)`);
    return true;
  }
}

function info(code: ErrorCode, clientId?: string, route?: string): ErrorInfo {
  const info: { code: ErrorCode; clientId?: string; route?: string } = { code };
  if (clientId !== undefined) info.clientId = clientId;
  if (route !== undefined) info.route = route;
  return info;
}

function about(clientId?: string, route?: string): string {
  return (
    (route === undefined ? "" : `, route ${route}`) +
    (clientId === undefined ? "" : `, client ${clientId}`)
  );
}

function failed(thrown: unknown, error: unknown, { code, clientId, route }: ErrorInfo): void {
  log("zocket: onError failed:", thrown);
  log(`zocket: what it was told of: ${code}${about(clientId, route)}:`, error);
}

/** Writes to the console; of a value that throws when it is looked at, only that there was one. Never throws. */
function log(text: string, ...values: unknown[]): void {
  try {
    console.error(text, ...values);
  } catch {
    // Without values, it is the console that throws: there is nobody left to tell.
    if (values.length > 0) log(`${text} (what it is cannot be shown)`);
  }
}
