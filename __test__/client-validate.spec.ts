// The client's options `routes` and `validateIncoming`: payloads are checked before they are sent, and when they arrive.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import {
  createServer,
  createZocketClient,
  zocket,
  type ClientError,
  type ClientOptions,
} from "@zocket/core";
import { message } from "@zocket/core/contract";
import { WebSocket } from "ws";
import { z } from "zod";

import { anything } from "./_support.ts";
import { startPlain } from "./_plain.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

/** A schema whose verdict is given by hand. */
function slow() {
  const asked: { value: unknown; accept(): void; refuse(): void; fail(error: unknown): void }[] =
    [];
  const validate = (value: unknown) =>
    new Promise<StandardSchemaV1.Result<string>>((done, fail) => {
      const accept = () => done({ value: value as string });
      asked.push({ value, accept, refuse: () => done({ issues: [{ message: "no" }] }), fail });
    });
  const schema: StandardSchemaV1<string, string> = {
    "~standard": { version: 1, vendor: "specs", validate },
  };
  return { asked, schema };
}

const throwing: StandardSchemaV1<string, string> = {
  "~standard": {
    version: 1,
    vendor: "specs",
    validate: () => {
      throw new Error("broken");
    },
  },
};

function contract() {
  const held = slow();
  const routes = {
    chat: {
      say: message.incoming({ payload: z.object({ text: z.string().min(1).toLowerCase() }) }),
      at: message.incoming({ payload: z.string().transform((text) => new Date(text)) }),
      held: message.incoming({ payload: held.schema }),
      broken: message.incoming({ payload: throwing }),
      nothing: message.incoming({ payload: z.undefined() }),
      any: message.incoming({ payload: anything<unknown>() }),
      onSaid: message.outgoing({ payload: z.object({ text: z.string() }) }),
      onHeld: message.outgoing({ payload: held.schema }),
    },
    add: message.incoming({
      payload: z.number().int(),
      reply: z.number(),
      stream: z.number(),
      errors: { NO: z.object({ why: z.string() }) },
    }),
    hold: message.incoming({ payload: held.schema, reply: z.string() }),
    ask: message.incoming({ payload: anything<unknown>(), reply: z.string() }),
  };
  return { routes, held };
}

/** A client of a plain server, with the routes at hand. */
async function meet(t: TestContext, options: ClientOptions = {}) {
  const { url, visits, state } = await startPlain(t);
  const { routes, held } = contract();
  const client = createZocketClient(url, {
    WebSocket,
    minReconnectionDelay: 1,
    maxReconnectionDelay: 5,
    ...options,
    routes,
  });
  t.after(() => client.close());
  const errors: ClientError[] = [];
  client.onError((error) => errors.push(error));
  const visit = await visits.next();
  await until("the open connection", () => client.readyState === 1);
  return { client, visit, visits, state, errors, held };
}

