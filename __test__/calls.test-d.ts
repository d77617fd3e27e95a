// Types of calls: what a handler returns and throws, and what a client gets of `reply`, `stream` and `errors`.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import { zocket, type ClientCall, type ClientSend } from "@zocket/core";

const zo = zocket.create({
  headers: z.object({}),
  onConnect: () => ({ userId: "1" }),
});
const { incoming, outgoing, use } = zo.message;

const errors = {
  ROOM_FULL: z.object({ limit: z.number(), at: z.date() }),
  NOT_FOUND: z.undefined(),
};
const routes = {
  plain: incoming({ payload: z.string() }),
  chat: {
    join: use(() => ({ role: "admin" })).incoming({
      payload: z.object({ room: z.string() }),
      reply: z.object({ members: z.number(), since: z.date().default(new Date()) }),
      errors,
    }),
    ask: incoming({
      payload: z.string(),
      stream: z.string().transform((it) => it.length),
      reply: z.object({ tokens: z.number() }),
    }),
    watch: incoming({ payload: z.undefined(), stream: z.object({ at: z.date() }) }),
    onMessage: outgoing({ payload: z.string() }),
  },
};

const app = zo.router(routes, {
  plain: ({ signal, fail }) => {
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    // @ts-expect-error nothing is declared
    throw fail("ROOM_FULL");
  },
  chat: {
    join: async ({ payload, ctx, fail }) => {
      expectTypeOf(payload).toEqualTypeOf<{ room: string }>();
      expectTypeOf(ctx.role).toEqualTypeOf<string>();
      if (payload.room === "") throw fail("NOT_FOUND");
      // @ts-expect-error the data is missing
      if (payload.room === "a") throw fail("ROOM_FULL");
      // @ts-expect-error the data is wrong
      if (payload.room === "b") throw fail("ROOM_FULL", { limit: "", at: new Date() });
      // @ts-expect-error no such error
      if (payload.room === "c") throw fail("ROOM_FULLER", { limit: 1 });
      if (payload.room === "d") throw fail("ROOM_FULL", { limit: 1, at: new Date() });
      return { members: 3 };
    },
    ask: async function* ({ payload, signal }) {
      expectTypeOf(payload).toEqualTypeOf<string>();
      if (!signal.aborted) yield payload;
      return { tokens: 12 };
    },
    watch: function* () {
      yield { at: new Date() };
    },
  },
});

zo.router(routes, {
  chat: {
    // @ts-expect-error the reply is missing
    join: () => {},
    // @ts-expect-error the items are of another type, and the reply is missing
    ask: async function* () {
      yield 1;
    },
  },
});
zo.router(routes, {
  chat: {
    // @ts-expect-error the reply is of another type
    join: () => ({ members: "3" }),
    // @ts-expect-error a stream needs a generator
    watch: () => {},
  },
});

type Call = ClientCall<typeof app>;
declare const call: Call;
declare const send: ClientSend<typeof app>;

expectTypeOf<keyof Call>().toEqualTypeOf<"chat">();
expectTypeOf<keyof Call["chat"]>().toEqualTypeOf<"join" | "ask" | "watch">();
expectTypeOf<keyof ClientSend<typeof app>["chat"]>().toEqualTypeOf<"join">();
send.chat.join({ room: "lobby" });
send.plain("hello");
// @ts-expect-error a stream has no use without an answer
send.chat.ask("why?");
// @ts-expect-error without an answer it is no call
call.plain("hello");

async function use1(): Promise<void> {
  const reply = await call.chat.join({ room: "lobby" }, { timeout: 5_000 });
  expectTypeOf(reply).toEqualTypeOf<{ members: number; since: string }>();
  // @ts-expect-error the payload is wrong
  await call.chat.join({ room: 1 });
  // @ts-expect-error no such option
  await call.chat.join({ room: "" }, { timeouts: 1 });

  const result = await call.chat.join({ room: "lobby" }).safe();
  if (result.ok) {
    expectTypeOf(result.data).toEqualTypeOf<{ members: number; since: string }>();
  } else {
    const { error } = result;
    switch (error.code) {
      case "ROOM_FULL":
        expectTypeOf(error.data).toEqualTypeOf<{ limit: number; at: string }>();
        break;
      case "NOT_FOUND":
        expectTypeOf(error.data).toEqualTypeOf<undefined>();
        break;
      case "BAD_MESSAGE":
      case "NO_ROUTE":
      case "INVALID_PAYLOAD":
      case "REJECTED":
      case "HANDLER_ERROR":
      case "RATE_LIMITED":
      case "TIMEOUT":
      case "ABORTED":
      case "DISCONNECTED":
      case "CLOSED":
      case "QUEUE_FULL":
      case "TOO_LARGE":
      case "TOO_MANY_CALLS":
      case "BAD_REPLY":
        expectTypeOf(error.data).toEqualTypeOf<undefined>();
        break;
      default:
        expectTypeOf(error).toEqualTypeOf<never>();
    }
  }

  const asked = call.chat.ask("why?");
  for await (const item of asked) expectTypeOf(item).toEqualTypeOf<number>();
  expectTypeOf(await asked).toEqualTypeOf<{ tokens: number }>();

  const watched = call.chat.watch();
  for await (const item of watched) expectTypeOf(item).toEqualTypeOf<{ at: string }>();
  expectTypeOf(await watched).toEqualTypeOf<undefined>();
  // @ts-expect-error a call without a stream has no items
  for await (const item of call.chat.join({ room: "" })) void item;
}
void use1;

// @ts-expect-error no schema
incoming({ payload: z.string(), reply: 1 });
// @ts-expect-error no schemas
incoming({ payload: z.string(), errors: { GONE: 1 } });
// @ts-expect-error outgoing messages have no reply
outgoing({ payload: z.string(), reply: z.string() });

// Defined in the middle of a router
const inline = zo.router(
  {
    ping: incoming({ payload: z.null() }),
    ask: incoming({ payload: z.string(), reply: z.number(), errors: { GONE: z.undefined() } }),
  },
  {
    ping: () => {},
    ask: ({ payload, fail }) => {
      if (payload === "") throw fail("GONE");
      return payload.length;
    },
  },
);
declare const inlineSend: ClientSend<typeof inline>;
declare const inlineCall: ClientCall<typeof inline>;
inlineSend.ping(null);
inlineSend.ask("why?");
expectTypeOf<keyof typeof inlineCall>().toEqualTypeOf<"ask">();
expectTypeOf<Awaited<ReturnType<typeof inlineCall.ask>>>().toEqualTypeOf<number>();
