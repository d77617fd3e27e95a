// What a publisher can ask about the clients of all servers, and have done with them.
import { disconnect, joinRooms, leaveRooms } from "../context/from-outside.js";
import { roomName } from "../context/room-name.js";
import type { Outlet } from "../context/send.js";
import type { DisconnectOptions } from "../types/disconnect.js";

const PLACE = "publisher";

/** The clients of all servers on a bus. */
export interface People {
  /**
   * The ids of the clients in a room, in no particular order.
   *
   * @throws `TypeError` for a wrong name. Rejects with a `PartialError` if a server has not answered within a second.
   */
  members(roomId: string): Promise<string[]>;
  /** How many clients are in a room. The rest is as with {@link People.members}. */
  roomSize(roomId: string): Promise<number>;
  /**
   * Puts clients into rooms. The promise resolves when all of them have joined, and a send to the room reaches them. Unknown ids are not
   * an error.
   *
   * @throws `TypeError` for a wrong id or name. Rejects with the code `BUS` if a server has not answered within 5 s, when its clients may
   *   still join. Rejects with `TOO_MANY_ROOMS` if a client may not be in another room.
   */
  join(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /** Takes clients out of rooms. The rest is as with {@link People.join}. */
  leave(clientIds: string | readonly string[], roomIds: string | readonly string[]): Promise<void>;
  /**
   * Closes the connections of clients, as `server.disconnect` does. The promise resolves when all of them are closing.
   *
   * @throws `TypeError` for a wrong argument. Rejects with the code `BUS` if a server has not answered within 5 s.
   */
  disconnect(clientIds: string | readonly string[], how?: DisconnectOptions): Promise<void>;
}

/** Those that an outlet reaches. */
export function peopleOf(outlet: Outlet): People {
  const { questions } = outlet;
  return {
    members: (roomId) => questions.members(roomName(roomId, PLACE, "members")),
    roomSize: (roomId) => questions.size(roomName(roomId, PLACE, "roomSize")),
    join: (clientIds, roomIds) => joinRooms(outlet, clientIds, roomIds, PLACE),
    leave: (clientIds, roomIds) => leaveRooms(outlet, clientIds, roomIds, PLACE),
    disconnect: (clientIds, how) => disconnect(outlet, clientIds, how, PLACE),
  };
}
