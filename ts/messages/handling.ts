// A message at its handler, and what becomes of what the handler returns, yields or throws.
import { ANSWER } from "../border/codes.js";
import { copyOf } from "../border/copy.js";
import type { Payload } from "../border/payload.js";
import { openCallsOf, type Client } from "../context/clients.js";
import type { Context } from "../context/context.js";
import type { Serialiser } from "../context/outgoing-payload.js";
import { isThenable } from "../faults/check.js";
import { issuesOf } from "../faults/schema.js";
import type { Scope } from "../user-code/scope.js";
import type { Turn } from "../user-code/turn.js";
import type { Call, Calls } from "./calls.js";
import { CopiedArgument, HandlerArgument, isDeclared, type Run } from "./run.js";
import { heldSize, type Held } from "./held.js";
import type { InFlight } from "./in-flight.js";
import type { Refusals } from "./refusals.js";
import type { Route } from "./route.js";
import { isSource, Stream, type Sink, type Source } from "./stream.js";

/** Bytes of an item's frame beside its payload, about. */
const ITEM_FRAME = 48;

/** What handlers need. */
export interface HandlingParts {
  readonly scope: Scope;
  readonly turn: Turn;
  readonly held: Held;
  readonly inFlight: InFlight;
  readonly calls: Calls;
  readonly refusals: Refusals;
  readonly serialise: Serialiser;
}

/** One message that its handler has. It holds nothing of the payload and the context, which a handler may let go of. */
interface Handled {
  readonly client: Client;
  readonly route: Route;
  readonly call: Call | undefined;
  readonly run: Run;
}

/** Calls the handlers of all clients. */
export class Handling {
  readonly #parts: HandlingParts;
  /** The bytes of items that one client need not have acknowledged; the engine tells once it has read the options. */
  maxUnacknowledged = Infinity;

  constructor(parts: HandlingParts) {
    this.#parts = parts;
  }

  /** Calls the handler. `bytes` and `weight` are those of the message. */
  handle(
    client: Client,
    route: Route,
    bytes: number,
    weight: number,
    call: Call | undefined,
    payload: unknown,
    ctx: Context | undefined,
  ): void {
    const { handler, copies, fail } = route;
    const argument = copies
      ? new CopiedArgument(payload, ctx, fail, client)
      : new HandlerArgument(payload, ctx, fail, client);
    try {
      // A handler that does not read the context does not miss it.
      const result = handler(argument as HandlerArgument & { readonly ctx: object });
      if (isThenable(result)) {
        this.#parts.turn.count();
        void this.#follow(handledOf(client, route, call, argument), bytes, weight, result);
      } else if (call) {
        this.#answer(client, route, call, argument, bytes, weight, result);
      } else {
        HandlerArgument.settled(argument);
      }
    } catch (error) {
      void this.#threw(handledOf(client, route, call, argument), error);
    }
  }

