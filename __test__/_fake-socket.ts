// A WebSocket class that does what the test says, and a clock that the test moves: what real sockets do too seldom to wait for.
import assert from "node:assert/strict";
import { afterEach, beforeEach, type TestContext } from "node:test";

import type {
  ClientOptions,
  IncomingMessage,
  OutgoingMessage,
  StandardSchemaV1,
} from "@zocket/core";
import { createZocketClient } from "@zocket/core/client";

export type Routes = {
  chat: {
    message: IncomingMessage<StandardSchemaV1<string>>;
    onMessage: OutgoingMessage<StandardSchemaV1<string>>;
  };
};

export const MIB = 1024 * 1024;
/** What a server says when it admits a client. */
export const WELCOME = { clientId: "c1", maxPayload: 1024 * MIB, heartbeatInterval: 30_000 };
/** Longer than any wait for the first new attempt: 1 s and a quarter. */
export const FIRST_DELAY = 1250;

/** A WebSocket whose events come when the test says so. */
export class Fake {
  static all: Fake[] = [];
  static get last(): Fake {
    const last = Fake.all.at(-1);
    assert.ok(last, "nothing connected");
    return last;
  }

  binaryType = "blob";
  readyState = 0;
  readonly url: string;
  readonly protocols: readonly string[];
  protocol = "";
  readonly sent: string[] = [];
  readonly closes: (number | undefined)[] = [];
  readonly #listeners = new Map<string, ((event: never) => void)[]>();

  constructor(url: string, protocols: string[] = []) {
    this.url = url;
    this.protocols = protocols;
    Fake.all.push(this);
  }
  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(code?: number): void {
    this.closes.push(code);
    if (this.readyState < 2) this.readyState = 2;
  }

  emit(type: string, event: object = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event as never);
  }
  /** The 101 comes. */
  connect(protocol = this.protocols[0] ?? ""): this {
    this.readyState = 1;
    this.protocol = protocol;
    this.emit("open");
    return this;
  }
  /** The 101 comes and, if the client speaks `zocket.1`, the welcome. */
  open(welcome: object = {}): this {
    this.connect();
    if (this.protocol === "zocket.1") this.say("$welcome", { ...WELCOME, ...welcome });
    return this;
  }
  /** The headers that the client sent. */
  get headers(): unknown {
    const [, token = ""] = this.protocols;
    return token && JSON.parse(Buffer.from(token.slice(9), "base64url").toString());
  }
  /** A message comes. */
  say(type: string, payload?: unknown): void {
    this.emit("message", { data: JSON.stringify({ type, payload }) });
  }
  end(code = 1006, reason = "", wasClean = false): void {
    this.readyState = 3;
    this.emit("close", { code, reason, wasClean });
  }
  get payloads(): unknown[] {
    return this.sent.map((text) => (JSON.parse(text) as { payload?: unknown }).payload);
  }
}

/** Clients that tests made, each with a deadline for its attempt. */
const clients: { close(): void }[] = [];

export function connect(options: ClientOptions = {}, url: string | URL = "ws://localhost:3000") {
  const client = createZocketClient<Routes>(url, { WebSocket: Fake, ...options });
  clients.push(client);
  return client;
}

/** A clock that stands until the test moves it. */
export function clock(t: TestContext): (ms: number) => void {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  return (ms) => t.mock.timers.tick(ms);
}

beforeEach(() => void (Fake.all = []));
afterEach(() => clients.splice(0).forEach((client) => client.close()));
