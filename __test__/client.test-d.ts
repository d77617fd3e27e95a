// Types of the client: what it sends, what it receives as JSON makes it, its events and options.
import { expectTypeOf } from "expect-type";
import { WebSocket as WsWebSocket } from "ws";
import { z } from "zod";

import {
  createZocketClient,
  zocket,
  type ClientCloseEvent,
  type ClientError,
  type ClientOn,
  type ClientOptions,
  type ClientSend,
  type ClientState,
  type Jsonify,
  type RefusedPayload,
  type Unsubscribe,
  type ZocketClient,
} from "@zocket/core";
import * as alone from "@zocket/core/client";

const zo = zocket.create({ headers: z.object({ authorization: z.string() }) });
const { incoming, outgoing } = zo.message;

class Money {
  amount = 1;
  format(): string {
    return "";
  }
  toJSON(): { amount: Date } {
    return { amount: new Date() };
  }
}

const routes = {
  ping: incoming({ payload: z.undefined() }),
  onPong: outgoing({ payload: z.void() }),
  chat: {
    message: zo.message
      .use(() => ({ role: "admin" }))
      .incoming({
        payload: z.object({
          at: z.string().transform((it) => new Date(it)),
          mood: z.enum(["good", "bad"]).default("good"),
          topic: z.string().optional(),
        }),
      }),
    onMessage: outgoing({
      payload: z.object({
        at: z.date(),
        topic: z.string().optional(),
        kind: z.string().default(""),
        shout: z.string().transform((it) => it.length),
      }),
    }),
  },
  // Names that JavaScript looks up by itself.
  // oxlint-disable-next-line unicorn/no-thenable -- the case under test
  then: incoming({ payload: z.string() }),
  toJSON: outgoing({ payload: z.string() }),
  a: {
    b: {
      c: {
        d: {
          e: {
            f: { g: incoming({ payload: z.number() }), onG: outgoing({ payload: z.number() }) },
          },
        },
      },
    },
  },
};
const router = zo.router(routes, {});

const client = createZocketClient<typeof router>("ws://localhost:3000");
expectTypeOf(client).not.toBeAny();
expectTypeOf(client).toEqualTypeOf<ZocketClient<typeof router>>();
expectTypeOf(client.send).toEqualTypeOf<ClientSend<typeof routes>>();
expectTypeOf(client.on).toEqualTypeOf<ClientOn<typeof routes>>();
const byRoutes = createZocketClient<typeof routes>(new URL("ws://localhost:3000"));
expectTypeOf(byRoutes.send).toEqualTypeOf(client.send);
expectTypeOf(byRoutes.on).toEqualTypeOf(client.on);
const withoutNative = alone.createZocketClient<typeof router>("ws://localhost:3000");
expectTypeOf(withoutNative).toEqualTypeOf<alone.ZocketClient<typeof router>>();
const eitherWay: ZocketClient<typeof router> = withoutNative;
void eitherWay;
withoutNative.send.chat.message({ at: "" });
withoutNative.on.chat.onMessage(({ at }) => expectTypeOf(at).toEqualTypeOf<string>());
// With the routes at hand, their type need not be named.
const atHand = createZocketClient("ws://localhost:3000", { routes, validateIncoming: true });
expectTypeOf(atHand).toEqualTypeOf<ZocketClient<typeof routes>>();
atHand.send.chat.message({ at: "" });
// @ts-expect-error not what the schema takes
atHand.send.chat.message({ at: 1 });
const ofRouter = createZocketClient("ws://localhost:3000", { routes: router });
expectTypeOf(ofRouter).toEqualTypeOf<ZocketClient<typeof router>>();
const named = createZocketClient<typeof router>("ws://localhost:3000", { routes });
expectTypeOf(named).toEqualTypeOf<ZocketClient<typeof router>>();
const given: ClientOptions<typeof router> = { routes, headers: { authorization: "" } };
expectTypeOf(createZocketClient<typeof router>("ws://a", given)).toEqualTypeOf(named);
// @ts-expect-error routes are objects
createZocketClient("ws://localhost:3000", { routes: "chat" });
// @ts-expect-error yes or no
createZocketClient("ws://localhost:3000", { routes, validateIncoming: "yes" });
// @ts-expect-error a router is an object
createZocketClient<string>("ws://localhost:3000");

