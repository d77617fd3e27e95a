// How the client connects again, what it keeps meanwhile, and what ends it. The servers are plain ones made of `ws`,
// which refuse and close at will, and ours where it does that itself. Delays are read where the client asks for them.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, type ClientOptions } from "@zocket/core";
import { WebSocket } from "ws";

import { startPlain, type Visit } from "./_plain.ts";
import { anything, Queue, until, within } from "./_talk.ts";

const { message } = zocket.create({ headers: anything });
const routes = {
  say: message.incoming({ payload: anything }),
  onSaid: message.outgoing({ payload: anything }),
};
type Routes = typeof routes;

const quick = { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 5 };

function open(t: TestContext, url: string, options: ClientOptions = {}) {
  const client = createZocketClient<Routes>(url, { ...quick, ...options });
  t.after(() => client.close());
  return client;
}

/** Delays the client asks for, in ms; it gets each at once. */
function delays(t: TestContext): number[] {
  const asked: number[] = [];
  const real = globalThis.setTimeout;
  // `ws` and the helpers here have deadlines of ten seconds and more, and the tests poll every 2 ms.
  t.mock.method(globalThis, "setTimeout", (run: () => void, ms = 0, ...args: []) => {
    if (ms < 50 || ms > 9_000) return real(run, ms, ...args);
    asked.push(ms);
    return real(run, 0, ...args);
  });
  return asked;
}

/** A class that counts the attempts made with it. */
function counting() {
  const made: WebSocket[] = [];
  class Counted extends WebSocket {
    constructor(url: string) {
      super(url);
      made.push(this);
    }
  }
  return { made, Counted };
}

