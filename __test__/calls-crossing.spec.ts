// What crosses on the wire: aborts and replies, the ends of connections and both. Whatever wins, a call settles once, and nothing of one
// call reaches another.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, ZocketError } from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { Line } from "./_line.ts";
import { frame, Raw } from "./_raw.ts";
import { dice } from "./_support.ts";
import { until } from "./_wait.ts";

const zo = zocket.create({ headers: z.object({}) });
const routes = {
  echo: zo.message.incoming({ payload: z.number(), reply: z.number() }),
  later: zo.message.incoming({ payload: z.number(), reply: z.number() }),
  refused: zo.message.incoming({
    payload: z.number(),
    reply: z.number(),
    errors: { NO: z.number() },
  }),
  count: zo.message.incoming({ payload: z.number(), stream: z.number(), reply: z.number() }),
};

function serve(t: TestContext) {
  const faults: string[] = [];
  const signals = { fired: 0, afterEnd: 0 };
  let running = 0;
  const app = zo.router(routes, {
    echo: ({ payload }) => payload,
    later: async ({ payload, signal }) => {
      let isOver = false;
      running += 1;
      signal.addEventListener("abort", () => {
        signals.fired += 1;
        if (isOver) signals.afterEnd += 1;
      });
      for (let turn = payload % 4; turn > 0; turn -= 1) await new Promise(setImmediate);
      running -= 1;
      // The engine hears of the end once this promise has settled.
      queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => (isOver = true))));
      return payload;
    },
    refused: ({ payload, fail }) => {
      throw fail("NO", payload);
    },
    count: function* ({ payload }) {
      running += 1;
      try {
        for (let n = 0; n < 100; n += 1) yield payload;
        return payload;
      } finally {
        running -= 1;
      }
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (error, { code }) => void faults.push(`${code} ${String(error)}`),
  });
  t.after(() => server.stop(true));
  return { app, server, faults, signals, running: () => running };
}

describe("an abort that crosses the reply", () => {
  test("is passed over or wins, and the next call with its id is not touched", async (t) => {
    const { server, faults, signals, running } = serve(t);
    const line = await Line.open(t, server);
    const random = dice(7);
    const counted = { answered: 0, aborted: 0 };
    // The same id again and again: an answer of the one before would be a wrong one.
    for (let round = 0; round < 2_000; round += 1) {
      const type = ["echo", "later", "refused", "count"][random(4)];
      line.say({ id: 1, type, payload: round });
      if (random(3) === 0) await new Promise(setImmediate);
      line.say({ id: 1, type: "$abort" });
      line.say({ id: 1, type: "echo", payload: -round - 1 });
      await until("the second answer", () =>
        line.told.some(({ payload }) => payload === -round - 1),
      );
      const ends = line.told.filter(({ type }) => type !== "$item");
      for (const { type, id, payload } of line.told) {
        assert.equal(id, 1, JSON.stringify(line.told));
        const { code, data } = (payload ?? {}) as { code?: string; data?: unknown };
        if (type === "$error") assert.equal(code, "NO", JSON.stringify(line.told));
        const number = type === "$error" ? data : payload;
        assert.ok(number === round || number === -round - 1, JSON.stringify(line.told));
      }
      assert.ok(ends.length <= 2);
      if (ends.length === 2) counted.answered += 1;
      else counted.aborted += 1;
      line.told.length = 0;
    }
    t.diagnostic(`${counted.answered} answers were first, and ${counted.aborted} aborts`);
    assert.ok(counted.aborted > 0);
    await until("all handlers", () => running() === 0);
    assert.deepEqual(faults, []);
    assert.equal(signals.afterEnd, 0);
  });

  test("settles the call of our client once, and what it wins nobody else gets", async (t) => {
    const { app, server, running, faults } = serve(t);
    const client = createZocketClient<typeof app>(server.url, { WebSocket });
    t.after(() => client.close());
    const told: unknown[] = [];
    client.onError((error) => told.push(error));
    const random = dice(11);
    const outcomes = { done: 0, aborted: 0 };
    await client.call.echo(0);
    for (let round = 0; round < 50; round += 1) {
      const settled = Array.from({ length: 20 }, async (_, n) => {
        const controller = new AbortController();
        const number = round * 20 + n;
        const call = client.call[random(2) === 0 ? "later" : "echo"](number, {
          signal: controller.signal,
        });
        const ended: unknown[] = [];
        const settled = call.then(
          (reply) => {
            assert.equal(reply, number);
            ended.push("done");
            outcomes.done += 1;
          },
          (error: unknown) => {
            assert.equal(error, controller.signal.reason);
            ended.push("aborted");
            outcomes.aborted += 1;
          },
        );
        for (let turn = random(6); turn > 0; turn -= 1) await new Promise(setImmediate);
        controller.abort();
        await settled;
        assert.equal(ended.length, 1);
      });
      await Promise.all(settled);
    }
    t.diagnostic(`${outcomes.done} were answered, ${outcomes.aborted} aborted`);
    assert.equal(outcomes.done + outcomes.aborted, 1_000);
    await until("all handlers", () => running() === 0);
    assert.equal(await client.call.echo(5), 5);
    assert.deepEqual([told, faults], [[], []]);
  });
});

