// `createPublisher`: sends to the clients of all servers on a bus, from a process that serves nobody.
import { isAnyArrayBuffer } from "node:util/types";

import { Commands } from "../border/commands.js";
import { BATCH_EVENTS, EVENT, HEAD } from "../border/codes.js";
import { HandOver } from "../border/hand-over.js";
import { startNative, type Native } from "../border/native.js";
import { routes } from "../client/routes.js";
import { Clients } from "../context/clients.js";
import { Outlet } from "../context/send.js";
import { isOptions } from "../faults/check.js";
import { Faults, type OnError } from "../faults/report.js";
import type { Sender } from "../types/context.js";
import type { RoutesOf } from "../types/routes.js";
import { refuseUnknown } from "../unknown-options.js";
import { Scope } from "../user-code/scope.js";
import { Turn } from "../user-code/turn.js";
import { Joined } from "./joined.js";
import { busMetricsOf, type BusMetrics } from "./metrics.js";
import { wrong } from "./options.js";
import { knownBus, nativeBusOf, type Bus } from "./settings.js";

/** How many routes a publisher may use. Their names are texts of the application, and each is kept. */
const MOST_ROUTES = 10_000;

/** Sends to the clients of all servers on a bus. */
export interface Publisher<TRouter> {
  /** The typed sender, as in `ctx.send`. The servers check neither the route nor the payload for you. */
  readonly send: Sender<RoutesOf<TRouter>>;
  /**
   * Resolves once the bus has all that was published before.
   *
   * @throws Rejects with an `Error` with the code `BUS` if the bus has not confirmed a publication since the last call, or after 10 s.
   */
  flush(): Promise<void>;
  /** The counters. */
  metrics(): BusMetrics;
  /** Publishes what waits, for two seconds at most, and lets go of the bus. Node can exit then. */
  close(): Promise<void>;
}

/** The part of a server that a publisher has: the bus, and an engine without clients. */
class Engine {
  readonly native: Native;
  readonly joined: Joined;
  readonly commands: Commands;
  readonly #handOver: HandOver;
  readonly #faults: Faults;
  readonly #heads = Buffer.allocUnsafeSlow(4 * (HEAD.FIRST + HEAD.WORDS * BATCH_EVENTS));
  readonly #words = new Int32Array(this.#heads.buffer);
  readonly #scope = new Scope();
  #stopped = (): void => {};
  #closing: Promise<void> | undefined;

  constructor(bus: Bus, onError: OnError | undefined) {
    const known = knownBus("createPublisher: bus", bus);
    this.#faults = new Faults(onError, this.#scope, new Turn());
    let running: Native | undefined;
    this.#handOver = new HandOver(
      (...given) => running?.submit(...given),
      (error) => this.#faults.report(error, "INTERNAL"),
    );
    this.commands = new Commands(this.#handOver);
    this.joined = new Joined(known, this.commands, this.#handOver, this.#faults);
    const ring = () => this.#scope.run(this.#take, this);
    const options = { noServer: true, ioThreads: 1 };
    running = startNative(options, [], [], ring, [], nativeBusOf(known));
    this.native = running;
    this.joined.attach(() => running?.bus()?.["connected"] === 1);
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
        if (code === EVENT.BUS) this.joined.hear(value as Parameters<Joined["hear"]>[0]);
        else if (code === EVENT.STOPPED) this.#stopped();
        else if (code === EVENT.FAULT) {
          this.#faults.report(new Error((value as { message: string }).message), "INTERNAL");
        }
      }
    }
  }
}

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
export function createPublisher<TRouter>(
  bus: Bus,
  options: { readonly onError?: OnError | undefined } = {},
): Publisher<TRouter> {
  if (!isOptions(options)) throw wrong("createPublisher: options", "an object", options);
  refuseUnknown("createPublisher: options.", options, ["onError"]);
  const { onError } = options;
  if (onError !== undefined && typeof onError !== "function") {
    throw wrong("createPublisher: options.onError", "a function", onError);
  }
  const engine = new Engine(bus, onError);
  const { commands, joined, native } = engine;
  const outlet = new Outlet(commands, new Clients(), [], () => {
    throw new Error("there are no routes");
  });
  outlet.hasOthers = true;
  const numbers = new Map<string, number>();
  const send = (name: string, payload?: unknown) => {
    // As JSON it would be an object of numbers, which every server refuses for a route of bytes.
    if (ArrayBuffer.isView(payload) || isAnyArrayBuffer(payload)) {
      throw wrong(`send.${name}(…)`, "a payload that JSON can hold, from a publisher", payload);
    }
    let number = numbers.get(name);
    if (number === undefined) {
      number = numbers.size;
      if (number === MOST_ROUTES) throw new Error(`send: more than ${MOST_ROUTES} routes`);
      numbers.set(name, number);
      commands.route(number, name);
    }
    return outlet.message(number, name, payload);
  };
  return {
    send: routes(send as (route: string, ...args: unknown[]) => unknown) as Sender<
      RoutesOf<TRouter>
    >,
    flush: () => joined.flush("publisher.flush"),
    metrics: () => busMetricsOf(native) as BusMetrics,
    close: () => engine.close(),
  };
}