// Sending takes the schema's input.
const { send, on } = client;
expectTypeOf(send.chat.message).not.toBeAny();
expectTypeOf(send.chat.message).parameters.toEqualTypeOf<
  [payload: { at: string; mood?: "good" | "bad" | undefined; topic?: string | undefined }]
>();
expectTypeOf(send.chat.message).returns.toEqualTypeOf<void>();
send.chat.message({ at: "2026-01-01" });
send.ping();
send.ping(undefined);
send.a.b.c.d.e.f.g(1);
// @ts-expect-error missing payload
send.chat.message();
// @ts-expect-error wrong payload: the output, not the input
send.chat.message({ at: new Date() });
// @ts-expect-error no such mood
send.chat.message({ at: "", mood: "sad" });
// @ts-expect-error no such route
send.chat.mesage({ at: "" });
// @ts-expect-error the server sends it
send.chat.onMessage({});
// @ts-expect-error no route on the client, as `await client.send` asks for it
void send.then;

// Listening gives what JSON makes of the schema's output.
expectTypeOf(on.chat.onMessage).not.toBeAny();
expectTypeOf(on.chat.onMessage).parameter(0).not.toBeAny();
on.chat.onMessage((payload) => {
  expectTypeOf(payload).toEqualTypeOf<{
    at: string;
    topic?: string;
    kind: string;
    shout: number;
  }>();
});
void (async () => {
  for await (const payload of on.chat.onMessage) {
    expectTypeOf(payload).not.toBeAny();
    expectTypeOf(payload.at).toEqualTypeOf<string>();
  }
  const messages = on.chat.onMessage[Symbol.asyncIterator]();
  expectTypeOf(messages.dropped).toEqualTypeOf<number>();
  const next = await messages.next();
  if (next.done) expectTypeOf(next.value).toEqualTypeOf<undefined>();
  else expectTypeOf(next.value.at).toEqualTypeOf<string>();
  expectTypeOf(messages).toExtend<AsyncIterable<{ at: string }>>();
  // @ts-expect-error a group has no messages
  for await (const payload of on.chat) void payload;
  // @ts-expect-error it only grows by itself
  messages.dropped = 0;

  const { once } = client;
  const first = await once.chat.onMessage();
  expectTypeOf(first).not.toBeAny();
  expectTypeOf(first.at).toEqualTypeOf<string>();
  await once.chat.onMessage({ timeout: 1_000, signal: AbortSignal.timeout(1) });
  // @ts-expect-error an incoming route
  await once.chat.message();
  // @ts-expect-error no such option
  await once.chat.onMessage({ timeOut: 1 });
  // @ts-expect-error a time is a number
  await once.chat.onMessage({ timeout: "1s" });
});
const unsubscribe = on.chat.onMessage(() => {});
expectTypeOf(unsubscribe).toEqualTypeOf<() => void>();
on.onPong((payload) => expectTypeOf(payload).toEqualTypeOf<undefined>());
on.a.b.c.d.e.f.onG((payload) => expectTypeOf(payload).toEqualTypeOf<number>());
// @ts-expect-error a listener is needed
on.chat.onMessage();
// @ts-expect-error it takes a string there
on.chat.onMessage(({ at }: { at: Date }) => at);
// @ts-expect-error clients send it
on.chat.message(() => {});
// @ts-expect-error nothing comes from there
on.ping(() => {});
// @ts-expect-error no route on the client, as `JSON.stringify` asks for it
void on.toJSON;

