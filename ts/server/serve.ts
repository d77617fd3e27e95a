// Puts the parts together around a listening engine, and returns their public face.
import { Commands } from "../border/commands.js";
import { HandOver } from "../border/hand-over.js";
import { setTls, type Native, type NativeIncoming, type StartNative } from "../border/native.js";
import { Joined } from "../bus/joined.js";
import { busMetricsOf } from "../bus/metrics.js";
import { nativeBusOf } from "../bus/settings.js";
import { Admissions } from "../connections/admissions.js";
import { Disconnects } from "../connections/disconnects.js";
import { Openings } from "../connections/openings.js";
import { Clients } from "../context/clients.js";
import { methodsOf } from "../context/from-outside.js";
import { serialiserOf, toPayloadOf } from "../context/outgoing-payload.js";
import { Outlet } from "../context/send.js";
import { UnsentWatch } from "../context/unsent.js";
import { isBytes } from "../contract/bytes.js";
import { Faults, type ClientFault } from "../faults/report.js";
import { Calls } from "../messages/calls.js";
import { Handling } from "../messages/handling.js";
import { Held } from "../messages/held.js";
import { InFlight } from "../messages/in-flight.js";
import { Messages } from "../messages/messages.js";
import { Refusals } from "../messages/refusals.js";
import { codesOf, routesOf } from "../messages/route.js";
import type { AnyRoutes, IncomingRoute } from "../types/routes.js";
import { Scope } from "../user-code/scope.js";
import { Turn } from "../user-code/turn.js";
import {
  callbacksOf,
  endingOf,
  isEverywhere,
  ownOptions,
  tableOf,
  transformerOf,
  type From,
} from "./arguments.js";
import { Dispatch } from "./dispatch.js";
import { Stop } from "./stop.js";
import { Entrance } from "./attach/entrance.js";
import { placeOfServer } from "./attach/http-server.js";
import { checkPath } from "./attach/reception.js";
import { Hold } from "./hold.js";
import { tellMissing } from "./missing-handlers.js";
import { givenOf } from "./given.js";
import { NOWHERE, placeOf, placeOfPath, type Place } from "./place.js";
import type { AnyServer, ServerMetrics, ZocketServer } from "./types.js";

