// The client against our server: typed send and on, `$error`, listeners, what it puts into the URL. How it connects
// again is in client-reconnect.spec.ts.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  type ClientError,
  type ClientOptions,
} from "@zocket/core";
import { createZocketClient as createFromClientEntry } from "@zocket/core/client";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";
import { z } from "zod";

import { HARD_STRINGS, Queue, schema, serve, until, within } from "./_talk.ts";
import { startPlain } from "./_plain.ts";

const zo = zocket.create({ headers: schema<Record<string, string>>((value) => ({ value })) });
const { incoming, outgoing } = zo.message;
const anything = z.unknown();

const routes = {
  chat: {
    message: incoming({ payload: z.object({ text: z.string(), n: z.number().default(7) }) }),
    onMessage: outgoing({ payload: z.object({ text: z.string(), n: z.number() }) }),
    deep: { ping: incoming({ payload: anything }), onPong: outgoing({ payload: anything }) },
  },
  fail: incoming({ payload: anything }),
  mute: incoming({ payload: anything }),
};
type Routes = typeof routes;

function listen(t: TestContext) {
  const app = zo.router(routes, {
    chat: {
      message: ({ payload, ctx }) => ctx.send.chat.onMessage(payload).broadcast(),
      deep: {
        ping: ({ payload, ctx }) => ctx.send.chat.deep.onPong(payload).to(ctx.clientId),
      },
    },
    fail: () => {
      throw new Error("secret");
    },
  });
  return serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
}

/** A client that is closed after the test. */
function open(t: TestContext, url: string, options: ClientOptions = {}) {
  const client = createZocketClient<Routes>(url, { WebSocket, ...options });
  t.after(() => client.close());
  return client;
}

/** The payloads a route brings, to be waited for. */
function heard<T>(on: (listener: (payload: T) => void) => unknown): Queue<T> {
  const queue = new Queue<T>("the client's listener");
  on((payload) => queue.push(payload));
  return queue;
}

describe("send and on", () => {
  for (const [kind, create, Class] of [
    ["ws, from @zocket/core", createZocketClient, WebSocket],
    ["ws, from @zocket/core/client", createFromClientEntry as typeof createZocketClient, WebSocket],
    ["undici, from @zocket/core", createZocketClient, UndiciWebSocket],
  ] as const) {
    test(`carry messages both ways by the routes' names: ${kind}`, async (t) => {
      const { server } = listen(t);
      const client = create<Routes>(server.url, { WebSocket: Class as typeof WebSocket });
      t.after(() => client.close());
      const messages = heard(client.on.chat.onMessage);
      const pongs = heard(client.on.chat.deep.onPong);
      client.send.chat.message({ text: "hi" });
      assert.deepEqual(await messages.next(), { text: "hi", n: 7 });
      for (const payload of [null, 0, false, "", [], { a: { b: [1] } }, ...HARD_STRINGS]) {
        client.send.chat.deep.ping(payload);
        assert.deepEqual(await pongs.next(), payload);
      }
      assert.deepEqual(messages.drain(), []);
    });
  }

  test("an undefined payload arrives as undefined, both ways", async (t) => {
    const { server, problems } = listen(t);
    const client = open(t, server.url);
    const pongs = heard(client.on.chat.deep.onPong);
    client.send.chat.deep.ping(undefined);
    assert.equal(await pongs.next(), undefined);
    client.send.chat.deep.ping();
    assert.equal(await pongs.next(), undefined);
    assert.deepEqual(problems.drain(), []);
  });

  test("a payload is serialised when it is sent, also while it waits", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const pongs = heard(client.on.chat.deep.onPong);
    const payload = { list: [1] };
    client.send.chat.deep.ping(payload);
    payload.list.push(2);
    assert.deepEqual(await pongs.next(), { list: [1] });
  });

  test("a payload that JSON cannot hold throws where it is sent", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const pongs = heard(client.on.chat.deep.onPong);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const payload of [1n, cycle]) {
      assert.throws(() => client.send.chat.deep.ping(payload), TypeError);
    }
    client.send.chat.deep.ping("fine");
    assert.equal(await pongs.next(), "fine");
  });

  test("are the same functions at every read, and work taken off the client", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    assert.equal(client.on.chat.onMessage, client.on.chat.onMessage);
    assert.equal(client.on.chat.deep.onPong, client.on.chat.deep.onPong);
    assert.equal(client.send.chat.message, client.send.chat.message);
    assert.notEqual(client.on.chat.onMessage, client.on.chat.deep.onPong);
    assert.notEqual(client.send, client.on as never);
    const { ping } = client.send.chat.deep;
    const { onPong } = client.on.chat.deep;
    const pongs = heard(onPong);
    ping("free");
    assert.equal(await pongs.next(), "free");
  });

  test("several listeners of one route are all called, in the order they came", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const calls = new Queue<string>("a listener");
    client.on.chat.deep.onPong((payload) => calls.push(`first ${payload}`));
    client.on.chat.deep.onPong((payload) => calls.push(`second ${payload}`));
    client.on.chat.onMessage(() => calls.push("another route"));
    client.send.chat.deep.ping(1);
    assert.deepEqual(await calls.take(2), ["first 1", "second 1"]);
    client.send.chat.deep.ping(2);
    assert.deepEqual(await calls.take(2), ["first 2", "second 2"]);
  });

  test("unsubscribe ends that one subscription, also inside the listener, and twice is fine", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const calls = new Queue<string>("a listener");
    const { onPong } = client.on.chat.deep;
    const once = onPong((payload) => {
      calls.push(`once ${payload}`);
      once();
      once();
    });
    const ended = onPong(() => calls.push("ended"));
    onPong((payload) => calls.push(`always ${payload}`));
    ended();
    client.send.chat.deep.ping(1);
    client.send.chat.deep.ping(2);
    assert.deepEqual(await calls.take(3), ["once 1", "always 1", "always 2"]);
    ended();
    client.send.chat.deep.ping(3);
    assert.equal(await calls.next(), "always 3");
  });

  test("a listener that ends another one's subscription keeps the message from it", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const calls = new Queue<string>("a listener");
    const { onPong } = client.on.chat.deep;
    onPong(() => {
      calls.push("first");
      endSecond();
    });
    const endSecond = onPong(() => calls.push("second"));
    onPong(() => calls.push("third"));
    client.send.chat.deep.ping(1);
    assert.deepEqual(await calls.take(2), ["first", "third"]);
  });

  test("a listener that throws does not stop the others, and its error goes to console.error", async (t) => {
    const { server } = listen(t);
    const logged = t.mock.method(console, "error", () => {});
    const client = open(t, server.url);
    const thrown = new Error("mine");
    client.on.chat.deep.onPong(() => {
      throw thrown;
    });
    const pongs = heard(client.on.chat.deep.onPong);
    client.send.chat.deep.ping(1);
    client.send.chat.deep.ping(2);
    assert.deepEqual(await pongs.take(2), [1, 2]);
    assert.equal(logged.mock.callCount(), 2);
    assert.ok(logged.mock.calls[0]?.arguments.includes(thrown as never));
  });

  test("an asynchronous listener that rejects goes to console.error too", async (t) => {
    const { server } = listen(t);
    const errors = new Queue<unknown[]>("console.error");
    t.mock.method(console, "error", (...told: unknown[]) => errors.push(told));
    const client = open(t, server.url);
    const thrown = new Error("mine");
    client.on.chat.deep.onPong(async () => {
      throw thrown;
    });
    client.send.chat.deep.ping(1);
    assert.ok((await errors.next()).includes(thrown));
  });
});