describe("the end of a connection that crosses both", () => {
  test("settles every call of our client once", async (t) => {
    const { app, server, running, faults, signals } = serve(t);
    const random = dice(13);
    const outcomes: Record<string, number> = {};
    for (let round = 0; round < 40; round += 1) {
      const client = createZocketClient<typeof app>(server.url, { WebSocket, maxRetries: 0 });
      await client.call.echo(0);
      const all = Array.from({ length: 20 }, async (_, n) => {
        const controller = new AbortController();
        let settled = 0;
        const call = client.call.later(n, { signal: controller.signal });
        const end = call.then(
          () => "reply",
          (error: unknown) => (error instanceof ZocketError ? error.code : "aborted"),
        );
        void end.then(() => (settled += 1));
        for (let turn = random(5); turn > 0; turn -= 1) await new Promise(setImmediate);
        if (n === 10) client.close();
        if (random(2) === 0) controller.abort();
        const outcome = await end;
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        await Promise.resolve();
        assert.equal(settled, 1);
      });
      await Promise.all(all);
    }
    t.diagnostic(JSON.stringify(outcomes));
    for (const outcome of Object.keys(outcomes)) {
      assert.ok(["reply", "aborted", "CLOSED"].includes(outcome), outcome);
    }
    await until("all handlers", () => running() === 0);
    await until("no client", () => server.clientCount() === 0);
    assert.deepEqual(faults, []);
    assert.equal(signals.afterEnd, 0);
  });

  test("ends every handler at the server, whichever came last before the reset", async (t) => {
    const { server, running, faults } = serve(t);
    const random = dice(17);
    for (let round = 0; round < 100; round += 1) {
      const raw = await Raw.open(t, server.port);
      const said = [];
      for (let id = 0; id < 10; id += 1) {
        const type = ["echo", "later", "count"][random(3)];
        said.push(frame(JSON.stringify({ id, type, payload: id })));
        if (random(2) === 0) said.push(frame(JSON.stringify({ id, type: "$abort" })));
        if (random(2) === 0) said.push(frame(JSON.stringify({ id, type: "$more", payload: 9 })));
      }
      raw.write(Buffer.concat(said as unknown as Uint8Array[]));
      for (let turn = random(4); turn > 0; turn -= 1) await new Promise(setImmediate);
      raw.socket.destroy();
    }
    await until("no client", () => server.clientCount() === 0);
    await until("all handlers", () => running() === 0);
    assert.deepEqual(faults, []);
    const { sent, written, queued, dropped } = server.metrics();
    assert.equal(sent, written + queued + dropped);
  });
});

for (const how of [{ drain: 200 }, false, true] as const) {
  const name = typeof how === "object" ? "stop({ drain })" : `stop(${how})`;
  test(`${name} settles every call and stream once, and ends their handlers`, async (t) => {
    const { app, server, running, faults } = serve(t);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    t.after(() => process.off("unhandledRejection", note));
    const clients = Array.from({ length: 20 }, () => {
      const client = createZocketClient<typeof app>(server.url, { WebSocket, maxRetries: 0 });
      t.after(() => client.close());
      return client;
    });
    await Promise.all(clients.map((client) => client.call.echo(0)));
    const outcomes: Record<string, number> = {};
    let begun = 0;
    /** Calls again and again, until that fails. */
    const untilTheEnd = async (call: () => PromiseLike<unknown>) => {
      for (;;) {
        try {
          await call();
          begun += 1;
        } catch (error) {
          assert.ok(error instanceof ZocketError, String(error));
          outcomes[error.code] = (outcomes[error.code] ?? 0) + 1;
          return;
        }
      }
    };
    const all = clients.flatMap(({ call }) => [
      untilTheEnd(() => call.later(3)),
      untilTheEnd(() => call.echo(3)),
      untilTheEnd(() => call.count(3)),
      untilTheEnd(async () => {
        const asked = call.count(5);
        const items: unknown[] = [];
        for await (const item of asked) items.push(item);
        assert.equal(items.length, 100);
        return asked;
      }),
    ]);
    await until("calls under way", () => begun > 1_000);
    await server.stop(how);
    await Promise.all(all);
    t.diagnostic(JSON.stringify(outcomes));
    const codes = Object.keys(outcomes);
    assert.equal(
      Object.values(outcomes).reduce((sum, it) => sum + it, 0),
      all.length,
    );
    assert.ok(
      codes.every((code) => ["DISCONNECTED", "CLOSED"].includes(code)),
      codes.join(),
    );
    await until("all handlers", () => running() === 0);
    await new Promise(setImmediate);
    assert.deepEqual([faults, unhandled], [[], []]);
    const { sent, written, queued, dropped } = server.metrics();
    assert.equal(sent, written + queued + dropped);
  });
}
