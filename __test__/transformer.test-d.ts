// Types with a transformer: the schemas' own on both sides, and a client that must have the transformer too.
import assert from "node:assert/strict";

import { stringify, parse } from "devalue";
import { expectTypeOf } from "expect-type";
import superjson from "superjson";
import { z } from "zod";

import {
  createServer,
  createZocketClient,
  zocket,
  type AnyRouter,
  type CallResult,
  type ClientOptions,
  type Transformer,
  type Zocket,
  type ZocketClient,
  type ZocketServer,
} from "@zocket/core";
import { message as shared } from "@zocket/core/contract";

const headers = z.object({});
const zo = zocket.create({ headers, transformer: superjson });
expectTypeOf(zo).toEqualTypeOf<Zocket<typeof headers, {}, true>>();
expectTypeOf(zo.transformer).toEqualTypeOf<Transformer | undefined>();
const plain = zocket.create({ headers, transformer: undefined });
expectTypeOf(plain).toEqualTypeOf<Zocket<typeof headers>>();

// What is a transformer.
const devalue = { serialize: stringify, deserialize: (text: unknown) => parse(text as string) };
zocket.create({ headers, transformer: devalue });
zocket.create({ headers, transformer: new superjson() });
const inline = zocket.create({
  headers,
  transformer: {
    serialize(value) {
      expectTypeOf(value).toEqualTypeOf<unknown>();
      return value;
    },
    deserialize: (json) => json,
  },
});
expectTypeOf(inline).toEqualTypeOf<typeof zo>();
const throwing = { serialize: (): never => assert.fail(), deserialize: JSON.parse };
expectTypeOf(zocket.create({ headers, transformer: throwing })).toEqualTypeOf<typeof zo>();
const loose = { serialize: JSON.parse, deserialize: JSON.parse };
expectTypeOf(zocket.create({ headers, transformer: loose })).toEqualTypeOf<typeof zo>();
// @ts-expect-error it has no deserialize
zocket.create({ headers, transformer: { serialize: stringify } });
// The types may be named.
const explicit = zocket.create<typeof headers, { name: string }, unknown>({
  headers,
  onConnect: () => ({ name: "Ada" }),
  transformer: superjson,
});
expectTypeOf(explicit).toEqualTypeOf<Zocket<typeof headers, { name: string }, true>>();
zocket.create<typeof headers, { name: string }>({
  headers,
  onConnect: () => ({ name: "Ada" }),
  // @ts-expect-error the type that the transformer returns is not among them
  transformer: superjson,
});
// @ts-expect-error null is none
zocket.create({ headers, transformer: null });

// The context is inferred beside it.
const named = zocket.create({
  headers,
  onConnect: () => ({ name: "Ada" }),
  onDisconnect: (ctx) => void expectTypeOf(ctx.name).toEqualTypeOf<string>(),
  transformer: superjson,
});

const day = z.object({ at: z.date(), tags: z.set(z.string()), n: z.bigint().optional() });
type Day = { at: Date; tags: Set<string>; n?: bigint | undefined };
const routes = {
  log: zo.message.incoming({ payload: day }),
  noon: zo.message.incoming({ payload: z.date().optional() }),
  any: zo.message.incoming({ payload: z.any() }),
  calendar: {
    find: zo.message.incoming({
      payload: z.map(z.string(), z.date()),
      reply: day,
      errors: { TAKEN: z.object({ since: z.date() }) },
    }),
    days: zo.message.incoming({ payload: z.date(), stream: z.date(), reply: z.bigint() }),
    onDay: zo.message.outgoing({ payload: day }),
    onAny: zo.message.outgoing({ payload: z.any() }),
  },
  guarded: zo.message.use(() => ({ role: "admin" as const })).incoming({ payload: z.date() }),
};
const app = zo.router(routes, {
  log: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Day>();
    ctx.send.calendar.onDay(payload).broadcast();
    ctx.rooms.broadcast("red", "calendar.onDay", payload);
    // @ts-expect-error a text is no Date
    ctx.send.calendar.onDay({ at: "now", tags: new Set() });
  },
  calendar: {
    find: ({ payload, fail }) => {
      expectTypeOf(payload).toEqualTypeOf<Map<string, Date>>();
      if (payload.size === 0) throw fail("TAKEN", { since: new Date() });
      return { at: new Date(), tags: new Set<string>() };
    },
    days: function* ({ payload }) {
      yield payload;
      return 1n;
    },
  },
  guarded: ({ ctx }) => void expectTypeOf(ctx.role).toEqualTypeOf<"admin">(),
});
const server = createServer(app, zo);
expectTypeOf(server).toEqualTypeOf<ZocketServer<typeof routes>>();
server.send.calendar.onDay({ at: new Date(), tags: new Set() });

// A client needs the transformer.
// @ts-expect-error there are no options
createZocketClient<typeof app>("ws://localhost");
// @ts-expect-error there is no transformer
createZocketClient<typeof app>("ws://localhost", {});
// @ts-expect-error there is no transformer
createZocketClient<typeof routes>("ws://localhost", { debug: true });
// @ts-expect-error it is undefined
createZocketClient<typeof routes>("ws://localhost", { transformer: undefined });
// @ts-expect-error it has no deserialize
createZocketClient<typeof app>("ws://localhost", { transformer: { serialize: stringify } });
const options: ClientOptions<typeof app> = { transformer: superjson };
// @ts-expect-error these options may have none
createZocketClient<typeof app>("ws://localhost", options);
const fromTheLeft: ZocketClient<typeof app> = createZocketClient("ws://localhost", {
  transformer: superjson,
});
void fromTheLeft;