// What JSON makes of a type
expectTypeOf<Jsonify<Date>>().toEqualTypeOf<string>();
expectTypeOf<Jsonify<Money>>().toEqualTypeOf<{ amount: string }>();
expectTypeOf<Jsonify<{ at: Date | null; n: 1 | "a"; ok: boolean }>>().toEqualTypeOf<{
  at: string | null;
  n: 1 | "a";
  ok: boolean;
}>();
expectTypeOf<
  Jsonify<{ gone: undefined; run(): void; [Symbol.iterator]: string; maybe: string | undefined }>
>().toEqualTypeOf<{ maybe?: string }>();
expectTypeOf<
  Jsonify<{ a?: number; readonly b: string; c: string | (() => void) }>
>().toEqualTypeOf<{
  a?: number;
  readonly b: string;
  c?: string;
}>();
expectTypeOf<Jsonify<{ big: bigint }>>().toEqualTypeOf<{ big: never }>();
expectTypeOf<Jsonify<bigint>>().toBeNever();
expectTypeOf<Jsonify<undefined>>().toEqualTypeOf<undefined>();
expectTypeOf<Jsonify<string | undefined>>().toEqualTypeOf<string | undefined>();
expectTypeOf<Jsonify<(Date | undefined)[]>>().toEqualTypeOf<(string | null)[]>();
expectTypeOf<Jsonify<readonly [Date, (() => void)?]>>().toEqualTypeOf<readonly [string, null?]>();
expectTypeOf<Jsonify<{ kind: "a"; at: Date } | { kind: "b" }>>().toEqualTypeOf<
  { kind: "a"; at: string } | { kind: "b" }
>();
expectTypeOf<Jsonify<Map<string, number>>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<Set<string>>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<Uint8Array>>().toEqualTypeOf<{ [index: string]: number }>();
expectTypeOf<Jsonify<Record<string, Date>>>().toEqualTypeOf<Record<string, string>>();
expectTypeOf<Jsonify<Record<string, never>>>().toEqualTypeOf<Record<string, never>>();
expectTypeOf<Jsonify<{}>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<unknown>>().toEqualTypeOf<unknown>();
expectTypeOf<Jsonify<ReturnType<typeof JSON.parse>>>().toEqualTypeOf<unknown>();
expectTypeOf<Jsonify<{ a: unknown; b: string }>>().toEqualTypeOf<{ a?: unknown; b: string }>();
const brand = z.string().brand<"UserId">();
expectTypeOf<Jsonify<z.output<typeof brand>>>().toEqualTypeOf<z.output<typeof brand>>();
interface Tree {
  at: Date;
  inner: Tree[];
}
expectTypeOf<Jsonify<Tree>["inner"][number]["inner"][number]["at"]>().toEqualTypeOf<string>();

// Events
expectTypeOf(client.onOpen(() => {})).toEqualTypeOf<() => void>();
client.onClose(({ code, reason, wasClean }) => {
  expectTypeOf(code).toEqualTypeOf<number>();
  expectTypeOf(reason).toEqualTypeOf<string>();
  expectTypeOf(wasClean).toEqualTypeOf<boolean>();
});
client.onError((error) => {
  expectTypeOf(error).toEqualTypeOf<ClientError>();
  expectTypeOf(error.retryAfterMs).toEqualTypeOf<number | undefined>();
  expectTypeOf(error.issues?.[0]?.message).toEqualTypeOf<string | undefined>();
  if (error.code === "QUEUE_FULL" || error.code === "INVALID_PAYLOAD") return;
  // @ts-expect-error no such code
  if (error.code === "INVALID") return;
});
client.onError(({ code, cause }) => {
  expectTypeOf(cause).toEqualTypeOf<unknown>();
  if (code === "HEADERS" || code === "LOST" || code === "TOO_LARGE") return;
});
client.onClose(({ refused }) => {
  expectTypeOf(refused).toEqualTypeOf<RefusedPayload | undefined>();
  expectTypeOf(refused?.status).toEqualTypeOf<number | undefined>();
  expectTypeOf(refused?.code).toEqualTypeOf<"HEADERS" | "CONNECT" | "TIMEOUT" | undefined>();
  expectTypeOf(refused?.issues?.[0]?.message).toEqualTypeOf<string | undefined>();
  expectTypeOf(refused?.retryAfterMs).toEqualTypeOf<number | undefined>();
});
expectTypeOf<alone.RefusedPayload>().toEqualTypeOf<RefusedPayload>();

