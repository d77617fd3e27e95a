// What `ctx` is: any user context there is, what any chain of middlewares makes of it, and the names that stay zocket's.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import {
  createZocketClient,
  zocket,
  type AnyRouter,
  type AnyRoutes,
  type AnySender,
  type ClientOptions,
  type DisconnectContext,
  type DisconnectOptions,
  type MiddlewareFn,
  type MiddlewareResult,
  type StandardSchemaV1,
  type ZocketContext,
  type ZocketServer,
} from "@zocket/core";

declare function anything<T>(): StandardSchemaV1<T>;
const headers = z.object({ token: z.string() });
const payload = anything<string>();
/** A context without what zocket adds. */
type Own<TContext> = Omit<TContext, "clientId" | "send" | "rooms" | "disconnect">;

interface Account {
  id: string;
  readonly tags: readonly string[];
  nick?: string;
}
type AccountAlias = { id: string; readonly tags: readonly string[]; nick?: string };
class Session {
  readonly id: string = "";
  protected secret = 1;
  #hidden = 2;
  touch(): number {
    return this.#hidden + this.secret;
  }
}

// An interface, and the same as an alias.
const byInterface = zocket.create({
  headers,
  onConnect: (): Account => ({ id: "", tags: [] }),
  onDisconnect: (ctx) => {
    expectTypeOf<Omit<typeof ctx, "clientId" | "rooms">>().toEqualTypeOf<AccountAlias>();
    expectTypeOf(ctx.rooms).toEqualTypeOf<ReadonlySet<string>>();
    // @ts-expect-error nothing is sent any more
    void ctx.send;
  },
});
byInterface.router(
  { say: byInterface.message.incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<AccountAlias>();
      // @ts-expect-error read-only as it was declared
      ctx.tags = [];
      ctx.id = "changed in this copy alone";
      // @ts-expect-error what zocket adds cannot be replaced
      ctx.clientId = "";
    },
  },
);
const byAlias = zocket.create({
  headers,
  onConnect: async (): Promise<AccountAlias> => ({ id: "", tags: [] }),
});
byAlias.router(
  { say: byAlias.message.incoming({ payload }) },
  { say: ({ ctx }) => expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<AccountAlias>() && undefined },
);

// A class: what is private stays behind. Nested, the instance is whole.
const byClass = zocket.create({ headers, onConnect: () => new Session() });
byClass.router(
  { say: byClass.message.incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx.id).toEqualTypeOf<string>();
      // @ts-expect-error a copy has nothing protected
      void ctx.secret;
    },
  },
);
const nested = zocket.create({ headers, onConnect: async () => ({ session: new Session() }) });
nested.router(
  { say: nested.message.incoming({ payload }) },
  { say: ({ ctx }) => expectTypeOf(ctx.session).toEqualTypeOf<Session>() && undefined },
);

// A union of interfaces, told apart; a promise of either.
interface Guest {
  kind: "guest";
}
interface Member {
  kind: "member";
  userId: string;
}
const union = zocket.create({
  headers,
  onConnect: async ({ token }): Promise<Guest | Member> =>
    token === "" ? { kind: "guest" } : { kind: "member", userId: token },
  onDisconnect: (ctx) => {
    if (ctx.kind === "member") expectTypeOf(ctx.userId).toEqualTypeOf<string>();
  },
});
const asked = union.message.use(({ ctx }) => {
  if (ctx.kind !== "member") throw new Error("members only");
  return { asker: ctx.userId };
});
union.router(
  { say: asked.incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx.asker).toEqualTypeOf<string>();
      expectTypeOf(ctx.kind).toEqualTypeOf<"guest" | "member">();
      if (ctx.kind === "member") expectTypeOf(ctx.userId).toEqualTypeOf<string>();
      // @ts-expect-error a guest has none
      else void ctx.userId;
    },
  },
);

