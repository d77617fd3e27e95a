// What the specs over a running server share: an application whose events are recorded, clients that keep what they get,
// requests that no well-behaved client sends, and child processes. Everything ends with the test that asked for it.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { createServer, zocket, type ServerOptions } from "@zocket/core";
import { WebSocket, type ClientOptions, type RawData } from "ws";

/** Longest wait for anything that is to happen, in ms. Reaching it is always a failure. */
export const PATIENCE = 20_000;
export const ROOT = fileURLToPath(new URL("../", import.meta.url));

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

/** Waits until the condition holds. */
export async function until(what: string, holds: () => unknown): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await holds())) {
    if (performance.now() > end) assert.fail(`waited in vain for ${what}`);
    await sleep(2);
  }
}

/** What the promise resolves to, or a failure that says what never came. */
export async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  const never = sleep(PATIENCE, undefined, { signal: late.signal }).then(
    () => assert.fail(`waited in vain for ${what}`),
    () => undefined as never,
  );
  try {
    return await Promise.race([promise, never]);
  } finally {
    late.abort();
  }
}

/** Whether the promise has settled by now. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  await new Promise(setImmediate);
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

/** A promise and the functions that settle it. */
export function latch<T = void>(): {
  promise: Promise<T>;
  open: (value: T) => void;
  fail: (error: unknown) => void;
} {
  let open!: (value: T) => void;
  let fail!: (error: unknown) => void;
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
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
  onConnect?: (headers: Headers, clientId: string) => unknown;
  onDisconnect?: (ctx: LastContext, clientId: string) => unknown;
  /** Instead of sending back what was said. */
  say?: (payload: unknown, ctx: Context) => unknown;
  /** The payloads of `say`. */
  payload?: StandardSchemaV1<unknown, unknown>;
  /** Runs before `say`. */
  middleware?: () => unknown;
  options?: ServerOptions;
}

