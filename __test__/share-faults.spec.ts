// Trouble in one of several threads that share a server: the clients of the others do not notice.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";
import { redis } from "@zocket/core/bus";

import { Authority } from "./_certificates.ts";
import { Client, codeOf, name, two } from "./_share-clients.ts";
import { blockUntilTold, Sharing } from "./_share.ts";
import { anything } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** The numbers that a client got of the stream. */
const numbers = ({ got }: Client) =>
  got.flatMap(({ type, payload }) => (type === "said" ? [payload as number] : []));

/** Whether they are all from the first on, in order and once each. */
function assertWhole(got: readonly number[]): void {
  assert.deepEqual(
    got,
    got.map((_, at) => at),
  );
}

/** Clients in the lobby, by the worker that they belong to. */
async function lobby(t: TestContext, url: string, count: number) {
  const clients = new Map<string, Client[]>();
  for (let n = 0; n < count; n++) {
    const client = await Client.open(t, url);
    const { worker } = await client.who();
    await client.call("join", "lobby");
    clients.set(worker, [...(clients.get(worker) ?? []), client]);
  }
  return (worker: string) => clients.get(worker) ?? [];
}

/** Has a worker send numbers to the lobby until `end`, which says how many they were. */
function stream(worker: Sharing) {
  const sent = worker.ask<number>(
    `globalThis.goes = true;
     let n = 0;
     while (globalThis.goes) {
       for (let k = 0; k < 20; k++) server.send.said(n++).toRoom("lobby");
       await new Promise((done) => setTimeout(done, 1));
     }
     return n;`,
  );
  return { end: () => worker.ask("globalThis.goes = false").then(() => sent) };
}

describe("A server that threads share, when a worker", () => {
  for (const [how, ends] of [
    ["stops", ({ ask }: { ask: () => Promise<unknown> }) => ask()],
    ["is terminated", ({ worker }: { worker: Sharing }) => worker.worker.terminate()],
  ] as const) {
    test(`that was the first ${how} while traffic runs, gives the clients of the others every message, in order and once`, async (t) => {
      const { a, b, share } = await two(t);
      const c = await Sharing.start(t, share, "c");
      const clientsOf = await lobby(t, a.url, 9);
      const others = [...clientsOf("b"), ...clientsOf("c")];
      assert.deepEqual([clientsOf("a").length, others.length], [3, 6]);
      const running = stream(c);
      const got = (client: Client, more: number) => {
        const before = numbers(client).length;
        return until("messages", () => numbers(client).length > before + more);
      };
      await Promise.all(others.map((client) => got(client, 200)));
      await ends({ worker: a, ask: () => a.ask("await server.stop()") });
      for (const client of clientsOf("a")) assert.equal(await codeOf(client), 1012);
      // Calls are answered, and new clients come.
      await Promise.all(others.map((client) => client.who()));
      assert.notEqual((await (await Client.open(t, a.url)).who()).worker, "a");
      await Promise.all(others.map((client) => got(client, 200)));
      const sent = await running.end();
      for (const client of others) {
        await until("the last", () => numbers(client).length === sent);
        assertWhole(numbers(client));
      }
      // Those that were closed had the beginning.
      for (const client of clientsOf("a")) assertWhole(numbers(client));
      type Counted = Record<"sent" | "written" | "queued" | "dropped" | "connections", number>;
      await until("the count", async () => {
        const counted = await b.ask<Counted>("return server.metrics()");
        assert.equal(counted.sent, counted.written + counted.queued + counted.dropped);
        return counted.connections <= 7;
      });
      assert.equal((await b.ask<Counted>("return server.metrics()")).connections, 7);
      t.diagnostic(`${sent} messages for 6 clients, and none was missed`);
    });
  }

  test("throws, closes its clients with 1012, counts them, and does not disturb the others", async (t) => {
    const { a, b } = await two(t);
    const clientsOf = await lobby(t, a.url, 6);
    const died = once(a.worker, "error");
    a.tell(`setImmediate(() => { throw new Error("a bug"); })`);
    const [error] = (await soon("the error", died)) as [Error];
    assert.equal(error.message, "a bug");
    for (const client of clientsOf("a")) assert.equal(await codeOf(client), 1012);
    await b.ask(`server.send.said(0).toRoom("lobby")`);
    for (const client of clientsOf("b")) {
      await until("the message", () => numbers(client).length === 1);
      assert.equal((await client.who()).worker, "b");
    }
    const orphaned = () => b.ask<number>("return server.metrics().orphaned");
    await until("the count", async () => (await orphaned()) === 3);
  });

  test("has no memory left, closes its clients with 1012, and does not disturb the others", async (t) => {
    const share = name();
    const a = await Sharing.start(t, share, "a", {}, { megabytes: 64 });
    const b = await Sharing.start(t, share, "b");
    const clientsOf = await lobby(t, a.url, 4);
    const died = once(a.worker, "error");
    a.tell("const all = []; for (;;) all.push(Array.from({ length: 1_000 }, (_, n) => `${n}`));");
    const [error] = (await soon("the error", died)) as [Error & { code?: string }];
    assert.equal(error.code, "ERR_WORKER_OUT_OF_MEMORY");
    for (const client of clientsOf("a")) assert.equal(await codeOf(client), 1012);
    for (const client of clientsOf("b")) assert.equal((await client.who()).worker, "b");
    const orphaned = () => b.ask<number>("return server.metrics().orphaned");
    await until("the count", async () => (await orphaned()) === 2);
  });

  test("blocks for 5 s, answers the clients of others meanwhile, and delivers to its own", async (t) => {
    const { a, b } = await two(t);
    const clientsOf = await lobby(t, a.url, 4);
    const [own, other] = [clientsOf("a")[0] as Client, clientsOf("b")[0] as Client];
    let isOver = false;
    const block = blockUntilTold();
    const blocked = a.ask(block.program).then(() => (isOver = true));
    const late = own.who().then(() => assert.ok(isOver, "its worker was blocked"));
    let [trips, worst, sent] = [0, 0, 0];
    const since = performance.now();
    while (trips <= 10 || performance.now() - since < 5_000) {
      const began = performance.now();
      await other.who();
      worst = Math.max(worst, performance.now() - began);
      trips += 1;
      await b.ask(`server.send.said(${sent++}).toRoom("lobby")`);
      const received = () => numbers(own).length === sent;
      await until("the message for a client of the blocked worker", received);
    }
    t.diagnostic(`${trips} calls while the other worker blocked; the slowest took ${worst} ms`);
    assert.equal(isOver, false);
    block.end();
    await Promise.all([blocked, late]);
    for (const client of [...clientsOf("a"), ...clientsOf("b")]) {
      await until("all of them", () => numbers(client).length === sent);
      assertWhole(numbers(client));
    }
  });
});

