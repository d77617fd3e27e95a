// What the specs about messages share: queues with a deadline, schemas written by hand, a server that is stopped after its
// test, and clients that nobody here wrote.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import { zocket } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { WebSocket } from "ws";

/** Longest wait for anything, in ms: only a test that fails ever waits so long. */
export const PATIENCE = 45_000;

/** Settles as the promise does, or fails and says what did not happen in time. */
export function within<T>(promise: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), PATIENCE);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Waits until the condition holds. For what nothing tells us about; a {@link Queue} is better where one fits. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited too long until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A promise and the function that fulfils it. */
export function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => (open = resolve));
  return { promise, open };
}

/** Things that happen, to be waited for one by one in their order. */
export class Queue<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;

  constructor(readonly what: string) {}

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  async next(): Promise<T> {
    while (this.#items.length === 0) {
      await within(new Promise<void>((resolve) => (this.#wake = resolve)), this.what);
    }
    return this.#items.shift() as T;
  }

  async take(count: number): Promise<T[]> {
    const taken: T[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** What is there already. */
  drain(): T[] {
    return this.#items.splice(0);
  }
}

/** A schema written by hand: what `validate` returns or throws is its answer. */
export function schema<TInput = unknown, TOutput = TInput>(
  validate: (value: unknown) => unknown,
): StandardSchemaV1<TInput, TOutput> {
  const run = validate as (value: unknown) => StandardSchemaV1.Result<TOutput>;
  return { "~standard": { version: 1, vendor: "by-hand", validate: run } };
}

/** Takes every value as it is. */
export const anything = schema<unknown>((value) => ({ value }));

export const zo = zocket.create({ headers: anything });
export const { incoming, outgoing } = zo.message;

/** Routes every router here has, for {@link Talker.sync}. */
export const syncRoutes = {
  sync: incoming({ payload: anything }),
  onSync: outgoing({ payload: anything }),
};

interface SyncContext {
  readonly clientId: string;
  readonly send: { onSync(payload: unknown): { to(clientId: string): void } };
}

export const syncHandlers = {
  sync: ({ payload, ctx }: { payload: unknown; ctx: SyncContext }) =>
    ctx.send.onSync({ number: payload, clientId: ctx.clientId }).to(ctx.clientId),
};

/** What `onError` was told. */
export interface Problem {
  error: unknown;
  info: { code: string; clientId?: string | undefined; route?: string | undefined };
}

interface Stoppable {
  stop(force?: boolean): Promise<void>;
}

/** Starts a server that is stopped after the test, and keeps what its `onError` is told. */
export function serve<TServer extends Stoppable>(
  t: TestContext,
  start: (onError: (error: unknown, info: Problem["info"]) => void) => TServer,
): { server: TServer; problems: Queue<Problem> } {
  const problems = new Queue<Problem>("onError");
  const server = start((error, info) => {
    // Most applications of these specs have routes that nothing handles.
    if (info.code !== "NO_HANDLER") problems.push({ error, info });
  });
  t.after(() => server.stop(true));
  return { server, problems };
}

export interface Envelope {
  type: string;
  payload?: unknown;
}

/** The payload of a `$error` reply. */
export interface ErrorReply {
  code: string;
  route?: string;
  message: string;
  issues?: { message: string; path?: unknown[] }[];
}

/** A client made of `ws` that keeps what it receives. */
export class Talker {
  /** Set by the first {@link sync}. */
  id = "";
  readonly closed: Promise<number>;
  readonly #messages = new Queue<string>("a message");
  #syncs = 0;

  private constructor(readonly socket: WebSocket) {
    socket.on("message", (data, isBinary) => {
      assert.equal(isBinary, false, "the server sends text frames only");
      this.#messages.push(String(data));
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", resolve));
  }

  /** Opens a connection, and ends it after the test. */
  static async open(t: TestContext, url: string, headers = {}): Promise<Talker> {
    const socket = new WebSocket(url, { headers, perMessageDeflate: false, maxPayload: 0 });
    t.after(() => socket.terminate());
    const talker = new Talker(socket);
    await within(
      new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)),
      "the connection to open",
    );
    return talker;
  }

  /** {@link open}, and learns its client id: the server needs the routes of {@link syncRoutes}. */
  static async meet(t: TestContext, url: string, headers = {}): Promise<Talker> {
    const talker = await Talker.open(t, url, headers);
    assert.deepEqual(await talker.sync(), []);
    return talker;
  }

  raw(data: string | Uint8Array): void {
    this.socket.send(data);
  }

  /** Sends an envelope; one without `payload` when it is left out. */
  say(...[type, payload]: [type: string, payload?: unknown]): void {
    this.raw(JSON.stringify({ type, payload }));
  }

  async nextText(): Promise<string> {
    return this.#messages.next();
  }

  async next(): Promise<Envelope> {
    return JSON.parse(await this.nextText()) as Envelope;
  }

  /** The payload of the next message, which must be of this type. */
  async expect(type: string): Promise<unknown> {
    const message = await this.next();
    assert.equal(message.type, type, `not ${type}: ${JSON.stringify(message).slice(0, 300)}`);
    return message.payload;
  }

  async take(count: number): Promise<Envelope[]> {
    const taken: Envelope[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** Everything that arrives before the answer to a message sent now: sends to one client arrive in order. */
  async sync(): Promise<Envelope[]> {
    const number = ++this.#syncs;
    this.say("sync", number);
    const before: Envelope[] = [];
    for (;;) {
      const message = await this.next();
      const payload = message.payload as { number?: number; clientId: string } | undefined;
      if (message.type === "onSync" && payload?.number === number) {
        this.id = payload.clientId;
        return before;
      }
      before.push(message);
    }
  }

  /** Closes the connection and waits until it is. */
  async leave(): Promise<number> {
    this.socket.close(1000);
    return within(this.closed, "the connection to close");
  }
}

/** The `$error` that must come next. */
export async function reply(talker: Talker): Promise<ErrorReply> {
  const payload = (await talker.expect("$error")) as ErrorReply;
  assert.equal(typeof payload.message, "string");
  assert.notEqual(payload.message, "");
  return payload;
}

/** `throw` as an expression. */
export function raise(thrown: unknown): never {
  throw thrown;
}

/** The names of the own keys, sorted. */
export const keys = (value: object): string[] => Object.keys(value).sort();

/** Strings that break what handles text carelessly. */
export const HARD_STRINGS: readonly string[] = [
  "",
  " ",
  "naïve Ωμέγα Привет 漢字",
  // Short ones may take a way of their own.
  "é",
  "Ω",
  "߿",
  "漢",
  "😀 👩‍👩‍👧‍👦 🏳️‍🌈",
  "\u{10FFFF}",
  "\u0000",
  "a\u0000b\u0001\u001f\u007f\u0080",
  "\ud800",
  "\udc00",
  "x\udc00\ud800y",
  "\ud83d",
  "\ufeff\ufffe\uffff\ufffd",
  "\u2028\u2029",
  '"\\/\b\f\n\r\t',
  "__proto__",
  "constructor",
  "toString",
  "</script>",
  '{"type":"$error"}',
];
