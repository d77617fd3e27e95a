// What the specs over a running server share: an application whose events are recorded, and clients that keep what they get.
// Everything ends with the test that asked for it.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { TestContext } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  createServer,
  zocket,
  type DisconnectInfo,
  type DisconnectOptions,
  type ServerOptions,
  type UpgradeRequest,
} from "@zocket/core";
import { WebSocket, type ClientOptions, type RawData } from "ws";

import { soon, until } from "./_wait.ts";

export type Headers = Record<string, string>;
export interface Message {
  type: string;
  payload?: unknown;
}
export interface User {
  user?: string;
}
/** What a test reads of a handler's context. */
export interface Context extends User {
  readonly clientId: string;
  readonly send: {
    said(payload: unknown): {
      to(clientIds: string | string[]): void;
      toRoom(roomIds: string | string[]): void;
      broadcast(): void;
    };
  };
  readonly rooms: {
    join(room: string): void;
    leave(room: string): void;
    has(room: string): boolean;
    readonly current: ReadonlySet<string>;
    broadcast(room: string, route: "said", payload: unknown): void;
  };
  disconnect(how?: DisconnectOptions): void;
}
/** What a test reads of the context of `onDisconnect`. */
export interface LastContext extends User {
  readonly clientId: string;
  readonly rooms: ReadonlySet<string>;
}

/** A schema that takes everything. */
export function anything<T>(): StandardSchemaV1<T, T> {
  const validate = (value: unknown) => ({ value: value as T });
  return { "~standard": { version: 1, vendor: "specs", validate } };
}

/** Numbers that look random and are the same in every run. */
export function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % sides;
  };
}

/** What a test may replace of the application. */
export interface Given {
  headers?: StandardSchemaV1<unknown, Headers>;
  onConnect?: (headers: Headers, clientId: string, request: UpgradeRequest) => unknown;
  /** Called if it is given. */
  onOpen?: (ctx: object, clientId: string) => unknown;
  onDisconnect?: (ctx: LastContext, clientId: string, info: DisconnectInfo) => unknown;
  /** Instead of sending back what was said. */
  say?: (payload: unknown, ctx: Context) => unknown;
  /** The payloads of `say`. */
  payload?: StandardSchemaV1<unknown, unknown>;
  /** Runs before `say`. */
  middleware?: () => unknown;
  /** Leaves out the handler of `never`. */
  forgets?: true;
  options?: ServerOptions;
}

/** What happened to an application, in order. */
export interface Recorded {
  connects: { headers: Headers; clientId: string; request: UpgradeRequest }[];
  messages: { payload: unknown; clientId: string }[];
  disconnects: { ctx: LastContext; clientId: string; info: DisconnectInfo }[];
  errors: { error: unknown; code: string; clientId?: string; route?: string }[];
  /** The names of all of the above as they came. */
  order: ("connect" | "message" | "disconnect" | "error")[];
}

/** A running application. */
export type App = ReturnType<typeof launch>;

/** Starts the application on a free port of 127.0.0.1: `say` comes back as `said`, `join` joins a room. */
export function serve(t: TestContext, given: Given = {}): App {
  const app = launch(given);
  t.after(() => soon("the server's end", app.server.stop(true)));
  return app;
}