describe("onError", () => {
  test("gets what the server says about a message, with its issues", async (t) => {
    const { server } = listen(t);
    const client = open(t, server.url);
    const errors = heard(client.onError);
    const send = client.send as never as Record<string, (payload?: unknown) => void> & {
      chat: Record<string, (payload: unknown) => void>;
    };
    send.chat["message"]?.({ text: 1 });
    const invalid = await errors.next();
    assert.deepEqual([invalid.code, invalid.route], ["INVALID_PAYLOAD", "chat.message"]);
    assert.deepEqual(
      invalid.issues?.map(({ path }) => path),
      [["text"]],
    );
    send["fail"]?.();
    const failed = await errors.next();
    assert.deepEqual([failed.code, failed.route], ["HANDLER_ERROR", "fail"]);
    assert.doesNotMatch(JSON.stringify(failed), /secret/);
    send["mute"]?.();
    assert.equal((await errors.next()).code, "NO_ROUTE");
    send["nowhere"]?.();
    const unknown = await errors.next();
    assert.deepEqual([unknown.code, unknown.route], ["NO_ROUTE", "nowhere"]);
  });

  test("has several listeners, each of which may throw or be ended", async (t) => {
    const { server } = listen(t);
    const logged = t.mock.method(console, "error", () => {});
    const client = open(t, server.url);
    let ended = 0;
    client.onError(() => ended++)();
    client.onError(() => {
      throw new Error("mine");
    });
    const errors = heard<ClientError>(client.onError);
    client.send.fail();
    assert.equal((await errors.next()).code, "HANDLER_ERROR");
    assert.equal(ended, 0);
    assert.equal(logged.mock.callCount(), 1);
  });
});

describe("what the server should not send", () => {
  test("is passed over: the messages after it arrive, and nothing is thrown or polluted", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    const pongs = heard(client.on.chat.deep.onPong);
    const errors = heard(client.onError);
    const visit = await visits.next();
    const odd = [
      "",
      "hello",
      "null",
      "[]",
      '"chat.deep.onPong"',
      "{}",
      '{"type":1}',
      '{"type":"nowhere","payload":1}',
      '{"type":"__proto__","payload":{"polluted":1}}',
      '{"type":"constructor"}',
      '{"type":"chat"}',
      '{"type":"$nobody"}',
      '{"type":"$error"}',
      '{"__proto__":{"type":"chat.deep.onPong","payload":"forged"}}',
    ];
    for (const text of odd) visit.socket.send(text);
    visit.socket.send(Buffer.from([0xff, 0x00]));
    visit.say("chat.deep.onPong", "after");
    assert.equal(await pongs.next(), "after");
    assert.deepEqual(errors.drain(), []);
    assert.equal(client.readyState, 1);
    assert.equal("polluted" in {}, false);
  });
});

