// docs/errors.md: what the sender of a bad message is told, and what `onError` is told, each row provoked on a running server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { ErrorCode, MessageErrorCode } from "@zocket/core";
import { redis } from "@zocket/core/bus";

import { eachRow, valuesOf, type Case, type Row } from "./_errors-page.ts";
import { Child, portOf } from "./_child.ts";
import { ask, Raw, request } from "./_raw.ts";
import { Client, serve, type App, type Given } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** Every code there is, as the types have it. */
const MESSAGE_CODES: Record<MessageErrorCode, true> = {
  BAD_MESSAGE: true,
  NO_ROUTE: true,
  INVALID_PAYLOAD: true,
  REJECTED: true,
  HANDLER_ERROR: true,
  RATE_LIMITED: true,
  TOO_MANY_CALLS: true,
};
const CODES: Record<ErrorCode, true> = {
  ...MESSAGE_CODES,
  HEADERS: true,
  CONNECT: true,
  OPEN: true,
  DISCONNECT: true,
  ORIGIN: true,
  HANDLERS: true,
  SLOW_CLIENT: true,
  NO_HANDLER: true,
  UNSENT: true,
  STOP: true,
  BUS: true,
  INTERNAL: true,
};

const SECRET = "what user code threw";
const throws = (): never => {
  throw new Error(SECRET);
};
const rejects = async (): Promise<never> => throws();
const never = () => new Promise<never>(() => {});
const schema = <T>(validate: () => unknown) =>
  ({ "~standard": { version: 1, vendor: "specs", validate } }) as StandardSchemaV1<unknown, T>;
const refusing = <T>() => schema<T>(() => ({ issues: [{ message: "wrong", path: ["a"] }] }));

/** Bad messages of one kind. */
interface Bad {
  givens?: Given[];
  messages: (string | Buffer)[];
  route?: string;
  issues?: true;
  /** It is told when one more is taken. */
  waits?: true;
  /** Sent before, and taken. */
  first?: string;
  /** The same without an answer. */
  before?: string;
}
const SAY = ['{"type":"say","payload":1}'];
const BAD: Record<string, Bad> = {
  "BAD_MESSAGE, client": {
    messages: [
      "no JSON",
      "[]",
      '{"type":1}',
      '{"type":"say","type":"say"}',
      '{"type":"say","payload":1,"payload":1}',
      Buffer.from([0xff]),
    ],
  },
  "NO_ROUTE, client": { messages: ['{"type":"nowhere"}'], route: "nowhere" },
  "INVALID_PAYLOAD, client": {
    givens: [{ payload: refusing() }],
    messages: SAY,
    route: "say",
    issues: true,
  },
  "INVALID_PAYLOAD, application": {
    givens: [
      { payload: schema(throws) },
      { payload: schema(rejects) },
      { payload: schema(() => 1) },
    ],
    messages: SAY,
    route: "say",
  },
  "REJECTED, client": {
    givens: [{ middleware: throws }, { middleware: rejects }],
    messages: SAY,
    route: "say",
  },
  "HANDLER_ERROR, application": {
    givens: [
      { say: throws },
      { say: rejects },
      { onConnect: () => Object.defineProperty({}, "user", { enumerable: true, get: throws }) },
    ],
    messages: SAY,
    route: "say",
  },
  "RATE_LIMITED, client": {
    // One in a thousand seconds.
    givens: [{ options: { maxMessagesPerSecond: 0.001 } }],
    first: '{"type":"say","payload":"first"}',
    messages: SAY,
    route: "say",
    waits: true,
  },
  "TOO_MANY_CALLS, client": {
    givens: [{ options: { maxCallsPerClient: 1 } }],
    before: '{"type":"never","id":1}',
    messages: ['{"type":"never","id":2}'],
    route: "never",
  },
};

function replied({ givens = [{}], messages, route, issues, waits, first, before }: Bad): Case {
  return async (t, { code = "" }) => {
    for (const given of givens) {
      const app = serve(t, given);
      const client = await Client.open(t, app.url);
      if (before !== undefined) client.socket.send(before);
      if (first !== undefined) {
        client.socket.send(first);
        await client.next();
      }
      for (const message of messages) {
        client.socket.send(message);
        const { type, payload } = await client.next();
        assert.equal(type, "$error");
        const { message: text, retryAfterMs, ...rest } = payload as Record<string, unknown>;
        assert.equal(typeof retryAfterMs, waits ? "number" : "undefined");
        const found = issues && [{ message: "wrong", path: ["a"] }];
        assert.deepEqual(rest, { code, ...(route && { route }), ...(found && { issues: found }) });
        assert.ok(typeof text === "string" && text !== "" && !text.includes(SECRET));
      }
      assert.deepEqual(app.server.metrics().bad, { [code]: messages.length });
      // Its connection stays open.
      client.socket.ping();
      await soon("a pong", once(client.socket, "pong"));
    }
  };
}

