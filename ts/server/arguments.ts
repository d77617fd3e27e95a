// Checks the arguments of `createServer` that JavaScript uses. The engine checks the other options.
import { knownBus, type KnownBus } from "../bus/settings.js";
import type { Gate } from "../connections/admissions.js";
import type { OnDisconnect } from "../connections/disconnects.js";
import type { OnOpen } from "../connections/openings.js";
import {
  isFunction,
  isObject,
  isOptions,
  isPlainObject,
  isSchema,
  unexpected,
} from "../faults/check.js";
import type { OnError } from "../faults/report.js";
import type { RouteTable } from "../types/routes.js";
import type { Transformer } from "../types/transformer.js";
import { refuseUnknown } from "../unknown-options.js";
import { isHttpServer, type HttpServer } from "./attach/http-server.js";
import type { How } from "./stop.js";
import type { ServerOptions } from "./types.js";

/** Longest drain in ms, as for JavaScript's own timers: about 24.8 days. */
const MAX_DRAIN = 2 ** 31 - 1;

/** The numbered routes of what `zo.router` returned. */
export function tableOf(appRouter: unknown): RouteTable {
  const table = isObject(appRouter) && (appRouter as { readonly _table?: unknown })._table;
  if (isObject(table)) {
    const { incoming, outgoing, missing } = table as {
      readonly [name in keyof RouteTable]?: unknown;
    };
    const lists = [incoming, outgoing, missing];
    if (lists.every(Array.isArray)) return table as RouteTable;
  }
  throw unexpected("createServer: appRouter", "the router that zo.router returned", appRouter);
}

/** The schema and the callbacks that `zocket.create` was given. */
export function callbacksOf(zo: unknown): Omit<Gate, "allowedOrigins" | "announces"> & {
  readonly onOpen: OnOpen | undefined;
  readonly onDisconnect: OnDisconnect | undefined;
} {
  if (isObject(zo) && "headersSchema" in zo && isSchema(zo.headersSchema)) {
    const { headersSchema, onConnect, onOpen, onDisconnect } = zo as ReturnType<typeof callbacksOf>;
    if ([onConnect, onOpen, onDisconnect].every(isOptionalFunction)) {
      return { headersSchema, onConnect, onOpen, onDisconnect };
    }
  }
  throw unexpected("createServer: zo", "the object that zocket.create returned", zo);
}

/** The transformer that both arguments agree on, if there is one. */
export function transformerOf(table: RouteTable, zo: unknown): Transformer | undefined {
  const { transformer } = zo as { readonly transformer?: Transformer };
  if (table.transformer === transformer) return transformer;
  throw new TypeError(
    "createServer: zo: expected the transformer that appRouter was made with, got another one or none",
  );
}

/** The options that concern JavaScript. */
export function ownOptions(options: unknown): {
  readonly onError: OnError | undefined;
  readonly allowedOrigins: Gate["allowedOrigins"];
  readonly validateOutgoing: boolean;
  /** Where clients come from, if not from a port of our own; the engine checks what is combined. */
  readonly from: From;
  readonly bus: KnownBus | undefined;
} {
  if (!isOptions(options)) throw unexpected("createServer: options", "an object", options);
  const {
    onError,
    allowedOrigins,
    validateOutgoing,
    server,
    noServer,
    path,
    socketPath,
    share,
    bus,
  } = options as {
    readonly [name in keyof ServerOptions]?: unknown;
  };
  refuseObserve(options);
  if (!isOptionalFunction(onError)) {
    throw unexpected("createServer: options.onError", "a function", onError);
  }
  if (validateOutgoing !== undefined && typeof validateOutgoing !== "boolean") {
    throw unexpected("createServer: options.validateOutgoing", "true or false", validateOutgoing);
  }
  if (server !== undefined && !isHttpServer(server)) {
    const expected = "an http.Server, an https.Server or an Http2SecureServer with allowHTTP1";
    throw unexpected("createServer: options.server", expected, server);
  }
  return {
    bus: bus === undefined ? undefined : knownBus("createServer: options.bus", bus),
    from: {
      server,
      path: path as string,
      socketPath: socketPath as string,
      noServer,
      isShared: share !== undefined,
    },
    onError: onError as OnError | undefined,
    validateOutgoing: validateOutgoing === true,
    allowedOrigins:
      typeof allowedOrigins === "function" ? (allowedOrigins as Gate["allowedOrigins"]) : undefined,
  };
}

/** Probes come to a port of ours. Somebody else's HTTP server answers them itself. */
function refuseObserve(options: object): void {
  const { observe } = options as { readonly observe?: unknown };
  if (observe === undefined) return;
  for (const name of ["server", "noServer"] as const) {
    const { [name]: other } = options as { readonly [name in "server" | "noServer"]?: unknown };
    if (other === undefined || other === false) continue;
    throw new TypeError(
      `createServer: options.observe: cannot be combined with ${name}, as the server has no port of its own then`,
    );
  }
}

/** Where clients come from. */
export interface From {
  readonly server: HttpServer | undefined;
  readonly path: string;
  readonly socketPath: string | undefined;
  readonly noServer: unknown;
  /** Whether other threads may share the server. */
  readonly isShared: boolean;
}

/** The names that Node gives to listeners of signals, as in `process.on("SIGTERM", server.stop)`. */
const SIGNAL = /^SIG[A-Z\d]+$/;

/** Reads the argument of `stop`. What an event hands to its listeners means nothing: the name of a signal, or an object of a class. */
export function endingOf(how: unknown): { readonly how: How; readonly ofAll: boolean } {
  if (how === true) return { how: "cut", ofAll: false };
  const isNothing = how === undefined || how === false;
  if (isNothing || (typeof how === "string" && SIGNAL.test(how))) {
    return { how: "close", ofAll: false };
  }
  if (!isOptions(how)) {
    throw unexpected("server.stop", "true, false or an object { drain }", how);
  }
  const { drain = 0, share = false } = how as {
    readonly drain?: unknown;
    readonly share?: unknown;
  };
  if (isPlainObject(how)) {
    // Only for servers that threads share, so it is not proposed.
    const others: { share?: unknown } = { ...how };
    delete others.share;
    refuseUnknown("server.stop: options.", others, ["drain"]);
  }
  if (typeof share !== "boolean") {
    throw unexpected("server.stop: options.share", "true or false", share);
  }
  if (typeof drain !== "number" || !(drain >= 0 && drain <= MAX_DRAIN)) {
    const expected = "a number of milliseconds from 0 to 2147483647";
    throw unexpected("server.stop: options.drain", expected, drain);
  }
  const milliseconds = Math.round(drain);
  return { how: milliseconds === 0 ? "close" : milliseconds, ofAll: share };
}

/** Reads the argument of `clientCount`: whether the clients of all processes are meant. */
export function isEverywhere(options: unknown): boolean {
  if (options === undefined) return false;
  const place = "server.clientCount: options";
  if (!isObject(options) || !isPlainObject(options)) {
    throw unexpected(place, "an object { everywhere? }", options);
  }
  refuseUnknown(`${place}.`, options, ["everywhere"]);
  const { everywhere = false } = options as { readonly everywhere?: unknown };
  if (typeof everywhere === "boolean") return everywhere;
  throw unexpected(`${place}.everywhere`, "true or false", everywhere);
}

function isOptionalFunction(value: unknown): boolean {
  return value === undefined || isFunction(value);
}
