// Types of `zocket.create`: the reference page, and what becomes of the user context.
import { type } from "arktype";
import { expectTypeOf } from "expect-type";
import * as v from "valibot";
import { z } from "zod";

import {
  createServer,
  zocket,
  type AnyRoutes,
  type DisconnectContext,
  type DisconnectInfo,
  type StandardSchemaV1,
  type UntypedSender,
  type UpgradeRequest,
  type Zocket,
  type ZocketContext,
} from "@zocket/core";

declare function validateToken(
  token: string,
): Promise<{ id: string; name: string; role: "admin" | "user" }>;
declare const database: { updateLastSeen(userId: string): Promise<void> };
declare function logDisconnection(userId: string, clientId: string): Promise<void>;

interface User {
  userId: string;
  username: string;
}
const headers = z.object({ authorization: z.string() });
const text = z.object({ text: z.string() });

// The signature, as the reference page has it, and without the transformer: ours can stand for it.
declare function create<THeadersSchema extends StandardSchemaV1, TUserContext = {}>(config: {
  headers: THeadersSchema;
  onConnect?: (
    headers: StandardSchemaV1.InferOutput<THeadersSchema>,
    clientId: string,
    request: UpgradeRequest,
  ) => TUserContext | Promise<TUserContext>;
  onOpen?: (ctx: ZocketContext<TUserContext, AnyRoutes>, clientId: string) => void | Promise<void>;
  onDisconnect?: (
    ctx: DisconnectContext<TUserContext>,
    clientId: string,
    info: DisconnectInfo,
  ) => void | Promise<void>;
}): Zocket<THeadersSchema, TUserContext>;
const ours: typeof create = zocket.create;
expectTypeOf(ours({ headers })).toEqualTypeOf(zocket.create({ headers }));

// The example, as the reference page has it.
const page = zocket.create({
  headers: z.object({
    authorization: z.string(),
  }),
  onConnect: async (headers, clientId) => {
    expectTypeOf(headers).toEqualTypeOf<{ authorization: string }>();
    expectTypeOf(clientId).toEqualTypeOf<string>();
    const user = await validateToken(headers.authorization);
    return {
      userId: user.id,
      username: user.name,
      role: user.role,
    };
  },
  onDisconnect: async (ctx, clientId) => {
    expectTypeOf(ctx).toEqualTypeOf<{
      userId: string;
      username: string;
      role: "admin" | "user";
      readonly clientId: string;
      readonly rooms: ReadonlySet<string>;
    }>();
    expectTypeOf(clientId).toEqualTypeOf<string>();
    await database.updateLastSeen(ctx.userId);
    await logDisconnection(ctx.userId, clientId);
  },
});
expectTypeOf(page).toEqualTypeOf<
  Zocket<typeof page.headersSchema, { userId: string; username: string; role: "admin" | "user" }>
>();
expectTypeOf(page.message.incoming).not.toBeAny();
expectTypeOf(page.message.outgoing).not.toBeAny();
expectTypeOf(page.message.use).not.toBeAny();
expectTypeOf(page.router).not.toBeAny();
page.message.incoming({ payload: z.object({}) });
page.message.outgoing({ payload: z.object({}) });
page.message.use(() => {});
page.router({}, {});

// Headers: the output of any Standard Schema.
zocket.create({
  headers: z.object({ authorization: z.string(), "user-agent": z.string().optional() }),
  onConnect: (headers) => {
    expectTypeOf(headers["user-agent"]).toEqualTypeOf<string | undefined>();
  },
});
zocket.create({
  headers: z.object({ age: z.coerce.number() }),
  onConnect: (headers) => expectTypeOf(headers.age).toEqualTypeOf<number>() && {},
});
zocket.create({
  headers: v.object({ authorization: v.pipe(v.string(), v.transform(Number)) }),
  onConnect: (headers) => expectTypeOf(headers.authorization).toEqualTypeOf<number>() && {},
});
zocket.create({
  headers: type({ authorization: "string" }),
  onConnect: (headers) => expectTypeOf(headers.authorization).toEqualTypeOf<string>() && {},
});
declare const handWritten: StandardSchemaV1<unknown, { token: string }>;
zocket.create({
  headers: handWritten,
  onConnect: (headers) => expectTypeOf(headers).toEqualTypeOf<{ token: string }>() && {},
});