// A record: any name may be there, and those of zocket are zocket's.
declare const record: Record<string, unknown>;
const byRecord = zocket.create({
  headers,
  onConnect: () => record,
  onDisconnect: (ctx) => {
    expectTypeOf(ctx["role"]).toEqualTypeOf<unknown>();
    expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
    expectTypeOf(ctx.rooms).toEqualTypeOf<ReadonlySet<string>>();
  },
});
byRecord.router(
  {
    say: byRecord.message.incoming({ payload }),
    more: byRecord.message.use(() => ({ role: "admin" as const })).incoming({ payload }),
    onSaid: byRecord.message.outgoing({ payload }),
  },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx["role"]).toEqualTypeOf<unknown>();
      expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
      expectTypeOf(ctx.rooms.has).returns.toEqualTypeOf<boolean>();
      expectTypeOf(ctx.send.onSaid).parameters.toEqualTypeOf<[payload: string]>();
    },
    more: ({ ctx }) => expectTypeOf(ctx.role).toEqualTypeOf<"admin">() && undefined,
  },
);
const byTexts = zocket.create({
  headers,
  onConnect: async (): Promise<Record<string, string>> => ({}),
});
byTexts.router(
  { say: byTexts.message.incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx["role"]).toEqualTypeOf<string | undefined>();
      expectTypeOf(ctx.rooms.join).toEqualTypeOf<(roomId: string) => void>();
    },
  },
);
const byKeys = zocket.create({ headers, onConnect: (): Record<"a" | "b", 1> => ({ a: 1, b: 1 }) });
byKeys.router(
  { say: byKeys.message.incoming({ payload }) },
  {
    say: ({ ctx }) => expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<{ a: 1; b: 1 }>() && undefined,
  },
);

// The names of zocket, in every shape that says they are there
const named = zocket.create({
  headers,
  onConnect: (): { rooms: string[]; [name: string]: unknown } => ({ rooms: [] }),
});
// @ts-expect-error onConnect returns `rooms`
named.message.incoming({ payload });
const optional = zocket.create({ headers, onConnect: (): { send?: string } => ({}) });
// @ts-expect-error onConnect may return `send`
optional.message.incoming({ payload });
const recordOfOurs = zocket.create({
  headers,
  onConnect: (): Record<"clientId", string> => ({ clientId: "" }),
});
// @ts-expect-error onConnect returns `clientId`
recordOfOurs.router({}, {});
const nothing = zocket.create({ headers, onConnect: () => null });
// @ts-expect-error onConnect returns null, which is not an object or undefined
nothing.message.incoming({ payload });

// Middlewares: synchronous, asynchronous, nothing, sometimes, over what was there, in one chain
const zo = zocket.create({ headers, onConnect: () => ({ userId: "1", level: 1 }) });
const chain = zo.message
  .use(({ ctx }) => ({ upper: ctx.userId.toUpperCase() }))
  .use(async ({ ctx }) => ({ length: ctx.upper.length }))
  .use(() => {})
  .use(async () => {})
  .use(({ ctx }) => (ctx.length > 1 ? { long: true as const } : undefined))
  .use(async ({ ctx }) => (ctx.long ? { level: "high" as const } : undefined))
  .use(({ ctx }) => ({ userId: Number(ctx.userId) }))
  .use(() => record as { note?: Date })
  .use(({ ctx }) =>
    ctx.userId > 1 ? { kind: "a" as const, a: 1 } : { kind: "b" as const, b: "" },
  );
zo.router(
  { say: chain.incoming({ payload }), plain: zo.message.incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx.upper).toEqualTypeOf<string>();
      expectTypeOf(ctx.length).toEqualTypeOf<number>();
      expectTypeOf(ctx.long).toEqualTypeOf<true | undefined>();
      expectTypeOf(ctx.level).toEqualTypeOf<number | "high">();
      expectTypeOf(ctx.userId).toEqualTypeOf<number>();
      expectTypeOf(ctx.note).toEqualTypeOf<Date | undefined>();
      if (ctx.kind === "a") expectTypeOf(ctx.a).toEqualTypeOf<number>();
      else expectTypeOf(ctx.b).toEqualTypeOf<string>();
    },
    plain: ({ ctx }) =>
      expectTypeOf<Own<typeof ctx>>().toEqualTypeOf<{ userId: string; level: number }>() &&
      undefined,
  },
);