/** An address where nobody listens any more. */
async function deadUrl(): Promise<string> {
  const { createServer } = await import("node:net");
  const listener = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => listener.once("listening", resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  return `ws://127.0.0.1:${port}`;
}

describe("a lost connection", () => {
  for (const [how, end] of [
    ["cut off", (socket: WebSocket) => socket.terminate()],
    ["closed with 1000", (socket: WebSocket) => socket.close(1000)],
    ["closed with 1001", (socket: WebSocket) => socket.close(1001)],
    ["closed with 1011", (socket: WebSocket) => socket.close(1011)],
    ["closed without a code", (socket: WebSocket) => socket.close()],
  ] as const) {
    test(`comes back by itself when it is ${how}`, async (t) => {
      const { url, visits } = await startPlain(t);
      const client = open(t, url, { headers: { name: "Ada" } });
      const got = new Queue<unknown>("the listener");
      client.on.onSaid((payload) => got.push(payload));
      for (let round = 0; round < 3; round++) {
        const visit = await visits.next();
        assert.equal(visit.request.url, "/?name=Ada");
        visit.say("onSaid", round);
        assert.equal(await got.next(), round);
        end(visit.socket);
      }
      await visits.next();
    });
  }

  test("comes back when our server stopped and another one listens on its port", async (t) => {
    const zo = zocket.create({ headers: anything });
    const app = zo.router(routes, {
      say: ({ payload, ctx }) => ctx.send.onSaid(payload).to(ctx.clientId),
    });
    const first = createServer(app, zo, { port: 0 });
    const client = open(t, first.url);
    const got = new Queue<unknown>("the listener");
    client.on.onSaid((payload) => got.push(payload));
    client.send.say("first");
    assert.equal(await got.next(), "first");
    await first.stop();
    client.send.say("between");
    const second = createServer(app, zo, { port: first.port });
    t.after(() => second.stop(true));
    assert.equal(await got.next(), "between");
  });

  test("tells onClose and onOpen each time", async (t) => {
    const { url, visits, state } = await startPlain(t);
    const told = new Queue<string>("onOpen and onClose");
    open(t, url, { onOpen: () => told.push("open"), onClose: () => told.push("close") });
    (await visits.next()).socket.terminate();
    (await visits.next()).socket.terminate();
    await visits.next();
    assert.deepEqual(await told.take(5), ["open", "close", "open", "close", "open"]);
    assert.equal(state.refused, 0);
  });
});

describe("the delays between attempts", () => {
  test("grow by the factor up to the maximum, jittered by a quarter, and never above it", async (t) => {
    const url = await deadUrl();
    const asked = delays(t);
    const { made, Counted } = counting();
    const [min, max, factor] = [100, 2000, 1.5];
    const client = open(t, url, {
      WebSocket: Counted,
      minReconnectionDelay: min,
      maxReconnectionDelay: max,
      reconnectionDelayGrowFactor: factor,
    });
    await until(() => asked.length >= 40, "forty attempts");
    client.close();
    assert.ok(made.length >= 40);
    const ratios: number[] = [];
    for (const [attempt, delay] of asked.entries()) {
      const base = Math.min(max, min * factor ** attempt);
      assert.ok(
        delay >= base * 0.75 - 1,
        `attempt ${attempt}: ${delay} is less than 75 % of ${base}`,
      );
      assert.ok(
        delay <= Math.min(max, base * 1.25 + 1),
        `attempt ${attempt}: ${delay}, not ${base}`,
      );
      ratios.push(delay / base);
    }
    assert.ok(Math.max(...ratios) - Math.min(...ratios) > 0.05, "there is no jitter");
  });

  test("are by default 1 s at first and 10 s at most", async (t) => {
    const url = await deadUrl();
    const asked: number[] = [];
    const real = globalThis.setTimeout;
    t.mock.method(globalThis, "setTimeout", (run: () => void, ms = 0, ...args: []) => {
      // 10 s is one of them here; the helpers' own deadlines are longer, and the polling shorter.
      if (ms < 500 || ms > 10_000) return real(run, ms, ...args);
      asked.push(ms);
      return real(run, 0, ...args);
    });
    const client = createZocketClient<Routes>(url, { WebSocket });
    t.after(() => client.close());
    await until(() => asked.length >= 20, "twenty attempts");
    client.close();
    assert.ok((asked[0] ?? 0) >= 749 && (asked[0] ?? 0) <= 1251, `first ${asked[0]}`);
    for (const [attempt, delay] of asked.entries()) {
      const base = Math.min(10_000, 1000 * 1.3 ** attempt);
      assert.ok(delay >= base * 0.75 - 1 && delay <= Math.min(10_000, base * 1.25 + 1), `${delay}`);
    }
  });

  test("start small again once a connection was open", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const asked = delays(t);
    open(t, url, {
      minReconnectionDelay: 100,
      maxReconnectionDelay: 8000,
      reconnectionDelayGrowFactor: 2,
    });
    await until(() => asked.length >= 5, "five attempts failed");
    assert.ok((asked.at(-1) ?? 0) > 1000);
    state.accepts = true;
    const visit = await visits.next();
    await until(() => visit.socket.readyState === 1, "it is open");
    visit.say("onSaid");
    const before = asked.length;
    visit.socket.close(1000);
    await visits.next();
    assert.equal(asked.length, before + 1);
    assert.ok((asked[before] ?? 0) <= 126, `${asked[before]}`);
  });
});

