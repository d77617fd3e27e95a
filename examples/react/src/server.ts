// The server's side of the whiteboard: what is on it, who is there, and the messages for both.
import type { Server as HttpServer } from "node:http";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

/** Most lines on the board; the oldest goes. */
const MOST_LINES = 1_000;
/** Most points of a line. */
const MOST_POINTS = 2_000;

/** From 0 to 1, so that the board has the same content on every screen. */
const point = z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]);
const line = z.object({
  id: z.string().min(1).max(20),
  color: z.string().max(20),
  points: z.array(point).max(MOST_POINTS),
});
/** Points that are added to a line, from its n-th point on. */
const addition = line.extend({ from: z.number().int().min(0).max(MOST_POINTS) });
const person = z.object({ id: z.string(), name: z.string(), color: z.string() });

export type Line = z.infer<typeof line>;
export type Person = z.infer<typeof person>;

const lines = new Map<string, Line>();
const people = new Map<string, Person>();
/** Tells everybody who is there. */
let announce = (): void => {};

const zo = zocket.create({
  headers: z.object({ name: z.string().min(1).max(30), color: z.string().max(20) }),
  onConnect: ({ name, color }, clientId) => {
    people.set(clientId, { id: clientId, name, color });
    return { name, color };
  },
  onDisconnect: (_ctx, clientId) => {
    people.delete(clientId);
    announce();
  },
});

const board = zo.router(
  {
    board: {
      /** Who comes gets the lines so far, and everybody gets the new list of people. */
      enter: zo.message.incoming({
        payload: z.undefined(),
        reply: z.object({ lines: z.array(line), people: z.array(person) }),
      }),
      onPeople: zo.message.outgoing({ payload: z.array(person) }),
      draw: zo.message.incoming({ payload: addition }),
      onDraw: zo.message.outgoing({ payload: addition }),
      clear: zo.message.incoming({ payload: z.undefined() }),
      onClear: zo.message.outgoing({ payload: z.undefined() }),
      point: zo.message.incoming({ payload: point }),
      onPoint: zo.message.outgoing({ payload: z.object({ id: z.string(), at: point }) }),
    },
  },
  {
    board: {
      enter: () => {
        announce();
        return { lines: [...lines.values()], people: [...people.values()] };
      },
      draw: ({ payload, ctx }) => {
        const { id, color, from, points } = payload;
        const known = lines.get(id) ?? { id, color, points: [] };
        if (from !== known.points.length || from + points.length > MOST_POINTS) return;
        known.points.push(...points);
        lines.set(id, known);
        const [oldest] = lines.keys();
        if (lines.size > MOST_LINES && oldest !== undefined) lines.delete(oldest);
        ctx.send.board.onDraw(payload).broadcast();
      },
      clear: ({ ctx }) => {
        lines.clear();
        ctx.send.board.onClear().broadcast();
      },
      point: ({ payload, ctx }) =>
        ctx.send.board.onPoint({ id: ctx.clientId, at: payload }).broadcast(),
    },
  },
);

export type Board = typeof board;

/** Serves the board on the port of an HTTP server. */
export function serve(httpServer: HttpServer): void {
  const server = createServer(board, zo, { server: httpServer, path: "/board" });
  announce = () => server.send.board.onPeople([...people.values()]).broadcast();
  httpServer.once("close", () => void server.stop());
}
