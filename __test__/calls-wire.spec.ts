// Calls as any client can make them: envelopes with an `id`, the answers, `$abort` and `$more`.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ErrorInfo, type ServerOptions } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { z } from "zod";

import { Line } from "./_line.ts";
import { latch, until } from "./_wait.ts";

/** A schema whose result is a `then` and nothing more. */
function strange<T>(): StandardSchemaV1<T, T> {
  const validate = (value: unknown) => ({
    then(resolve: (result: { value: unknown }) => void): void {
      setImmediate(() => resolve({ value }));
    },
  });
  return { "~standard": { version: 1, vendor: "specs", validate: validate as never } };
}

/** A server with calls, and what happened on it. */
function serve(t: TestContext, options: ServerOptions = {}) {
  const faults: (ErrorInfo & { error: unknown })[] = [];
  const happened: string[] = [];
  let open = latch();
  const zo = zocket.create({
    headers: z.object({}),
    onConnect: () => ({ user: "ada" }),
    onDisconnect: () => void happened.push("onDisconnect"),
  });
  const { incoming } = zo.message;
  const room = z.object({ room: z.string() });
  const routes = {
    plain: incoming({ payload: z.string() }),
    waits: incoming({ payload: z.string() }),
    other: incoming({
      payload: z.string(),
      reply: z.string(),
      errors: { OTHER: z.undefined() },
    }),
    sum: incoming({
      payload: z.number(),
      stream: z.object({ n: z.number() }),
      reply: z.object({ total: z.number() }),
    }),
    sizes: incoming({ payload: z.array(z.number()), stream: z.string() }),
    join: incoming({
      payload: room,
      reply: z.object({ members: z.number(), at: z.string().default("now") }),
      errors: { ROOM_FULL: z.object({ limit: z.number() }), NOT_FOUND: z.undefined() },
    }),
    slow: zo.message
      .use(async () => {
        await open.promise;
      })
      .incoming({ payload: z.string(), reply: z.string() }),
    held: incoming({ payload: z.string(), reply: z.string() }),
    strange: incoming({
      payload: z.undefined(),
      stream: strange<number>(),
      reply: strange<string>(),
    }),
    late: incoming({
      payload: z.number(),
      reply: z.number().refine(async (it) => {
        await Promise.resolve();
        return it > 0;
      }),
    }),
    count: incoming({ payload: z.number(), stream: z.number(), reply: z.string() }),
    forever: incoming({ payload: z.undefined(), stream: z.number() }),
    never: incoming({ payload: z.undefined(), stream: z.number() }),
    stubborn: incoming({ payload: z.undefined(), stream: z.number() }),
    wrong: incoming({ payload: z.string(), stream: z.number() }),
    texts: incoming({ payload: z.undefined(), stream: z.string() }),
  };
  let failElsewhere: (() => Error) | undefined;
  const app = zo.router(routes, {
    waits: async ({ payload }) => {
      happened.push(`waits ${payload}`);
      await open.promise;
    },
    other: ({ payload, fail }) => {
      failElsewhere = () => fail("OTHER");
      return payload;
    },
    sum: function* ({ payload }) {
      for (let n = 0; n < payload; n += 1) yield { n, secret: 1 };
      return { total: payload, secret: 1 };
    },
    sizes: function* ({ payload }) {
      for (const size of payload) yield "x".repeat(size);
    },
    plain: ({ payload }) => {
      if (payload === "throw") throw new Error("no");
    },
    join: ({ payload, fail }) => {
      if (payload.room === "full") throw fail("ROOM_FULL", { limit: 50, secret: 1 } as never);
      if (payload.room === "gone") throw fail("NOT_FOUND");
      if (payload.room === "wrong") throw fail("ROOM_FULL", { limit: "50" } as never);
      if (payload.room === "unknown") throw fail("NOT_DECLARED" as never, undefined as never);
      if (payload.room === "elsewhere") throw failElsewhere?.() as Error;
      if (payload.room === "forged") {
        throw Object.assign(new Error("no"), { code: "ROOM_FULL", data: { limit: 50 } });
      }
      if (payload.room === "bad") return { members: "3" } as never;
      if (payload.room === "circle") {
        const circle: Record<string, unknown> = {};
        circle["circle"] = circle;
        return circle as never;
      }
      if (payload.room === "throw") throw new Error("no");
      return { members: 3, secret: 1 } as never;
    },
    slow: ({ payload }) => {
      happened.push(`slow ${payload}`);
      return payload;
    },
    held: async ({ payload, signal }) => {
      signal.addEventListener("abort", () => {
        happened.push(`${payload} aborted by ${(signal.reason as { code: string }).code}`);
      });
      await open.promise;
      happened.push(`held ${payload}`);
      return payload;
    },
    strange: function* () {
      yield 1;
      return "done";
    },
    late: ({ payload }) => payload,
    count: async function* ({ payload }) {
      try {
        for (let n = 0; n < payload; n += 1) {
          happened.push(`made ${n}`);
          yield n;
        }
        return "done";
      } finally {
        happened.push("finally");
      }
    },
    forever: function* () {
      try {
        for (let n = 0; ; n += 1) yield n;
      } finally {
        happened.push("forever ended");
      }
    },
    texts: function* () {
      for (;;) yield "x".repeat(1_000);
    },
    never: async function* ({ signal }) {
      yield 0;
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
      yield 1;
    },
    stubborn: async function* () {
      try {
        for (let n = 0; ; n += 1) yield n;
      } finally {
        // oxlint-disable-next-line no-unsafe-finally -- the case under test
        throw new Error("in finally");
      }
    },
    wrong: function* ({ payload }: { payload: string }) {
      yield 1;
      if (payload === "item") yield "2" as never;
      else throw new Error("no");
    } as never,
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, info) => void faults.push({ error, ...info }),
    ...options,
  });
  t.after(() => server.stop(true));
  const release = () => {
    open.open();
    open = latch();
  };
  return { server, faults, happened, release, line: () => Line.open(t, server) };
}

