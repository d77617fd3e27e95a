// What the specs share of how the client connects: a client of plain routes, attempts that are counted, a dead address.
import type { TestContext } from "node:test";

import { createZocketClient, zocket, type ClientOptions } from "@zocket/core";
import { WebSocket } from "ws";

import { freePort } from "./_port.ts";
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
  return `ws://127.0.0.1:${await freePort()}`;
}

/** Passes once the methods that were called have told what they had to. */
export const told = () => Promise.resolve().then(() => {});
