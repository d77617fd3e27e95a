// What floods leave of the event loop, and what the messages of clients hold in JavaScript.
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Child, portOf } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve, type Given } from "./_support.ts";
import { latch, until } from "./_wait.ts";

/** How long clients flood, in ms. Without a budget the loop is silent for about as long. */
const FLOOD = 2_500;

/** Clients in a process of their own that send one frame as fast as it goes. */
function flood(t: TestContext, port: number, clients: number, message: string, each = 1_000) {
  const program = `
    import net from "node:net";
    const [port, clients, message, each, time] = process.argv.slice(1);
    const payload = Buffer.from(eval(message));
    const head = Buffer.alloc(14);
    head.set([0x81, 0xff]);
    head.writeBigUInt64BE(BigInt(payload.length), 2);
    const short = payload.length < 126 ? Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]) : head;
    const chunk = Buffer.concat(Array(+each).fill(Buffer.concat([short, payload])));
    for (let index = 0; index < +clients; index++) {
      const socket = net.connect(+port, "127.0.0.1");
      socket.write("GET / HTTP/1.1\\r\\nHost: a\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n" +
        "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n");
      const go = () => { while (socket.write(chunk)); };
      socket.on("data", () => {}).on("error", () => {}).on("drain", go).once("data", go);
    }
    setTimeout(() => process.exit(), +time);`;
  const args = [port, clients, message, each, FLOOD].map(String);
  return new Child(t, process.execPath, ["--input-type=module", "--eval", program, "--", ...args])
    .exit;
}

function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe("while clients flood, timers of the application run", () => {
  const kinds: Record<string, { given?: Given; message: string; each?: number }> = {
    "with messages for no route": { message: `'{"type":"x"}'` },
    "with bad messages": { message: `'x'` },
    "past their rate": {
      message: `'{"type":"say"}'`,
      given: { options: { maxMessagesPerSecond: 5 } },
    },
    "with messages that take their handler 50 µs": {
      message: `'{"type":"say"}'`,
      given: { say: () => spin(0.05) },
    },
    "with messages that take it 50 µs after an await": {
      message: `'{"type":"say"}'`,
      given: {
        say: async () => {
          await undefined;
          spin(0.05);
        },
      },
    },
    "with messages that wait for a middleware": {
      message: `'{"type":"say"}'`,
      given: { middleware: () => Promise.resolve(), say: () => spin(0.05) },
    },
    "with invalid payloads": {
      message: `'{"type":"say"}'`,
      given: {
        payload: {
          "~standard": {
            version: 1,
            vendor: "x",
            validate: () => ({ issues: [{ message: "no" }] }),
          },
        },
      },
    },
    "with deep payloads of 256 KiB": {
      message: `'{"type":"say","payload":' + '['.repeat(130000) + ']'.repeat(130000) + '}'`,
      each: 4,
      given: { say: () => {} },
    },
  };
  for (const [name, { given, message, each }] of Object.entries(kinds)) {
    test(name, async (t) => {
      const app = serve(t, given);
      // What every flood causes without end is not to be kept by the test.
      const { errors, messages, order } = app;
      let last = performance.now();
      let silence = 0;
      let ticks = 0;
      const timer = setInterval(() => {
        const time = performance.now();
        silence = Math.max(silence, time - last);
        last = time;
        ticks += 1;
        errors.length = messages.length = order.length = 0;
      }, 10);
      t.after(() => clearInterval(timer));
      await flood(t, app.port, 8, message, each);
      const { received } = app.server.metrics();
      t.diagnostic(
        `${received} messages, ${ticks} ticks, longest silence ${silence.toFixed(0)} ms`,
      );
      assert.ok(received > 20, `${received} messages`);
      assert.ok(silence < FLOOD / 3, `no timer for ${silence.toFixed(0)} ms of ${FLOOD}`);
      assert.ok(ticks > 10, `${ticks} ticks`);
    });
  }
});

test("after unref a flood does not hold Node", async (t) => {
  const child = Child.node(
    t,
    `const server = createServer(router, zo, { ...local, onError() {} });
     hooks.say = () => { server.unref(); };
     tell(server);`,
  );
  const port = await portOf(child);
  void flood(t, port, 2, `'{"type":"say"}'`);
  await child.endsWell();
});

