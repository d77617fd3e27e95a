// The way of an incoming message: schema, middlewares, handler. Synchronous user code stays synchronous here, and makes no promise.
// While a schema or middleware is pending, or the handlers reach their limit, the client's later messages wait.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { BAD, MAX_ISSUES_AND_ROUTE } from "../border/codes.js";
import { badText } from "../border/native.js";
import type { Client, Suspended, WaitingMessage } from "../context/clients.js";
import { extendedContext, freshContext, type Context } from "../context/context.js";
import type { Outlet } from "../context/send.js";
import { isObject, isThenable } from "../faults/check.js";
import { payloadIssues } from "../faults/issues.js";
import { ClientFault, type Faults } from "../faults/report.js";
import { issuesOf } from "../faults/schema.js";
import type { IncomingRoute } from "../types/routes.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import { heldSize, type Held } from "./held.js";
import type { InFlight } from "./in-flight.js";

/** When more messages or bytes of JSON than this wait behind a pending one, the engine stops reading the client. */
const MAX_WAITING = 64;
const MAX_WAITING_BYTES = 256 * 1024;

/** A schema or middleware that is not done yet; never rejects. */
type Pending = Promise<void> | undefined;

/** An incoming route as every message of it needs it. */
interface Route {
  readonly name: string;
  readonly number: number;
  readonly schema: StandardSchemaV1["~standard"];
  readonly middlewares: IncomingRoute["middlewares"];
  readonly handler: IncomingRoute["handler"];
}

/** The parts that messages need on their way. */
export interface Parts {
  readonly outlet: Outlet;
  readonly faults: Faults;
  readonly scope: Scope;
  readonly held: Held;
  readonly inFlight: InFlight;
  readonly turn: Turn;
}

/** Takes the messages of all clients to their handlers. */
export class Messages {
  readonly #routes: readonly Route[];
  readonly #outlet: Outlet;
  readonly #faults: Faults;
  readonly #scope: Scope;
  readonly #held: Held;
  readonly #inFlight: InFlight;
  readonly #turn: Turn;
  #isRefusing = false;
  #refused = 0;

