// Types of messages, middlewares, routers, handlers and senders.
import { expectTypeOf } from "expect-type";
import * as v from "valibot";
import { z } from "zod";

import {
  createServer,
  zocket,
  type AllHandlers,
  type AnyMessage,
  type AnyRouter,
  type DisconnectOptions,
  type FluentSender,
  type SendOptions,
  type Handlers,
  type IncomingMessage,
  type MessageDef,
  type MiddlewareFn,
  type OutgoingMessage,
  type RoomOperations,
  type Sender,
  type ServerMetrics,
  type ZocketContext,
  type ZocketServer,
} from "@zocket/core";

const zo = zocket.create({
  headers: z.object({ authorization: z.string() }),
  onConnect: ({ authorization }) => ({ userId: authorization }),
});
const { incoming, outgoing, use } = zo.message;
const text = z.object({ text: z.string() });

// Message definitions
const message = incoming({ payload: text });
expectTypeOf(message).toEqualTypeOf<IncomingMessage<typeof text, {}>>();
expectTypeOf(message.payload).toEqualTypeOf(text);
expectTypeOf(message._direction).toEqualTypeOf<"in">();
expectTypeOf(message._middlewares).not.toBeAny();
const notice = outgoing({ payload: text });
expectTypeOf(notice).toEqualTypeOf<OutgoingMessage<typeof text>>();
expectTypeOf(notice._direction).toEqualTypeOf<"out">();
expectTypeOf(message).toExtend<MessageDef>();
expectTypeOf(notice).toExtend<MessageDef>();
expectTypeOf(message).toExtend<AnyMessage>();
expectTypeOf(notice).toExtend<AnyMessage>();
// @ts-expect-error a payload is needed
incoming({});
// @ts-expect-error it is a schema
outgoing({ payload: { text: "" } });

// What becomes of an outgoing message for a slow client
for (const slowClient of ["disconnect", "drop", "latest", undefined] as const) {
  const state = outgoing({ payload: text, slowClient });
  expectTypeOf(state).toEqualTypeOf<OutgoingMessage<typeof text>>();
  const nested = { game: { room: { state } } };
  const app = zo.router(nested, {});
  expectTypeOf<Sender<typeof app>["game"]["room"]["state"]>().toEqualTypeOf<
    (payload: { text: string }) => FluentSender
  >();
}
expectTypeOf(notice.slowClient).toEqualTypeOf<"disconnect" | "drop" | "latest" | undefined>();
expectTypeOf<MessageDef<typeof text, "out">>().toExtend<typeof notice>();
const byHand: OutgoingMessage = { payload: text, _direction: "out", slowClient: "latest" };
void byHand;
// @ts-expect-error no such policy
outgoing({ payload: text, slowClient: "newest" });
// @ts-expect-error no such policy
outgoing({ payload: text, slowClient: true });
// @ts-expect-error no such option
outgoing({ payload: text, slowClients: "drop" });
// @ts-expect-error an incoming message waits for no client
incoming({ payload: text, slowClient: "latest" });
// @ts-expect-error no more does one behind a middleware
use(() => {}).incoming({ payload: text, slowClient: "drop" });

// Compression
expectTypeOf(outgoing({ payload: text, compress: false }).compress).toEqualTypeOf<
  boolean | undefined
>();
// @ts-expect-error yes or no
outgoing({ payload: text, compress: 9 });
// @ts-expect-error clients decide about what they send
incoming({ payload: text, compress: false });