describe("the URL", () => {
  const given: [string, Record<string, string | undefined>][] = [
    ["plain", { name: "Ada" }],
    ["what a URL must escape", { a: "x&y=z?#/ +%", "b c": "1", ü: "😀\u0000" }],
    ["an empty value", { name: "" }],
    ["undefined is left out", { name: "Ada", gone: undefined }],
  ];
  for (const [what, headers] of given) {
    test(`carries the headers as query parameters where headersIn says so: ${what}`, async (t) => {
      const { url, visits } = await startPlain(t);
      open(t, `${url}/path?kept=1&name=old`, { headers, headersIn: "query" });
      const { request } = await visits.next();
      const asked = new URL(request.url ?? "", url);
      assert.equal(asked.pathname, "/path");
      assert.equal(asked.searchParams.get("kept"), "1");
      for (const [name, value] of Object.entries(headers)) {
        // The server takes the last of several.
        if (value !== undefined) assert.equal(asked.searchParams.getAll(name).at(-1), value);
        else assert.equal(asked.searchParams.has(name), false);
      }
    });
  }

  test("brings the headers to the server's schema and onConnect", async (t) => {
    const connected = new Queue<string>("onConnect");
    const own = zocket.create({
      headers: z.object({ authorization: z.string(), name: z.string() }),
      onConnect: ({ authorization, name }) => connected.push(`${authorization} ${name}`),
    });
    const app = own.router({ say: own.message.incoming({ payload: anything }) }, {});
    const { server } = serve(t, (onError) => createServer(app, own, { port: 0, onError }));
    open(t, server.url, { headers: { authorization: "secret", Name: "Ada 😀" } });
    assert.equal(await connected.next(), "secret Ada 😀");
  });
});

describe("readyState and the listeners of opening and closing", () => {
  test("follow the connection", async (t) => {
    const { server } = listen(t);
    const told: string[] = [];
    const client = open(t, server.url, {
      onOpen: () => told.push("option open"),
      onClose: ({ code }) => told.push(`option close ${code}`),
    });
    client.onOpen(() => told.push("open"));
    client.onClose(({ code, wasClean }) => told.push(`close ${code} ${wasClean}`));
    client.onOpen(() => told.push("never"))();
    client.onClose(() => told.push("never"))();
    assert.equal(client.readyState, 0);
    await until(() => told.length === 2, "it is open");
    assert.equal(client.readyState, 1);
    client.close();
    assert.ok(client.readyState >= 2);
    await until(() => told.length === 4, "it is closed");
    assert.equal(client.readyState, 3);
    assert.deepEqual(told.slice(0, 2).sort(), ["open", "option open"]);
    assert.deepEqual(told.slice(2).sort(), ["close 1000 true", "option close 1000"]);
    await until(() => server.clientCount() === 0, "the server knows");
  });

  test("that throw stop nothing", async (t) => {
    const { server } = listen(t);
    const logged = t.mock.method(console, "error", () => {});
    const fail = () => {
      throw new Error("mine");
    };
    const client = open(t, server.url, { onOpen: fail, onClose: fail });
    client.onOpen(fail);
    client.onClose(fail);
    const pongs = heard(client.on.chat.deep.onPong);
    client.send.chat.deep.ping(1);
    assert.equal(await pongs.next(), 1);
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    client.close();
    await within(closed, "the last listener");
    assert.equal(logged.mock.callCount(), 4);
  });
});

describe("the WebSocket class", () => {
  test("left out where there is no global one is a TypeError that says so", (t) => {
    const kept = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    delete (globalThis as { WebSocket?: unknown }).WebSocket;
    t.after(() => kept && Object.defineProperty(globalThis, "WebSocket", kept));
    assert.throws(
      () => createZocketClient<Routes>("ws://127.0.0.1:1"),
      (error) => error instanceof TypeError && /WebSocket/.test(error.message),
    );
  });

  test("left out is the global one", async (t) => {
    const { server } = listen(t);
    const kept = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
    Object.defineProperty(globalThis, "WebSocket", {
      configurable: true,
      value: UndiciWebSocket,
    });
    t.after(() => {
      if (kept) Object.defineProperty(globalThis, "WebSocket", kept);
      else delete (globalThis as { WebSocket?: unknown }).WebSocket;
    });
    const client = createZocketClient<Routes>(server.url);
    t.after(() => client.close());
    const pongs = heard(client.on.chat.deep.onPong);
    client.send.chat.deep.ping(1);
    assert.equal(await pongs.next(), 1);
  });
});