// A record from a middleware: what was there may have been replaced by anything.
zo.router(
  { say: zo.message.use(async () => record).incoming({ payload }) },
  {
    say: ({ ctx }) => {
      expectTypeOf(ctx.userId).toEqualTypeOf<unknown>();
      expectTypeOf(ctx["other"]).toEqualTypeOf<unknown>();
      expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
    },
  },
);
// @ts-expect-error it says that `send` is there
zo.message.use((): { send: 1; [name: string]: unknown } => ({ send: 1 }));
// @ts-expect-error `rooms` may be there
zo.message.use((): { rooms?: string[] } => ({}));
// @ts-expect-error sometimes it is
zo.message.use(({ ctx }) => (ctx.level ? { clientId: "" } : undefined));
// @ts-expect-error sometimes it is, in a promise
zo.message.use(async ({ ctx }) => (ctx.level ? { clientId: "" } : { a: 1 }));
// @ts-expect-error null is not an object or undefined
zo.message.use(() => null);
// @ts-expect-error a promise in a promise's place alone
zo.message.use(() => ({ then: () => {} }));

// Written down on their own
const stamp: MiddlewareFn<ZocketContext<{ userId: string }>, { at: Date }> = () => ({
  at: new Date(),
});
zo.router(
  { say: zo.message.use(stamp).incoming({ payload }) },
  { say: ({ ctx }) => expectTypeOf(ctx.at).toEqualTypeOf<Date>() && undefined },
);
expectTypeOf<Own<ZocketContext<Account>>>().toEqualTypeOf<AccountAlias>();
expectTypeOf<
  Omit<DisconnectContext<Account>, "clientId" | "rooms">
>().toEqualTypeOf<AccountAlias>();

// One helper takes the context of any handler and any middleware.
const helped = zocket.create({ headers, onConnect: (): Account => ({ id: "", tags: [] }) });
const helpedRoutes = {
  say: helped.message.incoming({ payload }),
  onSaid: helped.message.outgoing({ payload }),
  chat: {
    deep: {
      say: helped.message.use(() => ({ role: "admin" })).incoming({ payload }),
      onSaid: helped.message.outgoing({ payload: anything<{ at: Date }>() }),
    },
  },
};
function audit(ctx: ZocketContext<Account>): void {
  expectTypeOf(ctx.id).toEqualTypeOf<string>();
  expectTypeOf(ctx.send).toEqualTypeOf<AnySender>();
  ctx.rooms.join("audited");
  ctx.rooms.broadcast("audited", "any.route", 1);
  // @ts-expect-error which routes there are depends on the router
  void ctx.send.onSaid;
}
function auditAny(ctx: ZocketContext<Account, AnyRouter>): void {
  audit(ctx);
}
function auditBare(ctx: ZocketContext): void {
  void ctx.clientId;
}
function log<TRouter extends AnyRouter>(ctx: ZocketContext<Account, TRouter>): void {
  expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
  expectTypeOf(ctx.id).toEqualTypeOf<string>();
}
function answer(ctx: ZocketContext<Account, typeof helpedRoutes>): void {
  ctx.send.chat.deep.onSaid({ at: new Date() }).to(ctx.clientId);
  // @ts-expect-error wrong payload
  ctx.send.chat.deep.onSaid({ at: "" });
  // @ts-expect-error no such route
  void ctx.send.chat.onSaid;
}
const helpedRouter = helped.router(helpedRoutes, {
  say: ({ ctx }) => {
    audit(ctx);
    auditAny(ctx);
    auditBare(ctx);
    log(ctx);
    answer(ctx);
  },
  chat: {
    deep: {
      say: ({ ctx }) => {
        audit(ctx);
        auditAny(ctx);
        auditBare(ctx);
        log(ctx);
        answer(ctx);
      },
    },
  },
});
function byRouter(ctx: ZocketContext<Account, typeof helpedRouter>): void {
  audit(ctx);
  log(ctx);
  answer(ctx);
}
void byRouter;
helped.message.use(({ ctx }) => {
  audit(ctx);
  auditAny(ctx);
  auditBare(ctx);
  log(ctx);
  // A middleware does not know the routes: every name is there.
  ctx.send["onSaid"]?.("any payload").broadcast();
  // @ts-expect-error and so it cannot be taken for one that does
  answer(ctx);
});
declare const ofUser: ZocketContext<Account, typeof helpedRoutes>;
declare const ofAny: ZocketContext<Account>;
// @ts-expect-error another user context
expectTypeOf(ofUser).toExtend<ZocketContext<{ other: number }>>();
// @ts-expect-error any router is not this one
expectTypeOf(ofAny).toExtend<ZocketContext<Account, typeof helpedRoutes>>();
expectTypeOf<ZocketContext<Account, AnyRoutes>>().toExtend<ZocketContext<Account>>();