for (const client of [
  createZocketClient<typeof app>("ws://localhost", { transformer: superjson }),
  createZocketClient<typeof routes>("ws://localhost", { transformer: devalue }),
]) {
  const { send, call, on } = client;
  expectTypeOf(send.log).parameters.toEqualTypeOf<[payload: Day]>();
  expectTypeOf(send.noon).parameters.toEqualTypeOf<[payload?: Date | undefined]>();
  expectTypeOf(send.any).parameters.toEqualTypeOf<[payload?: unknown]>();
  send.guarded(new Date());
  // @ts-expect-error a text is no Date
  send.guarded("now");
  on.calendar.onDay((payload) => expectTypeOf(payload).toEqualTypeOf<Day>());
  on.calendar.onAny((payload) => expectTypeOf(payload).toEqualTypeOf<unknown>());
  const found = call.calendar.find(new Map([["a", new Date()]]));
  void found.then((reply) => expectTypeOf(reply).toEqualTypeOf<Day>());
  void found.safe().then((result) => {
    expectTypeOf<typeof result>().toExtend<CallResult<Day, unknown>>();
    if (!result.ok && result.error.code === "TAKEN") {
      expectTypeOf(result.error.data).toEqualTypeOf<{ since: Date }>();
    }
  });
  const days = call.calendar.days(new Date());
  expectTypeOf(days[Symbol.asyncIterator]().next).returns.resolves.toExtend<
    IteratorResult<Date, unknown>
  >();
  void days.then((reply) => expectTypeOf(reply).toEqualTypeOf<bigint>());
}

// A client of a router without one gets what JSON carries.
const plainRoutes = {
  at: plain.message.incoming({ payload: z.date() }),
  onAt: plain.message.outgoing({ payload: z.date() }),
};
const plainApp = plain.router(plainRoutes, {});
const plainClient = createZocketClient<typeof plainApp>("ws://localhost");
// @ts-expect-error JSON cannot carry a Date
plainClient.send.at(new Date());
plainClient.on.onAt((payload) => expectTypeOf(payload).toEqualTypeOf<string>());
// Functions that are generic in the router work as they did.
function connect<TRouter extends AnyRouter>(
  url: string,
  given?: ClientOptions<TRouter>,
): ZocketClient<TRouter> {
  return createZocketClient<TRouter>(url, given);
}
const connected = connect<typeof plainApp>("ws://localhost", { debug: true });
expectTypeOf(connected).toEqualTypeOf<ZocketClient<typeof plainApp>>();
function connectRich<TRouter extends AnyRouter>(url: string): ZocketClient<TRouter> {
  return createZocketClient<TRouter>(url, { transformer: superjson });
}
expectTypeOf(connectRich<typeof app>("ws://localhost")).toEqualTypeOf<ZocketClient<typeof app>>();

// Messages that are shared.
const rich = shared.withTransformer();
const contract = {
  chat: {
    say: rich.incoming({ payload: z.date() }),
    onSaid: rich.outgoing({ payload: z.date() }),
  },
};
const contractApp = zo.router(contract, { chat: { say: () => {} } });
const contractClient = createZocketClient<typeof contract>("ws://localhost", {
  transformer: superjson,
});
contractClient.send.chat.say(new Date());
contractClient.on.chat.onSaid((payload) => expectTypeOf(payload).toEqualTypeOf<Date>());
// @ts-expect-error the client needs the transformer
createZocketClient<typeof contractApp>("ws://localhost");
named.router(contract, {
  chat: { say: ({ ctx }) => void expectTypeOf(ctx.name).toEqualTypeOf<string>() },
});

// No router mixes the two.
// @ts-expect-error this one has no transformer
plain.router(routes, {});
// @ts-expect-error nor for shared messages
plain.router(contract, {});
// @ts-expect-error these messages were made without
zo.router(plainRoutes, {});
// @ts-expect-error one of them, nested
zo.router({ ...routes, more: { deep: plain.message.incoming({ payload: z.string() }) } }, {});
// @ts-expect-error one of them, nested
plain.router({ more: { deep: zo.message.incoming({ payload: z.string() }) } }, {});
// @ts-expect-error shared without
zo.router({ at: shared.incoming({ payload: z.string() }) }, {});
zo.router(
  { at: zo.message.incoming({ payload: z.string(), reply: z.date() }) },
  {
    at: ({ payload }) => {
      expectTypeOf(payload).toEqualTypeOf<string>();
      return new Date();
    },
  },
);

// Bytes do not go through the transformer, so a payload that is bytes has the schema for it.
const inBytes = {
  ours: zo.message.incoming({ payload: zo.bytes() }),
  notOurs: zo.message.incoming({ payload: z.instanceof(Uint8Array) }),
  either: zo.message.incoming({ payload: z.union([z.date(), z.instanceof(ArrayBuffer)]) }),
  inside: zo.message.incoming({ payload: z.object({ file: z.instanceof(Uint8Array) }) }),
  anything: zo.message.incoming({ payload: z.any() }),
  unknown: zo.message.incoming({ payload: z.unknown() }),
};
const bytesClient = createZocketClient<typeof inBytes>("ws://localhost", {
  transformer: superjson,
});
bytesClient.send.ours(new Uint8Array());
// @ts-expect-error it needs zo.bytes()
bytesClient.send.notOurs(new Uint8Array());
bytesClient.send.either(new Date());
// @ts-expect-error it needs zo.bytes()
bytesClient.send.either(new ArrayBuffer(1));
bytesClient.send.inside({ file: new Uint8Array() });
bytesClient.send.anything(new Map());
bytesClient.send.unknown(new Map());
