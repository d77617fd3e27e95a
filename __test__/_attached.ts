// Applications on HTTP servers of Node, of each kind.
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener, type Server } from "node:http";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

import type { ServerOptions } from "@zocket/core";

import { Authority } from "./_certificates.ts";
import { serve, type App, type Given } from "./_support.ts";
import { soon } from "./_wait.ts";

const { cert, key } = new Authority().issue();

/** The kinds of HTTP servers: the first is taken over, the others are pumped. */
export const KINDS = ["http", "https", "http2", "unix"] as const;
export type Kind = (typeof KINDS)[number];

const onRequest: RequestListener = (request, response) => {
  request.resume();
  response.end(`got ${request.url}`);
};

/** An HTTP server that does not listen yet. */
export function httpServer(kind: Kind = "http", listener: RequestListener = onRequest): Server {
  if (kind === "https") return createHttpsServer({ cert, key }, listener);
  if (kind === "http2") {
    const options = { cert, key, allowHTTP1: true };
    return createSecureServer(options, listener as never) as unknown as Server;
  }
  return createHttpServer(listener);
}

/** The options for an application on an HTTP server. */
export const on = (server: unknown, more: ServerOptions = {}): ServerOptions =>
  ({ port: undefined, hostname: undefined, path: "/ws", server, ...more }) as ServerOptions;

/** An application on an HTTP server that listens. */
export interface Attached {
  readonly app: App;
  readonly http: Server;
  /** Of the path `/ws`, for `ws` clients. */
  readonly url: string;
  readonly port: number;
}

/** Makes an HTTP server listen; returns its URL for `ws` clients, without a path. */
export async function listen(t: TestContext, http: Server, kind: Kind = "http"): Promise<string> {
  let url: string;
  if (kind === "unix") {
    const folder = mkdtempSync(path.join(tmpdir(), "zocket-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, "http.sock");
    http.listen(file);
    await soon("listening", once(http, "listening"));
    url = `ws+unix://${file}:`;
  } else {
    http.listen(0, "127.0.0.1");
    await soon("listening", once(http, "listening"));
    url = `${kind === "http" ? "ws" : "wss"}://127.0.0.1:${portOf(http)}`;
  }
  t.after(() => {
    http.closeAllConnections?.();
    http.close();
  });
  return url;
}

export function portOf(http: Server): number {
  const address = http.address();
  return typeof address === "object" && address ? address.port : 0;
}

/** How many sockets this process has open. Only Linux tells. */
export const sockets = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      // It was closed between the two looks.
      return false;
    }
  }).length;

/** Starts an application on a new HTTP server. */
export async function attached(
  t: TestContext,
  { kind = "http" as Kind, given = {} as Given, listener = onRequest } = {},
): Promise<Attached> {
  const http = httpServer(kind, listener);
  const app = serve(t, { ...given, options: on(http, given.options) });
  const url = await listen(t, http, kind);
  return { app, http, url: `${url}/ws`, port: portOf(http) };
}

/** What `ws` needs to trust the certificate. */
export const trusting = { rejectUnauthorized: false };