// Middlewares: each sees what those before it added, and the handler sees all of it.
const withRole = use(({ ctx, payload }) => {
  expectTypeOf(ctx.userId).toEqualTypeOf<string>();
  expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
  expectTypeOf(ctx.rooms).toEqualTypeOf<RoomOperations>();
  expectTypeOf(ctx.send).toEqualTypeOf<Sender>();
  expectTypeOf(payload).toEqualTypeOf<unknown>();
  ctx.rooms.join(ctx.userId);
  ctx.rooms.broadcast("lobby", "chat.onMessage", { text: "" });
  ctx.send["chat"]?.["onMessage"]?.({ text: "" }).toRoom("lobby");
  return { role: "admin" as "admin" | "user" };
});
const withTeam = withRole.use(async ({ ctx }) => {
  expectTypeOf(ctx.role).toEqualTypeOf<"admin" | "user">();
  return { team: { name: ctx.userId }, role: "member" };
});
const withNothing = withTeam.use(({ ctx }) => {
  expectTypeOf(ctx.team).toEqualTypeOf<{ name: string }>();
  expectTypeOf(ctx.role).toEqualTypeOf<string>();
});
const withAsyncNothing = withNothing.use(async () => {});
const withMaybe = withAsyncNothing.use(({ ctx }) =>
  ctx.role === "" ? undefined : { role: 1, score: 2 },
);
zo.router(
  {
    bare: message,
    role: withRole.incoming({ payload: text }),
    team: withTeam.incoming({ payload: text }),
    nothing: withNothing.incoming({ payload: text }),
    asyncNothing: withAsyncNothing.incoming({ payload: text }),
    maybe: withMaybe.incoming({ payload: text }),
    copied: { ...withRole.incoming({ payload: text }) },
  },
  {
    bare: ({ ctx }) => {
      expectTypeOf(ctx.userId).toEqualTypeOf<string>();
      // @ts-expect-error a builder is not changed by `use`
      void ctx.role;
    },
    role: ({ ctx }) => {
      expectTypeOf(ctx.role).toEqualTypeOf<"admin" | "user">();
      // @ts-expect-error only a later middleware adds it
      void ctx.team;
    },
    team: async ({ ctx }) => {
      expectTypeOf(ctx.role).toEqualTypeOf<string>();
      expectTypeOf(ctx.team.name).toEqualTypeOf<string>();
    },
    nothing: ({ ctx }) => expectTypeOf(ctx.team).toEqualTypeOf<{ name: string }>() && undefined,
    asyncNothing: ({ ctx }) => expectTypeOf(ctx.role).toEqualTypeOf<string>() && undefined,
    maybe: ({ ctx }) => {
      expectTypeOf(ctx.role).toEqualTypeOf<string | number>();
      expectTypeOf<Pick<typeof ctx, "score">>().toEqualTypeOf<{ score?: number }>();
    },
    copied: ({ ctx }) => expectTypeOf(ctx.role).toEqualTypeOf<"admin" | "user">() && undefined,
  },
);
// A middleware adds neither the names that are zocket's, nor what is no object.
// @ts-expect-error
use(() => ({ clientId: "1" }));
// @ts-expect-error
use(async () => ({ send: 1 }));
// @ts-expect-error
use(() => ({ rooms: [] }));
// @ts-expect-error
use(() => "role");
// @ts-expect-error
use({ role: "admin" });

// A middleware written on its own says what it needs; the builder checks that it is there.
const needsUser: MiddlewareFn<ZocketContext<{ userId: string }>, { seen: Date }> = ({ ctx }) => ({
  seen: new Date(Number(ctx.userId)),
});
const needsRole: MiddlewareFn<{ role: string }, void> = ({ ctx }) => void ctx.role;
const needsNothing: MiddlewareFn = ({ ctx }) => void ctx.clientId;
use(needsUser).use(needsNothing);
withRole.use(needsRole);
// @ts-expect-error nobody added a role
use(needsRole);

// Payloads: the handler gets the schema's output.
const payloads = {
  transformed: incoming({
    payload: z.object({ at: z.string().transform((it) => new Date(it)), n: z.number().default(1) }),
  }),
  optional: incoming({ payload: z.object({ text: z.string().optional() }) }),
  union: incoming({
    payload: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("text"), text: z.string() }),
      z.object({ kind: z.literal("image"), url: z.url() }),
    ]),
  }),
  missing: incoming({ payload: z.undefined() }),
  text: incoming({ payload: z.string() }),
  valibot: incoming({ payload: v.object({ n: v.pipe(v.string(), v.transform(Number)) }) }),
};
zo.router(payloads, {
  transformed: ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<{ at: Date; n: number }>();
  },
  optional: ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<{ text?: string | undefined }>();
  },
  union: ({ payload }) => {
    if (payload.kind === "text") expectTypeOf(payload.text).toEqualTypeOf<string>();
    else expectTypeOf(payload.url).toEqualTypeOf<string>();
  },
  missing: ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<undefined>();
  },
  text: async ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<string>();
  },
  valibot: ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<{ n: number }>();
  },
});

