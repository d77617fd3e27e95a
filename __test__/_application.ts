// An application with everything an editor shows types of: context, middlewares, routes, handlers, server and client. It is
// read by the language service, never run.
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import {
  createServer,
  createZocketClient,
  zocket,
  type FluentSender,
  type Handlers,
  type MiddlewareFn,
  type RoomOperations,
  type Sender,
  type StandardSchemaV1,
  type ZocketContext,
} from "@zocket/core";

const handWritten: StandardSchemaV1<string, number> = {
  "~standard": {
    version: 1,
    vendor: "own",
    validate: (value) =>
      typeof value === "string" ? { value: value.length } : { issues: [{ message: "no text" }] },
  },
};

export const zo = zocket.create({
  headers: z.object({ authorization: z.string(), "user-agent": z.string().optional() }),
  onConnect: async (headers, clientId) => {
    const agent = headers["user-agent"];
    return { userId: headers.authorization, agent, since: new Date(), first: clientId };
  },
  onDisconnect: async (ctx, clientId) => {
    const { rooms, userId } = ctx;
    console.log(userId, clientId, rooms.size);
  },
});
export const visitors = zocket.create({
  headers: v.object({ authorization: v.string() }),
  onConnect: ({ authorization }) => (authorization === "" ? undefined : { userId: authorization }),
});
export const recordContext = zocket.create({
  headers: type({ authorization: "string" }),
  onConnect: (headers): Record<string, unknown> => ({ ...headers }),
});
export const noContext = zocket.create({ headers: handWritten });

const { message, router, headersSchema, onConnect, onDisconnect } = zo;
const { incoming, outgoing, use } = message;
console.log(headersSchema, onConnect, onDisconnect);

const needsUser: MiddlewareFn<ZocketContext<{ userId: string }>, { seen: Date }> = ({ ctx }) => ({
  seen: new Date(ctx.userId),
});
const parsed = use(({ payload }): Record<string, unknown> => ({ payload }));
const member = use(({ ctx, payload }) => {
  const { send, rooms, clientId } = ctx;
  const { current } = rooms;
  send["chat"]?.["onMessage"]?.(payload).to(clientId);
  rooms.broadcast("lobby", "chat.onMessage", current.size);
  return { role: "admin" as const };
});
const team = member.use(async ({ ctx }) => (ctx.role === "admin" ? { team: "" } : undefined));
const last = team.use(needsUser).use(() => {});

export const routes = {
  ping: incoming({ payload: z.undefined() }),
  onPong: outgoing({ payload: z.void() }),
  parsed: parsed.incoming({ payload: z.unknown() }),
  anything: incoming({ payload: z.json() }),
  onAnything: outgoing({ payload: z.any() }),
  chat: {
    message: last.incoming({
      payload: z.object({
        text: z.string(),
        at: z.string().transform((it) => new Date(it)),
        mood: z.enum(["good", "bad"]).default("good"),
      }),
    }),
    onMessage: outgoing({
      payload: z.object({ text: z.string(), at: z.date(), tags: z.set(z.string()).optional() }),
    }),
  },
  valibot: {
    say: incoming({
      payload: v.object({
        n: v.pipe(
          v.string(),
          v.transform((it) => Number(it)),
        ),
      }),
    }),
    onSaid: outgoing({ payload: v.object({ n: v.optional(v.number()) }) }),
  },
  arktype: {
    say: incoming({ payload: type({ n: "number", "text?": "string" }) }),
    onSaid: outgoing({ payload: type({ n: "number" }) }),
  },
  own: { say: incoming({ payload: handWritten }), onSaid: outgoing({ payload: handWritten }) },
};

export const appRouter = router(routes, {
  ping: ({ ctx }) => ctx.send.onPong().to(ctx.clientId),
  parsed: ({ ctx, payload }) => console.log(ctx["anything"], ctx.rooms, payload),
  anything: ({ payload, ctx }) => ctx.send.onAnything(payload).broadcast(),
  chat: {
    message: async ({ payload, ctx }) => {
      const { send, rooms, clientId, userId, role, seen } = ctx;
      const { text, at, mood } = payload;
      const sent = send.chat.onMessage({ text: text + mood, at });
      sent.to(clientId);
      sent.toRoom([...rooms.current]);
      rooms.join(userId + role);
      rooms.broadcast("lobby", "chat.onMessage", { text: ctx.team ?? "", at: seen });
    },
  },
  valibot: { say: ({ payload, ctx }) => ctx.send.valibot.onSaid({ n: payload.n }).broadcast() },
  arktype: {
    say: ({ payload: { n, text }, ctx }) => {
      ctx.send.arktype.onSaid({ n: text ? n : 0 }).broadcast();
    },
  },
  own: { say: ({ payload, ctx }) => ctx.send.own.onSaid(payload).toRoom("lobby") },
});
export type AppRouter = typeof appRouter;

export const handlers: Handlers<typeof routes, { userId: string }> = {
  ping({ ctx, payload }) {
    console.log(ctx.userId, payload);
  },
};
export function welcome(send: Sender<AppRouter>, rooms: RoomOperations<AppRouter>): FluentSender {
  const { join, leave, has, current, broadcast } = rooms;
  console.log(join, leave, has, current, broadcast);
  return send.onPong();
}

visitors.router(
  { say: visitors.message.incoming({ payload: v.unknown() }) },
  { say: ({ ctx, payload }) => console.log(ctx.userId, payload) },
);
recordContext.router(
  { say: recordContext.message.use(() => ({ n: 1 })).incoming({ payload: type("unknown") }) },
  { say: ({ ctx, payload }) => console.log(ctx["userId"], ctx.n, payload) },
);

export const server = createServer(appRouter, zo, {
  port: 0,
  allowedOrigins: (origin) => origin.endsWith(".com"),
  onError: (error, info) => console.error(error, info.code, info.route, info.clientId),
});
const { port, hostname, url, send, publish, clientCount, metrics, stop, ref, unref } = server;
console.log(port, hostname, url, clientCount, metrics().refused.HEADERS, stop, ref, unref);
send.chat.onMessage({ text: "", at: new Date() }).broadcast();
publish("lobby", "chat.onMessage", { text: "", at: new Date() });

export const client = createZocketClient<AppRouter>("ws://localhost:3000", {
  headers: { authorization: "" },
  onClose: (event) => console.log(event.code, event.reason, event.wasClean),
  WebSocket,
});
client.send.chat.message({ text: "", at: "" });
client.send.ping();
const unsubscribe = client.on.chat.onMessage((payload) => {
  const { text, at, tags } = payload;
  console.log(text, at, tags);
});
client.on.onAnything((payload) => console.log(payload));
client.on.onPong((payload) => console.log(payload));
client.onError((error) => console.log(error.code, error.issues?.[0]?.path, error.route));
client.onOpen(() => client.reconnect());
console.log(unsubscribe, client.readyState, client.close);