describe("what onError hears of messages that the engine refuses", () => {
  test("is the first of a client, code and second at once, and then how many more there were", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    for (let count = 0; count < 5_000; count++) {
      client.send("nowhere", count);
      client.socket.send("no envelope");
    }
    await until("the answers", () => client.received.length === 10_000);
    other.send("nowhere", 1);
    await until("the other's answer", () => other.received.length === 1);
    const told = () => app.errors as { code: string; clientId?: string; count?: number }[];
    const sum = (code: string) =>
      told().reduce((all, it) => all + (it.code === code ? (it.count ?? 1) : 0), 0);
    await until("all of them", () => sum("NO_ROUTE") === 5_001 && sum("BAD_MESSAGE") === 5_000);
    // Two for each client, code and second.
    assert.ok(told().length < 100, `${told().length} calls`);
    assert.equal(new Set(told().map(({ clientId }) => clientId)).size, 2);
    assert.deepEqual(app.server.metrics().bad, { BAD_MESSAGE: 5_000, NO_ROUTE: 5_001 });
  });

  test("comes before the end of the client", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    for (let count = 0; count < 10; count++) client.send("nowhere", count);
    await until("the answers", () => client.received.length === 10);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual(
      app.errors.map((it) => (it as { count?: number }).count),
      [undefined, 9],
    );
    assert.deepEqual(app.order, ["connect", "error", "error", "disconnect"]);
  });
});

