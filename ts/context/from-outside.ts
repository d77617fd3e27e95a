// `members`, `roomSize`, `join`, `leave` and `disconnect` of a server and of a publisher: what is asked about clients, and done with them,
// from outside their handlers. Clients of this thread are dealt with at once. For the others it is an order, which their owner
// carries out here, too.
import { ORDER } from "../border/codes.js";
import { provokedBy } from "../faults/client-fault.js";
import { clientIds } from "./client-ids.js";
import type { Client } from "./clients.js";
import { closeFrame, type CloseFrame } from "./closing.js";
import { operationsOf } from "./operations.js";
import { tooManyRooms, type Act, type Order } from "./orders.js";
import { roomName, roomNames } from "./room-name.js";
import { ClientRooms } from "./rooms.js";
import type { Outlet } from "./send.js";

/** Clients that may not be in another room, and the rule of the first. */
interface Refused {
  readonly clientIds: string[];
  rule: string | undefined;
}

/** The methods. `place` is what errors call the object that has them. */
export function methodsOf(outlet: Outlet, place: "server" | "publisher") {
  const { questions } = outlet;
  return {
    members: (roomId: unknown) => questions.members(roomName(roomId, place, "members")),
    roomSize: (roomId: unknown) => questions.size(roomName(roomId, place, "roomSize")),
    join: (clientIds: unknown, roomIds: unknown) => joinRooms(outlet, place, clientIds, roomIds),
    leave: (clientIds: unknown, roomIds: unknown) => leaveRooms(outlet, place, clientIds, roomIds),
    disconnect: (clientIds: unknown, how?: unknown) => disconnect(outlet, place, clientIds, how),
  };
}

/** Puts clients into rooms. A client that may not be in another room keeps nobody else out. */
function joinRooms(outlet: Outlet, place: string, ids: unknown, rooms: unknown): Promise<void> {
  const method = `${place}.join`;
  const [clients, names] = [clientIds(ids, method), roomNames(rooms, place, "join")];
  const here = clients.map((id) => outlet.find(id, place, "join", "it joins no room"));
  const refused = join(outlet, here, names);
  const done = order(outlet, method, { act: ORDER.JOIN, rooms: names }, clients, here);
  if (refused.rule === undefined) return done;
  // The caller hears of what happened here. It cannot wait for the rest then.
  done.catch(() => {});
  throw provokedBy(tooManyRooms(method, refused.rule, refused.clientIds));
}

/** Takes clients out of rooms. */
function leaveRooms(outlet: Outlet, place: string, ids: unknown, rooms: unknown): Promise<void> {
  const method = `${place}.leave`;
  const [clients, names] = [clientIds(ids, method), roomNames(rooms, place, "leave")];
  const here = found(outlet, clients);
  leave(outlet, here, names);
  return order(outlet, method, { act: ORDER.LEAVE, rooms: names }, clients, here);
}

/** Closes the connections of clients. Throws at once for a wrong argument. Resolves when all of them are closing. */
function disconnect(outlet: Outlet, place: string, ids: unknown, options: unknown): Promise<void> {
  const method = `${place}.disconnect`;
  const clients = clientIds(ids, method);
  const frame = closeFrame(options, method);
  const here = found(outlet, clients);
  close(outlet, here, frame);
  return order(outlet, method, { act: ORDER.DISCONNECT, ...frame }, clients, here);
}

/** Does what somebody else wants with clients of this thread, and answers. */
export function carryOut(outlet: Outlet, shard: number, given: Order): void {
  const { order: number, act, ids, rooms = [], code = 0, reason = "" } = given;
  const clients = found(outlet, ids);
  let refused: Refused = { clientIds: [], rule: undefined };
  try {
    if (act === ORDER.JOIN) refused = join(outlet, clients, rooms);
    else if (act === ORDER.LEAVE) leave(outlet, clients, rooms);
    else close(outlet, clients, { code, reason });
  } finally {
    outlet.orders.answer(shard, number, refused.clientIds, refused.rule);
  }
}

function join(
  outlet: Outlet,
  clients: readonly (Client | undefined)[],
  names: readonly string[],
): Refused {
  const refused: Refused = { clientIds: [], rule: undefined };
  for (const client of clients) {
    if (client === undefined) continue;
    const own = roomsOf(client, outlet);
    for (const name of names) {
      const rule = ClientRooms.join(own, name);
      if (rule === undefined) continue;
      refused.rule ??= rule;
      refused.clientIds.push(client.id);
      break;
    }
  }
  return refused;
}

function leave(
  outlet: Outlet,
  clients: readonly (Client | undefined)[],
  names: readonly string[],
): void {
  for (const client of clients) {
    if (client === undefined) continue;
    const own = roomsOf(client, outlet);
    for (const name of names) ClientRooms.leave(own, name);
  }
}

function close(outlet: Outlet, clients: readonly (Client | undefined)[], frame: CloseFrame): void {
  for (const client of clients) if (client) outlet.closing.close(client, frame);
}

/** Gives an order about those of these clients that may be elsewhere. `here` are the clients of this thread, by the places of their ids. */
function order(
  outlet: Outlet,
  place: string,
  act: Act,
  ids: readonly string[],
  here: readonly (Client | undefined)[],
): Promise<void> {
  const elsewhere = ids.filter((id, at) => here[at] === undefined && outlet.isElsewhere(id));
  if (elsewhere.length === 0) return Promise.resolve();
  return outlet.orders.give(place, act, [...new Set(elsewhere)]);
}

function found(outlet: Outlet, ids: readonly string[]): (Client | undefined)[] {
  return ids.map((id) => outlet.clients.find(id));
}

function roomsOf(client: Client, outlet: Outlet): ClientRooms {
  return operationsOf(client, outlet).rooms as ClientRooms;
}
