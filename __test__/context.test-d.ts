// What `ctx` is: any user context there is, what any chain of middlewares makes of it, and the names that stay zocket's.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import {
  zocket,
  type DisconnectContext,
  type MiddlewareFn,
  type StandardSchemaV1,
  type ZocketContext,
} from "@zocket/core";

declare function anything<T>(): StandardSchemaV1<T>;
const headers = z.object({ token: z.string() });
const payload = anything<string>();
/** A context without what zocket adds. */
type Own<TContext> = Omit<TContext, "clientId" | "send" | "rooms">;

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
// @ts-expect-error onConnect returns null, which is neither an object nor nothing
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
// @ts-expect-error null is neither an object nor nothing
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