  constructor(incoming: readonly IncomingRoute[], parts: Parts) {
    this.#routes = incoming.map(({ name, schema, middlewares, handler }, number) => {
      return { name, number, schema: schema["~standard"], middlewares, handler };
    });
    this.#outlet = parts.outlet;
    this.#faults = parts.faults;
    this.#scope = parts.scope;
    this.#held = parts.held;
    this.#inFlight = parts.inFlight;
    this.#turn = parts.turn;
  }

  /** From now on messages are dropped that have not begun their handlers. */
  refuse(): void {
    this.#isRefusing = true;
  }

  /** How many messages were dropped since then. */
  get refused(): number {
    return this.#refused;
  }

  /** Takes one message: an event's code and value, and its bytes of JSON. The caller runs it in a new asynchronous context. */
  take(client: Client, code: number, value: unknown, bytes: number, weight: number): void {
    if (this.#isRefusing) {
      this.#refused += 1;
      return;
    }
    let { waiting } = client;
    if (waiting === undefined) {
      const full = client.calls && this.#inFlight.full(client, bytes);
      if (full === undefined) {
        const pending = this.#start(client, code, value, bytes, weight);
        if (pending) void this.#hold(client, pending, heldSize(bytes, weight));
        return;
      }
      void this.#hold(client, full, 0);
      waiting = client.waiting as WaitingMessage[] | undefined;
    }
    waiting?.push({ code, value, bytes, weight });
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

  /** Lets a client's messages wait behind a pending one, and takes them in order, until none is left. */
  async #hold(client: Client, first: Promise<void>, size: number): Promise<void> {
    const waiting: WaitingMessage[] = (client.waiting = []);
    this.#held.take(client, size);
    await first;
    this.#held.release(client, size);
    while (client.phase === "open") {
      const message = waiting[0];
      if (message === undefined) break;
      const full = this.#inFlight.full(client, message.bytes);
      if (full) {
        await full;
        continue;
      }
      for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
      if ((client.phase as string) === "gone") break;
      if (this.#isRefusing) {
        this.#refused += waiting.length;
        break;
      }
      waiting.shift();
      const { code, value, bytes, weight } = message;
      const size = heldSize(bytes, weight);
      client.waitingBytes -= bytes;
      client.waitingHeld -= size;
      if (client.paused && waiting.length === 0) {
        client.paused = false;
        this.#outlet.commands.resume(client.handle);
      }
      const pending = this.#scope.run(this.#start, this, client, code, value, bytes, weight);
      if (pending) await pending;
      this.#held.release(client, size);
    }
    client.waiting = undefined;
  }

  #start(client: Client, code: number, value: unknown, bytes: number, weight: number): Pending {
    const route = this.#routes[code >> 1];
    if (route === undefined) return undefined;
    let result: unknown;
    try {
      result = route.schema.validate((code & 1) === 1 ? undefined : value);
      if (isThenable(result)) return this.#validateLater(client, route, bytes, weight, result);
    } catch (error) {
      this.#schemaThrew(client, route, error);
      return undefined;
    }
    return this.#validated(client, route, bytes, weight, result);
  }

  async #validateLater(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    let result: unknown;
    try {
      result = await this.#scope.later(pending);
    } catch (error) {
      this.#schemaThrew(client, route, error);
      return;
    }
    for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
    if (client.phase !== "open") return;
    const next = this.#validated(client, route, bytes, weight, result);
    if (next) await next;
  }

  #validated(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    result: unknown,
  ): Pending {
    let issues: readonly unknown[] | undefined;
    let payload: unknown;
    try {
      issues = issuesOf(result);
      if (issues === undefined) payload = (result as StandardSchemaV1.SuccessResult<unknown>).value;
    } catch (error) {
      this.#schemaThrew(client, route, error);
      return undefined;
    }
    if (issues) {
      this.#invalid(client, route, issues);
      return undefined;
    }
    let ctx: Context;
    try {
      ctx = freshContext(client, this.#outlet);
    } catch (error) {
      // A getter of the user context threw.
      this.#handlerThrew(client, route, error);
      return undefined;
    }
    return this.#advance(client, route, bytes, weight, payload, ctx, 0);
  }

  /** Runs the middlewares from `step` on, and the handler. */
  #advance(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    payload: unknown,
    ctx: Context,
    step: number,
  ): Pending {
    const { middlewares } = route;
    let extended = ctx;
    for (let next = step; ; next += 1) {
      const middleware = middlewares[next];
      if (middleware === undefined) break;
      try {
        const additions = middleware({ ctx: extended, payload });
        if (isThenable(additions)) {
          const suspended = (client.suspended = { payload, ctx: extended });
          return this.#advanceLater(client, route, bytes, weight, suspended, next + 1, additions);
        }
        extended = this.#extended(client, extended, additions);
      } catch (error) {
        this.#rejected(client, route, error);
        return undefined;
      }
    }
    this.#handle(client, route, bytes, weight, payload, extended);
    return undefined;
  }

  /** Keeps payload and context only in `suspended`, so that the end of the client can take them away. */
  async #advanceLater(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    suspended: Suspended,
    step: number,
    pending: PromiseLike<unknown>,
  ): Promise<void> {
    let additions: unknown;
    try {
      additions = await this.#scope.later(pending);
    } catch (error) {
      client.suspended = undefined;
      this.#rejected(client, route, error);
      return;
    }
    for (let turn = this.#turn.next(false); turn; turn = this.#turn.next(true)) await turn;
    if (client.phase !== "open") return;
    client.suspended = undefined;
    let extended: Context;
    try {
      extended = this.#extended(client, suspended.ctx as Context, additions);
    } catch (error) {
      this.#rejected(client, route, error);
      return;
    }
    const next = this.#advance(client, route, bytes, weight, suspended.payload, extended, step);
    if (next) await next;
  }

  #extended(client: Client, ctx: Context, additions: unknown): Context {
    return isObject(additions) ? extendedContext(ctx, additions, client, this.#outlet) : ctx;
  }

  #handle(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    payload: unknown,
    ctx: Context,
  ): void {
    const { handler } = route;
    try {
      const result = handler({ payload, ctx });
      if (isThenable(result)) {
        this.#turn.count();
        void this.#follow(client, route, bytes, weight, result);
      }
    } catch (error) {
      this.#handlerThrew(client, route, error);
    }
  }

  /** Does not wait for a handler's promise, up to the bound of pending calls. It only reports a rejection. */
  async #follow(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    result: PromiseLike<unknown>,
  ): Promise<void> {
    const size = heldSize(bytes, weight);
    const calls = this.#inFlight.started(client, bytes, size);
    try {
      await this.#scope.later(result);
    } catch (error) {
      this.#handlerThrew(client, route, error);
    }
    this.#inFlight.settled(client, calls, bytes, size);
  }

  #invalid(client: Client, route: Route, issues: readonly unknown[]): void {
    this.#reply(client, BAD.INVALID_PAYLOAD, route, issues);
    const fault = () => new ClientFault(badText(BAD.INVALID_PAYLOAD), issues);
    this.#faults.reportClient(fault, "INVALID_PAYLOAD", client.id, route.name);
  }

  #schemaThrew(client: Client, route: Route, error: unknown): void {
    this.#reply(client, BAD.INVALID_PAYLOAD, route);
    this.#faults.report(error, "INVALID_PAYLOAD", client.id, route.name);
  }

  #rejected(client: Client, route: Route, error: unknown): void {
    this.#reply(client, BAD.REJECTED, route);
    this.#faults.reportClient(() => error, "REJECTED", client.id, route.name);
  }

  #handlerThrew(client: Client, route: Route, error: unknown): void {
    this.#reply(client, BAD.HANDLER_ERROR, route);
    this.#faults.report(error, "HANDLER_ERROR", client.id, route.name);
  }

  /** Has the engine send a `$error`, unless the client is gone. */
  #reply(client: Client, code: number, route: Route, issues?: readonly unknown[]): void {
    if (client.phase !== "open") return;
    const { commands } = this.#outlet;
    if (issues === undefined) {
      commands.error(client.handle, code, route.number);
      return;
    }
    const room = MAX_ISSUES_AND_ROUTE - Buffer.byteLength(JSON.stringify(route.name));
    commands.error(client.handle, code, route.number, payloadIssues(issues, room));
  }
}