// The request, which a callback may leave out.
zocket.create({
  headers,
  onConnect: (_headers, _clientId, request) => {
    expectTypeOf(request).toEqualTypeOf<UpgradeRequest>();
    expectTypeOf(request).toEqualTypeOf<{
      readonly url: string;
      readonly path: string;
      readonly origin: string | undefined;
      readonly host: string;
      readonly remoteAddress: string;
      readonly remotePort: number;
      readonly secure: boolean;
      readonly protocol: string | undefined;
      readonly clientCertificate: string | undefined;
    }>();
    // @ts-expect-error it cannot be changed
    request.url = "";
  },
});
declare const withTwo: (headers: { authorization: string }, clientId: string) => User;
const two = zocket.create({ headers, onConnect: withTwo });
two.onConnect satisfies
  | ((headers: { authorization: string }, clientId: string, request: UpgradeRequest) => unknown)
  | undefined;
declare const withAny: (...args: unknown[]) => User;
zocket.create({ headers, onConnect: withAny });

// @ts-expect-error `headers` is required
zocket.create({});
// @ts-expect-error it is a schema
zocket.create({ headers: { authorization: "string" } });
// @ts-expect-error a callback is a function
zocket.create({ headers, onConnect: { userId: "1" } });
// @ts-expect-error there is no such option
zocket.create({ headers, onMessage: () => {} });

/** The user context, as inferred. */
type UserContextOf<TZocket> =
  TZocket extends Zocket<infer _, infer TUserContext> ? TUserContext : 0;
/** A handler's `ctx` without what zocket adds. */
type Own<TContext> = Omit<TContext, "clientId" | "send" | "rooms" | "disconnect">;

// The user context: from a synchronous and an asynchronous callback, from both at once, and without one.
const sync = zocket.create({ headers, onConnect: () => ({ userId: "1" }) });
expectTypeOf<UserContextOf<typeof sync>>().toEqualTypeOf<{ userId: string }>();
const async = zocket.create({ headers, onConnect: async () => ({ userId: "1" }) });
expectTypeOf<UserContextOf<typeof async>>().toEqualTypeOf<{ userId: string }>();
declare const sometimesAsync: () => User | Promise<User>;
const both = zocket.create({ headers, onConnect: sometimesAsync });
expectTypeOf<UserContextOf<typeof both>>().toEqualTypeOf<User>();
const none = zocket.create({ headers });
expectTypeOf<UserContextOf<typeof none>>().toEqualTypeOf<{}>();
const given = zocket.create<typeof headers, User>({
  headers,
  onConnect: () => ({ userId: "1", username: "Ada" }),
});
expectTypeOf<UserContextOf<typeof given>>().toEqualTypeOf<User>();
// @ts-expect-error the context that was named lacks a property
zocket.create<typeof headers, User>({ headers, onConnect: () => ({ userId: "1" }) });

none.router(
  { say: none.message.incoming({ payload: text }) },
  {
    say: ({ ctx }) => {
      expectTypeOf<keyof typeof ctx>().toEqualTypeOf<
        "clientId" | "send" | "rooms" | "disconnect"
      >();
      expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
    },
  },
);

// Nothing returned: the context is empty. Sometimes nothing: its properties are optional.
const nothing = zocket.create({
  headers,
  onConnect: () => {},
  onDisconnect: (ctx) => void ctx.rooms,
});
nothing.router(
  { say: nothing.message.incoming({ payload: text }) },
  { say: ({ ctx }) => expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<{}>() && undefined },
);
const maybe = zocket.create({
  headers,
  onConnect: async (headers) => (headers.authorization === "" ? undefined : { userId: "1" }),
});
maybe.router(
  { say: maybe.message.incoming({ payload: text }) },
  {
    say: ({ ctx }) =>
      expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<{ userId?: string }>() && undefined,
  },
);

// A union stays one, so that it can be told apart.
type Visitor = { kind: "guest" } | { kind: "member"; userId: string };
const visitors = zocket.create({ headers, onConnect: (): Visitor => ({ kind: "guest" }) });
visitors.router(
  { say: visitors.message.incoming({ payload: text }) },
  {
    say: ({ ctx }) => {
      if (ctx.kind === "member") expectTypeOf(ctx.userId).toEqualTypeOf<string>();
      // @ts-expect-error a guest has none
      else void ctx.userId;
    },
  },
);

// What is not known stays unknown, and what zocket adds stays typed.
const parsed = zocket.create({
  headers,
  onConnect: (headers) => JSON.parse(headers.authorization),
});
parsed.router(
  { say: parsed.message.incoming({ payload: text }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx).not.toBeAny();
      expectTypeOf(ctx["userId"]).toEqualTypeOf<unknown>();
      expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
      expectTypeOf(ctx.rooms.has).not.toBeAny();
    },
  },
);

