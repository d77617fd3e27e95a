// Calls and streams in numbers and sizes that hurt: other clients are served meanwhile, memory stays within the credit, and it comes back.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import {
  createServer,
  createZocketClient,
  zocket,
  type ErrorInfo,
  type ServerOptions,
} from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { frame, Raw } from "./_raw.ts";
import { latch, until } from "./_wait.ts";

const MIB = 1024 * 1024;
const timeout = 500_000;

const zo = zocket.create({ headers: z.object({}) });
const { incoming } = zo.message;
const routes = {
  echo: incoming({ payload: z.number(), reply: z.number() }),
  held: incoming({ payload: z.number(), reply: z.number() }),
  large: incoming({ payload: z.number(), reply: z.string() }),
  fails: incoming({ payload: z.number(), reply: z.number(), errors: { NO: z.number() } }),
  count: incoming({ payload: z.number(), stream: z.number(), reply: z.string() }),
  texts: incoming({ payload: z.number(), stream: z.string() }),
};

function serve(t: TestContext, options: ServerOptions = {}) {
  const made = { items: 0, running: 0 };
  const faults: ErrorInfo[] = [];
  const open = latch();
  const app = zo.router(routes, {
    echo: ({ payload }) => payload,
    held: async ({ payload, signal }) => {
      made.running += 1;
      signal.addEventListener("abort", open.open as () => void);
      await open.promise;
      made.running -= 1;
      return payload;
    },
    large: ({ payload }) => "x".repeat(payload),
    fails: ({ payload, fail }) => {
      throw fail("NO", payload);
    },
    count: function* ({ payload }) {
      for (let n = 0; n < payload; n += 1) {
        made.items += 1;
        yield n;
      }
      return "done";
    },
    texts: function* ({ payload }) {
      const text = "x".repeat(payload);
      for (;;) {
        made.items += 1;
        yield text;
      }
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    onError: (_, info) => void faults.push(info),
    ...options,
  });
  t.after(() => server.stop(true));
  const client = () => {
    const made = createZocketClient<typeof app>(server.url, { WebSocket });
    t.after(() => made.close());
    return made;
  };
  return { server, client, made, faults, open: open.open };
}

describe("a stream of a million items", () => {
  test("arrives, and another client gets its answers meanwhile", { timeout }, async (t) => {
    const ALL = 1_000_000;
    const { client, made } = serve(t);
    const [reader, other] = [client(), client()];
    await other.call.echo(0);
    let isOver = false;
    let answers = 0;
    // How many items were made while the other client waited for one answer: no measure of time, which is others' on this machine.
    let most = 0;
    const asking = (async () => {
      while (!isOver) {
        const before = made.items;
        assert.equal(await other.call.echo(answers), answers);
        most = Math.max(most, made.items - before);
        answers += 1;
      }
    })();
    let next = 0;
    let lead = 0;
    const asked = reader.call.count(ALL);
    for await (const item of asked) {
      assert.equal(item, next);
      next += 1;
      lead = Math.max(lead, made.items - next);
    }
    isOver = true;
    await asking;
    t.diagnostic(`${answers} answers; at most ${most} items between two; ${lead} items ahead`);
    assert.equal(await asked, "done");
    assert.equal(next, ALL);
    assert.ok(lead <= 64, `${lead} items ahead`);
    assert.ok(answers >= 100, `${answers} answers`);
    assert.ok(most <= ALL / 20, `${most} items between two answers`);
  });
});

describe("a reader that stops reading", () => {
  test("holds up nobody, and the server holds no more than its credit", { timeout }, async (t) => {
    const CALLS = 20;
    const SIZE = 8_192;
    const { server, client, made, faults } = serve(t);
    const slow = await Raw.open(t, server.port);
    slow.socket.pause();
    for (let id = 0; id < CALLS; id += 1) {
      slow.write(frame(JSON.stringify({ id, type: "texts", payload: SIZE })));
    }
    const other = client();
    for (let n = 0; n < 500; n += 1) assert.equal(await other.call.echo(n), n);
    // Half of `maxBackpressure`, and one more item of each call.
    const most = MIB / 2 / SIZE + CALLS;
    await until("an item of each", () => made.items >= CALLS);
    assert.ok(made.items <= most, `${made.items} items`);
    const { buffered } = server.metrics();
    assert.ok(buffered <= MIB, `${buffered} bytes wait`);
    assert.equal(server.clientCount(), 2);
    slow.socket.resume();
    await until("all that was made", () => slow.messages().length === made.items);
    const before = made.items;
    for (let id = 0; id < CALLS; id += 1) {
      slow.write(frame(JSON.stringify({ id, type: "$more", payload: 64 })));
    }
    await until("more items", () => made.items > before);
    assert.deepEqual(faults, []);
  });

  test(
    "and acknowledges what it does not read is disconnected, also where others lose messages",
    { timeout },
    async (t) => {
      const SIZE = 64 * 1024;
      const { server, client, made, faults } = serve(t, { slowClient: "drop" });
      const slow = await Raw.open(t, server.port);
      slow.socket.pause();
      slow.write(frame(JSON.stringify({ id: 1, type: "texts", payload: SIZE })));
      const more = frame(JSON.stringify({ id: 1, type: "$more", payload: 64 }));
      await until("its end", () => {
        slow.write(more);
        return faults.length > 0;
      });
      assert.equal(faults[0]?.code, "SLOW_CLIENT");
      await until("no client", () => server.clientCount() === 0);
      // What the sockets of the system hold is not the server's.
      t.diagnostic(`${made.items} items of ${SIZE} bytes`);
      assert.equal(await client().call.echo(1), 1);
      // The client may have the reply before the I/O thread has counted it.
      await until("nothing queued", () => server.metrics().queued === 0);
    },
  );
});

describe("calls in great number", () => {
  test(
    "10,000 of one client are in flight at once, and each gets its reply",
    { timeout },
    async (t) => {
      const COUNT = 10_000;
      const { client, made, open } = serve(t, { maxCallsPerClient: COUNT });
      const { call } = client();
      const replies = Array.from({ length: COUNT }, (_, n) => call.held(n).then((it) => it === n));
      await until("all handlers", () => made.running === COUNT);
      open();
      assert.ok((await Promise.all(replies)).every(Boolean));
      assert.equal(made.running, 0);
      assert.equal(await call.echo(7), 7);
    },
  );

  test("100,000 leave the heap as it was", { timeout }, async (t) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const heap = async () => {
      for (let n = 0; n < 3; n += 1) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        collect();
      }
      return process.memoryUsage().heapUsed;
    };
    const { client, made } = serve(t);
    const { call } = client();
    const round = async (count: number) => {
      for (let done = 0; done < count; done += 100) {
        const calls = Array.from({ length: 100 }, async (_, n) => {
          switch (n % 5) {
            case 0:
            case 1:
              return call.echo(n);
            case 2:
              return call.fails(n).safe();
            case 3: {
              const controller = new AbortController();
              const held = call.held(n, { signal: controller.signal }).safe();
              controller.abort();
              return held;
            }
            default:
              for await (const _ of call.count(3));
              return undefined;
          }
        });
        await Promise.all(calls);
      }
      await until("all handlers", () => made.running === 0);
    };
    await round(20_000);
    const before = await heap();
    await round(100_000);
    const after = await heap();
    t.diagnostic(`${before} bytes before, ${after} after`);
    // A hundredth of what a hundred bytes for each would be, and what Node itself may keep.
    assert.ok(after - before < MIB, `${after - before} bytes more`);
  });
});