  /** Does not wait for a handler's promise, up to the bound of pending calls. */
  async #follow(
    handled: Handled,
    bytes: number,
    weight: number,
    result: PromiseLike<unknown>,
  ): Promise<void> {
    const { scope, turn } = this.#parts;
    const release = this.#hold(handled, bytes, weight);
    try {
      const returned = await scope.later(result);
      const { client, route, call, run } = handled;
      const isStream = isStreamed(route, call);
      // Before it waits for its turn: an abort may come meanwhile. A stream has only begun.
      if (!isStream) run.settled();
      if (call) {
        for (let wait = turn.next(false); wait; wait = turn.next(true)) await wait;
        if (isStream) await this.#stream(handled, returned);
        else await this.#returned(client, route, call, returned);
      }
    } catch (error) {
      await this.#threw(handled, error);
    }
    release();
  }

  /** Answers with what a handler returned at once. Most calls end here, and make no more than they need. */
  #answer(
    client: Client,
    route: Route,
    call: Call,
    argument: HandlerArgument,
    bytes: number,
    weight: number,
    result: unknown,
  ): void {
    let pending: Promise<void> | undefined;
    if (isStreamed(route, call)) {
      pending = this.#stream(handledOf(client, route, call, argument), result);
    } else {
      HandlerArgument.settled(argument);
      pending = this.#returned(client, route, call, result);
    }
    if (pending === undefined) return;
    const handled = handledOf(client, route, call, argument);
    const release = this.#hold(handled, bytes, weight);
    this.#parts.turn.count();
    void pending.then(undefined, (error: unknown) => this.#threw(handled, error)).then(release);
  }

  /** Counts what a message holds until the function that it returns is called. A call has bounds of its own. */
  #hold({ client, call }: Handled, bytes: number, weight: number): () => void {
    const { held, inFlight } = this.#parts;
    const size = heldSize(bytes, weight);
    if (call?.isCall) {
      held.take(client, size);
      return () => held.release(client, size);
    }
    const calls = inFlight.started(client, bytes, size);
    return () => inFlight.settled(client, calls, bytes, size);
  }

  /** Answers with what a handler returned that is no stream. */
  #returned(client: Client, route: Route, call: Call, result: unknown): Promise<void> | undefined {
    const { calls } = this.#parts;
    if (call.isAborted) calls.settled(client, call);
    else if (!call.isCall) calls.answer(client, call, ANSWER.DONE, undefined);
    else if (!route.reply) calls.answer(client, call, ANSWER.REPLY, undefined);
    else return this.#reply(client, route, call, ANSWER.REPLY, route.reply.validate(result));
    return undefined;
  }

  /** Sends a reply, once its schema has seen it. */
  #reply(
    client: Client,
    route: Route,
    call: Call,
    how: number,
    validated: unknown,
  ): Promise<void> | undefined {
    if (isThenable(validated)) {
      const send = (it: unknown) => void this.#reply(client, route, call, how, it);
      return this.#validatedLater(validated, send);
    }
    const { calls } = this.#parts;
    const payload = this.#fitting(validated, "the reply of the handler", route.hasBytesReply);
    if (call.isAborted) calls.settled(client, call);
    else calls.answer(client, call, how, payload);
    return undefined;
  }

  /** Hands on what a schema said, at once if it is there: what `next` returns, or a promise of that. */
  #validated<T>(validated: unknown, next: (validated: unknown) => T): T | Promise<T> {
    return isThenable(validated) ? this.#validatedLater(validated, next) : next(validated);
  }

  async #validatedLater<T>(
    validated: PromiseLike<unknown>,
    next: (validated: unknown) => T,
  ): Promise<T> {
    return next(await this.#parts.scope.later(validated));
  }

  /** The payload of what a schema made of a value. Throws if it does not fit: the application promised something else. */
  #fitting(validated: unknown, what: string, isBytes: boolean): Payload {
    const issues = issuesOf(validated);
    if (issues) {
      throw Object.assign(new TypeError(`${what} does not fit its schema`), { issues });
    }
    const { value } = validated as { readonly value: unknown };
    return isBytes ? copyOf(value, what) : this.#parts.serialise(value, what);
  }

  async #stream(handled: Handled, result: unknown): Promise<void> {
    const { client, call, route } = handled;
    if (call === undefined || route.stream === undefined) return;
    if (!isSource(result)) {
      throw new TypeError("the handler of a stream returned something that is not a generator");
    }
    const { scope, turn, calls } = this.#parts;
    const stream = new Stream(result as Source, openCallsOf(client), this.maxUnacknowledged);
    call.stream = stream;
    // Kept before its generator begins, which may disconnect its client at once.
    if (client.phase === "open") calls.keep(client, call);
    if (client.phase !== "open" || call.isAborted) stream.end();
    const schema = route.stream;
    const send = (validated: unknown) => this.#item(client, route, call, validated);
    const sink: Sink = {
      item: (value) => this.#validated(schema.validate(value), send),
      done: async (value) => {
        if (route.reply)
          await this.#reply(client, route, call, ANSWER.END, route.reply.validate(value));
        else calls.answer(client, call, ANSWER.END, undefined);
      },
      threw: (error) => this.#threw(handled, error),
    };
    await stream.run(sink, scope, turn);
    handled.run.settled();
    calls.settled(client, call);
  }

  /** Sends an item; returns the bytes of its frame. */
  #item(client: Client, route: Route, call: Call, validated: unknown): number {
    const payload = this.#fitting(validated, "the item of the handler", route.hasBytesItems);
    if (!call.isAborted) this.#parts.calls.item(client, call, payload);
    return ITEM_FRAME + bytesOf(payload);
  }

  /** The handler, or what stands behind it, threw. */
  async #threw(handled: Handled, error: unknown): Promise<void> {
    const { client, route, call, run } = handled;
    const { refusals, calls, scope } = this.#parts;
    run.settled();
    const isOver = call !== undefined && (call.isAborted || call.isAnswered);
    const isAnswer = isDeclared(error, route);
    if (!isOver && isAnswer) {
      try {
        const schema = route.errors?.[error.code]?.["~standard"];
        const validated = schema?.validate(error.data);
        const data = isThenable(validated) ? await scope.later(validated) : validated;
        refusals.declared(
          client,
          route,
          call,
          error.code,
          this.#fitting(data, "the error of the handler", false),
        );
      } catch (thrown) {
        refusals.handlerThrew(client, route, call, thrown);
      }
    } else if (!isAnswer && !run.isReason(error)) {
      // An answer that nobody waits for any more is no fault either.
      refusals.handlerThrew(client, route, call, error);
    }
    if (call?.isAborted) calls.settled(client, call);
  }
}

/** Whether what the handler returns is only the begin of its answer. */
function isStreamed(route: Route, call: Call | undefined): boolean {
  return route.stream !== undefined && call?.isCall === true;
}

function handledOf(
  client: Client,
  route: Route,
  call: Call | undefined,
  argument: HandlerArgument,
): Handled {
  const run = HandlerArgument.runOf(argument);
  if (call) call.run = run;
  return { client, route, call, run };
}

/** The bytes of a payload. Escapes of JSON are not counted, and a number counts as a few bytes for each of its words. */
function bytesOf(payload: Payload): number {
  if (payload === undefined) return 0;
  if (payload instanceof Uint8Array) return payload.length;
  if (typeof payload === "string") return Buffer.byteLength(payload);
  const text = payload.texts.reduce((sum, it) => sum + Buffer.byteLength(it), 0);
  return text + 4 * payload.count;
}