/** What happened to an application, in order. */
export interface Recorded {
  connects: { headers: Headers; clientId: string }[];
  messages: { payload: unknown; clientId: string }[];
  disconnects: { ctx: LastContext; clientId: string }[];
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
    onConnect: (headers, clientId) => {
      seen.connects.push({ headers, clientId });
      seen.order.push("connect");
      return (given.onConnect ? given.onConnect(headers, clientId) : {}) as User | Promise<User>;
    },
    onDisconnect: (ctx, clientId) => {
      seen.disconnects.push({ ctx, clientId });
      seen.order.push("disconnect");
      return given.onDisconnect?.(ctx, clientId) as void | Promise<void>;
    },
  });
  const { incoming, outgoing } = zo.message.use(async () => {
    await given.middleware?.();
  });
  const direct = given.middleware ? incoming : zo.message.incoming;
  const routes = {
    say: direct({ payload: given.payload ?? anything<unknown>() }),
    join: zo.message.incoming({ payload: anything<string>() }),
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
  return { ...seen, server, port: server.port, url: `ws://127.0.0.1:${server.port}`, shout };
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

export interface Answer {
  status: number;
  headers: Headers;
  body: string;
}

const FIELDS: Record<string, string> = {
  Host: "localhost",
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version": "13",
};

/** An upgrade request with some fields replaced, repeated (an array) or left out (`undefined`). */
export function request(
  changes: Record<string, string | string[] | undefined> = {},
  line = "GET / HTTP/1.1",
): string {
  const fields = Object.entries({ ...FIELDS, ...changes }).flatMap(([name, values]) =>
    [values ?? []].flat().map((value) => `${name}: ${value}\r\n`),
  );
  return `${line}\r\n${fields.join("")}\r\n`;
}

/** A masked frame, as clients send them. */
export function frame(payload: string | Uint8Array, opcode = 1, final = true): Buffer {
  const bytes = Buffer.from(payload as string);
  const mask = randomBytes(4);
  const length =
    bytes.length < 126
      ? Buffer.of(0x80 | bytes.length)
      : Buffer.of(0x80 | 126, bytes.length >> 8, bytes.length & 0xff);
  assert.ok(bytes.length < 65_536, "longer frames are not needed here");
  const masked: Uint8Array = bytes.map((byte, index) => byte ^ (mask[index % 4] as number));
  return Buffer.concat([Buffer.of((final ? 0x80 : 0) | opcode), length, mask, masked]);
}

/** A message in a masked frame. */
export const said = (payload: unknown) => frame(JSON.stringify({ type: "say", payload }));

/** A TCP connection that says exactly what it is told, and keeps every byte it gets. */
export class Raw {
  readonly socket: Socket;
  /** Resolves when the connection is over in both directions. */
  readonly ended: Promise<void>;
  #bytes = Buffer.alloc(0);
  #over = false;

  constructor(t: TestContext, port: number, ...first: (string | Uint8Array)[]) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes: Buffer) => (this.#bytes = Buffer.concat([this.#bytes, bytes])));
    this.socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.#over = true;
        resolve();
      });
    });
    for (const bytes of first) this.socket.write(bytes);
    t.after(() => this.socket.destroy());
  }

  /** One whose upgrade was answered with 101. */
  static async open(
    t: TestContext,
    port: number,
    ...args: Parameters<typeof request>
  ): Promise<Raw> {
    const raw = new Raw(t, port, request(...args));
    assert.equal((await raw.answer()).status, 101);
    return raw;
  }

  write(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  get text(): string {
    return this.#bytes.toString("latin1");
  }

  /** The HTTP answer, once all of it is there. */
  async answer(): Promise<Answer> {
    let answer: Answer | undefined;
    await until("an HTTP answer", () => (answer = this.#parse()) ?? this.#over);
    assert.ok(answer, `the connection ended after ${JSON.stringify(this.text)}`);
    return answer;
  }

  #parse(): Answer | undefined {
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [line = "", ...fields] = this.text.slice(0, end).split("\r\n");
    const headers = Object.fromEntries(
      fields.map((field) => {
        const colon = field.indexOf(":");
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
    );
    const body = this.#bytes.subarray(end + 4);
    const length = Number(headers["content-length"] ?? 0);
    if (body.length < length) return undefined;
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    return { status, headers, body: body.subarray(0, length).toString() };
  }

  /** The frames after the 101 so far. */
  frames(): { opcode: number; payload: Buffer }[] {
    const found = [];
    let at = this.#bytes.indexOf("\r\n\r\n") + 4;
    while (at + 2 <= this.#bytes.length) {
      let length = (this.#bytes[at + 1] as number) & 0x7f;
      let start = at + 2;
      if (length > 125) {
        const size = length === 126 ? 2 : 8;
        if (start + size > this.#bytes.length) break;
        length =
          size === 2 ? this.#bytes.readUInt16BE(start) : Number(this.#bytes.readBigUInt64BE(start));
        start += size;
      }
      if (start + length > this.#bytes.length) break;
      const opcode = (this.#bytes[at] as number) & 0x0f;
      found.push({ opcode, payload: this.#bytes.subarray(start, start + length) });
      at = start + length;
    }
    return found;
  }

  messages(): Message[] {
    return this.frames()
      .filter(({ opcode }) => opcode === 1)
      .map(({ payload }) => JSON.parse(payload.toString()) as Message);
  }

  /** The code of the close frame, once it is there; 1006 when the connection ended without one. */
  async closeCode(): Promise<number> {
    const frameOf = () => this.frames().find(({ opcode }) => opcode === 8);
    await until("a close frame", () => frameOf() ?? this.#over);
    return frameOf()?.payload.readUInt16BE() ?? 1006;
  }
}

/** What the server answers to these bytes. */
export const ask = (t: TestContext, port: number, ...bytes: (string | Uint8Array)[]) =>
  new Raw(t, port, ...bytes).answer();

/** Node, or another program, in a process of its own. */
export class Child {
  readonly process: ChildProcess;
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
  out = "";
  err = "";

  constructor(t: TestContext, command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.process.stdout?.on("data", (text) => (this.out += String(text)));
    this.process.stderr?.on("data", (text) => (this.err += String(text)));
    this.exit = new Promise((resolve) => {
      this.process.on("close", (code, signal) => resolve({ code, signal }));
    });
    t.after(() => this.process.kill("SIGKILL"));
  }

  /** Runs a program with a small application around it: `zo`, `router`, and what the package exports. */
  static node(t: TestContext, program: string, flags: string[] = []): Child {
    return new Child(t, process.execPath, [
      ...flags,
      "--input-type=module",
      "--eval",
      `${PRELUDE}\n${program}`,
    ]);
  }

  /** The same with so many descriptors at most, on systems that have such a limit. */
  static limited(t: TestContext, files: number, program: string): Child {
    const limit = `ulimit -n ${files} && exec "$0" "$@"`;
    const args = [process.execPath, "--input-type=module", "--eval", `${PRELUDE}\n${program}`];
    return new Child(t, "sh", ["-c", limit, ...args]);
  }

  /** What the first group of the pattern finds in the output, once it does. */
  async printed(pattern: RegExp): Promise<string> {
    let ended = false;
    void this.exit.then(() => (ended = true));
    await until(`${pattern} in the child's output`, () => pattern.test(this.out) || ended);
    const found = pattern.exec(this.out);
    assert.ok(found, `the child ended without ${pattern}:\n${this.out}${this.err}`);
    return found[1] ?? found[0];
  }

  tell(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** Asserts that it ends by itself with 0. */
  async endsWell(): Promise<void> {
    const end = await soon("the child's exit", this.exit);
    assert.deepEqual({ ...end, err: this.err }, { code: 0, signal: null, err: "" });
  }
}

const PRELUDE = `
import { createServer, zocket } from "@zocket/core";
const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
const hooks = {};
const zo = zocket.create({
  headers: anything,
  onConnect: (...args) => hooks.connect?.(...args) ?? {},
  onDisconnect: (...args) => hooks.disconnect?.(...args),
});
const routes = {
  say: zo.message.incoming({ payload: anything }),
  said: zo.message.outgoing({ payload: anything }),
};
const router = zo.router(routes, {
  say: ({ payload, ctx }) => hooks.say ? hooks.say(payload, ctx) : ctx.send.said(payload).to(ctx.clientId),
});
const tell = (server) => console.log("port " + server.port + ";");
const local = { port: 0, hostname: "127.0.0.1" };
`;

/** The port the child told with `tell(server)`. */
export const portOf = async (child: Child) => Number(await child.printed(/port (\d+);/));