// Routes and handlers
const routes = {
  ping: incoming({ payload: z.undefined() }),
  onPong: outgoing({ payload: z.undefined() }),
  chat: {
    message: withRole.incoming({ payload: text }),
    onMessage: outgoing({ payload: z.object({ text: z.string(), at: z.date() }) }),
    onLeft: outgoing({ payload: z.string() }),
  },
  news: { onNews: outgoing({ payload: z.object({ title: z.string().default("") }) }) },
  admin: { kick: incoming({ payload: z.string() }) },
  7: { onSeven: outgoing({ payload: z.literal(7) }) },
  a: { b: { c: { d: { e: { f: { g: incoming({ payload: text }), onG: notice } } } } } },
};
const router = zo.router(routes, {
  ping: ({ ctx }) => ctx.send.onPong().to(ctx.clientId),
  chat: {
    message: ({ payload, ctx }) => {
      expectTypeOf(payload).not.toBeAny();
      expectTypeOf(ctx).not.toBeAny();
      expectTypeOf(ctx).toEqualTypeOf<{
        userId: string;
        role: "admin" | "user";
        readonly clientId: string;
        readonly send: Sender<typeof routes>;
        readonly rooms: RoomOperations<typeof routes>;
        readonly disconnect: (how?: DisconnectOptions) => void;
      }>();
      const { send, rooms } = ctx;

      // Sending
      expectTypeOf(send.chat.onMessage).not.toBeAny();
      expectTypeOf(send.chat.onMessage).parameters.toEqualTypeOf<
        [payload: { text: string; at: Date }]
      >();
      const message = send.chat.onMessage({ text: payload.text, at: new Date() });
      expectTypeOf(message).toEqualTypeOf<FluentSender>();
      message.to("id");
      message.to(["id", "id"] as const);
      message.toRoom("lobby");
      message.toRoom(["lobby", "help"]);
      message.broadcast();
      message.toRoom("lobby", { except: "id" });
      message.toRoom(["lobby"], { except: ["id", "id"] as const });
      message.broadcast({ except: ctx.clientId });
      message.broadcast({ except: undefined });
      expectTypeOf(message.broadcast).parameters.toEqualTypeOf<
        [options?: SendOptions | undefined]
      >();
      // @ts-expect-error ids are text
      message.broadcast({ except: 7 });
      // @ts-expect-error ids are text
      message.toRoom("lobby", { except: [7] });
      // @ts-expect-error ids alone are no options
      message.toRoom("lobby", "id");
      // @ts-expect-error an unknown option
      message.broadcast({ exclude: "id" });
      // @ts-expect-error who is named is not left out
      message.to("id", { except: "id" });
      send.chat.onLeft("id").broadcast();
      send.onPong().broadcast();
      send.onPong(undefined).broadcast();
      send.news.onNews({ title: "" }).broadcast();
      send[7].onSeven(7).broadcast();
      send.a.b.c.d.e.f.onG({ text: "" }).broadcast();
      // @ts-expect-error missing payload
      send.chat.onMessage();
      // @ts-expect-error wrong payload
      send.chat.onMessage({ text: 1, at: new Date() });
      // @ts-expect-error the output is sent, and there the default was filled in
      send.news.onNews({});
      // @ts-expect-error not an outgoing route
      void send.chat.message;
      // @ts-expect-error nothing goes out there
      void send.admin;
      // @ts-expect-error no such route
      void send.chat.onMesage;
      // @ts-expect-error receivers are text
      message.to(1);

      // Rooms
      expectTypeOf(rooms.has("lobby")).toEqualTypeOf<boolean>();
      expectTypeOf(rooms.current).toEqualTypeOf<ReadonlySet<string>>();
      rooms.join("lobby");
      rooms.leave("lobby");
      rooms.broadcast("lobby", "chat.onMessage", { text: "", at: new Date() });
      rooms.broadcast("lobby", "chat.onLeft", "id");
      rooms.broadcast("lobby", "onPong");
      rooms.broadcast("lobby", "7.onSeven", 7);
      rooms.broadcast("lobby", "a.b.c.d.e.f.onG", { text: "" });
      expectTypeOf(rooms.broadcast)
        .parameter(1)
        .toEqualTypeOf<
          | "onPong"
          | "chat.onMessage"
          | "chat.onLeft"
          | "news.onNews"
          | "7.onSeven"
          | "a.b.c.d.e.f.onG"
        >();
      rooms.broadcast("lobby", "chat.onLeft", "id", { except: ["id"] });
      rooms.broadcast("lobby", "onPong", undefined, { except: "id" });
      rooms.broadcast("lobby", "onPong", undefined, undefined);
      expectTypeOf(rooms.broadcast<"chat.onLeft">).parameters.toEqualTypeOf<
        [roomId: string, route: "chat.onLeft", payload: string, options?: SendOptions | undefined]
      >();
      expectTypeOf(rooms.broadcast<"onPong">).parameters.toEqualTypeOf<
        [roomId: string, route: "onPong", payload?: undefined, options?: SendOptions | undefined]
      >();
      // @ts-expect-error that is where the payload stands
      rooms.broadcast("lobby", "onPong", { except: "id" });
      // @ts-expect-error options come behind the payload
      rooms.broadcast("lobby", "chat.onLeft", { except: "id" });
      // @ts-expect-error an unknown option
      rooms.broadcast("lobby", "chat.onLeft", "id", { to: "id" });
      // @ts-expect-error missing payload
      rooms.broadcast("lobby", "chat.onLeft");
      // @ts-expect-error the payload of another route
      rooms.broadcast("lobby", "chat.onLeft", { text: "", at: new Date() });
      // @ts-expect-error an incoming route
      rooms.broadcast("lobby", "chat.message", { text: "" });
      // @ts-expect-error a group
      rooms.broadcast("lobby", "chat", {});
      expectTypeOf(rooms.members).toEqualTypeOf<(roomId: string) => Promise<string[]>>();
      // @ts-expect-error one room at a time
      void rooms.members(["lobby"]);
      // @ts-expect-error rooms have names
      rooms.join(1);
      // @ts-expect-error a view cannot be changed through
      rooms.current.add("lobby");
    },
  },
  a: { b: { c: { d: { e: { f: { g: async ({ payload }) => void payload.text } } } } } },
});
expectTypeOf(router).not.toBeAny();
expectTypeOf(router.routes).toEqualTypeOf(routes);
expectTypeOf(router).toExtend<AnyRouter>();
expectTypeOf(routes).toExtend<AnyRouter>();

