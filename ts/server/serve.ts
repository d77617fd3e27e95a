// Puts the parts together around a listening engine, and returns their public face.
import { Commands } from "../border/commands.js";
import { HandOver } from "../border/hand-over.js";
import { setTls, type Native, type NativeMetrics, type StartNative } from "../border/native.js";
import { Admissions } from "../connections/admissions.js";
import { Disconnects } from "../connections/disconnects.js";
import { Clients } from "../context/clients.js";
import { Outlet } from "../context/send.js";
import { Faults } from "../faults/report.js";
import { Held } from "../messages/held.js";
import { InFlight } from "../messages/in-flight.js";
import { Messages } from "../messages/messages.js";
import type { AnyRoutes } from "../types/routes.js";
import { Scope } from "../user-code/scope.js";
import { Turn } from "../user-code/turn.js";
import { callbacksOf, endingOf, ownOptions, tableOf } from "./arguments.js";
import { Dispatch } from "./dispatch.js";
import { Stop } from "./stop.js";
import type { ServerMetrics, ZocketServer } from "./types.js";

/** Starts to listen at once, and returns the server. The engine is an argument, so that a test can play it. */
export function serve(
  start: StartNative,
  appRouter: unknown,
  zo: unknown,
  options: unknown = {},
): ZocketServer<AnyRoutes> {
  const { incoming, outgoing } = tableOf(appRouter);
  const { headersSchema, onConnect, onDisconnect } = callbacksOf(zo);
  const { onError, allowedOrigins } = ownOptions(options);

  const names = outgoing.map(({ name }) => name);
  const scope = new Scope();
  const turn = new Turn();
  const faults = new Faults(onError, scope, turn);
  const clients = new Clients();
  // `undefined` while the engine starts, and if it could not start.
  let running: Native | undefined;
  const handOver = new HandOver(
    (commands, length, text, size) => running?.submit(commands, length, text, size),
    (error) => scope.run(faults.report, faults, error, "INTERNAL"),
  );
  const commands = new Commands(handOver);
  const sentEarly = (error: Error, clientId: string) =>
    scope.run(faults.report, faults, error, "CONNECT", clientId);
  const inProduction = process.env["NODE_ENV"] === "production";
  const outlet = new Outlet(commands, clients, names, inProduction ? undefined : sentEarly);
  const held = new Held(clients, commands, faults, scope);
  const inFlight = new InFlight(held, faults);
  const messages = new Messages(incoming, { outlet, faults, scope, held, inFlight, turn });
  const disconnects = new Disconnects(onDisconnect, faults, scope, turn);
  const gate = { allowedOrigins, headersSchema, onConnect };
  const admissions = new Admissions(gate, clients, commands, faults, disconnects, scope);
  const stop = new Stop(handOver, disconnects, faults, held, messages, scope);
  const users = { admissions, messages, disconnects, stop };
  const dispatch = new Dispatch({
    ...users,
    handOver,
    clients,
    commands,
    faults,
    held,
    scope,
    turn,
  });

  // Last, so that nothing listens if anything above throws.
  const incomingNames = incoming.map(({ name }) => name);
  const native = start(options as object, incomingNames, [...outgoing], () => {
    if (running) dispatch.ring(running);
  });
  running = native;
  stop.attach(native);
  held.attach(native);
  outlet.maxRooms = native.maxRoomsPerClient;
  inFlight.maxCalls = native.maxHandlersInFlight;
  inFlight.maxBytes = native.maxPayload;

  const { port, hostname } = native;
  const clientCount = () => native.opened() - dispatch.ended;
  return {
    port,
    hostname,
    url: `${native.secure ? "wss" : "ws"}://${hostOf(hostname)}:${port}`,
    send: outlet.send,
    publish: (room, route, ...[payload]) =>
      outlet.publish("server", "publish", room, route, payload),
    clientCount,
    metrics: () => metricsOf(native.metrics(), clientCount()),
    setTls: (material) => setTls(native, material),
    stop: (how) => stop.stop(endingOf(how)),
    ref() {
      // After the end of the server, nothing would let Node exit again.
      if (stop.isOver) return;
      turn.holds = true;
      native.ref();
    },
    unref() {
      turn.holds = false;
      native.unref();
    },
  };
}

/** The host of the URL that reaches an address. */
function hostOf(address: string): string {
  if (address === "0.0.0.0" || address === "::") return "localhost";
  return address.includes(":") ? `[${address}]` : address;
}

/** The engine's counters, whatever they are. */
function metricsOf(native: NativeMetrics, connections: number): ServerMetrics {
  // Copied, as the engine's binding makes its objects in the realm that the addon was loaded in.
  const copies = Object.entries(native).map(([name, value]) => {
    return [name, typeof value === "number" ? value : { ...value }];
  });
  return { connections, ...Object.fromEntries(copies) } as ServerMetrics;
}