describe("with the routes at hand, what a client sends", () => {
  test("is not sent if it does not fit: onError gets INVALID_PAYLOAD with the issues, after send has returned", async (t) => {
    const { client, visit, errors } = await meet(t);
    client.send.chat.say({ text: "" });
    client.send.chat.broken("x");
    assert.equal(errors.length, 0);
    await until("both errors", () => errors.length === 2);
    const [first, second] = errors;
    assert.equal(first?.code, "INVALID_PAYLOAD");
    assert.equal(first.route, "chat.say");
    assert.deepEqual(
      first.issues?.map(({ path }) => path),
      [["text"]],
    );
    assert.equal(second?.code, "INVALID_PAYLOAD");
    assert.equal(second.issues, undefined);
    assert.equal(String(second.cause), "Error: broken");
    client.send.chat.say({ text: "x" });
    assert.deepEqual((await visit.messages.next()).payload, { text: "x" });
  });

  test("goes out as given: what a schema makes of it is the server's", async (t) => {
    const { client, visit, errors } = await meet(t);
    client.send.chat.say({ text: "LOUD" });
    client.send.chat.at("2020-01-01");
    client.send.chat.nothing();
    assert.deepEqual((await visit.messages.next()).payload, { text: "LOUD" });
    assert.deepEqual((await visit.messages.next()).payload, "2020-01-01");
    assert.ok(!("payload" in (await visit.messages.next())));
    assert.deepEqual(errors, []);
  });

  test("is judged as JSON carries it, as the server does", async (t) => {
    const { client, visit, errors } = await meet(t);
    const { say } = client.send.chat as unknown as { say(payload: unknown): void };
    say({ text: { toJSON: () => "made" } });
    say({ text: "x", more: undefined });
    say({ text: NaN });
    assert.deepEqual((await visit.messages.next()).payload, { text: "made" });
    assert.deepEqual((await visit.messages.next()).payload, { text: "x" });
    await until("the refusal", () => errors.length === 1);
    assert.throws(() => say({ text: 1n }), TypeError);
  });

  test("is refused if it is bytes and the schema is not zo.bytes(), whatever the schema accepts", async (t) => {
    const { client, visit, errors } = await meet(t);
    const sent = Uint8Array.of(1);
    client.send.chat.any(sent);
    client.send.chat.any(sent.buffer);
    const call = await client.call.ask(sent).safe();
    assert.ok(!call.ok && call.error.code === "INVALID_PAYLOAD");
    client.send.chat.any({ inside: [1] });
    assert.deepEqual((await visit.messages.next()).payload, { inside: [1] });
    const message = "expected JSON, got bytes: a payload of bytes needs zo.bytes()";
    assert.deepEqual(call.error.issues, [{ message }]);
    assert.deepEqual(
      errors.map(({ code, route, issues }) => [code, route, issues]),
      [1, 2].map(() => ["INVALID_PAYLOAD", "chat.any", [{ message }]]),
    );
  });

  test("a call that does not fit rejects with INVALID_PAYLOAD and the issues, and onError hears nothing", async (t) => {
    const { client, visit, errors } = await meet(t);
    const call = client.call.add(1.5);
    await assert.rejects(call, (error: ClientError) => {
      assert.equal(error.code, "INVALID_PAYLOAD");
      assert.equal(error.route, "add");
      assert.equal(error.issues?.length, 1);
      return true;
    });
    const loop = (async () => {
      for await (const item of client.call.add(2.5)) assert.fail(String(item));
    })();
    await assert.rejects(loop, { code: "INVALID_PAYLOAD" });
    client.send.chat.any("next");
    assert.equal((await visit.messages.next()).payload, "next");
    assert.deepEqual(errors, []);
  });

  test("keeps its order while a schema takes its time, calls too", async (t) => {
    const { client, visit, errors, held } = await meet(t);
    client.send.chat.any(1);
    client.send.chat.held("2");
    client.send.chat.any(3);
    client.send.chat.say({ text: "" });
    const call = client.call.hold("4");
    client.send.chat.held("5");
    client.send.chat.any(6);
    assert.equal((await visit.messages.next()).payload, 1);
    held.asked[2]?.accept();
    held.asked[1]?.accept();
    await new Promise((done) => setTimeout(done, 30));
    assert.deepEqual(visit.messages.drain(), []);
    assert.deepEqual(errors, []);
    held.asked[0]?.refuse();
    const sent = await visit.messages.take(4);
    assert.deepEqual(
      sent.map(({ payload }) => payload),
      [3, "4", "5", 6],
    );
    assert.deepEqual(
      errors.map(({ route, code }) => [route, code]),
      [
        ["chat.held", "INVALID_PAYLOAD"],
        ["chat.say", "INVALID_PAYLOAD"],
      ],
    );
    visit.socket.send(JSON.stringify({ type: "$reply", id: 1, payload: "done" }));
    assert.equal(await soon("the reply", call), "done");
  });

  test("a schema that rejects, later, refuses too", async (t) => {
    const { client, errors, held } = await meet(t);
    client.send.chat.held("x");
    const call = client.call.hold("y");
    held.asked[0]?.fail("gone");
    held.asked[1]?.fail(new Error("gone"));
    await assert.rejects(call, { code: "INVALID_PAYLOAD" });
    assert.deepEqual(
      errors.map(({ code, cause }) => [code, cause]),
      [["INVALID_PAYLOAD", "gone"]],
    );
  });

  test("a call that is over while its schema is pending is never sent, and keeps nobody waiting", async (t) => {
    const { client, visit, held } = await meet(t);
    const controller = new AbortController();
    const aborted = client.call.hold("1", { signal: controller.signal });
    const late = client.call.hold("2", { timeout: 1 });
    client.send.chat.any(3);
    controller.abort("mine");
    await assert.rejects(aborted, (error) => error === "mine");
    await assert.rejects(late, { code: "TIMEOUT" });
    assert.equal((await visit.messages.next()).payload, 3);
    for (const { accept } of held.asked) accept();
    await new Promise(setImmediate);
    assert.deepEqual(visit.messages.drain(), []);
    const closed = client.call.hold("4");
    client.close();
    await assert.rejects(closed, { code: "CLOSED" });
  });

  test("what onOpen sends goes out first, also if its schema takes its time", async (t) => {
    const { client, visit, visits, held, state } = await meet(t);
    state.accepts = false;
    visit.socket.terminate();
    await until("the end", () => client.readyState !== 1);
    client.send.chat.any("queued");
    client.send.chat.held("judged late");
    client.send.chat.any("behind");
    client.onOpen(() => client.send.chat.held("joins"));
    state.accepts = true;
    const second = await visits.next();
    await until("onOpen", () => held.asked.length === 2);
    client.send.chat.any("after");
    held.asked[0]?.accept();
    await new Promise(setImmediate);
    held.asked[1]?.accept();
    const sent = await second.messages.take(5);
    assert.deepEqual(
      sent.map(({ payload }) => payload),
      ["joins", "queued", "judged late", "behind", "after"],
    );
  });

  test("waits up to maxQueuedBytes for a schema; then onError gets QUEUE_FULL", async (t) => {
    const { client, errors, visit, held } = await meet(t, { maxQueuedBytes: 1_000 });
    client.send.chat.held("never");
    for (let at = 0; at < 100; at += 1) client.send.chat.any("x".repeat(100));
    await until("the others", () => errors.length > 90);
    assert.deepEqual([...new Set(errors.map(({ code }) => code))], ["QUEUE_FULL"]);
    const full = await client.call.hold("x".repeat(1_000)).safe();
    assert.equal(!full.ok && full.error.code, "QUEUE_FULL");
    held.asked[0]?.accept();
    assert.equal((await visit.messages.next()).payload, "never");
    await visit.messages.take(100 - errors.length);
    client.send.chat.any("room");
    assert.equal((await visit.messages.next()).payload, "room");
  });

  test("a route that the routes do not have is the server's business", async (t) => {
    const { client, visit } = await meet(t);
    (client.send as unknown as { nowhere(payload: unknown): void }).nowhere(1);
    assert.deepEqual(await visit.messages.next(), { type: "nowhere", payload: 1 });
  });
});