describe("a call", () => {
  test("is answered with a reply, as the schema makes it", async (t) => {
    const { line, faults } = serve(t);
    const one = await line();
    one.say({ id: 7, type: "join", payload: { room: "lobby" } });
    one.say('{"payload":{"room":"lobby"},"type":"join","id":0}');
    one.say({ id: Number.MAX_SAFE_INTEGER, type: "late", payload: 5 });
    const payload = { members: 3, at: "now" };
    assert.deepEqual(await one.end(7), { type: "$reply", id: 7, payload });
    assert.deepEqual(await one.end(0), { type: "$reply", id: 0, payload });
    const last = Number.MAX_SAFE_INTEGER;
    assert.deepEqual(await one.end(last), { type: "$reply", id: last, payload: 5 });
    assert.deepEqual(faults, []);
  });

  test("is answered with a declared error, which is no fault", async (t) => {
    const { line, faults, server } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "join", payload: { room: "full" } });
    one.say({ id: 2, type: "join", payload: { room: "gone" } });
    const message = "the handler answered with an error";
    assert.deepEqual(await one.end(1), {
      type: "$error",
      id: 1,
      payload: { code: "ROOM_FULL", route: "join", message, data: { limit: 50 } },
    });
    assert.deepEqual(await one.end(2), {
      type: "$error",
      id: 2,
      payload: { code: "NOT_FOUND", route: "join", message },
    });
    assert.deepEqual(faults, []);
    assert.deepEqual(server.metrics().bad, {});
  });

  test("fails when its handler throws, or answers what it has not declared", async (t) => {
    const { line, faults } = serve(t);
    const one = await line();
    one.say({ id: 100, type: "other", payload: "x" });
    await one.end(100);
    const rooms = ["throw", "bad", "circle", "wrong", "unknown", "elsewhere", "forged"];
    for (const [id, room] of rooms.entries()) one.say({ id, type: "join", payload: { room } });
    for (const id of rooms.keys()) {
      const { type, payload } = await one.end(id);
      assert.equal(type, "$error");
      assert.equal((payload as { code: string }).code, "HANDLER_ERROR");
    }
    await until("the faults", () => faults.length === rooms.length);
    assert.deepEqual(new Set(faults.map(({ code }) => code)), new Set(["HANDLER_ERROR"]));
    const withIssues = faults.filter(({ error }) => (error as { issues?: unknown }).issues);
    assert.equal(withIssues.length, 3);
  });

  test("that is not one gets an answer all the same", async (t) => {
    const { line } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "plain", payload: "x" });
    one.say({ id: 2, type: "plain", payload: "throw" });
    one.say({ id: 3, type: "plain", payload: 3 });
    one.say({ id: 4, type: "nothing" });
    one.say({ id: 5, payload: "no type" });
    one.say({ id: 6, type: "join", payload: "wrong" });
    assert.deepEqual(await one.end(1), { type: "$reply", id: 1 });
    const codes = [
      "HANDLER_ERROR",
      "INVALID_PAYLOAD",
      "NO_ROUTE",
      "BAD_MESSAGE",
      "INVALID_PAYLOAD",
    ];
    for (const [at, code] of codes.entries()) {
      const { type, payload } = await one.end(at + 2);
      assert.deepEqual([type, (payload as { code: string }).code], ["$error", code]);
    }
  });

  test("without an id is a message like any other", async (t) => {
    const { line, faults } = serve(t);
    const one = await line();
    one.say({ type: "join", payload: { room: "lobby" } });
    one.say({ type: "join", payload: { room: "full" } });
    await until("the declared error", () => one.told.length > 0);
    const message = "the handler answered with an error";
    assert.deepEqual(one.told, [
      {
        type: "$error",
        payload: { code: "ROOM_FULL", route: "join", message, data: { limit: 50 } },
      },
    ]);
    one.say({ type: "count", payload: 3 });
    await until("a $error", () => one.told.length === 2);
    assert.equal((one.told[1] as { payload: { code: string } }).payload.code, "BAD_MESSAGE");
    assert.equal(faults.filter(({ code }) => code === "HANDLER_ERROR").length, 0);
  });
});