describe("messages behind a pending one", () => {
  const LONG = "x".repeat(100_000);

  test("are bounded in bytes, and go when the client goes", async (t) => {
    const gate = latch();
    const app = serve(t, { middleware: () => gate.promise });
    const client = await Client.open(t, app.url);
    for (let count = 0; count < 40; count++) client.say(LONG);
    const other = await Client.open(t, app.url);
    await until("the reading to stop", async () => {
      const before = app.server.metrics().received;
      await sleep(200);
      return before >= 4 && app.server.metrics().received === before;
    });
    // One is pending, three make more than 256 KiB, and the inbox holds two or so; the server has read no further.
    const { received } = app.server.metrics();
    assert.ok(received <= 10, `${received} messages`);
    client.reset();
    await until("onDisconnect", () => app.disconnects.length === 1);
    other.say(1);
    gate.open();
    await until("the other's message", () => app.messages.length === 1);
    assert.equal(app.messages[0]?.payload, 1);
  });

  test("are held by nothing when the client is gone", async (t) => {
    const child = Child.node(
      t,
      `const seen = [];
       const held = zocket.create({ headers: anything });
       const slow = held.message.use(() => new Promise(() => {}));
       const payload = { "~standard": { version: 1, vendor: "specs", validate: (value) => {
         seen.push(new WeakRef(value)); return { value }; } } };
       const app = held.router({ say: slow.incoming({ payload }) }, { say: () => {} });
       const server = createServer(app, held, local);
       tell(server);
       const both = setInterval(() => {
         if (seen.length === 0 || server.metrics().received < 2) return;
         console.log("both are here");
         clearInterval(both);
       }, 5);
       process.stdin.on("data", () => {
         const look = setInterval(() => {
           if (server.clientCount() > 0) return;
           gc();
           const left = seen.filter((it) => it.deref()).length;
           if (seen.length > 0 && left === 0) { console.log("all gone"); clearInterval(look); }
         }, 20);
       });`,
      ["--expose-gc"],
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    client.say({ text: LONG });
    client.say({ text: LONG });
    await child.printed(/both are here/);
    client.reset();
    child.tell("look");
    await child.printed(/all gone/);
  });
});

test("past a 32nd of the heap the clients whose messages hold the most are cut off, and the others served", async (t) => {
  const child = Child.node(
    t,
    `const errors = [];
     const held = zocket.create({ headers: anything });
     const slow = held.message.use(({ payload }) => payload.text ? new Promise(() => {}) : undefined);
     const slowRoutes = { say: slow.incoming({ payload: anything }), said: held.message.outgoing({ payload: anything }) };
     const app = held.router(slowRoutes, { say: ({ payload, ctx }) => ctx.send.said(payload).to(ctx.clientId) });
     const server = createServer(app, held, { ...local, onError: (error, { code }) => errors.push(code) });
     tell(server);
     const told = () => console.log("codes " + [...new Set(errors)] + ", " + server.clientCount() + " clients;");
     process.stdin.on("data", told);`,
    // The bound is about 3 MiB then.
    ["--max-old-space-size=64"],
  );
  const url = `ws://127.0.0.1:${await portOf(child)}`;
  const honest = await Client.open(t, url);
  const greedy = await Promise.all(Array.from({ length: 30 }, () => Client.open(t, url)));
  for (const client of greedy) {
    for (let count = 0; count < 5; count++) client.say({ text: "x".repeat(90_000) });
  }
  let cut = 0;
  for (const client of greedy) void client.closed.then(() => (cut += 1));
  await until("some of them are cut off", () => cut > 5);
  await honest.roundTrip();
  assert.ok(cut < 30, "not all of them");
  child.tell("codes");
  await child.printed(/codes HANDLERS, \d+ clients;/);
});

describe("what continues after promises of many clients", () => {
  const CLIENTS = 200;
  /** The most that happened in one turn of the event loop. */
  function turns(t: TestContext) {
    let inTurn = 0;
    let most = 0;
    let isOver = false;
    t.after(() => (isOver = true));
    const next = () => {
      inTurn = 0;
      if (!isOver) setImmediate(next);
    };
    next();
    return {
      happens() {
        inTurn += 1;
        most = Math.max(most, inTurn);
        spin(1);
      },
      most: () => most,
    };
  }

  test("goes on in as many turns as it takes, also when one promise releases all", async (t) => {
    const gate = latch();
    const { happens, most } = turns(t);
    const app = serve(t, { middleware: () => gate.promise, say: happens });
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => Client.open(t, app.url)),
    );
    for (const client of clients) for (const n of [1, 2, 3]) client.say(n);
    await until("all of them", () => app.server.metrics().received === 3 * CLIENTS);
    await sleep(100);
    gate.open();
    await until("the handlers", () => app.messages.length === 3 * CLIENTS);
    // 10 ms of it in each turn, and as much again for what was not measured yet.
    assert.ok(most() <= 40, `${most()} handlers of 1 ms in one turn`);
  });

  test("counts in onConnect too, when all of them come at once, also where it does not wait for that", async (t) => {
    const { happens, most } = turns(t);
    const app = serve(t, {
      onConnect: () => {
        void Promise.resolve().then(happens);
        return {};
      },
    });
    const clients = Array.from({ length: 2 * CLIENTS }, () => new Raw(t, app.port));
    await Promise.all(clients.map(({ socket }) => once(socket, "connect")));
    for (const client of clients) client.write(request());
    // The engine reads them meanwhile, so that they come at once.
    spin(500);
    await until("all have come", () => app.connects.length === 2 * CLIENTS);
    // Before one is measured, two hundred may begin.
    assert.ok(most() <= 1.25 * CLIENTS, `${most()} calls of 1 ms in one turn`);
  });

  test("counts in onDisconnect too, when all of them leave at once", async (t) => {
    const { happens, most } = turns(t);
    const app = serve(t, {
      onDisconnect: async () => {
        await undefined;
        happens();
      },
    });
    const clients = await Promise.all(
      Array.from({ length: 2 * CLIENTS }, () => Client.open(t, app.url)),
    );
    for (const client of clients) client.reset();
    await until("all are gone", () => app.disconnects.length === 2 * CLIENTS);
    // Before one is measured, two hundred may begin.
    assert.ok(most() <= 1.25 * CLIENTS, `${most()} calls of 1 ms in one turn`);
  });
});

test("JSON that is fifty times as large once it is parsed does not take the heap", async (t) => {
  const child = Child.node(
    t,
    `const kept = [];
     hooks.say = (payload, ctx) => {
       if (payload === "hello") return ctx.send.said(payload).to(ctx.clientId);
       return new Promise((resolve) => setTimeout(() => resolve(payload), 60_000).unref());
     };
     tell(createServer(router, zo, { ...local, onError() {} }));`,
    ["--max-old-space-size=96"],
  );
  const url = `ws://127.0.0.1:${await portOf(child)}`;
  // Each takes about 2.5 MB of the heap.
  const deep = `{"type":"say","payload":${'{"34":'.repeat(7_000)}1${"}".repeat(7_000)}}`;
  for (let client = 0; client < 80; client++) (await Client.open(t, url)).socket.send(deep);
  await sleep(2_500);
  assert.equal(child.process.exitCode, null, child.err.slice(-500));
  assert.equal(child.process.signalCode, null, child.err.slice(-500));
});