// The names that zocket itself puts into `ctx` cannot be used, nor can a context that is no object.
const takenId = zocket.create({ headers, onConnect: () => ({ clientId: "1" }) });
// @ts-expect-error onConnect returns `clientId`
takenId.message.incoming({ payload: text });
// @ts-expect-error onConnect returns `clientId`
takenId.router({}, {});
const takenSend = zocket.create({
  headers,
  onConnect: async () => ({ userId: "1", send: () => {} }),
});
// @ts-expect-error onConnect returns `send`
takenSend.message.use(() => {});
const takenRooms = zocket.create({
  headers,
  onConnect: (headers) => (headers.authorization ? { rooms: [""] } : { userId: "1" }),
});
// @ts-expect-error onConnect returns `rooms`
takenRooms.message.outgoing({ payload: text });
const takenDisconnect = zocket.create({ headers, onConnect: () => ({ disconnect: 1 }) });
// @ts-expect-error onConnect returns `disconnect`
takenDisconnect.message.incoming({ payload: text });
// `onOpen` has the context that `onConnect` made, and a sender of any routes.
zocket.create({
  headers,
  onConnect: async ({ authorization }) => ({ userId: authorization }),
  onOpen: async (ctx, clientId) => {
    expectTypeOf(ctx).not.toBeAny();
    expectTypeOf(ctx.userId).toEqualTypeOf<string>();
    expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
    expectTypeOf(clientId).toEqualTypeOf<string>();
    expectTypeOf(ctx.send).toEqualTypeOf<UntypedSender>();
    expectTypeOf(ctx.rooms.join).toEqualTypeOf<(roomId: string) => void>();
    expectTypeOf(ctx.disconnect).not.toBeAny();
    ctx.send["chat"]?.["onMessage"]?.({ text: "" }).to(clientId);
    ctx.rooms.broadcast("lobby", "chat.onMessage", { text: "" });
    // @ts-expect-error onConnect returns no such property
    void ctx.name;
  },
  onDisconnect: (ctx) => {
    expectTypeOf(ctx.userId).toEqualTypeOf<string>();
  },
});
zocket.create({
  headers,
  onOpen: (ctx) => {
    expectTypeOf<keyof typeof ctx>().toEqualTypeOf<"clientId" | "send" | "rooms" | "disconnect">();
  },
});
const opening = zocket.create({ headers, onConnect: () => ({ n: 1 }), onOpen: () => {} });
expectTypeOf(opening).toEqualTypeOf<Zocket<typeof headers, { n: number }>>();
// @ts-expect-error onOpen returns a promise of a value
zocket.create({ headers, onOpen: async () => 1 });
// The third argument of `onDisconnect`
zocket.create({
  headers,
  onDisconnect: (_ctx, _clientId, info) => {
    expectTypeOf(info).toEqualTypeOf<DisconnectInfo>();
    expectTypeOf(info.code).toEqualTypeOf<number>();
    expectTypeOf(info.by).toEqualTypeOf<"client" | "server" | "network" | "slow" | "stop">();
  },
});
expectTypeOf(
  takenId.message,
).toEqualTypeOf<"onConnect returns `clientId`, a name that zocket itself puts into ctx">();
const noObject = zocket.create({ headers, onConnect: () => "Ada" });
// @ts-expect-error onConnect returns text
noObject.message.incoming({ payload: text });

// The functions may be taken off and called alone.
const { message, router } = none;
const { incoming, outgoing, use } = message;
router({ say: incoming({ payload: text }), said: outgoing({ payload: text }) }, { say() {} });
use(() => {}).incoming({ payload: text });

// A router is served by a zocket whose `onConnect` returns what its handlers need.
const needsUser = sync.router({ say: sync.message.incoming({ payload: text }) }, { say() {} });
const needsNothing = none.router({ say: none.message.incoming({ payload: text }) }, { say() {} });
createServer(needsUser, sync);
createServer(needsNothing, none);
// @ts-expect-error nobody returns a `userId`
createServer(needsUser, none);

// Contexts that are written down.
expectTypeOf<DisconnectContext>().toEqualTypeOf<{
  readonly clientId: string;
  readonly rooms: ReadonlySet<string>;
}>();
expectTypeOf<keyof ZocketContext<User>>().toEqualTypeOf<
  "userId" | "username" | "clientId" | "send" | "rooms" | "disconnect"
>();
