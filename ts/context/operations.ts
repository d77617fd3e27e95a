// What the contexts of one client share. Made for its first message, so that an idle client costs nothing.
import type { Client, Operations } from "./clients.js";
import { ClientRooms } from "./rooms.js";
import type { Outlet } from "./send.js";

/** The operations of a client. */
export function operationsOf(client: Client, outlet: Outlet): Operations {
  return (client.operations ??= {
    rooms: new ClientRooms(client, outlet),
    disconnect: outlet.closing.of(client),
  });
}
