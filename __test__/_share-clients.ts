// Clients of a server that threads share, and the servers of two threads.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";

import WebSocket from "ws";

import { Sharing } from "./_share.ts";
import { soon, until } from "./_wait.ts";

interface Envelope {
  readonly type: string;
  readonly id?: number;
  readonly payload?: unknown;
}

/** A client nobody here wrote. */
export class Client {
  readonly got: Envelope[] = [];
  code: number | undefined;
  readonly #socket: WebSocket;
  #number = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => this.got.push(JSON.parse(String(data)) as Envelope));
    socket.on("close", (code) => (this.code = code));
    socket.on("error", () => {});
  }

  static async open(t: TestContext, url: string): Promise<Client> {
    const socket = new WebSocket(url);
    t.after(() => socket.terminate());
    const client = new Client(socket);
    await soon("the 101", once(socket, "open"));
    return client;
  }

  send(type: string, payload: unknown): void {
    this.#socket.send(JSON.stringify({ type, payload }));
  }

  async call<T>(type: string, payload: unknown): Promise<T> {
    const id = ++this.#number;
    this.#socket.send(JSON.stringify({ id, type, payload }));
    await until(`the reply of ${type}`, () => this.got.some((it) => it.id === id));
    return this.got.find((it) => it.id === id)?.payload as T;
  }

  who(): Promise<{ worker: string; id: string }> {
    return this.call("who", 0);
  }

  close(): void {
    this.#socket.close();
  }
}

let shares = 0;
/** A name that no other test has. */
export const name = () => `share ${++shares}`;

/** Two workers of one server. */
export async function two(t: TestContext, options: object = {}) {
  const share = name();
  const a = await Sharing.start(t, share, "a", options);
  const b = await Sharing.start(t, share, "b", options);
  assert.equal(a.started.message ?? b.started.message, undefined);
  assert.equal(a.url, b.url);
  return { a, b, share };
}

/** The close code that a client gets. */
export const codeOf = async (client: Client) => {
  await until("the close", () => client.code !== undefined);
  return client.code;
};
