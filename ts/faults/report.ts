// Reports errors that no handler saw: to `onError`, which may itself throw, or else to the log.
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import { isThenable } from "./check.js";
import { ClientFault } from "./client-fault.js";
import type { ErrorCode, ErrorInfo } from "./codes.js";
import { Log } from "./log.js";

export { ClientFault };

/** The most calls of `onError` that may be pending. Each holds its error, and clients can provoke any number of them. */
const MAX_PENDING = 10_000;

/** The option of that name. */
export type OnError = (error: unknown, info: ErrorInfo) => unknown;

/** Reports to the owner of a server, and never throws. */
export class Faults {
  readonly #given: OnError | undefined;
  readonly #scope: Scope;
  readonly #turn: Turn;
  readonly #log = new Log();
  #pending = 0;

  constructor(onError: OnError | undefined, scope: Scope, turn: Turn) {
    this.#given = onError;
    this.#scope = scope;
    this.#turn = turn;
  }

  /** What is told now. The log takes its place while too many of its calls are pending. */
  get #onError(): OnError | undefined {
    return this.#pending < MAX_PENDING ? this.#given : undefined;
  }

  /** A fault of the application or of ours: what was thrown, as it is. */
  report(error: unknown, code: ErrorCode, clientId?: string, route?: string): void {
    const info = infoOf(code, clientId, route);
    if (this.#onError) this.#tell(this.#onError, error, info);
    else this.#log.fault(error, info);
  }

  /**
   * A fault of a client, or as many at once as `count` says. `error` is only called if somebody wants to see it: there may be
   * very many.
   */
  reportClient(
    error: () => unknown,
    code: ErrorCode,
    clientId?: string,
    route?: string,
    count?: number,
  ): void {
    const info = infoOf(code, clientId, route, count);
    if (this.#onError) this.#tell(this.#onError, error(), info);
    else this.#log.clientFault(error, info);
  }

  /** Something about the bus. `connected` tells whether it is there, when that has changed. */
  reportBus(error: Error, connected?: boolean): void {
    const info = { code: "BUS" as const, ...(connected !== undefined && { connected }) };
    if (this.#onError) this.#tell(this.#onError, error, info);
    else this.#log.notice(error, "BUS");
  }

  /** Something about the configuration. Its caller tells it once, so the log shows it whatever else there is. */
  notice(error: ClientFault, code: ErrorCode, route?: string): void {
    if (this.#onError) this.#tell(this.#onError, error, infoOf(code, undefined, route));
    else this.#log.notice(error, code);
  }

  /** Ends the timer of the log; what it counted is written now. */
  close(): void {
    this.#log.close();
  }

  #tell(onError: OnError, error: unknown, info: ErrorInfo): void {
    try {
      const result = onError(error, info);
      if (!isThenable(result)) return;
      this.#turn.count();
      this.#pending += 1;
      if (this.#pending === MAX_PENDING) this.#log.onErrorBusy(MAX_PENDING);
      void this.#follow(result, error, info);
    } catch (thrown) {
      this.#log.onErrorFailed(thrown, error, info);
    }
  }

  async #follow(result: PromiseLike<unknown>, error: unknown, info: ErrorInfo): Promise<void> {
    try {
      await this.#scope.later(result);
    } catch (thrown) {
      this.#log.onErrorFailed(thrown, error, info);
    }
    this.#pending -= 1;
  }
}

/** The second argument of `onError`, without the fields that have no value. */
function infoOf(code: ErrorCode, clientId?: string, route?: string, count?: number): ErrorInfo {
  const info: { code: ErrorCode; clientId?: string; route?: string; count?: number } = { code };
  if (clientId !== undefined) info.clientId = clientId;
  if (route !== undefined) info.route = route;
  if (count !== undefined) info.count = count;
  return info;
}