describe("messages sent while not open", () => {
  test("wait, and go out in order before those sent later", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    for (let number = 0; number < 100; number++) client.send.say(number);
    client.onOpen(() => {
      for (let number = 100; number < 200; number++) client.send.say(number);
    });
    const visit = await visits.next();
    const got = (await visit.messages.take(200)).map(({ type, payload }) => [type, payload]);
    assert.deepEqual(
      got,
      Array.from({ length: 200 }, (_, number) => ["say", number]),
    );
  });

  test("wait through failed attempts and closes, once each", async (t) => {
    const { url, visits, state } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    state.accepts = false;
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    first.socket.terminate();
    await closed;
    client.send.say("one");
    await until(() => state.refused >= 3, "three attempts were refused");
    client.send.say("two");
    state.accepts = true;
    const second = await visits.next();
    client.send.say("three");
    const got = (await second.messages.take(3)).map(({ payload }) => payload);
    assert.deepEqual(got, ["one", "two", "three"]);
    second.socket.terminate();
    const third = await visits.next();
    client.send.say("four");
    assert.equal((await third.messages.next()).payload, "four");
  });

  test("are 1 MiB at most: what is more goes to onError as QUEUE_FULL, and the rest still goes out", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const client = open(t, url);
    const errors = new Queue<{ code: string; route?: string }>("onError");
    client.onError((error) => errors.push(error));
    const text = "x".repeat(100 * 1024);
    for (let number = 0; number < 10; number++) client.send.say(`${number}${text}`);
    assert.deepEqual(errors.drain(), []);
    client.send.say(`10${text}`);
    const { code, route } = await errors.next();
    assert.deepEqual([code, route], ["QUEUE_FULL", "say"]);
    // A small one still fits.
    client.send.say("small");
    client.send.say("x".repeat(2 * 1024 * 1024));
    assert.equal((await errors.next()).code, "QUEUE_FULL");
    assert.deepEqual(errors.drain(), []);
    state.accepts = true;
    const visit = await visits.next();
    const got = (await visit.messages.take(11)).map(({ payload }) => String(payload).slice(0, 5));
    const expected = Array.from({ length: 10 }, (_, number) => `${number}xxxx`);
    assert.deepEqual(got, [...expected, "small"]);
    // Room for a whole queue again.
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    state.accepts = false;
    visit.socket.terminate();
    await closed;
    for (let number = 0; number < 10; number++) client.send.say(`${number}${text}`);
    assert.deepEqual(errors.drain(), []);
  });

  test("are measured in bytes, not in characters", async (t) => {
    const { url, state } = await startPlain(t);
    state.accepts = false;
    const client = open(t, url);
    const errors = new Queue<{ code: string }>("onError");
    client.onError((error) => errors.push(error));
    client.send.say("漢".repeat(300_000));
    assert.deepEqual(errors.drain(), []);
    client.send.say("漢".repeat(300_000));
    assert.equal((await errors.next()).code, "QUEUE_FULL");
  });
});

describe("close", () => {
  test("closes with 1000 and ends reconnecting", async (t) => {
    const { url, visits } = await startPlain(t);
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    const visit = await visits.next();
    visit.say("onSaid");
    await until(() => client.readyState === 1, "it is open");
    client.close();
    assert.equal(await visit.end(), 1000);
    await until(() => client.readyState === 3, "it is closed");
    client.close();
    // Another client comes and goes and comes back: as many turns as the first one would have needed.
    const other = open(t, url);
    (await visits.next()).socket.terminate();
    await visits.next();
    other.close();
    assert.equal(made.length, 1);
  });

  test("while it connects ends that attempt, and there is no further one", async (t) => {
    const { url, visits } = await startPlain(t);
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    const opened: string[] = [];
    client.onOpen(() => opened.push("open"));
    client.close();
    await until(() => client.readyState === 3, "it is closed");
    open(t, url);
    await visits.next();
    assert.equal(made.length, 1);
    assert.deepEqual(opened, []);
  });

  test("between two attempts ends the waiting", async (t) => {
    const url = await deadUrl();
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    await until(() => made.length >= 3, "three attempts");
    client.close();
    const after = made.length;
    await until(() => client.readyState === 3, "it is closed");
    const other = counting();
    open(t, url, { WebSocket: other.Counted });
    await until(() => other.made.length >= 5, "another one's attempts");
    assert.equal(made.length, after);
  });

  test("in onOpen, in onClose and in a listener works", async (t) => {
    const { url, visits } = await startPlain(t);
    const inOpen = open(t, url);
    inOpen.onOpen(() => inOpen.close());
    assert.equal(await (await visits.next()).end(), 1000);

    const inListener = open(t, url);
    inListener.on.onSaid(() => inListener.close());
    const visit = await visits.next();
    visit.say("onSaid");
    assert.equal(await visit.end(), 1000);

    const { made, Counted } = counting();
    const inClose = open(t, url, { WebSocket: Counted });
    inClose.onClose(() => inClose.close());
    (await visits.next()).socket.terminate();
    await until(() => inClose.readyState === 3, "it is closed");
    open(t, url);
    await visits.next();
    assert.equal(made.length, 1);
  });
});