// What the compiler says where zocket's names are taken
expectTypeOf<
  NonNullable<Extract<MiddlewareResult, object>["send"]>
>().toEqualTypeOf<"a middleware returns `send`, a name that zocket itself puts into ctx">();

expectTypeOf<
  NonNullable<Extract<MiddlewareResult, object>["disconnect"]>
>().toEqualTypeOf<"a middleware returns `disconnect`, a name that zocket itself puts into ctx">();

// Ending a connection
expectTypeOf<ZocketContext["disconnect"]>().toEqualTypeOf<(how?: DisconnectOptions) => void>();
expectTypeOf<ZocketServer["disconnect"]>().toEqualTypeOf<
  (clientIds: string | readonly string[], how?: DisconnectOptions) => Promise<void>
>();

// The client's headers: the schema's names, all optional, and any others
const headed = zocket.create({
  headers: z.object({
    authorization: z.string(),
    age: z.coerce.number(),
    "x-room": z.string().optional(),
  }),
});
const headedRouter = headed.router({ say: headed.message.incoming({ payload }) }, {});
type HeadedOption = NonNullable<ClientOptions<typeof headedRouter>["headers"]>;
type Headed = Exclude<HeadedOption, () => unknown>;
expectTypeOf<Headed["authorization"]>().toEqualTypeOf<string | undefined>();
expectTypeOf<Headed["age"]>().toEqualTypeOf<string | undefined>();
expectTypeOf<"authorization" | "age" | "x-room" | string>().toEqualTypeOf<keyof Headed & string>();
expectTypeOf<{}>().toExtend<Headed>();
expectTypeOf<Record<string, string | undefined>>().toExtend<Headed>();
createZocketClient<typeof headedRouter>("ws://localhost:3000", {
  headers: { authorization: "", other: "" },
});
createZocketClient<typeof headedRouter>("ws://localhost:3000", { headers: {} });
// @ts-expect-error headers are text, whatever the schema makes of them
createZocketClient<typeof headedRouter>("ws://localhost:3000", { headers: { age: 1 } });
// @ts-expect-error nor from a function
createZocketClient<typeof headedRouter>("ws://localhost:3000", { headers: () => ({ age: 1 }) });
createZocketClient<typeof headedRouter>("ws://localhost:3000", {
  headers: async () => ({ authorization: "", other: undefined }),
});
expectTypeOf<() => Headed>().toExtend<HeadedOption>();
expectTypeOf<() => Promise<Headed>>().toExtend<HeadedOption>();
expectTypeOf<NonNullable<ClientOptions["headers"]>>().toExtend<HeadedOption>();
expectTypeOf<ClientOptions>().toExtend<ClientOptions<typeof headedRouter>>();
expectTypeOf<ClientOptions<typeof headedRouter>>().toExtend<ClientOptions>();
const manyHeaders = zocket.create({ headers: anything<{ a: string } | { b: string }>() });
const manyRouter = manyHeaders.router({}, {});
createZocketClient<typeof manyRouter>("ws://localhost:3000", { headers: { b: "" } });
const anyHeaders = zocket.create({ headers: anything<unknown>() });
const anyRouter = anyHeaders.router({}, {});
createZocketClient<typeof anyRouter>("ws://localhost:3000", { headers: { b: "" } });
