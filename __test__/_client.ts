// What the specs share of how the client connects: a client of plain routes, attempts that are counted, a dead address.
import { createServer } from "node:net";
import type { TestContext } from "node:test";

import { createZocketClient, zocket, type ClientOptions } from "@zocket/core";
import { WebSocket } from "ws";

import { anything } from "./_talk.ts";

const { message } = zocket.create({ headers: anything });
export const routes = {
  say: message.incoming({ payload: anything }),
  onSaid: message.outgoing({ payload: anything }),
};

/** A client that loses no time, closed after the test. */
export function open(t: TestContext, url: string, options: ClientOptions = {}) {
  const quick = { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 5 };
  const client = createZocketClient<typeof routes>(url, { ...quick, ...options });
  t.after(() => client.close());
  return client;
}

/** A class that counts the attempts made with it. */
export function counting() {
  const made: WebSocket[] = [];
  class Counted extends WebSocket {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols);
      made.push(this);
    }
  }
  return { made, Counted };
}

/** An address where nobody listens any more. */
export async function deadUrl(): Promise<string> {
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  return `ws://127.0.0.1:${port}`;
}

/** Passes once the methods that were called have told what they had to. */
export const told = () => Promise.resolve().then(() => {});