describe("reconnect", () => {
  test("closes with 1000 and connects at once, whatever delay is set", async (t) => {
    const { url, visits } = await startPlain(t);
    const hour = 3_600_000;
    const client = open(t, url, { minReconnectionDelay: hour, maxReconnectionDelay: hour });
    const first = await visits.next();
    await until(() => client.readyState === 1, "it is open");
    client.reconnect();
    assert.equal(await first.end(), 1000);
    const second = await visits.next();
    client.send.say("again");
    assert.equal((await second.messages.next()).payload, "again");
    // What the old connection still says is not heard, and its end changes nothing.
    await until(() => client.readyState === 1, "it is open");
    first.socket.terminate();
    client.send.say("still");
    assert.equal((await second.messages.next()).payload, "still");
    assert.deepEqual(visits.drain(), []);
  });

  test("comes back also after close", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    client.close();
    await first.closed;
    await until(() => client.readyState === 3, "it is closed");
    client.reconnect();
    const second = await visits.next();
    client.send.say("back");
    assert.equal((await second.messages.next()).payload, "back");
    // And by itself again, from now on.
    second.socket.terminate();
    await visits.next();
  });

  test("right after close comes back too", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    const first = await visits.next();
    await until(() => client.readyState === 1, "it is open");
    client.close();
    client.reconnect();
    assert.equal(await first.end(), 1000);
    const second = await visits.next();
    client.send.say("back");
    assert.equal((await second.messages.next()).payload, "back");
  });

  test("ends the waiting for the next attempt", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const hour = 3_600_000;
    const client = open(t, url, { minReconnectionDelay: hour, maxReconnectionDelay: hour });
    const refused = new Promise<void>((resolve) => client.onClose(() => resolve()));
    await within(refused, "the refusal");
    assert.equal(client.readyState, 0);
    state.accepts = true;
    client.reconnect();
    await visits.next();
  });

  test("several in a row leave one connection", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url);
    await visits.next();
    await until(() => client.readyState === 1, "it is open");
    for (let round = 0; round < 5; round++) client.reconnect();
    await until(() => client.readyState === 1, "it is open again");
    client.send.say("where");
    let found = 0;
    const living: Visit[] = [];
    for (let round = 0; round < 200 && found === 0; round++) {
      living.push(...visits.drain());
      found = living.filter(({ messages }) => messages.drain().length > 0).length;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(found, 1);
    await until(
      () => living.filter(({ socket }) => socket.readyState === 1).length === 1,
      "one connection is left",
    );
  });
});

describe("maxRetries", () => {
  for (const maxRetries of [0, 1, 3]) {
    test(`of ${maxRetries} means ${maxRetries + 1} attempts when none succeeds`, async (t) => {
      const url = await deadUrl();
      const { made, Counted } = counting();
      const client = open(t, url, { WebSocket: Counted, maxRetries });
      await until(() => client.readyState === 3 && made.length > maxRetries, "it gave up");
      const other = counting();
      open(t, url, { WebSocket: other.Counted });
      await until(() => other.made.length >= maxRetries + 5, "another one's attempts");
      assert.equal(made.length, maxRetries + 1);
    });
  }

  test("starts anew at each open", async (t) => {
    const { url, visits } = await startPlain(t);
    open(t, url, { maxRetries: 1 });
    for (let round = 0; round < 5; round++) {
      const visit = await visits.next();
      visit.say("onSaid");
      visit.socket.close(1000);
    }
    await visits.next();
  });

  test("used up is no end for reconnect", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const client = open(t, url, { maxRetries: 0 });
    await until(() => state.refused === 1 && client.readyState === 3, "it gave up");
    state.accepts = true;
    client.reconnect();
    await visits.next();
  });
});