// What it is doing
expectTypeOf(client.state).toEqualTypeOf<"connecting" | "open" | "waiting" | "closed">();
expectTypeOf<alone.ClientState>().toEqualTypeOf<ClientState>();
expectTypeOf(client.retryAt).toEqualTypeOf<number | undefined>();
expectTypeOf(client.id).toEqualTypeOf<string | undefined>();
const ends = client.onState((state, retryAt) => {
  expectTypeOf(state).toEqualTypeOf<ClientState>();
  expectTypeOf(retryAt).toEqualTypeOf<number | undefined>();
});
expectTypeOf(ends).toEqualTypeOf<Unsubscribe>();
// @ts-expect-error it is read only
client.state = "open";
expectTypeOf(client.close).toEqualTypeOf<() => void>();
expectTypeOf(client.reconnect).toEqualTypeOf<() => void>();
expectTypeOf(client.readyState).toEqualTypeOf<0 | 1 | 2 | 3>();

// Options
const token: string | undefined = process.env["TOKEN"];
createZocketClient<typeof router>("ws://localhost:3000", {
  headers: { authorization: "secret", token },
  maxReconnectionDelay: 10_000,
  minReconnectionDelay: 1_000,
  reconnectionDelayGrowFactor: 1.3,
  maxRetries: Infinity,
  debug: false,
  onOpen: () => {},
  onClose: ({ code }) => void code,
  WebSocket: WsWebSocket,
});
createZocketClient<typeof router>("ws://localhost:3000", { WebSocket });
createZocketClient<typeof router>("ws://localhost:3000", {
  WebSocket: class extends WsWebSocket {
    constructor(url: string) {
      super(url, { headers: { authorization: "secret" } });
    }
  },
});
createZocketClient<typeof router>("ws://localhost:3000", {
  headers: () => ({ authorization: "secret", token }),
  headersIn: "protocol",
  heartbeatInterval: 25_000,
  autoConnect: false,
  shouldReconnect: (event) => {
    expectTypeOf(event).toEqualTypeOf<ClientCloseEvent>();
    return event.refused?.status !== 403;
  },
});
createZocketClient<typeof router>("ws://localhost:3000", {
  headers: async () => ({ authorization: await Promise.resolve("secret") }),
  headersIn: "query",
});
createZocketClient("ws://localhost:3000", { headers: async () => ({ anything: token }) });
// @ts-expect-error headers are text
createZocketClient<typeof router>("ws://localhost:3000", { headers: () => ({ age: 1 }) });
// @ts-expect-error headers are text
createZocketClient<typeof router>("ws://localhost:3000", { headers: async () => ({ age: 1 }) });
// @ts-expect-error a function returns them
createZocketClient<typeof router>("ws://localhost:3000", { headers: () => {} });
// @ts-expect-error no such place
createZocketClient<typeof router>("ws://localhost:3000", { headersIn: "cookie" });
// @ts-expect-error it answers at once
createZocketClient("ws://localhost:3000", { shouldReconnect: async () => true });
// @ts-expect-error no class
createZocketClient<typeof router>("ws://localhost:3000", { WebSocket: {} });
// @ts-expect-error no WebSocket
createZocketClient<typeof router>("ws://localhost:3000", { WebSocket: Date });
// @ts-expect-error headers are text
createZocketClient<typeof router>("ws://localhost:3000", { headers: { age: 1 } });
// @ts-expect-error no such option
createZocketClient<typeof router>("ws://localhost:3000", { retries: 1 });