// Any handler may be left out.
zo.router(routes, {});
zo.router(routes, { chat: {}, a: { b: {} } });
// @ts-expect-error the handlers themselves may not
zo.router(routes);
// @ts-expect-error no such route
zo.router(routes, { pong: () => {} });
// @ts-expect-error no such route in a group
zo.router(routes, { chat: { mesage: () => {} } });
// @ts-expect-error an outgoing route has no handler
zo.router(routes, { chat: { onMessage: () => {} } });
// @ts-expect-error a group without incoming routes has none either
zo.router(routes, { news: { onNews: () => {} } });
// @ts-expect-error a handler is a function
zo.router(routes, { ping: "pong" });
// @ts-expect-error a group is no handler
zo.router(routes, { chat: () => {} });
// @ts-expect-error a handler returns nothing
zo.router(routes, { ping: () => 1 });
// @ts-expect-error its payload is no number
zo.router(routes, { admin: { kick: ({ payload }: { payload: number }) => void payload } });
// @ts-expect-error a schema is no message
zo.router({ say: text }, {});
// @ts-expect-error a function is no message
zo.router({ say: () => {} }, {});

// `strict` takes the same handlers, and needs each of them.
const { strict } = zo.router;
const small = { ping: routes.ping, chat: routes.chat, news: routes.news };
const complete = strict(small, {
  ping: ({ ctx }) => ctx.send.chat.onLeft(ctx.userId).to(ctx.clientId),
  chat: {
    message: ({ payload, ctx }) => {
      expectTypeOf(payload).toEqualTypeOf<{ text: string }>();
      expectTypeOf(ctx.role).toEqualTypeOf<"admin" | "user">();
    },
  },
});
expectTypeOf(complete).toEqualTypeOf<ReturnType<typeof zo.router<typeof small>>>();
expectTypeOf<AllHandlers<typeof small>>().toExtend<Handlers<typeof small>>();
strict({ news: routes.news }, {});
// @ts-expect-error one handler is missing
strict(small, { chat: { message: () => {} } });
// @ts-expect-error one in a group is missing
strict(small, { ping: () => {}, chat: {} });
// @ts-expect-error a group is missing
strict(small, { ping: () => {} });
// @ts-expect-error a handler cannot be undefined
strict(small, { ping: undefined, chat: { message: () => {} } });
// @ts-expect-error no such route
strict(small, { ping: () => {}, chat: { message: () => {} }, pong: () => {} });
strict(small, {
  ping: () => {},
  // @ts-expect-error its payload is no number
  chat: { message: ({ payload }: { payload: number }) => void payload },
});