describe("an id", () => {
  test("that is in use is refused without an id, and settles nothing", async (t) => {
    const { line, release } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "held", payload: "first" });
    one.say({ id: 1, type: "held", payload: "second" });
    one.say({ id: 1, type: "nothing" });
    one.say({ id: 1, type: "plain", payload: "x" });
    await until("two $errors", () => one.told.length >= 3);
    assert.deepEqual(
      one.told.map(({ type, id }) => [type, id]),
      [
        ["$error", undefined],
        ["$error", undefined],
        ["$reply", 1],
      ],
    );
    release();
    await until("the reply", () => one.told.length === 4);
    assert.deepEqual(one.told[3], { type: "$reply", id: 1, payload: "first" });
  });

  test("that is no whole number is refused on calls, and passed over elsewhere", async (t) => {
    const { line } = serve(t);
    const one = await line();
    const wrong = [
      "-1",
      "1.5",
      "1e3",
      "9007199254740992",
      "1152921504606846976",
      '"1"',
      "null",
      "[]",
    ];
    for (const id of wrong) one.say(`{"id":${id},"type":"join","payload":{"room":"lobby"}}`);
    for (const id of wrong) one.say(`{"id":${id},"type":"plain","payload":"x"}`);
    one.say('{"id":1,"id":2,"type":"plain","payload":"x"}');
    one.say('{"type":"plain","payload":"x","id":1,"i\\u0064":1}');
    await one.settle();
    assert.equal(one.told.length, wrong.length + 2);
    for (const { type, id, payload } of one.told) {
      assert.deepEqual([type, id], ["$error", undefined]);
      assert.equal((payload as { code: string }).code, "BAD_MESSAGE");
    }
  });

  test("stands in the $error about too many messages, also of a long one", async (t) => {
    const { line } = serve(t, { maxMessagesPerSecond: 1 });
    const one = await line();
    for (let id = 1; id <= 5; id += 1) {
      one.say({ type: "join", payload: { room: "x".repeat(5_000) }, id });
    }
    for (let id = 2; id <= 5; id += 1) {
      const { payload } = await one.end(id);
      assert.equal((payload as { code: string }).code, "RATE_LIMITED");
    }
  });
});

