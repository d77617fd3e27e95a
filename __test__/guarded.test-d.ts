// Types of `zo.use(…).handle(…)`: middlewares before one handler.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import {
  zocket,
  type Fail,
  type HandlerBuilder,
  type Sender,
  type ZocketContext,
} from "@zocket/core";

const zo = zocket.create({
  headers: z.object({ authorization: z.string() }),
  onConnect: ({ authorization }) => ({ userId: authorization }),
});
const { incoming, outgoing } = zo.message;
const text = z.object({ text: z.string() });
const routes = {
  chat: {
    say: incoming({ payload: text }),
    typed: zo.message.use(() => ({ locale: "en" as const })).incoming({ payload: z.coerce.date() }),
    join: incoming({
      payload: z.string(),
      reply: z.object({ members: z.number(), state: z.enum(["open", "full"]) }),
      errors: { FULL: z.object({ limit: z.number() }) },
    }),
    ask: incoming({ payload: z.string(), stream: z.number(), reply: z.string() }),
    onSaid: outgoing({ payload: text }),
  },
};

const admins = zo.use(({ ctx }) => {
  expectTypeOf(ctx.userId).toEqualTypeOf<string>();
  return { role: "admin" as const };
});
expectTypeOf(admins).toEqualTypeOf<HandlerBuilder<{ userId: string }, { role: "admin" }>>();
const logged = admins.use(async ({ ctx, payload }) => {
  expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
  expectTypeOf(payload).toEqualTypeOf<unknown>();
  return { userId: 7, at: new Date() };
});

zo.router(routes, {
  chat: {
    say: logged.handle(({ payload, ctx, signal }) => {
      expectTypeOf(payload).toEqualTypeOf<{ text: string }>();
      expectTypeOf(ctx).not.toBeAny();
      expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
      expectTypeOf(ctx.userId).toEqualTypeOf<number>();
      expectTypeOf(ctx.at).toEqualTypeOf<Date>();
      expectTypeOf(ctx.clientId).toEqualTypeOf<string>();
      expectTypeOf(ctx.send).toEqualTypeOf<Sender<typeof routes>>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      ctx.send.chat.onSaid(payload).broadcast();
    }),
    // What the message's own middlewares add is there too.
    typed: admins.handle(async ({ payload, ctx }) => {
      expectTypeOf(payload).toEqualTypeOf<Date>();
      expectTypeOf(ctx.locale).toEqualTypeOf<"en">();
      expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
    }),
    join: admins.handle(async ({ payload, ctx, fail }) => {
      expectTypeOf(payload).toEqualTypeOf<string>();
      expectTypeOf(fail).toEqualTypeOf<
        Fail<{ readonly FULL: z.ZodObject<{ limit: z.ZodNumber }> }>
      >();
      expectTypeOf(ctx.role).not.toBeAny();
      if (payload === "") throw fail("FULL", { limit: 1 });
      return { members: 3, state: "open" };
    }),
    ask: admins.handle(async function* ({ payload }) {
      expectTypeOf(payload).toEqualTypeOf<string>();
      yield 1;
      return "done";
    }),
  },
});

// With none left out, and beside handlers without one
zo.router.strict(
  { say: routes.chat.say, join: routes.chat.join },
  {
    say: ({ payload }) => void payload.text,
    join: admins.handle(({ payload, ctx }) => {
      expectTypeOf(payload).toEqualTypeOf<string>();
      expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
      return { members: 1, state: "full" };
    }),
  },
);

zo.router(routes, {
  chat: {
    // @ts-expect-error the reply does not fit
    join: admins.handle(() => ({ members: "3", state: "open" })),
    // @ts-expect-error no reply
    ask: admins.handle(() => "done"),
  },
});
// @ts-expect-error an outgoing route
zo.router(routes, { chat: { onSaid: admins.handle(() => {}) } });
zo.router(routes, {
  chat: {
    say: admins.handle(({ payload, ctx }) => {
      // @ts-expect-error no such field
      void payload.texts;
      // @ts-expect-error nobody added it
      void ctx.locale;
    }),
  },
});

// Stored in a variable first, it cannot know the payload.
const stored = admins.handle(({ payload, ctx }) => {
  expectTypeOf(payload).toEqualTypeOf<unknown>();
  expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
});
zo.router(routes, { chat: { say: stored } });

// Several one after the other
zo.router(routes, {
  chat: {
    say: admins.handle(
      zo
        .use(() => ({ inner: 1 }))
        .handle(({ payload, ctx }) => {
          expectTypeOf(payload).toEqualTypeOf<{ text: string }>();
          expectTypeOf(ctx.role).toEqualTypeOf<"admin">();
          expectTypeOf(ctx.inner).toEqualTypeOf<number>();
        }),
    ),
  },
});

// @ts-expect-error a middleware is a function
zo.use("admin");
// @ts-expect-error ours win
zo.use(() => ({ clientId: "me" }));
// @ts-expect-error a handler is a function
admins.handle("say");
const helper = (ctx: ZocketContext<{ role: string }>) => ctx.role;
zo.router(routes, { chat: { say: admins.handle(({ ctx }) => void helper(ctx)) } });