describe("with validateIncoming, what a client receives", () => {
  const validateIncoming = true;

  test("reaches its listeners as it came if it fits, and else onError", async (t) => {
    const { client, visit, errors } = await meet(t, { validateIncoming });
    const heard: unknown[] = [];
    client.on.chat.onSaid((payload) => heard.push(payload));
    visit.say("chat.onSaid", { text: 1 });
    visit.say("chat.onSaid", { text: "x", more: true });
    visit.say("elsewhere", 1);
    await until("the message", () => heard.length === 1);
    assert.deepEqual(heard, [{ text: "x", more: true }]);
    assert.deepEqual(
      errors.map(({ code, route, issues }) => [code, route, issues?.[0]?.path]),
      [["INVALID_PAYLOAD", "chat.onSaid", ["text"]]],
    );
  });

  test("a loop and client.once get none that does not fit", async (t) => {
    const { client, visit } = await meet(t, { validateIncoming });
    const messages = client.on.chat.onSaid[Symbol.asyncIterator]();
    const once = client.once.chat.onSaid();
    visit.say("chat.onSaid", { text: 1 });
    visit.say("chat.onSaid", { text: "x" });
    assert.deepEqual((await soon("it", messages.next())).value, { text: "x" });
    assert.deepEqual(await once, { text: "x" });
  });

  test("a schema that is asynchronous refuses every message, and says why", async (t) => {
    const { client, visit, errors, held } = await meet(t, { validateIncoming });
    client.on.chat.onHeld(() => assert.fail());
    visit.say("chat.onHeld", "x");
    await until("the error", () => errors.length === 1);
    assert.match(String(errors[0]?.cause), /^TypeError: the schema is asynchronous/);
    held.asked[0]?.fail(new Error("nobody cares"));
    await new Promise(setImmediate);
  });

  test("a reply, an item or the data of an error that does not fit is BAD_REPLY, and the server is told to stop", async (t) => {
    const { client, visit } = await meet(t, { validateIncoming });
    const answer = (type: string, id: number, payload: unknown) =>
      visit.socket.send(JSON.stringify({ type, id, payload }));
    const bad = { code: "BAD_REPLY", route: "add" };

    const reply = client.call.add(1);
    answer("$end", 1, "three");
    await assert.rejects(reply, (error: ClientError) => {
      assert.equal(error.code, "BAD_REPLY");
      assert.equal(error.issues?.length, 1);
      return true;
    });

    const items: number[] = [];
    const stream = client.call.add(2);
    answer("$item", 2, 1);
    answer("$item", 2, "two");
    const loop = (async () => {
      for await (const item of stream) items.push(item);
    })();
    await assert.rejects(loop, bad);
    await assert.rejects(stream, bad);
    assert.deepEqual(items, [1]);

    const declared = client.call.add(3);
    answer("$error", 3, { code: "NO", message: "", data: { why: 1 } });
    await assert.rejects(declared, bad);
    const fits = await Promise.all(
      [
        ["$error", { code: "NO", message: "", data: { why: "x" } }],
        ["$error", { code: "REJECTED", message: "" }],
        ["$end", 3],
      ].map(([type, payload], at) => {
        const call = client.call.add(at);
        answer(type as string, 4 + at, payload);
        return call.safe();
      }),
    );
    assert.deepEqual(
      fits.map((it) => (it.ok ? it.data : it.error.code)),
      ["NO", "REJECTED", 3],
    );
    const sent = (await visit.messages.take(7)).map(({ type }) => type);
    assert.equal(sent.filter((type) => type === "$abort").length, 1);
  });
});

