// `createPublisher`: sends to the clients of all servers on a bus, from a process that serves nobody.

import { Commands } from "../border/commands.js";
import { BATCH_EVENTS, EVENT, HEAD, KIND } from "../border/codes.js";
import { copyOf } from "../border/copy.js";
import { HandOver } from "../border/hand-over.js";
import { startNative, type Native } from "../border/native.js";
import { bytesIn } from "../bytes.js";
import { routes } from "../client/routes.js";
import type { NoRouter } from "../client/types.js";
import { Clients } from "../context/clients.js";
import { methodsOf } from "../context/from-outside.js";
import { STOPPED, type Ordered } from "../context/orders.js";
import { serialiserOf } from "../context/outgoing-payload.js";
import type { Part, PartElsewhere } from "../context/questions.js";
import { Outlet } from "../context/send.js";
import { isTransformer } from "../contract/transform.js";
import { isOptions } from "../faults/check.js";
import { Faults, type OnError } from "../faults/report.js";
import type { Sender } from "../types/context.js";
import type { DisconnectOptions } from "../types/disconnect.js";
import type { AnyRouter, RoutesOf } from "../types/routes.js";
import type { PlainRouter } from "../types/transformed.js";
import type { Transformer } from "../types/transformer.js";
import { refuseUnknown } from "../unknown-options.js";
import { Scope } from "../user-code/scope.js";
import { Turn } from "../user-code/turn.js";
import { busError, Joined } from "./joined.js";
import { busMetricsOf, type BusMetrics } from "./metrics.js";
import { wrong } from "./options.js";
import { isBus, knownBus, nativeBusOf, type Bus, type KnownBus } from "./settings.js";

/** How many routes a publisher may use. Their names are texts of the application, and each is kept. */
const MOST_ROUTES = 10_000;

/** What stands for the sender without the type of a router, so that the compiler says it. */
type RouterIsMissing =
  "the type of the router is missing: createPublisher<AppRouter>(redis({ … }))";

/** Options of {@link createPublisher}. */
export interface PublisherOptions {
  /**
   * Called for what went wrong and no caller saw, such as an outage of the bus.
   * @default logs with `console.error`
   */
  readonly onError?: OnError | undefined;
  /**
   * The transformer that `zocket.create` was given. A router with a transformer requires it.
   * @default none
   */
  readonly transformer?: Transformer | undefined;
}

