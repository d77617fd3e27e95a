// The way of an incoming message: schema, middlewares, handler. Synchronous user code stays synchronous here, and makes no promise.
// While a schema or middleware is pending, or the handlers reach their limit, the client's later messages wait.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { MESSAGE } from "../border/codes.js";
import type { Client, Suspended, WaitingMessage } from "../context/clients.js";
import { extendedContext, freshContext, type Context } from "../context/context.js";
import type { Outlet } from "../context/send.js";
import { isObject, isThenable } from "../faults/check.js";
import { issuesOf } from "../faults/schema.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import { Call, type Calls } from "./calls.js";
import type { Handling } from "./handling.js";
import { heldSize, type Held } from "./held.js";
import type { InFlight } from "./in-flight.js";
import type { Refusals } from "./refusals.js";
import type { Route } from "./route.js";

const { BARE, BITS, NUMBERED } = MESSAGE;

/** When more messages or bytes of JSON than this wait behind a pending one, the engine stops reading the client. */
const MAX_WAITING = 64;
const MAX_WAITING_BYTES = 256 * 1024;

/** A schema or middleware that is not done yet; never rejects. */
type Pending = Promise<void> | undefined;

/** The parts that messages need on their way. */
export interface Parts {
  readonly outlet: Outlet;
  readonly scope: Scope;
  readonly held: Held;
  readonly inFlight: InFlight;
  readonly turn: Turn;
  readonly calls: Calls;
  readonly refusals: Refusals;
  readonly handling: Handling;
}

/** Takes the messages of all clients to their handlers. */
export class Messages {
  readonly #routes: readonly Route[];
  readonly #outlet: Outlet;
  readonly #scope: Scope;
  readonly #held: Held;
  readonly #inFlight: InFlight;
  readonly #turn: Turn;
  readonly #calls: Calls;
  readonly #refusals: Refusals;
  readonly #handling: Handling;
  #isRefusing = false;
  #refused = 0;

  constructor(routes: readonly Route[], parts: Parts) {
    this.#routes = routes;
    this.#outlet = parts.outlet;
    this.#scope = parts.scope;
    this.#held = parts.held;
    this.#inFlight = parts.inFlight;
    this.#turn = parts.turn;
    this.#calls = parts.calls;
    this.#refusals = parts.refusals;
    this.#handling = parts.handling;
  }

  /** From now on messages are dropped that have not begun their handlers. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** How many messages were dropped since then. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Takes one message: an event's code and value, its bytes of JSON, and the number by which it is to be answered. The caller runs it
   * in a new asynchronous context.
   */
  take(
    client: Client,
    code: number,
    value: unknown,
    bytes: number,
    weight: number,
    number: number,
  ): void {
    if (this.#isRefusing) {
      this.#refused += 1;
      return;
    }
    // It was read before its client was closed.
    if (client.phase !== "open") return;
    let call: Call | undefined;
    if ((code & NUMBERED) !== 0) {
      call = new Call(number, this.#routes[code >> BITS]?.isCall === true);
    }
    let { waiting } = client;
    if (waiting === undefined) {
      const full = client.inFlight && !call?.isCall && this.#inFlight.full(client, bytes);
      if (!full) {
        const pending = this.#start(client, code, value, bytes, weight, call);
        if (call?.isCall && !call.isAnswered) this.#calls.keep(client, call);
        if (pending) void this.#hold(client, pending, heldSize(bytes, weight));
        return;
      }
      void this.#hold(client, full, 0);
      waiting = client.waiting as WaitingMessage[] | undefined;
    }
    if (call?.isCall) this.#calls.keep(client, call);
    waiting?.push({ code, value, bytes, weight, call });
    const size = heldSize(bytes, weight);
    client.waitingBytes += bytes;
    client.waitingHeld += size;
    this.#held.take(client, size);
    const isEnough =
      client.waitingBytes > MAX_WAITING_BYTES || (waiting?.length ?? 0) > MAX_WAITING;
    if (isEnough && !client.paused) {
      client.paused = true;
      this.#outlet.commands.pause(client.handle);
    }
  }

  /** Lets a client's messages wait for a promise that never rejects. */
  waitFor(client: Client, pending: Promise<void>): void {
    void this.#hold(client, pending, 0);
  }

  /** Lets a client's messages wait behind a pending one, and takes them in order, until none is left. */
  async #hold(client: Client, first: Promise<void>, size: number): Promise<void> {
    const waiting: WaitingMessage[] = (client.waiting = []);
    this.#held.take(client, size);
    await first;
    this.#held.release(client, size);
    // Nothing here holds a message: what an async function holds stays as long as it waits, whatever becomes of the client.
    while (client.phase === "open" && waiting.length > 0) {
      const full = this.#fullFor(client, waiting);
      if (full) {
        await full;
        continue;
      }
      for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
      if ((client.phase as string) !== "open") break;
      if (this.#isRefusing) {
        this.#refused += waiting.length;
        break;
      }
      const size = sizeOf(waiting);
      const pending = this.#next(client, waiting);
      if (pending) await pending;
      this.#held.release(client, size);
    }
    client.waiting = undefined;
  }