eachRow(
  "Replies to bad messages",
  ["code", "At fault"],
  Object.fromEntries(Object.entries(BAD).map(([key, bad]) => [key, replied(bad)])),
);

/** Something that goes wrong, and what `onError` is told of it besides the code. */
interface Fault {
  given: Given;
  act: (t: TestContext, app: App) => Promise<unknown>;
  knows?: ("clientId" | "connected" | "route")[];
}

const asked =
  (changes: Record<string, string> = {}) =>
  (t: TestContext, app: App) =>
    ask(t, app.port, request(changes));
const refuse = (given: Given, changes?: Record<string, string>): Fault => ({
  given,
  act: asked(changes),
  knows: ["clientId"],
});
const ELSEWHERE = { Origin: "https://elsewhere.example" };
const refused = (status: number) => (): never => {
  throw Object.assign(new Error(SECRET), { status });
};

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
/** Opens a connection, which the server then closes. */
const opens = async (t: TestContext, app: App) => {
  const { closed } = await Client.open(t, app.url);
  assert.equal((await closed).code, 1011);
};
const leaves = async (t: TestContext, app: App) => (await Client.open(t, app.url)).close();
const stops = async (t: TestContext, app: App) => {
  await Client.open(t, app.url);
  await app.server.stop();
};
const readsNothing = async (t: TestContext, app: App) => {
  const slow = await Raw.open(t, app.port);
  slow.socket.pause();
  const text = "x".repeat(32 * 1024);
  await until("the client is cut off", async () => {
    for (let burst = 0; burst < 100; burst++) app.shout(text);
    // Two of these at once are always late: by their timers alone, the event loop would never come to the sockets.
    await new Promise(setImmediate);
    return app.server.clientCount() === 0;
  });
};

const says = ({ givens = [{}], messages, route, first, before }: Bad): Fault[] =>
  givens.map((given) => ({
    given,
    knows: route === undefined ? ["clientId"] : ["clientId", "route"],
    act: async (t, app) => {
      const client = await Client.open(t, app.url);
      if (before !== undefined) client.socket.send(before);
      for (const message of [first ?? [], messages[0] ?? ""].flat()) {
        client.socket.send(message);
        await client.next();
      }
    },
  }));

const FAULTS: Record<string, Fault[]> = {
  ...Object.fromEntries(Object.entries(BAD).map(([key, bad]) => [key, says(bad)])),
  "HEADERS, client": [refuse({ headers: refusing() })],
  "HEADERS, application": [
    refuse({ headers: schema(throws) }),
    refuse({ headers: schema(rejects) }),
  ],
  "CONNECT, client": [
    refuse({ onConnect: throws }),
    refuse({ onConnect: rejects }),
    refuse({ onConnect: refused(499) }),
  ],
  "CONNECT, application": [refuse({ onConnect: () => 1 }), refuse({ onConnect: refused(500) })],
  "OPEN, application": [
    { given: { onOpen: throws }, act: opens, knows: ["clientId"] },
    { given: { onOpen: rejects }, act: opens, knows: ["clientId"] },
    {
      given: { onOpen: never, options: { handshakeTimeout: 1_000 } },
      act: opens,
      knows: ["clientId"],
    },
  ],
  "DISCONNECT, application": [
    { given: { onDisconnect: throws }, act: leaves, knows: ["clientId"] },
    { given: { onDisconnect: rejects }, act: leaves, knows: ["clientId"] },
  ],
  "ORIGIN, client": [
    { given: { options: { allowedOrigins: [] } }, act: asked(ELSEWHERE) },
    refuse({ options: { allowedOrigins: () => false } }, ELSEWHERE),
  ],
  "ORIGIN, application": [
    refuse({ options: { allowedOrigins: throws } }, ELSEWHERE),
    { given: {}, act: asked({ ...ELSEWHERE, Cookie: "a=1" }) },
  ],
  "HANDLERS, client": [
    {
      given: { options: { maxHandlersInFlight: 1 }, say: never },
      act: async (t, app) => {
        const client = await Client.open(t, app.url);
        for (const payload of [1, 2, 3]) client.say(payload);
      },
      knows: ["clientId"],
    },
  ],
  "BUS, system": [
    {
      // Nobody listens there.
      given: { options: { bus: redis({ url: "redis://127.0.0.1:1", prefix: "spec" }) } },
      act: async () => {},
      knows: ["connected"],
    },
  ],
  "SLOW_CLIENT, client": [
    { given: { options: { maxBackpressure: 1024 } }, act: readsNothing, knows: ["clientId"] },
  ],
  "NO_HANDLER, application": [{ given: { forgets: true }, act: async () => {} }],
  "UNSENT, application": [
    {
      given: {},
      act: async (_, app) => {
        app.server.send.said("to nobody");
        for (let round = 0; round < 10; round++) {
          collect();
          await new Promise(setImmediate);
        }
      },
      knows: ["route"],
    },
  ],
  "STOP, application": [{ given: { onDisconnect: never }, act: stops, knows: ["clientId"] }],
};

