// `stop({ drain })`: the clients are closed one after the other, and told when to come back.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { ZocketServer } from "@zocket/core";
import { WebSocket } from "ws";

import { counting, open } from "./_client.ts";
import { startPlain } from "./_plain.ts";
import { ask, Raw, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

const HOUR = 3_600_000;
const HINT = /^reconnect-after=(\d+)$/;

const openMany = (t: TestContext, url: string, count: number) =>
  Promise.all(Array.from({ length: count }, () => Client.open(t, url)));

describe("stop({ drain })", () => {
  test("closes everybody with 1001 and a hint within the time, and resolves after onDisconnect", async (t) => {
    const app = serve(t);
    const clients = await openMany(t, app.url, 20);
    await soon("stop", app.server.stop({ drain: 200 }));
    assert.equal(app.disconnects.length, 20);
    const hints = new Set<number>();
    for (const client of clients) {
      const { code, reason } = await client.closed;
      assert.equal(code, 1001);
      assert.ok(reason.length <= 123);
      const hint = Number(HINT.exec(reason)?.[1]);
      assert.ok(hint >= 0 && hint <= 200, reason);
      hints.add(hint);
    }
    assert.ok(hints.size > 1, "there is no jitter");
    assert.deepEqual(app.errors, []);
  });

  test("closes one after the other; those that are left send and are sent to", async (t) => {
    const app = serve(t);
    const clients = await openMany(t, app.url, 100);
    let closed = 0;
    for (const client of clients) void client.closed.then(() => (closed += 1));
    const drained = app.server.stop({ drain: 20_000 });
    await until("the first ones are closed", () => closed > 2);
    assert.ok(closed < 100, "all were closed at once");
    const heard = (what: string) => () =>
      clients.some(({ received }) => received.some(({ payload }) => payload === what));
    app.shout("news");
    await until("the news", heard("news"));
    for (const client of clients) {
      if (client.socket.readyState === WebSocket.OPEN) client.say("echo");
    }
    await until("an echo", heard("echo"));
    await soon("stop", app.server.stop());
    await soon("the drain", drained);
    await until("all are closed", () => closed === 100);
    const { sent, written, queued, dropped } = app.server.metrics();
    assert.deepEqual([queued, sent], [0, written + dropped]);
  });

  test("refuses upgrades at once, pending ones too, while the open connections go on", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: ({ slow }) => (slow ? admission.promise : {}) });
    const client = await Client.open(t, app.url);
    const pending = new Raw(t, app.port, request({}, "GET /?slow=1 HTTP/1.1"));
    await until("onConnect", () => app.connects.length === 2);
    const stopped = app.server.stop({ drain: HOUR });
    assert.equal((await pending.answer()).status, 503);
    for (let more = 0; more < 3; more++) {
      assert.equal((await ask(t, app.port, request())).status, 503);
    }
    assert.deepEqual(app.server.metrics().refused, { STOP: 4 });
    await client.roundTrip();
    assert.equal(await isSettled(stopped), false);
    admission.open({});
    await client.close();
    // Nobody is left to wait for.
    await soon("stop", stopped);
    assert.equal(app.disconnects.length, 2);
  });

  test("ends at once where there is no client", async (t) => {
    await soon("stop", serve(t).server.stop({ drain: HOUR }));
  });

  test("is cut short by stop(), and by stop(true)", async (t) => {
    for (const force of [false, true]) {
      const app = serve(t);
      const client = await Client.open(t, app.url);
      const drained = app.server.stop({ drain: HOUR });
      await client.roundTrip();
      await soon("stop", app.server.stop(force));
      await soon("the drain", drained);
      assert.equal((await client.closed).code, force ? 1006 : 1001);
      assert.equal(app.disconnects.length, 1);
    }
  });

  test("changes nothing after a stop() or another drain", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const drained = app.server.stop({ drain: HOUR });
    void app.server.stop({ drain: 1 });
    await client.roundTrip();
    await client.roundTrip();
    void app.server.stop();
    await soon("all of them", Promise.all([drained, app.server.stop({ drain: HOUR })]));
    await soon("one after the end", app.server.stop({ drain: HOUR }));
  });

  test("0, or a drain that is left out, is stop()", async (t) => {
    for (const how of [{ drain: 0 }, { drain: undefined }, {}]) {
      const app = serve(t);
      const client = await Client.open(t, app.url);
      await soon("stop", app.server.stop(how));
      assert.deepEqual(await client.closed, { code: 1001, reason: "" });
    }
  });

  test("with an option that does not exist is a TypeError and stops nothing; an event's argument means nothing", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const stop = app.server.stop as (how: unknown) => Promise<void>;
    assert.throws(
      () => stop({ drian: 1_000 }),
      /^TypeError: server\.stop: options\.drian: unknown option; did you mean drain\?$/,
    );
    assert.throws(
      () => stop({ drain: 1, force: undefined }),
      /^TypeError: server\.stop: options\.force: unknown option; expected drain$/,
    );
    await client.roundTrip();
    await soon("stop", stop(Object.assign(new Event("exit"), { own: 1 })));
    assert.deepEqual(await client.closed, { code: 1001, reason: "" });
  });

  test("with a wrong time is a TypeError and stops nothing", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const stop = app.server.stop as (how: unknown) => unknown;
    for (const drain of [-1, NaN, Infinity, 2 ** 31, "1000", null, true, {}]) {
      assert.throws(() => stop({ drain }), /^TypeError: server\.stop: options\.drain: expected /);
    }
    await client.roundTrip();
  });

  test("the name of a signal, which an event hands over, means nothing", async (t) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGUSR2"]) {
      const app = serve(t);
      const stop = app.server.stop as ZocketServer["stop"] & ((signal: string) => Promise<void>);
      await soon("stop", stop(signal));
    }
  });

  test("any other argument is a TypeError and stops nothing", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const stop = app.server.stop as (how: unknown) => unknown;
    const callback = () => assert.fail("nobody calls it");
    const list = [1, 0, 5_000, NaN, 1n, "x", "", "true", "sigterm", "SIG", null, Symbol("x")];
    for (const how of [...list, callback, [], [true], new Map([["drain", 1]])]) {
      assert.throws(
        () => stop(how),
        /^TypeError: server\.stop: expected true, false or an object \{ drain \}, got /,
      );
    }
    await client.roundTrip();
    assert.equal(app.server.clientCount(), 1);
  });
});

