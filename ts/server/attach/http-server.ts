// Another server of Node that speaks HTTP: what it must be, where it listens, and how it lets go of a connection.
import type { IncomingMessage } from "node:http";
import { Server as NetServer, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Server as TlsServer } from "node:tls";

import { hostOf, schemeOf, type Place } from "../place.js";

/** A listener of `"upgrade"`. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** What an `http.Server`, an `https.Server` and an `Http2SecureServer` that takes HTTP/1 have in common. */
export interface HttpServer extends NetServer {
  readonly headersTimeout: number;
  /** Newer versions of Node ask it whether a request is to be an upgrade, or an ordinary one. */
  shouldUpgradeCallback?: (request: IncomingMessage) => boolean;
}

/** Whether the value is such a server. An HTTP/2 server that does not take HTTP/1 has no use for the deadlines of HTTP/1. */
export function isHttpServer(value: unknown): value is HttpServer {
  return value instanceof NetServer && "headersTimeout" in value;
}

/** Where clients reach the server, at each moment. */
export function placeOfServer(server: HttpServer): Place {
  const scheme = schemeOf(server instanceof TlsServer);
  // Node tells the path of a Unix-domain socket also when the server has closed it.
  const addressOf = () => (server.listening ? server.address() : null);
  return {
    get port() {
      const address = addressOf();
      return typeof address === "object" && address ? address.port : 0;
    },
    get hostname() {
      const address = addressOf();
      return typeof address === "object" && address ? address.address : "";
    },
    get url() {
      const address = addressOf();
      if (address === null) return "";
      if (typeof address === "string") return `${scheme}+unix:${address}`;
      return `${scheme}://${hostOf(address.address)}:${address.port}`;
    },
  };
}

/** What Node keeps at a socket, beside what it documents. */
export interface Inner extends Socket {
  /** Its response under way, and after that the next one of pipelined requests. */
  readonly _httpMessage?: NodeJS.EventEmitter | null;
  readonly _handle?: {
    readonly fd?: number;
    readonly writeQueueSize?: number;
    readStop?(): void;
  } | null;
  /** What reads HTTP from it, until the upgrade. */
  readonly parser?: object | null;
  /** The socket below TLS. */
  readonly _parent?: Inner | null;
  /** The server that counts it. */
  _server?: { _connections: number; _emitCloseIfDrained?(): void } | null;
}

/** Whether a socket, or the one below its TLS, is that of a TCP connection, which may be closed already. */
export function isOfTcp(socket: Inner): boolean {
  let below = socket;
  while (below._parent) below = below._parent;
  return below instanceof Socket && (below._handle?.constructor.name ?? "TCP") === "TCP";
}

/** Lets the server of a socket close without it, as if the socket were closed. */
export function release(socket: Inner): void {
  for (let it: Inner | null | undefined = socket; it; it = it._parent) {
    const server = it._server;
    if (!server) continue;
    it._server = null;
    server._connections -= 1;
    server._emitCloseIfDrained?.();
  }
}