describe("the options", () => {
  const open = (options: object) =>
    createZocketClient("ws://localhost:9", { WebSocket, autoConnect: false, ...options }) as object;

  test("routes are those of a contract, of a zo, or a router", async (t) => {
    const zo = zocket.create({ headers: z.object({}) });
    const routes = { say: zo.message.use(() => {}).incoming({ payload: z.string() }) };
    const router = zo.router(routes, { say: () => {} });
    const server = createServer(router, zo, { port: 0, onError: () => assert.fail() });
    t.after(() => server.stop(true));
    for (const given of [routes, router, { ...routes, by: { hand: { ...routes.say } } }]) {
      const client = createZocketClient<typeof routes>(server.url, { WebSocket, routes: given });
      t.after(() => client.close());
      const error = new Promise<ClientError>((done) => client.onError(done));
      (client.send as unknown as { say(payload: unknown): void }).say(1);
      assert.equal((await soon("the error", error)).code, "INVALID_PAYLOAD");
    }
  });

  test("anything else is a TypeError that names the place", () => {
    const { routes } = contract();
    const wrong: [given: unknown, text: RegExp][] = [
      [null, /options\.routes: expected routes/],
      [1, /options\.routes: expected routes/],
      [{}, /options\.routes: expected routes/],
      [{ say: z.string() }, /options\.routes: expected routes/],
      [{ ...routes, say: z.string() }, /options\.routes\.say: expected message definitions/],
      [{ ...routes, chat: { say: 1 } }, /options\.routes\.chat\.say: expected message def.*got 1/],
      [
        { ...routes, a: { b: { _direction: "in" } } },
        /options\.routes\.a\.b\.payload: expected a Standard Schema/,
      ],
    ];
    for (const key of ["", "a.b", "$", "$error"]) {
      const text = new RegExp(
        `options\\.routes(\\.chat)?: expected a key that .*, got ${JSON.stringify(key).replace("$", "\\$")}$`,
      );
      wrong.push([{ ...routes, [key]: routes.add }, text]);
      wrong.push([{ ...routes, [key]: {} }, text]);
      wrong.push([{ ...routes, chat: { ...routes.chat, [key]: routes.add } }, text]);
    }
    const ring: Record<string, unknown> = { ...routes };
    ring["ring"] = ring;
    wrong.push([ring, /options\.routes\.ring\.ring/]);
    for (const [given, text] of wrong) {
      assert.throws(() => open({ routes: given }), text);
      assert.throws(() => open({ routes: given }), TypeError);
    }
    assert.throws(() => open({ validateIncoming: true }), /options\.routes: expected the routes/);
    assert.throws(() => open({ routes, validateIncoming: 1 }), /options\.validateIncoming: exp/);
    assert.throws(() => open({ router: routes }), /did you mean routes\?/);
    assert.throws(() => open({ validate: true }), /did you mean validateIncoming\?/);
    open({ routes: undefined, validateIncoming: undefined });
  });

  test("definitions look as ever: what a client needs of them is hidden", () => {
    const { say } = contract().routes.chat;
    assert.deepEqual(Reflect.ownKeys({ ...say }), ["payload", "_direction", "_middlewares"]);
    assert.deepEqual(Object.keys(say), ["payload", "_direction", "_middlewares"]);
    assert.ok(!Object.isFrozen(say));
  });

  test("without anybody who listens to onError, the console says what does not fit", async (t) => {
    const lines: unknown[][] = [];
    t.mock.method(console, "error", (...line: unknown[]) => lines.push(line));
    const { routes } = contract();
    const client = createZocketClient("ws://localhost:9", {
      WebSocket,
      autoConnect: false,
      routes,
    });
    client.send.chat.say({ text: "" });
    await isSettled(latch().promise);
    assert.equal(lines.length, 1);
    assert.match(
      String(lines[0]?.[0]),
      /^zocket: "chat\.say": The payload does not fit the schema/,
    );
  });
});
