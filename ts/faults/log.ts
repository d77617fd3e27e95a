// The default logger. Clients can provoke nearly every error about a client, even an error of a handler, as often as they like. So
// the log writes at most ten lines a second about them, and counts the rest.
import { performance } from "node:perf_hooks";

import { isProvoked } from "./client-fault.js";
import type { ErrorCode, ErrorInfo } from "./codes.js";
import { escaped, shown } from "./log-text.js";

/** In ms. */
const SECOND = 1_000;
/** The most faults of the application, and the most faults of clients, that the log shows in a second. Counts take up to two lines. */
const MOST_OF_APPLICATION = 5;
const MOST_OF_CLIENTS = 3;

/** How often something may happen within any second. */
class Budget {
  /** When it happened last, the oldest first. */
  readonly #times: number[] = [];

  constructor(readonly most: number) {}

  /** Whether it may happen now; then it counts. */
  take(): boolean {
    const now = performance.now();
    const times = this.#times;
    if (times.length === this.most) {
      if (now - (times[0] as number) < SECOND) return false;
      times.shift();
    }
    times.push(now);
    return true;
  }
}

/** The log of one server. Never throws. */
export class Log {
  readonly #ofApplication = new Budget(MOST_OF_APPLICATION);
  readonly #ofClients = new Budget(MOST_OF_CLIENTS);
  /** Counts of errors that were not shown since the last line with counts, by code. */
  readonly #counts = new Map<string, number>();
  /** Runs while there is something counted. */
  #timer: NodeJS.Timeout | undefined;

  /** A fault of the application. */
  fault(error: unknown, info: ErrorInfo): void {
    const { code, clientId, route } = info;
    if (clientId === undefined && route === undefined) write(`zocket: ${code}:`, error);
    else if (isProvoked(error)) this.clientFault(() => error, info);
    else if (this.#ofApplication.take()) write(`zocket: ${code}${of(info)}:`, text(error, info));
    else this.#count(code, 1);
  }

  /** A fault of a client. `error` is only called if it is shown. */
  clientFault(error: () => unknown, info: ErrorInfo): void {
    const { code, count = 1 } = info;
    if (!this.#ofClients.take()) this.#count(code, count);
    else write(`zocket: ${count} ${code}${of(info)}:`, text(error(), info));
  }

  /** Something that is told once. */
  notice(error: unknown, code: ErrorCode): void {
    write(`zocket: ${code}:`, shown(error));
  }

  /** `onError` threw when it was told something. */
  onErrorFailed(thrown: unknown, error: unknown, info: ErrorInfo): void {
    if (this.#ofApplication.take()) {
      const told = `it was called for ${info.code}${of(info)}: ${text(error, info)}`;
      write("zocket: onError failed:", `${shown(thrown)}; ${told}`);
    } else {
      this.#count("calls of onError that failed", 1);
    }
  }

  /** So many calls of `onError` are pending that the log takes its place. */
  onErrorBusy(calls: number): void {
    if (this.#ofApplication.take()) {
      write(
        `zocket: ${calls} calls of onError are pending. The log gets further errors until some settle.`,
      );
    } else {
      this.#count("times that too many calls of onError were pending", 1);
    }
  }

  /** Writes what was counted. */
  close(): void {
    clearTimeout(this.#timer);
    this.#writeCounts();
  }

  #count(what: string, count: number): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + count);
    this.#timer ??= setTimeout(() => this.#writeCounts(), SECOND).unref();
  }

  #writeCounts(): void {
    this.#timer = undefined;
    if (this.#counts.size === 0) return;
    const counts = [...this.#counts].map(([what, count]) => `${count} ${what}`);
    this.#counts.clear();
    write(`zocket: ${counts.join(", ")} (more than the log shows; onError would get them all)`);
  }
}

/** Names the client of an entry. A client cannot choose this text. */
function of({ clientId }: ErrorInfo): string {
  return clientId === undefined ? "" : `, client ${clientId}`;
}

/** The text of an error. A client may have chosen the route, so the route is here and not in the first argument. */
function text(error: unknown, { code, route }: ErrorInfo): string {
  const said = shown(error, code === "HEADERS");
  return route === undefined ? said : `route ${escaped(route)}: ${said}`;
}

/** Writes to the console. Nothing of a client may be in `start`, which the console takes as a format. */
function write(start: string, ...rest: unknown[]): void {
  try {
    console.error(start, ...rest);
  } catch {
    try {
      // The value threw when the console read it. If the console itself throws, nobody is left to tell.
      if (rest.length > 0) console.error(`${start} (the value cannot be shown)`);
    } catch {
      // The log may not throw.
    }
  }
}