/** Sends to the clients of all servers on a bus. */
export interface Publisher<TRouter> {
  /**
   * The typed sender, as in `ctx.send`. The servers check neither the route nor the payload for you. A payload that is bytes is for
   * routes of bytes alone. A server discards any other payload for such a route, and counts it as malformed.
   *
   * After `close()` it throws an `Error` with the code `BUS`.
   */
  readonly send: [TRouter] extends [NoRouter] ? RouterIsMissing : Sender<RoutesOf<TRouter>>;
  /**
   * The ids of the clients in a room, in no particular order.
   *
   * @throws `TypeError` for a wrong name. Rejects with a `PartialError` if a server has not answered within a second, or the bus is away.
   *   Rejects with the code `TOO_MANY_QUESTIONS` if more than 10,000 such questions are pending.
   */
  members(roomId: string): Promise<string[]>;
  /** How many clients are in a room. The rest is as with {@link Publisher.members}. */
  roomSize(roomId: string): Promise<number>;
  /**
   * Puts clients into rooms. The promise resolves when all of them have joined, and a send to the room reaches them. Unknown ids are not
   * an error.
   *
   * @throws `TypeError` for a wrong id or name. Rejects with the code `BUS` if a server has not answered within 5 s, when its clients may
   *   still join. Rejects with `TOO_MANY_ROOMS` if a client may not be in another room, and with `TOO_MANY_ORDERS` if more than 10,000
   *   such calls are pending.
   */
  join(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /** Takes clients out of rooms. The rest is as with {@link Publisher.join}. */
  leave(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /**
   * Closes the connections of clients, as `server.disconnect` does. The promise resolves when all of them are closing.
   *
   * @throws `TypeError` for a wrong argument. Rejects with the code `BUS` if a server has not answered within 5 s.
   */
  disconnect(clientIds: string | readonly string[], how?: DisconnectOptions): Promise<void>;
  /**
   * Resolves once the bus has all that was published before.
   *
   * @throws Rejects with an `Error` with the code `BUS` if the bus has not confirmed a publication since the last call, or after 10 s.
   */
  flush(): Promise<void>;
  /** The counters of the bus, as they are now. */
  metrics(): BusMetrics;
  /**
   * Publishes what waits, for two seconds at most, and lets go of the bus. Node can exit then. From the call on, the publisher sends
   * nothing else.
   */
  close(): Promise<void>;
}

/** The part of a server that a publisher has: the bus, and an engine without clients. */
class Engine {
  readonly native: Native;
  readonly joined: Joined;
  readonly commands: Commands;
  readonly outlet: Outlet;
  readonly #handOver: HandOver;
  readonly #faults: Faults;
  readonly #heads = Buffer.allocUnsafeSlow(4 * (HEAD.FIRST + HEAD.WORDS * BATCH_EVENTS));
  readonly #words = new Int32Array(this.#heads.buffer);
  readonly #scope = new Scope();
  #stopped = (): void => {};
  #closing: Promise<void> | undefined;

  constructor(known: KnownBus, onError: OnError | undefined) {
    this.#faults = new Faults(onError, this.#scope, new Turn());
    let running: Native | undefined;
    this.#handOver = new HandOver(
      (...given) => running?.submit(...given),
      (error) => this.#faults.report(error, "INTERNAL"),
    );
    this.commands = new Commands(this.#handOver);
    this.outlet = new Outlet(this.commands, new Clients(), [], () => {
      throw new Error("there are no routes");
    });
    this.outlet.hasOthers = true;
    this.joined = new Joined(known, this.commands, this.#handOver, this.#faults);
    const ring = () => this.#scope.run(this.#take, this);
    const options = { noServer: true, ioThreads: 1 };
    const onBus = nativeBusOf(known, true);
    running = startNative(options, [], [], ring, [], onBus);
    this.native = running;
    this.outlet.questions.attach(running.shards, true);
    this.outlet.orders.attach(running, () => this.#handOver.flush());
    this.joined.attach(running);
  }

  /** Whether `close` was called. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#handOver.flush();
    await this.joined.close(() => this.native.stopBus());
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
      this.native.stop(true, true);
    });
    this.outlet.questions.stopped(0);
    this.outlet.orders.close();
    this.#handOver.close();
    this.native.dispose();
    this.#faults.close();
    this.#scope.close();
  }

  /** Takes all events. There are few. */
  #take(): void {
    for (;;) {
      const text = this.native.take(0, this.#heads);
      if (text === null) return;
      const values = JSON.parse(text) as unknown[];
      for (const [index, value] of values.entries()) {
        const code = this.#words[HEAD.FIRST + HEAD.WORDS * index + HEAD.CODE];
        if (code === EVENT.BUS) {
          this.joined.hear(value as Parameters<Joined["hear"]>[0]);
          if (this.joined.isOver) this.outlet.questions.busEnded();
        } else if (code === EVENT.MEMBERS) this.outlet.questions.part(0, value as Part);
        else if (code === EVENT.ELSEWHERE) this.outlet.questions.elsewhere(value as PartElsewhere);
        else if (code === EVENT.ORDERED) this.outlet.orders.ended(value as Ordered);
        else if (code === EVENT.STOPPED) this.#stopped();
        else if (code === EVENT.FAULT) {
          this.#faults.report(new Error((value as { message: string }).message), "INTERNAL");
        }
      }
    }
  }
}

/** Makes a publisher for a router that has a transformer. The publisher needs the same one. */
export function createPublisher<TRouter extends AnyRouter = NoRouter>(
  bus: Bus,
  options: PublisherOptions & { readonly transformer: Transformer },
): Publisher<TRouter>;
/**
 * Makes a publisher. Give it the type of your router: `createPublisher<typeof app>(…)`. It connects at once.
 *
 * @example
 * ```ts
 * const publisher = createPublisher<AppRouter>(redis({ url: "redis://localhost", prefix: "chat" }));
 * publisher.send.chat.onMessage({ text: "from cron" }).toRoom("lobby");
 * await publisher.flush();
 * await publisher.close();
 * ```
 * @throws `TypeError` if `bus` is not a bus, or an option is wrong.
 */
export function createPublisher<TRouter extends PlainRouter = NoRouter>(
  bus: Bus,
  options?: PublisherOptions,
): Publisher<TRouter>;
export function createPublisher<TRouter extends AnyRouter>(
  bus: Bus,
  options: PublisherOptions = {},
): Publisher<TRouter> {
  const known = checkedBus(bus, options);
  const { onError, transformer } = checked(options);
  const engine = new Engine(known, onError);
  const { commands, joined, native, outlet } = engine;
  const numberOf = numbersOf(commands);
  const serialise = serialiserOf(transformer);
  const send = (name: string, payload?: unknown) => {
    const place = `send.${name}(…)`;
    // A server that stops has no clients left to send to. The clients that this message is for are still there.
    if (engine.isClosed) throw busError(`publisher.${place}: ${STOPPED}`);
    const isBytes = bytesIn(payload) !== undefined;
    const content = isBytes ? copyOf(payload, place) : serialise(payload, place);
    return outlet.message(numberOf(name, isBytes), place, content);
  };
  return {
    send: routes(
      send as (route: string, ...args: unknown[]) => unknown,
    ) as Publisher<TRouter>["send"],
    ...methodsOf(outlet, "publisher"),
    flush: () => joined.flush("publisher.flush"),
    metrics: () => busMetricsOf(native) as BusMetrics,
    close: () => engine.close(),
  };
}

/** The bus of the first argument. Some callers give their router there, as to `createServer`, and the bus behind it. */
function checkedBus(bus: unknown, options: unknown): KnownBus {
  if (isBus(options)) {
    const order = "the bus is the first argument, and the router is only a type";
    throw new TypeError(
      `createPublisher: options: expected an object of options, got a bus; ${order}: createPublisher<typeof app>(bus, options)`,
    );
  }
  return knownBus("createPublisher: bus", bus);
}

function checked(options: unknown): PublisherOptions {
  const place = "createPublisher: options";
  if (!isOptions(options)) throw wrong(place, "an object", options);
  refuseUnknown(`${place}.`, options, ["onError", "transformer"]);
  const { onError, transformer } = options as {
    readonly [name in keyof PublisherOptions]: unknown;
  };
  if (onError !== undefined && typeof onError !== "function") {
    throw wrong(`${place}.onError`, "a function", onError);
  }
  if (transformer !== undefined && !isTransformer(transformer)) {
    const expected = "an object with serialize() and deserialize()";
    throw wrong(`${place}.transformer`, expected, transformer);
  }
  return { onError: onError as OnError | undefined, transformer };
}

/** Numbers the routes that are used. A name that is used for bytes and for JSON has two. */
function numbersOf(commands: Commands): (name: string, isBytes: boolean) => number {
  const known = { bytes: new Map<string, number>(), json: new Map<string, number>() };
  return (name, isBytes) => {
    const { bytes, json } = known;
    const numbers = isBytes ? bytes : json;
    let number = numbers.get(name);
    if (number === undefined) {
      number = bytes.size + json.size;
      if (number === MOST_ROUTES) throw new Error(`send: more than ${MOST_ROUTES} routes`);
      numbers.set(name, number);
      commands.route(number, isBytes ? KIND.BYTES : KIND.JSON, name);
    }
    return number;
  };
}