describe("a large reply", () => {
  test(
    "of 200 MiB arrives, and another client gets its answers meanwhile",
    { timeout },
    async (t) => {
      const SIZE = 200 * MIB;
      const { client, server, faults } = serve(t);
      const other = client();
      await other.call.echo(0);
      const socket = new WebSocket(server.url, { maxPayload: 0 });
      t.after(() => socket.terminate());
      const answer = latch<Buffer>();
      socket.on("open", () => socket.send(JSON.stringify({ id: 1, type: "large", payload: SIZE })));
      socket.on("message", (data) => answer.open(data as Buffer));
      let isThere = false;
      void answer.promise.then(() => (isThere = true));
      let answers = 0;
      while (!isThere || answers < 20) {
        assert.equal(await other.call.echo(answers), answers);
        answers += 1;
      }
      const bytes = await answer.promise;
      t.diagnostic(`${answers} answers meanwhile`);
      const [start, end] = ['{"type":"$reply","id":1,"payload":"', '"}'];
      assert.equal(bytes.length, start.length + SIZE + end.length);
      assert.equal(bytes.subarray(0, start.length).toString(), start);
      assert.equal(bytes.subarray(-end.length).toString(), end);
      assert.ok(bytes.subarray(start.length, -end.length).every((byte) => byte === 120));
      assert.deepEqual(faults, []);
      await until("nothing that waits", () => server.metrics().buffered === 0);
    },
  );

  test("that is too much for the server ends its client, and no other", { timeout }, async (t) => {
    const { client, server, faults } = serve(t, { maxBufferedBytes: 16 * MIB });
    const other = client();
    await other.call.echo(0);
    const slow = await Raw.open(t, server.port);
    slow.socket.pause();
    slow.write(frame(JSON.stringify({ id: 1, type: "large", payload: 64 * MIB })));
    await until("its end", async () => {
      assert.equal(await other.call.echo(1), 1);
      return server.clientCount() === 1;
    });
    assert.equal(await other.call.echo(2), 2);
    assert.ok(faults.length > 0);
    await until("nothing that waits", () => server.metrics().buffered === 0);
  });
});