  /** What the oldest message that waits has to wait for, if its client has too many handlers under way. */
  #fullFor(client: Client, waiting: readonly WaitingMessage[]): Promise<void> | undefined {
    const [message] = waiting;
    if (message === undefined || (message.call as Call | undefined)?.isCall) return undefined;
    return this.#inFlight.full(client, message.bytes);
  }

  /** Takes the oldest message that waits. */
  #next(client: Client, waiting: WaitingMessage[]): Pending {
    const size = sizeOf(waiting);
    const message = waiting.shift();
    if (message === undefined) return undefined;
    const { code, value, bytes, weight } = message;
    const call = message.call as Call | undefined;
    client.waitingBytes -= bytes;
    client.waitingHeld -= size;
    if (client.paused && waiting.length === 0) {
      client.paused = false;
      this.#outlet.commands.resume(client.handle);
    }
    return this.#scope.run(this.#start, this, client, code, value, bytes, weight, call);
  }

  #start(
    client: Client,
    code: number,
    value: unknown,
    bytes: number,
    weight: number,
    call: Call | undefined,
  ): Pending {
    const route = this.#routes[code >> BITS];
    if (route === undefined || call?.isAborted) return undefined;
    let result: unknown;
    try {
      result = route.schema.validate((code & BARE) === 0 ? value : undefined);
      if (isThenable(result)) {
        return this.#validateLater(client, route, bytes, weight, call, result);
      }
    } catch (error) {
      this.#refusals.schemaThrew(client, route, call, error);
      return undefined;
    }
    return this.#validated(client, route, bytes, weight, call, result);
  }

  async #validateLater(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    call: Call | undefined,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    let result: unknown;
    try {
      result = await this.#scope.later(pending);
    } catch (error) {
      this.#refusals.schemaThrew(client, route, call, error);
      return;
    }
    for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
    if (client.phase !== "open" || call?.isAborted) return;
    const next = this.#validated(client, route, bytes, weight, call, result);
    if (next) await next;
  }

  #validated(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    call: Call | undefined,
    result: unknown,
  ): Pending {
    let issues: readonly unknown[] | undefined;
    let payload: unknown;
    try {
      issues = issuesOf(result);
      if (issues === undefined) payload = (result as StandardSchemaV1.SuccessResult<unknown>).value;
    } catch (error) {
      this.#refusals.schemaThrew(client, route, call, error);
      return undefined;
    }
    if (issues) {
      this.#refusals.invalid(client, route, call, issues);
      return undefined;
    }
    let ctx: Context | undefined;
    try {
      if (route.takesContext) ctx = freshContext(client, this.#outlet);
    } catch (error) {
      // A getter of the user context threw.
      this.#refusals.handlerThrew(client, route, call, error);
      return undefined;
    }
    return this.#advance(client, route, bytes, weight, call, payload, ctx, 0);
  }

  /** Runs the middlewares from `step` on, and the handler. */
  #advance(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    call: Call | undefined,
    payload: unknown,
    ctx: Context | undefined,
    step: number,
  ): Pending {
    const { middlewares } = route;
    // Where there are middlewares, there is one; see `takesContext`.
    let extended = ctx as Context;
    for (let next = step; ; next += 1) {
      const middleware = middlewares[next];
      if (middleware === undefined) break;
      try {
        const additions = middleware({ ctx: extended, payload });
        if (isThenable(additions)) {
          const suspended = (client.suspended = { payload, ctx: extended });
          return this.#advanceLater(
            client,
            route,
            bytes,
            weight,
            call,
            suspended,
            next + 1,
            additions,
          );
        }
        extended = this.#extended(client, extended, additions);
      } catch (error) {
        this.#refusals.rejected(client, route, call, error);
        return undefined;
      }
    }
    // A schema or a middleware may have closed the client.
    if (client.phase === "open") {
      this.#handling.handle(client, route, bytes, weight, call, payload, extended);
    }
    return undefined;
  }

  /** Keeps payload and context only in `suspended`, so that the end of the client can take them away. */
  async #advanceLater(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    call: Call | undefined,
    suspended: Suspended,
    step: number,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    let additions: unknown;
    try {
      additions = await this.#scope.later(pending);
    } catch (error) {
      client.suspended = undefined;
      this.#refusals.rejected(client, route, call, error);
      return;
    }
    for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
    if (client.phase !== "open") return;
    client.suspended = undefined;
    if (call?.isAborted) return;
    let extended: Context;
    try {
      extended = this.#extended(client, suspended.ctx as Context, additions);
    } catch (error) {
      this.#refusals.rejected(client, route, call, error);
      return;
    }
    const { payload } = suspended;
    const next = this.#advance(client, route, bytes, weight, call, payload, extended, step);
    if (next) await next;
  }

  #extended(client: Client, ctx: Context, additions: unknown): Context {
    return isObject(additions) ? extendedContext(ctx, additions, client, this.#outlet) : ctx;
  }
}

/** What the oldest message that waits holds. */
function sizeOf([message]: readonly WaitingMessage[]): number {
  return message === undefined ? 0 : heldSize(message.bytes, message.weight);
}
