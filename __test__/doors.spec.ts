// Who gets in when many knock: half requests of one address lock nobody out, and descriptors are bounded.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";

import { Child, portOf } from "./_child.ts";
import { frame, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { latch, until } from "./_wait.ts";

const onLinux = process.platform === "linux";
/** All of 127.0.0.0/8 is this machine, on Linux. */
const FLOODER = "127.0.0.2";

/** Sockets that stay half open, say what they are told, and read nothing. */
class Flood {
  readonly sockets: Socket[] = [];
  readonly #port: number;
  readonly #first: string | Buffer;
  /** Those that the server has ended. */
  ended = 0;

  constructor(t: TestContext, port: number, first: string | Buffer = "GET / HT") {
    this.#port = port;
    this.#first = first;
    t.after(() => this.end());
  }

  /** Opens so many, some at a time. Those the system has no room for are left alone. */
  async open(count: number): Promise<void> {
    const some = async () => {
      while (this.sockets.length < count) await this.#one();
    };
    await Promise.all(Array.from({ length: 100 }, some));
  }

  #one(): Promise<void> {
    const options = { port: this.#port, host: "127.0.0.1", localAddress: FLOODER };
    const socket = connect({ ...options, allowHalfOpen: true });
    this.sockets.push(socket);
    socket.pause();
    socket.on("error", () => {});
    socket.once("close", () => (this.ended += 1));
    return new Promise((resolve) => {
      const given = setTimeout(resolve, 1_000);
      const done = () => {
        clearTimeout(given);
        socket.write(this.#first, () => resolve());
      };
      socket.once("connect", done);
      socket.once("close", resolve);
    });
  }

  end(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

describe("half requests of one address", { skip: !onLinux }, () => {
  for (const count of [4_500, 9_000]) {
    test(`${count} of them are still held while others connect`, async (t) => {
      const app = serve(t, { options: { handshakeTimeout: 120_000 } });
      const before = await Client.open(t, app.url);
      const flood = new Flood(t, app.port);
      await flood.open(count);
      for (let round = 0; round < 10; round++) {
        await (await Client.open(t, app.url)).roundTrip();
        await (await Client.open(t, app.url, { localAddress: FLOODER })).roundTrip();
      }
      await before.roundTrip();
      const { refused, connections } = app.server.metrics();
      assert.equal(connections, 21);
      // All but the places themselves, and what the system keeps in its own queue.
      assert.ok((refused.TIMEOUT ?? 0) <= count, JSON.stringify(refused));
    });
  }

  test("make room one by one with maxConnections too, also for others that are slow to ask", async (t) => {
    const options = { handshakeTimeout: 120_000, maxConnections: 10 };
    const app = serve(t, { options });
    const flood = new Flood(t, app.port);
    await flood.open(500);
    const slow = connect(app.port, "127.0.0.1");
    t.after(() => slow.destroy());
    slow.write(request().slice(0, 40));
    for (let round = 0; round < 5; round++) {
      await (await Client.open(t, app.url)).roundTrip();
    }
    slow.write(request().slice(40));
    await until("the slow one's 101", () => app.connects.length === 6);
  });

  test("never push out a request that waits for onConnect", async (t) => {
    const admission = latch<object>();
    const app = serve(t, {
      onConnect: () => admission.promise,
      options: { handshakeTimeout: 120_000, maxConnections: 20 },
    });
    const waiting = Array.from({ length: 20 }, () => Client.open(t, app.url));
    await until("onConnect", () => app.connects.length === 20);
    await new Flood(t, app.port).open(300);
    admission.open({});
    await Promise.all((await Promise.all(waiting)).map((client) => client.roundTrip()));
  });
});

test(
  "half requests that take all descriptors of the process make room too",
  { skip: !onLinux },
  async (t) => {
    const child = Child.limited(
      t,
      100,
      `const server = createServer(router, zo, { ...local, handshakeTimeout: 120_000, onError() {} });
       tell(server);
       process.stdin.once("data", () => server.stop(true).then(() => process.exit(0)));`,
    );
    const port = await portOf(child);
    const flood = new Flood(t, port);
    await flood.open(500);
    for (let round = 0; round < 10; round++) {
      await (await Client.open(t, `ws://127.0.0.1:${port}`)).roundTrip();
    }
    flood.end();
    child.tell("stop");
    await child.endsWell();
  },
);

/** Descriptors of a process. */
const descriptors = (child: Child) => readdirSync(`/proc/${child.process.pid}/fd`).length;

describe("descriptors with maxConnections 10", { skip: !onLinux }, () => {
  /** Connections, pending places, and what moves between them. */
  const MOST = 10 + 64 + 6;

  const CASES: [string, string | Buffer, string][] = [
    ["that say nothing", "", ""],
    ["that send half a request", "GET / HTTP/1.1\r\nhost: x", ""],
    ["that are refused and do not leave", request(), ""],
    ["that ask for something else and do not leave", "GET / HTTP/1.1\r\nhost: x\r\n\r\n", ""],
    [
      "that onConnect refuses and that do not leave",
      request(),
      `hooks.connect = () => { throw Object.assign(new Error("no"), { status: 401 }); };`,
    ],
    [
      "that close right after the 101 and do not leave",
      Buffer.concat([Buffer.from(request()), frame(Buffer.of(3, 232), 8)]),
      "",
    ],
  ];

  for (const [title, first, hooks] of CASES) {
    test(`are bounded under 3,000 sockets ${title}`, async (t) => {
      const child = Child.node(
        t,
        `${hooks}
         const server = createServer(router, zo, { ...local, ioThreads: 4, maxConnections: 10, onError() {} });
         tell(server);
         process.stdin.once("data", () => server.stop(true).then(() => process.exit(0)));`,
      );
      const port = await portOf(child);
      const before = descriptors(child);
      let most = 0;
      const watch = setInterval(() => (most = Math.max(most, descriptors(child))), 1);
      const flood = new Flood(t, port, first);
      await flood.open(3_000);
      clearInterval(watch);
      assert.ok(most - before <= MOST, `${most - before} more descriptors`);
      assert.ok(most > before, "the server has accepted some");
      flood.end();
      await until("as few as before", () => descriptors(child) <= before);
      child.tell("stop");
      await child.endsWell();
      t.diagnostic(`at most ${most - before} more`);
    });
  }

  test("are bounded under 3,000 sockets that are reset at once", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, { ...local, maxConnections: 10, onError() {} });
       tell(server);
       process.stdin.once("data", () => server.stop(true).then(() => process.exit(0)));`,
    );
    const port = await portOf(child);
    const before = descriptors(child);
    let most = 0;
    for (let round = 0; round < 30; round++) {
      const sockets = Array.from({ length: 100 }, () => {
        const socket = connect({ port, host: "127.0.0.1", localAddress: FLOODER });
        socket.on("error", () => {});
        socket.once("connect", () => {
          socket.write(request());
          setImmediate(() => socket.resetAndDestroy());
        });
        return new Promise((resolve) => socket.once("close", resolve));
      });
      most = Math.max(most, descriptors(child));
      await Promise.all(sockets);
      most = Math.max(most, descriptors(child));
    }
    assert.ok(most - before <= MOST, `${most - before} more descriptors`);
    await until("as few as before", () => descriptors(child) <= before);
    child.tell("stop");
    await child.endsWell();
  });
});