describe("the client's next attempt after a hint", () => {
  /** Delays from 1 ms up that the client asks for; it gets each at once. */
  function delays(t: TestContext): number[] {
    const asked: number[] = [];
    const real = globalThis.setTimeout;
    t.mock.method(globalThis, "setTimeout", (run: () => void, ms = 0, ...args: []) => {
      // 10 s and more are deadlines of `ws`, of the client and of the specs, but for what hints are about here. After 5 s the
      // client takes a connection for a good one.
      if (ms < 50 || ms === 5_000 || (ms > 9_000 && ms < 50_000)) return real(run, ms, ...args);
      asked.push(ms);
      return real(run, 0, ...args);
    });
    return asked;
  }

  /** The delay after a close with this code and reason, and after the next one, which has none. */
  async function waits(t: TestContext, code: number, reason: string): Promise<number[]> {
    const { url, visits } = await startPlain(t);
    const asked = delays(t);
    open(t, url, { minReconnectionDelay: 100, maxReconnectionDelay: 100 });
    for (const args of [[code, reason], [1001]] as [number, string?][]) {
      const visit = await visits.next();
      visit.say("onSaid");
      visit.socket.close(args[0], args[1]);
    }
    await visits.next();
    return asked;
  }

  test("comes not before it, and is an ordinary one the next time", async (t) => {
    const [hinted = 0, next = 0] = await waits(t, 1001, "reconnect-after=60000");
    assert.equal(hinted, 60_000);
    assert.ok(next <= 100, `${next}`);
  });

  test("comes after ten minutes at most", async (t) => {
    const [hinted] = await waits(t, 1001, "reconnect-after=99999999999999999999");
    assert.equal(hinted, 600_000);
  });

  test("comes not before the usual delay", async (t) => {
    const [hinted = 0] = await waits(t, 1001, "reconnect-after=1");
    assert.ok(hinted >= 74 && hinted <= 100, `${hinted}`);
  });

  for (const [code, reason] of [
    [1001, "reconnect-after="],
    [1001, "reconnect-after=-60000"],
    [1001, "reconnect-after=6e4"],
    [1001, "reconnect-after=60000 "],
    [1001, "see reconnect-after=60000"],
    [1000, "reconnect-after=60000"],
    [4000, "reconnect-after=60000"],
  ] as const) {
    test(`takes no notice of ${code} ${JSON.stringify(reason)}`, async (t) => {
      const [first = 0] = await waits(t, code, reason);
      assert.ok(first >= 74 && first <= 100, `${first}`);
    });
  }

  test("is there at once with reconnect()", async (t) => {
    const { url, visits } = await startPlain(t);
    const { made, Counted } = counting();
    const client = open(t, url, { WebSocket: Counted });
    const visit = await visits.next();
    const closed = new Promise<void>((resolve) => client.onClose(() => resolve()));
    visit.socket.close(1001, "reconnect-after=600000");
    await soon("the close", closed);
    assert.equal(made.length, 1);
    client.reconnect();
    await visits.next();
  });

  test("is what our server asks for", async (t) => {
    const app = serve(t);
    const asked = delays(t);
    const client = open(t, app.url, { minReconnectionDelay: 100, maxReconnectionDelay: 100 });
    const reasons: string[] = [];
    client.onClose(({ reason }) => reasons.push(reason));
    await until("the client", () => app.server.clientCount() === 1);
    await soon("stop", app.server.stop({ drain: 400 }));
    await until("the close", () => reasons.length > 0);
    const hint = Number(HINT.exec(reasons[0] ?? "")?.[1]);
    await until("the delay", () => asked.length > 0);
    assert.ok(asked[0] !== undefined && asked[0] >= hint, `${asked[0]} < ${hint}`);
  });
});