describe("an abort", () => {
  test("fires the signal, frees the id, and lets nothing more be sent", async (t) => {
    const { line, happened, release } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "held", payload: "first" });
    await one.settle();
    one.say({ id: 1, type: "$abort" });
    await until("the signal", () => happened.includes("first aborted by ABORTED"));
    one.say({ id: 1, type: "held", payload: "second" });
    await one.settle();
    release();
    assert.deepEqual(await one.end(1), { type: "$reply", id: 1, payload: "second" });
    await one.settle();
    assert.equal(one.told.length, 1);
  });

  test("of a call that waits keeps it from ever starting", async (t) => {
    const { line, happened, release } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "slow", payload: "first" });
    one.say({ id: 2, type: "slow", payload: "second" });
    one.say({ id: 3, type: "slow", payload: "third" });
    // It overtakes what waits.
    one.say({ id: 2, type: "$abort" });
    one.say({ id: 1, type: "$abort" });
    one.say({ id: 9, type: "nothing" });
    await one.end(9);
    release();
    await until("the third", () => {
      release();
      return happened.includes("slow third");
    });
    assert.deepEqual(happened, ["slow third"]);
    assert.deepEqual(await one.end(3), { type: "$reply", id: 3, payload: "third" });
    assert.equal(one.of(1).length + one.of(2).length, 0);
  });

  test("of a call that never was, is over or belongs to another client is passed over", async (t) => {
    const { line, release } = serve(t);
    const [one, other] = await Promise.all([line(), line()]);
    one.say({ id: 1, type: "held", payload: "mine" });
    await one.settle();
    for (const id of [1, 2, "1", null]) other.say({ id, type: "$abort" });
    other.say({ type: "$abort" });
    for (const payload of [1, 0, -1, "1", null, 2 ** 60])
      other.say({ id: 1, type: "$more", payload });
    await other.settle();
    assert.deepEqual(other.told, []);
    release();
    assert.equal((await one.end(1)).type, "$reply");
    one.say({ id: 1, type: "$abort" });
    await one.settle();
    assert.equal(one.told.length, 1);
  });
});

test("$abort and $more with an id that is no whole number, or doubled, end nothing", async (t) => {
  const { line, happened, release } = serve(t);
  const one = await line();
  one.say({ id: 1, type: "held", payload: "first" });
  one.say({ id: 2, type: "count", payload: 100 });
  await until("64 items", () => one.of(2).length === 64);
  for (const id of ["-1", "-2", "1.0", "2.5", "1e0", "1152921504606846976", '"1"', "[1]", "true"]) {
    one.say(`{"id":${id},"type":"$abort"}`);
    one.say(`{"id":${id},"type":"$more","payload":32}`);
  }
  const doubled = ['"id":1,"id":1,"type":"$abort"', '"id":2,"type":"$more","payload":32,"id":2'];
  for (const text of doubled) one.say(`{${text}}`);
  one.say('{"type":"$abort","type":"$abort","id":1}');
  await one.settle();
  const errors = one.told.filter(({ type }) => type === "$error");
  t.diagnostic(JSON.stringify(errors));
  for (const { id, payload } of errors) {
    assert.deepEqual([id, (payload as { code: string }).code], [undefined, "BAD_MESSAGE"]);
  }
  assert.equal(one.of(2).length, 64);
  release();
  assert.deepEqual(await one.end(1), { type: "$reply", id: 1, payload: "first" });
  assert.ok(!happened.some((it) => it.includes("aborted")));
  one.say({ id: 2, type: "$more", payload: 64 });
  assert.equal((await one.end(2)).type, "$end");
});