// Handlers that are written on their own
const handlers: Handlers<typeof routes, { userId: string }> = {
  chat: {
    message: ({ payload, ctx }) => ctx.send.chat.onLeft(payload.text + ctx.role).broadcast(),
  },
};
zo.router(routes, handlers);
function welcome(send: Sender<typeof router>, rooms: RoomOperations<typeof router>): void {
  send.chat.onLeft("").toRoom([...rooms.current]);
}
zo.router(routes, { ping: ({ ctx }) => welcome(ctx.send, ctx.rooms) });

// The server
const server = createServer(router, zo, {
  port: 0,
  slowClient: "drop",
  allowedOrigins: ["https://a.com"],
});
expectTypeOf(server).toEqualTypeOf<ZocketServer<typeof routes>>();
const anyServer: ZocketServer = server;
void anyServer;
expectTypeOf(server.send).toEqualTypeOf<Sender<typeof routes>>();
server.send.chat.onMessage({ text: "", at: new Date() }).broadcast();
server.publish("lobby", "chat.onLeft", "id");
server.publish("lobby", "onPong");
// @ts-expect-error missing payload
server.publish("lobby", "chat.onLeft");
// @ts-expect-error an incoming route
server.publish("lobby", "ping");
expectTypeOf(server.port).toEqualTypeOf<number>();
expectTypeOf(server.stop).returns.toEqualTypeOf<Promise<void>>();
void (() => [server.stop(), server.stop(true), server.stop({ drain: 1000 }), server.stop({})]);
// @ts-expect-error no number of milliseconds
void (() => server.stop({ drain: "1000" }));
// @ts-expect-error no such way to stop
void (() => server.stop({ drian: 1000 }));
expectTypeOf(server.join).toEqualTypeOf<
  (clientIds: string | readonly string[], roomIds: string | readonly string[]) => Promise<void>
>();
expectTypeOf(server.leave).toEqualTypeOf<typeof server.join>();
expectTypeOf(server.members).toEqualTypeOf<(roomId: string) => Promise<string[]>>();
expectTypeOf(server.roomSize).toEqualTypeOf<(roomId: string) => Promise<number>>();
// @ts-expect-error rooms have names
void server.join("id", 7);
// @ts-expect-error one room at a time
void server.members(["lobby"]);
expectTypeOf(server.metrics().refused.ADDRESS).toEqualTypeOf<number | undefined>();
expectTypeOf(server.metrics().refused.ADDRESS_RATE).toEqualTypeOf<number | undefined>();
expectTypeOf(server.metrics().refused.UPGRADE_RATE).toEqualTypeOf<number | undefined>();
expectTypeOf(server.metrics().bad.RATE_LIMITED).toEqualTypeOf<number | undefined>();
expectTypeOf(server.metrics()).toEqualTypeOf<ServerMetrics>();
expectTypeOf(server.metrics().refused.HEADERS).toEqualTypeOf<number | undefined>();
createServer(router, zo);
createServer(router, zo, {
  maxMessagesPerSecond: 0.5,
  maxHandlersInFlight: 8,
  maxRoomsPerClient: 10,
  maxConnectionsPerAddress: 50,
  maxUpgradesPerSecondPerAddress: 0.5,
  maxUpgradesPerSecond: undefined,
});
// @ts-expect-error no number
createServer(router, zo, { maxMessagesPerSecond: "20" });
createServer(router, zo, {
  allowedOrigins: (origin) => origin.endsWith(".com"),
  onError: (error, info) => {
    expectTypeOf(error).toEqualTypeOf<unknown>();
    expectTypeOf(info.clientId).toEqualTypeOf<string | undefined>();
    if (info.code === "SLOW_CLIENT") return;
    // @ts-expect-error no such code
    if (info.code === "SLOW") return;
  },
});
// @ts-expect-error no such option
createServer(router, zo, { ports: [3000] });
// @ts-expect-error no such way to treat a slow client
createServer(router, zo, { slowClient: "wait" });
// @ts-expect-error only a route can keep its latest alone
createServer(router, zo, { slowClient: "latest" });
// @ts-expect-error a promise would be taken for yes
createServer(router, zo, { allowedOrigins: async () => false });
// @ts-expect-error it takes a router, not routes
createServer(routes, zo);
