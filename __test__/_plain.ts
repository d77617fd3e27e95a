// A plain WebSocket server made of `ws`, for the client's specs: it refuses and closes at will, as ours never would. It speaks
// `zocket.1` with those who offer it.
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

  /** The headers that the client sent in a subprotocol. */
  get headers(): unknown {
    const [, token = ""] = this.request.headers["sec-websocket-protocol"]?.split(/, ?/) ?? [];
    return token && JSON.parse(Buffer.from(token.slice(9), "base64url").toString());
  }

  say(type: string, payload?: unknown): void {
    this.socket.send(JSON.stringify({ type, payload }));
  }

  /** The code the connection was closed with. */
  async end(): Promise<number> {
    return within(this.closed, "the client to close");
  }
}

/** What the server does with the next connection. */
interface State {
  /** Whether it answers upgrades with 101, or with 503. */
  accepts: boolean;
  /** How many it answered with 503. */
  refused: number;
  /** Whether it chooses a subprotocol. */
  speaks: boolean;
  /** The first message to those who speak `zocket.1`; none where there is none. */
  first: { type: string; payload?: unknown } | undefined;
}

/** Starts a plain server, which goes by its state. */
export async function startPlain(t: TestContext) {
  const welcome = { clientId: "c1", maxPayload: 1024 * 1024 * 1024, heartbeatInterval: 30_000 };
  const state: State = {
    accepts: true,
    refused: 0,
    speaks: true,
    first: { type: "$welcome", payload: welcome },
  };
  const visits = new Queue<Visit>("a connection");
  const http = createServer();
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: 0,
    handleProtocols: (offered) => (state.speaks && offered.has("zocket.1") ? "zocket.1" : false),
  });
  http.on("upgrade", (request, socket, head) => {
    if (!state.accepts) {
      state.refused++;
      socket.on("error", () => {});
      socket.end("HTTP/1.1 503 Service Unavailable\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (socket) => {
      const visit = new Visit(socket, request);
      if (socket.protocol !== "" && state.first) visit.say(state.first.type, state.first.payload);
      visits.push(visit);
    });
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