describe("a stream", () => {
  test("sends its items and its reply as their schemas make them", async (t) => {
    const { line } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "sum", payload: 2 });
    assert.deepEqual((await one.end(1)).payload, { total: 2 });
    const items = one.of(1).slice(0, -1);
    assert.deepEqual(
      items.map(({ payload }) => payload),
      [{ n: 0 }, { n: 1 }],
    );
  });

  test("has its oldest items acknowledged first", async (t) => {
    const { line } = serve(t, { maxBackpressure: 100_000 });
    const one = await line();
    one.say({ id: 1, type: "sizes", payload: [1, 90_000, 1] });
    await until("two items", () => one.of(1).length === 2);
    one.say({ id: 1, type: "$more", payload: 1 });
    await one.settle();
    assert.equal(one.of(1).length, 2, "the long one is not acknowledged");
    one.say({ id: 1, type: "$more", payload: 1 });
    assert.equal((await one.end(1)).type, "$end");
  });

  test("sends its items and its end", async (t) => {
    const { line } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "count", payload: 3 });
    await one.end(1);
    assert.deepEqual(one.told, [
      { type: "$item", id: 1, payload: 0 },
      { type: "$item", id: 1, payload: 1 },
      { type: "$item", id: 1, payload: 2 },
      { type: "$end", id: 1, payload: "done" },
    ]);
  });

  test("waits for a schema whose promise is only a then", async (t) => {
    const { line } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "strange" });
    assert.deepEqual(await one.end(1), { type: "$end", id: 1, payload: "done" });
    assert.deepEqual(one.told[0], { type: "$item", id: 1, payload: 1 });
  });

  test("goes 64 items ahead of its reader, and no further", async (t) => {
    const { line, happened } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "count", payload: 200 });
    await until("64 items", () => one.told.length === 64);
    await one.settle();
    assert.equal(one.told.length, 64);
    assert.equal(happened.length, 64);
    for (const payload of [0, -1, 1.5, "32", null]) one.say({ id: 1, type: "$more", payload });
    await one.settle();
    assert.equal(one.told.length, 64);
    one.say({ id: 1, type: "$more", payload: 32 });
    await until("96 items", () => one.told.length === 96);
    // More than are out is as many as are out.
    one.say({ id: 1, type: "$more", payload: 1_000_000 });
    await until("160 items", () => one.told.length === 160);
    await one.settle();
    assert.equal(one.told.length, 160);
    one.say({ id: 1, type: "$more", payload: 64 });
    assert.equal((await one.end(1)).type, "$end");
  });

  test("that is aborted runs its finally, also one that never ends", async (t) => {
    const { line, happened, faults } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "forever" });
    one.say({ id: 2, type: "never" });
    await until("the items", () => one.of(1).length === 64 && one.of(2).length === 1);
    one.say({ id: 1, type: "$abort" });
    one.say({ id: 2, type: "$abort" });
    await until("finally", () => happened.includes("forever ended"));
    await one.settle();
    assert.equal(one.told.length, 65);
    assert.deepEqual(
      faults.filter(({ code }) => code === "HANDLER_ERROR"),
      [],
    );
  });

  test("that throws in its finally is told to the owner alone", async (t) => {
    const { line, faults } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "stubborn" });
    await until("the items", () => one.of(1).length === 64);
    one.say({ id: 1, type: "$abort" });
    await until("the fault", () => faults.some(({ code }) => code === "HANDLER_ERROR"));
    await one.settle();
    assert.equal(one.of(1).length, 64);
  });

  test("fails with an item that does not fit, and when it throws", async (t) => {
    const { line, faults } = serve(t);
    const one = await line();
    one.say({ id: 1, type: "wrong", payload: "item" });
    one.say({ id: 2, type: "wrong", payload: "throw" });
    for (const id of [1, 2]) {
      assert.equal(((await one.end(id)).payload as { code: string }).code, "HANDLER_ERROR");
      assert.equal(one.of(id).length, 2);
    }
    assert.equal(faults.length, 2);
  });

  test("leaves room for the other streams of a client that reads slowly", async (t) => {
    const { line } = serve(t, { maxBackpressure: 2_000 });
    const one = await line();
    one.say({ id: 1, type: "forever" });
    one.say({ id: 2, type: "forever" });
    one.say({ id: 3, type: "forever" });
    await until("an item of each", () => [1, 2, 3].every((id) => one.of(id).length > 0));
    await one.settle();
    // Half of it, in frames of about fifty bytes, and one more of each.
    assert.ok(one.told.length <= 1_000 / 30 + 3, `${one.told.length} items`);
    one.say({ id: 1, type: "$more", payload: 64 });
    const before = one.told.length;
    await until("further items", () => one.told.length > before);
    assert.equal(one.socket.readyState, 1);
  });
});

test("streams count their items by the bytes of their frames", async (t) => {
  const { line } = serve(t, { maxBackpressure: 200_000 });
  const one = await line();
  one.say({ id: 1, type: "texts" });
  one.say({ id: 2, type: "texts" });
  await until("items", () => one.told.length > 90);
  await one.settle();
  // Half of it in frames of 1,035 bytes, counted as 1,062, and one more of each.
  assert.ok(one.told.length <= 100_000 / 1_035 + 2, `${one.told.length} items`);
});