function launch(given: Given) {
  const seen: Recorded = { connects: [], messages: [], disconnects: [], errors: [], order: [] };
  const zo = zocket.create({
    headers: given.headers ?? (anything<Headers>() as StandardSchemaV1<unknown, Headers>),
    onConnect: (headers, clientId, request) => {
      seen.connects.push({ headers, clientId, request });
      seen.order.push("connect");
      const { onConnect } = given;
      const context = onConnect ? onConnect(headers, clientId, request) : {};
      return context as User | Promise<User>;
    },
    ...(given.onOpen && { onOpen: given.onOpen as () => void | Promise<void> }),
    onDisconnect: (ctx, clientId, info) => {
      seen.disconnects.push({ ctx, clientId, info });
      seen.order.push("disconnect");
      return given.onDisconnect?.(ctx, clientId, info) as void | Promise<void>;
    },
  });
  const { incoming, outgoing } = zo.message.use(async () => {
    await given.middleware?.();
  });
  const direct = given.middleware ? incoming : zo.message.incoming;
  const routes = {
    say: direct({ payload: given.payload ?? anything<unknown>() }),
    join: zo.message.incoming({ payload: anything<string>() }),
    never: zo.message.incoming({ payload: anything<unknown>(), reply: anything<unknown>() }),
    said: outgoing({ payload: anything<unknown>() }),
  };
  const router = zo.router(routes, {
    say: ({ payload, ctx }) => {
      seen.messages.push({ payload, clientId: ctx.clientId });
      seen.order.push("message");
      if (given.say) return given.say(payload, ctx) as void | Promise<void>;
      ctx.send.said(payload).to(ctx.clientId);
    },
    join: ({ payload, ctx }) => {
      ctx.rooms.join(payload);
      ctx.send.said(`in ${payload}`).to(ctx.clientId);
    },
    never: given.forgets ? undefined : () => new Promise<never>(() => {}),
  });
  const server = createServer(router, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => {
      seen.errors.push({ error, ...info });
      seen.order.push("error");
    },
    ...given.options,
  });
  /** Sends `said` to everybody, from outside a handler. */
  const shout = (payload: unknown) => server.send.said(payload).broadcast();
  return {
    ...seen,
    router,
    server,
    port: server.port,
    url: `ws://127.0.0.1:${server.port}`,
    shout,
  };
}

/** A `ws` client that keeps what it gets. */
export class Client {
  readonly socket: WebSocket;
  /** All messages so far; `next` counts how many of them were looked at. */
  readonly received: Message[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #opened: Promise<unknown>;
  #taken = 0;

  constructor(t: TestContext, url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.socket.on("message", (text: RawData) => {
      this.received.push(JSON.parse(String(text)) as Message);
    });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve({ code, reason: String(reason) }));
    });
    this.#opened = once(this.socket, "open");
    this.#opened.catch(() => {});
    // A server that resets the connection is what some tests are about.
    this.socket.on("error", () => {});
    t.after(() => this.socket.terminate());
  }

  /** One whose upgrade was answered with 101. */
  static async open(t: TestContext, url: string, options?: ClientOptions): Promise<Client> {
    const client = new Client(t, url, options);
    await soon("the 101", client.#opened);
    return client;
  }

  send(type: string, payload: unknown): void {
    this.socket.send(JSON.stringify({ type, payload }));
  }

  say(payload: unknown): void {
    this.send("say", payload);
  }

  /** The oldest message not yet looked at. */
  async next(): Promise<Message> {
    const place = this.#taken++;
    await until(`message ${place}`, () => this.received.length > place);
    return this.received[place] as Message;
  }

  /** Says something and waits until it comes back: whatever was sent before has been handled. */
  async roundTrip(): Promise<void> {
    const mark = randomBytes(8).toString("hex");
    this.say(mark);
    await until("the echo", () =>
      this.received.some((it) => it.type === "said" && it.payload === mark),
    );
  }

  async join(room: string): Promise<void> {
    this.send("join", room);
    await until(`joining ${room}`, () => this.received.some((it) => it.payload === `in ${room}`));
  }

  /** Cuts the connection without a close frame. */
  drop(): void {
    this.socket.terminate();
  }

  /** Cuts it with a reset. */
  reset(): void {
    (this.socket as unknown as { _socket: Socket })._socket.resetAndDestroy();
  }

  /** Closes with a close frame and resolves when the closing handshake is over. */
  async close(code = 1000): Promise<{ code: number; reason: string }> {
    this.socket.close(code);
    return soon("the closing handshake", this.closed);
  }
}