/** The first words of the lines that the default logger wrote. */
function captured(t: TestContext): string[] {
  const lines: string[] = [];
  t.mock.method(console, "error", (first: unknown) => lines.push(String(first)));
  return lines;
}

/** The same on a server with `onError` and on one without: its log tells whose fault it is. */
async function told(t: TestContext, row: Row, { given, act, knows = [] }: Fault): Promise<void> {
  const code = row["info.code"] ?? "";
  const lines = captured(t);
  const app = serve(t, given);
  const silent = serve(t, { ...given, options: { ...given.options, onError: undefined } });
  await Promise.all([act(t, app), act(t, silent)]);

  await until("onError", () => app.errors.length > 0);
  const [{ error, ...info } = { error: undefined, code: "" }] = app.errors;
  assert.deepEqual(
    Object.keys(info).toSorted(),
    ["clientId", "code", "connected", "route"].filter(
      (name) => name === "code" || knows.includes(name as "route"),
    ),
  );
  assert.equal(info.code, code);
  assert.ok(error instanceof Error);

  await until("a line in the log", () => lines.length > 0);
  const counted = row["At fault"] === "client" ? "1 " : "";
  assert.ok(lines[0]?.startsWith(`zocket: ${counted}${code}`), lines.join("\n"));
}

eachRow("Told to onError", ["info.code", "At fault"], {
  ...Object.fromEntries(
    Object.entries(FAULTS).map(([key, faults]) => [
      key,
      async (t: TestContext, row: Row) => {
        for (const fault of faults) await told(t, row, fault);
      },
    ]),
  ),
  "INTERNAL, system or the library": async (t) => {
    if (process.platform === "win32") return t.skip("descriptors have no limit to set here");
    const child = Child.limited(
      t,
      64,
      `const onError = (error, { code }) => console.log("told " + code + " " + error.message);
       const server = createServer(router, zo, { ...local, ioThreads: 1, onError });
       tell(server);`,
    );
    const port = await portOf(child);
    const raws = Array.from({ length: 80 }, () => new Raw(t, port));
    assert.match(await child.printed(/told (.*)\n/), /^INTERNAL .*too many open files/i);
    // It listens on, once there are descriptors again.
    for (const raw of raws) raw.socket.destroy();
    await Client.open(t, `ws://127.0.0.1:${port}`);
  },
});

describe("the codes of docs/errors.md", () => {
  test("of $error are those of the types", () => {
    const codes = valuesOf("Replies to bad messages", "code");
    assert.deepEqual(codes, Object.keys(MESSAGE_CODES).toSorted());
  });

  test("of onError are those of the types", () => {
    assert.deepEqual(valuesOf("Told to onError", "info.code"), Object.keys(CODES).toSorted());
  });
});

describe("who tries one token after the other", () => {
  test("does not fill the default log: only the first refusal of a second is shown", async (t) => {
    const lines = captured(t);
    const app = serve(t, { onConnect: throws, options: { onError: undefined } });
    for (let guess = 0; guess < 50; guess++) await ask(t, app.port, request());
    await app.server.stop();
    // One line for the first one, and one a second for the rest.
    assert.match(lines[0] ?? "", /^zocket: 1 CONNECT, client /);
    const counts = lines.slice(1).map((line) => Number(/^zocket: (\d+) CONNECT/.exec(line)?.[1]));
    assert.equal(
      counts.reduce((sum, count) => sum + count, 1),
      50,
    );
  });
});