describe("the bounds of calls", () => {
  test("a client has so many open calls at most, and an aborted one keeps its place", async (t) => {
    const { line, release } = serve(t, { maxCallsPerClient: 2 });
    const one = await line();
    one.say({ id: 1, type: "held", payload: "first" });
    one.say({ id: 2, type: "held", payload: "second" });
    one.say({ id: 3, type: "held", payload: "third" });
    assert.equal(((await one.end(3)).payload as { code: string }).code, "TOO_MANY_CALLS");
    one.say({ id: 1, type: "$abort" });
    one.say({ id: 4, type: "held", payload: "fourth" });
    assert.equal(((await one.end(4)).payload as { code: string }).code, "TOO_MANY_CALLS");
    // A message that is no call needs no place.
    one.say({ id: 5, type: "plain", payload: "x" });
    assert.equal((await one.end(5)).type, "$reply");
    release();
    await one.end(2);
    one.say({ id: 6, type: "join", payload: { room: "lobby" } });
    assert.equal((await one.end(6)).type, "$reply");
  });

  test("the payloads of open calls have maxPayload bytes together", async (t) => {
    const { line, release } = serve(t, { maxPayload: 10_000 });
    const one = await line();
    one.say({ id: 1, type: "held", payload: "x".repeat(6_000) });
    one.say({ id: 2, type: "held", payload: "x".repeat(6_000) });
    assert.equal(((await one.end(2)).payload as { code: string }).code, "TOO_MANY_CALLS");
    await one.settle();
    release();
    await one.end(1);
    one.say({ id: 3, type: "held", payload: "x".repeat(6_000) });
    await one.settle();
    release();
    assert.equal((await one.end(3)).type, "$reply");
  });

  test("$abort and $more are not limited to so many a second, and take none of these", async (t) => {
    // One message in a thousand seconds.
    const { line, happened } = serve(t, { maxMessagesPerSecond: 0.001 });
    const [one, other] = await Promise.all([line(), line()]);
    for (let n = 0; n < 5; n += 1) {
      one.say({ id: 1, type: "$more", payload: 1 });
      one.say({ id: 1, type: "$abort" });
    }
    one.say({ id: 1, type: "count", payload: 100 });
    await until("64 items", () => one.of(1).length === 64);
    one.say({ id: 1, type: "$more", payload: 64 });
    assert.equal((await one.end(1)).type, "$end");
    assert.equal(one.told.length, 101);
    other.say({ id: 1, type: "held", payload: "first" });
    other.say({ id: 1, type: "$abort" });
    await until("the signal", () => happened.includes("first aborted by ABORTED"));
    assert.deepEqual(other.told, []);
  });

  test("calls do not count for maxHandlersInFlight", async (t) => {
    const { line, release } = serve(t, { maxHandlersInFlight: 1 });
    const one = await line();
    for (let id = 1; id <= 5; id += 1) one.say({ id, type: "held", payload: String(id) });
    one.say({ id: 6, type: "join", payload: { room: "lobby" } });
    assert.equal((await one.end(6)).type, "$reply");
    // Neither does a message wait for them.
    one.say({ id: 7, type: "plain", payload: "x" });
    assert.equal((await one.end(7)).type, "$reply");
    release();
    for (let id = 1; id <= 5; id += 1) assert.equal((await one.end(id)).payload, String(id));
  });

  test("a call does not wait for handlers, but for the messages before it", async (t) => {
    const { line, release, happened } = serve(t, { maxHandlersInFlight: 1 });
    const one = await line();
    one.say({ type: "waits", payload: "first" });
    one.say({ id: 1, type: "join", payload: { room: "lobby" } });
    assert.equal((await one.end(1)).type, "$reply");
    one.say({ type: "waits", payload: "second" });
    one.say({ id: 2, type: "join", payload: { room: "lobby" } });
    await one.settle();
    assert.deepEqual([happened, one.of(2)], [["waits first"], []]);
    release();
    assert.equal((await one.end(2)).type, "$reply");
    assert.deepEqual(happened, ["waits first", "waits second"]);
    release();
  });
});

test("signals fire before onDisconnect begins", async (t) => {
  const { line, happened, release } = serve(t);
  const one = await line();
  one.say({ id: 1, type: "held", payload: "first" });
  one.say({ id: 2, type: "count", payload: 1_000 });
  await until("the stream", () => one.of(2).length === 64);
  one.socket.terminate();
  await until("the end", () => happened.includes("onDisconnect"));
  const order = happened.filter((it) => !it.startsWith("made"));
  assert.equal(order[0], "first aborted by DISCONNECTED");
  await until("finally", () => happened.includes("finally"));
  release();
});
