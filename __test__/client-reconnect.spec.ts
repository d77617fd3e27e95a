// How the client connects again by itself. The servers are plain ones made of `ws`,
// which refuse and close at will, and ours where it does that itself. Delays are read where the client asks for them.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket } from "@zocket/core";
import { WebSocket } from "ws";

import { counting, deadUrl, open, routes } from "./_client.ts";
import { startPlain } from "./_plain.ts";
import { anything, Queue, until } from "./_talk.ts";

/** Delays the client asks for, in ms; it gets each at once. */
function delays(t: TestContext): number[] {
  const asked: number[] = [];
  const real = globalThis.setTimeout;
  // `ws` and the helpers here have deadlines of ten seconds and more, and the tests poll every 2 ms. After 5 s a
  // connection has proven itself.
  t.mock.method(globalThis, "setTimeout", (run: () => void, ms = 0, ...args: []) => {
    if (ms < 50 || ms > 9_000 || ms === 5_000) return real(run, ms, ...args);
    asked.push(ms);
    return real(run, 0, ...args);
  });
  return asked;
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
        assert.deepEqual(visit.headers, { name: "Ada" });
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
    const client = createZocketClient<typeof routes>(url, { WebSocket });
    t.after(() => client.close());
    await until(() => asked.length >= 20, "twenty attempts");
    client.close();
    assert.ok((asked[0] ?? 0) >= 749 && (asked[0] ?? 0) <= 1251, `first ${asked[0]}`);
    for (const [attempt, delay] of asked.entries()) {
      const base = Math.min(10_000, 1000 * 1.3 ** attempt);
      assert.ok(delay >= base * 0.75 - 1 && delay <= Math.min(10_000, base * 1.25 + 1), `${delay}`);
    }
  });

  test("start small again once a connection was open for 5 s, and not before", async (t) => {
    const { url, visits, state } = await startPlain(t);
    state.accepts = false;
    const asked = delays(t);
    open(t, url, {
      minReconnectionDelay: 100,
      maxReconnectionDelay: 8000,
      reconnectionDelayGrowFactor: 2,
    });
    await until(() => asked.length >= 5, "five attempts failed");
    state.accepts = true;
    const short = await visits.next();
    short.say("onSaid");
    let before = asked.length;
    short.socket.close(1000);
    const long = await visits.next();
    assert.equal(asked.length, before + 1);
    assert.ok((asked[before] ?? 0) > 1000, `${asked[before]} after a short connection`);
    const opened = performance.now();
    await until(() => performance.now() - opened > 5_500, "it is open for 5 s");
    before = asked.length;
    long.socket.close(1000);
    await visits.next();
    assert.equal(asked.length, before + 1);
    assert.ok((asked[before] ?? 0) <= 126, `${asked[before]} after a long one`);
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

  test("ends what a server that accepts and closes at once begins", async (t) => {
    const { url, visits } = await startPlain(t);
    const client = open(t, url, { maxRetries: 3 });
    for (let connection = 1; connection <= 4; connection++) {
      (await visits.next()).socket.close(1013);
    }
    await until(() => client.readyState === 3, "it gave up");
    open(t, url);
    await visits.next();
    assert.deepEqual(visits.drain(), []);
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
