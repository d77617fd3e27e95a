// The chat itself, and what it shows: names from the headers schema into `ctx`, a middleware that adds to `ctx`, rooms,
// the three ways to send (to one, to a room, to all), a limit that the schema enforces, and pushes from outside a
// handler. It keeps the last messages in memory and loses them when it ends.
// Start it with `npm start`; server.ts serves the page.
import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import { MESSAGE_LIMIT, NAME_LIMIT, ROOMS, type Room } from "./shared.ts";

/** How many messages of a room somebody who comes in gets to see. */
const HISTORY = 50;

const zo = zocket.create({
  // A browser cannot set headers, so the client sends its `headers` in a subprotocol, and the server takes `?name=Ada` too
  headers: z.object({ name: z.string().trim().min(1).max(NAME_LIMIT) }),
  onConnect: ({ name }) => ({ name }),
  onDisconnect: (ctx, clientId) => {
    for (const room of ROOMS) if (ctx.rooms.has(room)) leave(room, clientId);
  },
});

const room = z.enum(ROOMS);
const person = z.object({ id: z.string(), name: z.string() });
const message = z.object({
  /** Chosen by the page that wrote it: so it finds its own message again, and one sent twice is kept once. */
  key: z.string().min(1).max(64),
  room,
  from: person,
  text: z.string(),
  at: z.number(),
});

export type Person = z.infer<typeof person>;
export type Message = z.infer<typeof message>;

/** Who is in a room, and what was said there. */
interface RoomState {
  readonly people: Map<string, Person>;
  readonly messages: Message[];
}

const empty = (): RoomState => ({ people: new Map(), messages: [] });
const state: Record<Room, RoomState> = {
  lobby: empty(),
  help: empty(),
  music: empty(),
  random: empty(),
};

const { outgoing } = zo.message;
const { incoming } = zo.message.use(({ ctx }) => ({
  me: { id: ctx.clientId, name: ctx.name },
}));

const routes = {
  chat: {
    join: incoming({ payload: z.object({ room }) }),
    leave: incoming({ payload: z.object({ room }) }),
    typing: incoming({ payload: z.object({ room }) }),
    say: incoming({
      payload: z.object({
        room,
        key: message.shape.key,
        text: z
          .string()
          .trim()
          .min(1, "A message needs at least one character.")
          .max(MESSAGE_LIMIT, `A message has at most ${MESSAGE_LIMIT} characters.`),
      }),
    }),
    onJoined: outgoing({
      payload: z.object({ room, you: z.string(), messages: z.array(message) }),
    }),
    onMessage: outgoing({ payload: message }),
    onPeople: outgoing({ payload: z.object({ room, people: z.array(person) }) }),
    onRooms: outgoing({ payload: z.array(z.object({ room, people: z.number() })) }),
    onTyping: outgoing({ payload: z.object({ room, from: person }) }),
  },
};

const appRouter = zo.router(routes, {
  chat: {
    join: ({ payload: { room }, ctx }) => {
      enter(room, ctx);
      const messages = state[room].messages;
      ctx.send.chat.onJoined({ room, you: ctx.clientId, messages }).to(ctx.clientId);
    },
    leave: ({ payload: { room }, ctx }) => {
      ctx.rooms.leave(room);
      leave(room, ctx.clientId);
    },
    typing: ({ payload: { room }, ctx }) => {
      if (ctx.rooms.has(room)) ctx.send.chat.onTyping({ room, from: ctx.me }).toRoom(room);
    },
    say: ({ payload: { room, key, text }, ctx }) => {
      // What was written while the connection was gone may come before the page has joined again.
      enter(room, ctx);
      const { messages } = state[room];
      // A page that cannot know whether its message arrived sends it again, under the same key.
      if (messages.some((known) => known.key === key)) return;
      const said = { key, room, from: ctx.me, text, at: Date.now() };
      messages.push(said);
      if (messages.length > HISTORY) messages.shift();
      ctx.send.chat.onMessage(said).toRoom(room);
    },
  },
});

/** What the page's client is typed by. */
export type AppRouter = typeof appRouter;

/** The WebSocket server. No `allowedOrigins`: the page comes from another port, and nothing here rests on cookies. */
export const sockets = createServer(appRouter, zo, {
  port: Number(process.env["SOCKETS_PORT"] ?? 0),
  // Far more than a message of 500 characters needs, far less than the default of 1 MiB.
  maxPayload: 16 * 1024,
});

/** What {@link enter} needs of a handler's context. */
interface Visitor {
  readonly me: Person;
  readonly rooms: { has(room: string): boolean; join(room: string): void };
}

function enter(room: Room, visitor: Visitor): void {
  if (visitor.rooms.has(room)) return;
  visitor.rooms.join(room);
  state[room].people.set(visitor.me.id, visitor.me);
  tellPeople(room);
}

function leave(room: Room, clientId: string): void {
  if (state[room].people.delete(clientId)) tellPeople(room);
}

/** Tells a room who is in it, and everybody how full the rooms are. */
function tellPeople(room: Room): void {
  sockets.send.chat.onPeople({ room, people: [...state[room].people.values()] }).toRoom(room);
  const counts = ROOMS.map((room) => ({ room, people: state[room].people.size }));
  sockets.send.chat.onRooms(counts).broadcast();
}