/** Starts to listen at once, and returns the server. The engine is an argument, so that a test can play it. */
export function serve(
  start: StartNative,
  appRouter: unknown,
  zo: unknown,
  options: unknown = {},
): ZocketServer<AnyRoutes> {
  const table = tableOf(appRouter);
  const { incoming, outgoing, missing } = table;
  const { headersSchema, onConnect, onOpen, onDisconnect } = callbacksOf(zo);
  const transformer = transformerOf(table, zo);
  const { onError, allowedOrigins, validateOutgoing, from, bus: joins } = ownOptions(options);
  if (from.server) checkPath(from.server, from.path);

  const scope = new Scope();
  const turn = new Turn();
  const faults = new Faults(onError, scope, turn);
  const clients = new Clients();
  const reportInternal = (error: unknown) => scope.run(faults.report, faults, error, "INTERNAL");
  // `undefined` while the engine starts, and if it could not start.
  let running: Native | undefined;
  const handOver = new HandOver(
    (commands, length, text, size) => running?.submit(commands, length, text, size),
    reportInternal,
  );
  const commands = new Commands(handOver);
  const sentEarly = (error: Error, clientId: string) =>
    scope.run(faults.report, faults, error, "CONNECT", clientId);
  const unsent = (error: ClientFault, route: string) =>
    scope.run(faults.notice, faults, error, "UNSENT", route);
  const hints = { sentEarly, unsent: new UnsentWatch(unsent) };
  const inProduction = process.env["NODE_ENV"] === "production";
  const toPayload = toPayloadOf(validateOutgoing, transformer);
  const watched = inProduction ? undefined : hints;
  const outlet = new Outlet(commands, clients, outgoing, toPayload, watched);
  const held = new Held(clients, commands, faults, scope);
  const inFlight = new InFlight(held, faults);
  const calls = new Calls(commands);
  outlet.closing.onClosing = (client) => scope.run(calls.ended, calls, client);
  const refusals = new Refusals(commands, calls, faults);
  const answering = { scope, held, inFlight, turn, calls, refusals };
  const handling = new Handling({ ...answering, serialise: serialiserOf(transformer) });
  const messages = new Messages(routesOf(incoming, transformer), {
    ...answering,
    outlet,
    handling,
  });
  const disconnects = new Disconnects(onDisconnect, faults, scope, turn);
  const openings = new Openings(onOpen, { outlet, disconnects, faults, scope, turn });
  const gate = { allowedOrigins, headersSchema, onConnect, announces: openings.areWanted };
  const admissions = new Admissions(gate, clients, commands, faults, disconnects, scope);
  const bus = new Joined(joins, commands, handOver, faults);
  const stop = new Stop(handOver, disconnects, faults, held, messages, scope, bus);
  const users = { admissions, openings, messages, disconnects, stop };
  const dispatch = new Dispatch({
    ...users,
    bus,
    handOver,
    clients,
    calls,
    outlet,
    commands,
    faults,
    held,
    scope,
    turn,
  });

  // Last, so that nothing listens if anything above throws.
  const bell = () => {
    if (running) dispatch.ring(running);
  };
  const given = from.isShared ? givenOf(options as object, table) : [];
  const numbered = incoming.map(answersOf);
  const onBus = nativeBusOf(joins);
  const native = start(options as object, numbered, [...outgoing], bell, given, onBus);
  running = native;
  stop.attach(native);
  stop.onOver = () => outlet.orders.close();
  held.attach(native);
  bus.attach(native);
  outlet.hasOthers = joins !== undefined || native.isShared;
  outlet.maxRooms = native.maxRoomsPerClient;
  outlet.questions.attach(native.shards, joins !== undefined);
  outlet.orders.attach(native, () => handOver.flush());
  openings.timeout = native.handshakeTimeout;
  inFlight.maxCalls = native.maxHandlersInFlight;
  inFlight.maxBytes = native.maxPayload;
  handling.maxUnacknowledged = native.maxBackpressure / 2;

  const isGuest = from.server !== undefined || from.noServer === true;
  const hold = new Hold(native, !isGuest);
  const entrance = isGuest ? new Entrance(native, reportInternal) : undefined;
  if (isGuest) clients.onPresence = (hasClients) => hold.clients(hasClients);
  if (from.server) entrance?.attach(from.server, from.path);
  // It goes on to answer upgrades while connections are drained.
  void stop.closed.then(() => entrance?.detach());
  tellMissing(missing, faults, scope);

  const place = placeOfOptions(native, from);
  const clientCount = () =>
    native.isShared
      ? native.workers().reduce((sum, { connections }) => sum + connections, 0)
      : native.opened() - dispatch.ended;
  return {
    get port() {
      return place.port;
    },
    get hostname() {
      return place.hostname;
    },
    get url() {
      return place.url;
    },
    send: outlet.send,
    publish: (room, route, ...[payload, options]) =>
      outlet.publish("server", "publish", room, route, payload, options),
    ...methodsOf(outlet, "server"),
    clientCount: ((options?: unknown) =>
      isEverywhere(options)
        ? outlet.questions.clients(clientCount)
        : clientCount()) as AnyServer["clientCount"],
    ready: () => bus.ready(),
    synced: () => bus.synced(),
    metrics: () => ({ ...metricsOf(native, clientCount()), ...sharedOf(native) }),
    setTls: (material) => setTls(native, material),
    stop(how) {
      const { how: ending, ofAll } = endingOf(how);
      hold.stop();
      if (typeof ending !== "number") entrance?.detach();
      return stop.stop(ending, ofAll);
    },
    ref() {
      // After the end of the server, nothing would let Node exit again.
      if (stop.isOver) return;
      turn.holds = true;
      entrance?.hold(true);
      hold.want(true);
    },
    unref() {
      turn.holds = false;
      entrance?.hold(false);
      hold.want(false);
    },
    handleUpgrade(request, socket, head) {
      if (from.noServer !== true || !entrance) {
        throw new TypeError("server.handleUpgrade: expected a server with options.noServer");
      }
      entrance.handle(request, socket, head);
    },
  };
}

/** What the engine knows of a route. */
function answersOf({ name, schema, reply, stream, errors }: IncomingRoute): NativeIncoming {
  const answers = stream ? "stream" : reply ? "reply" : "none";
  return { name, answers, errors: [...codesOf(errors)], bytes: isBytes(schema) };
}

/** Where clients reach the server. */
function placeOfOptions(native: Native, { server, noServer, socketPath }: From): Place {
  if (server) return placeOfServer(server);
  if (noServer === true) return NOWHERE;
  const { hostname, port, secure } = native;
  return socketPath === undefined
    ? placeOf(hostname, port, secure)
    : placeOfPath(socketPath, secure);
}

/** What is counted of a server that several threads share. */
function sharedOf(native: Native): Pick<ServerMetrics, "workers" | "orphaned"> {
  if (!native.isShared) return {};
  const workers = native.workers().map(({ connections, isThis }) => ({ connections, isThis }));
  return { workers, orphaned: native.orphaned() };
}

/** The engine's counters, whatever they are. */
function metricsOf(native: Native, connections: number): ServerMetrics {
  // Copied, as the engine's binding makes its objects in the realm that the addon was loaded in.
  const copies = Object.entries(native.metrics()).map(([name, value]) => {
    return [name, typeof value === "number" ? value : { ...value }];
  });
  const counters = { connections, ...Object.fromEntries(copies) } as ServerMetrics;
  const bus = busMetricsOf(native);
  return bus ? { ...counters, bus } : counters;
}