describe("A thread with other options", () => {
  const zo = zocket.create({ headers: anything<Record<string, string>>() });
  const app = zo.router({ said: zo.message.outgoing({ payload: anything<unknown>() }) }, {});
  const own = { onError() {} };
  const inFolder = (file: string) => path.join(tmpdir(), `${process.pid}-${file}.sock`);
  const { cert, key } = new Authority().issue("localhost");
  const bus = (prefix: string) => redis({ url: "redis://:secret@127.0.0.1:1", prefix });

  /** What the first thread gives, and what another one does. */
  const PAIRS: Partial<Record<keyof ServerOptions, readonly [unknown, unknown]>> = {
    port: [0, 3000],
    hostname: ["127.0.0.1", "::1"],
    tls: [{ cert, key }, undefined],
    bus: [bus("a"), bus("b")],
    reusePort: [true, false],
    socketPath: [inFolder("a"), inFolder("b")],
    noServer: [true, undefined],
    path: ["/a", "/b"],
    allowedOrigins: [["https://a.example"], () => true],
    trustProxy: [1, 2],
    trustedHeaders: [["x-a"], ["x-a", "x-b"]],
    protocols: [["a"], undefined],
    maxPayload: [1_024, 2_048],
    maxBackpressure: [1_024, 2_048],
    maxBufferedBytes: [2 ** 21, 2 ** 22],
    slowClient: ["drop", "disconnect"],
    compression: [true, false],
    heartbeatInterval: [1_000, 2_000],
    handshakeTimeout: [1_000, 2_000],
    maxConnections: [100, 200],
    maxConnectionsPerAddress: [100, 200],
    maxUpgradesPerSecondPerAddress: [100, 200],
    maxUpgradesPerSecond: [100, 200],
    maxMessagesPerSecond: [100, 200],
    maxCallsPerClient: [100, 200],
    maxHandlersInFlight: [100, 200],
    maxRoomsPerClient: [100, 200],
    observe: [{ health: "/a" }, { health: "/b" }],
    ioThreads: [1, 2],
  };
  /** Each thread has its own, or they name the server itself. */
  const OWN = ["onError", "share", "server", "validateOutgoing"];

  for (const [option, [there, here]] of Object.entries(PAIRS)) {
    test(`is told that ${option} differs, and shares with the same`, async (t) => {
      const share = name();
      const hasPort = !["noServer", "socketPath"].includes(option);
      const place = hasPort ? { port: 0, hostname: "127.0.0.1" } : {};
      const create = (value: unknown, base: object = place) =>
        createServer(app, zo, { ...base, share, [option]: value, ...own } as ServerOptions);
      const first = create(there);
      t.after(() => soon("the server's end", first.stop(true)));
      // A server without a port cannot have one, so another one has to leave the option out.
      const others = option === "noServer" ? { port: 0 } : place;
      assert.throws(
        () => create(here, others),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "SHARE", error.message);
          assert.match(
            error.message,
            new RegExp(`created with something else: options\\.${option}`),
          );
          assert.doesNotMatch(error.message, /secret|BEGIN/);
          return true;
        },
      );
      const second = create(there);
      assert.equal(second.metrics().workers?.length, 2);
      await second.stop();
      assert.equal(first.metrics().workers?.length, 1);
    });
  }

  test("is told that routes differ in what the engine knows of them", async (t) => {
    const { incoming, outgoing } = zo.message;
    const payload = anything<unknown>();
    const [any, bytes] = [{ payload }, { payload: zo.bytes() }];
    const PAIRS = [
      [{ a: outgoing(any) }, { b: outgoing(any) }, 'outgoing routes: ["a"] there, and ["b"] here'],
      [{ a: outgoing(any) }, { a: outgoing(bytes) }, '["a"] there, and ["a (bytes)"] here'],
      [
        { a: outgoing({ payload, slowClient: "drop" }), b: outgoing(any) },
        { a: outgoing(any), b: outgoing({ payload, compress: false }) },
        '["a (slowClient drop)","b"] there, and ["a","b (compress false)"] here',
      ],
      [
        { a: incoming({ payload, reply: payload, errors: { FULL: payload } }) },
        { a: incoming({ payload, stream: payload, reply: payload }) },
        'incoming routes: ["a (reply, errors FULL)"] there, and ["a (reply, stream)"] here',
      ],
      [{ a: incoming(any) }, { a: incoming(bytes) }, '["a"] there, and ["a (bytes)"] here'],
    ] as const;
    for (const [there, here, text] of PAIRS) {
      const options = { port: 0, hostname: "127.0.0.1", share: name() };
      const app = (routes: typeof there | typeof here) => {
        const isIncoming = "a" in routes && routes.a._direction === "in";
        return zo.router(routes as {}, (isIncoming ? { a() {} } : {}) as {});
      };
      const first = createServer(app(there), zo, options);
      t.after(() => soon("the server's end", first.stop(true)));
      assert.throws(
        () => createServer(app(here), zo, options),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, "SHARE");
          assert.ok(error.message.includes(text), error.message);
          return true;
        },
      );
    }
  });

  test("is compared by every option that there is", () => {
    const unknown = { port: 0, nothing: 1 } as ServerOptions;
    assert.throws(
      () => createServer(app, zo, unknown),
      ({ message }: Error) => {
        const names = message.split("expected one of ")[1]?.split(", ") ?? [];
        assert.deepEqual(names.toSorted(), [...Object.keys(PAIRS), ...OWN].toSorted());
        return true;
      },
    );
  });

  test("is compared by options that a class has, too", async (t) => {
    const share = name();
    class Options {
      readonly share = share;
      readonly port = 0;
      readonly #most: number;
      constructor(most: number) {
        this.#most = most;
      }
      get hostname() {
        return "127.0.0.1";
      }
      get maxPayload() {
        return this.#most;
      }
      onError() {}
    }
    const create = (most: number) => createServer(app, zo, new Options(most));
    const first = create(1_024);
    t.after(() => soon("the server's end", first.stop(true)));
    assert.throws(() => create(2_048), { code: "SHARE", message: /options\.maxPayload: 1024 / });
  });

  test("has functions of its own, and its own HTTP server", async (t) => {
    const share = name();
    const options = (): ServerOptions => ({
      share,
      server: createHttpServer(),
      path: "/chat",
      allowedOrigins: () => true,
      onError() {},
    });
    const [first, second] = [createServer(app, zo, options()), createServer(app, zo, options())];
    t.after(() => Promise.all([first.stop(true), second.stop(true)]));
    assert.equal(first.metrics().workers?.length, 2);
  });
});
