// `server.join` and `server.leave`: rooms of clients, changed from outside their handlers.
import { clientIds } from "./client-ids.js";
import type { Client } from "./clients.js";
import { operationsOf } from "./operations.js";
import { roomNames } from "./room-name.js";
import { ClientRooms } from "./rooms.js";
import type { Outlet } from "./send.js";

const PLACE = "server";

/** Puts clients into rooms. A client that may not be in another room keeps nobody else out. */
export function joinRooms(outlet: Outlet, ids: unknown, rooms: unknown): Promise<void> {
  const [clients, names] = [clientIds(ids, `${PLACE}.join`), roomNames(rooms, PLACE, "join")];
  let error: Error | undefined;
  const refused: string[] = [];
  for (const id of clients) {
    const client = outlet.find(id, PLACE, "join", "it joins no room");
    if (client === undefined) continue;
    const own = roomsOf(client, outlet);
    for (const name of names) {
      const full = ClientRooms.join(own, name, PLACE);
      if (full === undefined) continue;
      error ??= full;
      refused.push(id);
      break;
    }
  }
  if (error) throw Object.assign(error, { clientIds: refused });
  return Promise.resolve();
}

/** Takes clients out of rooms. */
export function leaveRooms(outlet: Outlet, ids: unknown, rooms: unknown): Promise<void> {
  const [clients, names] = [clientIds(ids, `${PLACE}.leave`), roomNames(rooms, PLACE, "leave")];
  for (const id of clients) {
    const client = outlet.clients.find(id);
    if (client === undefined) continue;
    const own = roomsOf(client, outlet);
    for (const name of names) ClientRooms.leave(own, name);
  }
  return Promise.resolve();
}

function roomsOf(client: Client, outlet: Outlet): ClientRooms {
  return operationsOf(client, outlet).rooms as ClientRooms;
}
