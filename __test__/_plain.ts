// A plain WebSocket server made of `ws`, for the client's specs: it refuses and closes at will, as ours never would.
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { WebSocketServer, type WebSocket } from "ws";

import { Queue, within } from "./_talk.ts";

/** One connection as the plain server sees it. */
export class Visit {
  readonly messages = new Queue<{ type: string; payload?: unknown }>("a message from the client");
  readonly closed: Promise<number>;

  constructor(
    readonly socket: WebSocket,
    readonly request: IncomingMessage,
  ) {
    socket.on("message", (data) => this.messages.push(JSON.parse(String(data))));
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", resolve));
  }

  say(type: string, payload?: unknown): void {
    this.socket.send(JSON.stringify({ type, payload }));
  }

  /** The code the connection was closed with. */
  async end(): Promise<number> {
    return within(this.closed, "the client to close");
  }
}

/** Starts a plain server; it accepts upgrades as long as `accepts` says so. */
export async function startPlain(t: TestContext) {
  const state = { accepts: true, refused: 0 };
  const visits = new Queue<Visit>("a connection");
  const http = createServer();
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  http.on("upgrade", (request, socket, head) => {
    if (!state.accepts) {
      state.refused++;
      socket.on("error", () => {});
      socket.end("HTTP/1.1 503 Service Unavailable\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (socket) =>
      visits.push(new Visit(socket, request)),
    );
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  t.after(() => {
    for (const client of sockets.clients) client.terminate();
    http.close();
  });
  return { url: `ws://127.0.0.1:${port}`, visits, state };
}
