// `observe.health`: what the probes of an orchestrator get, whatever else the server is busy with.
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";

import type { ServerOptions } from "@zocket/core";

import { Child, portOf } from "./_child.ts";
import { Raw, ask, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

const observe = { health: "/healthz" };
const PLAIN = { Upgrade: undefined, Connection: undefined };
const PROBE = request(PLAIN, "GET /healthz HTTP/1.1");

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
const withCurl = hasCurl ? {} : { skip: "there is no curl" };

/** What curl, a client that nobody here wrote, says of a request: the status, and the body. */
function curl(port: number, path = "/healthz", ...args: string[]): Promise<[string, string]> {
  const url = `http://127.0.0.1:${port}${path}`;
  const format = ["--silent", "--max-time", "15", "--write-out", "\n%{http_code}"];
  return new Promise((resolve) => {
    execFile("curl", [...format, ...args, url], (_error, out) => {
      const cut = out.lastIndexOf("\n");
      resolve([out.slice(cut + 1), out.slice(0, cut)]);
    });
  });
}

/** So many sockets that send this, if it is anything, and stay. */
async function sockets(t: TestContext, port: number, count: number, text = ""): Promise<Socket[]> {
  const all: Socket[] = [];
  // Not with a reset: Node 20 never ends a socket that is reset while it shuts down, and spins when the process is to exit.
  t.after(() => all.forEach((socket) => socket.destroy()));
  let open = 0;
  for (let index = 0; index < count; index += 1) {
    const socket = connect(port, "127.0.0.1", () => (open += 1));
    socket.on("error", () => {});
    socket.on("data", () => {});
    if (text !== "") socket.write(text);
    all.push(socket);
    if (index % 256 === 255) await until("the connects", () => open > index - 256);
  }
  await until("the last connects", () => open === count);
  return all;
}

describe("observe.health", () => {
  test("answers GET and HEAD with 200 `ok`, the query aside, and closes", withCurl, async (t) => {
    const { port, server } = serve(t, { options: { observe, path: "/ws" } });
    assert.deepEqual(await curl(port), ["200", "ok"]);
    assert.deepEqual(await curl(port, "/healthz?verbose=1"), ["200", "ok"]);
    assert.deepEqual(await curl(port, "/healthz", "--http1.0"), ["200", "ok"]);
    assert.deepEqual(await curl(port, "/healthz", "--http2"), ["200", "ok"]);
    const [status, head] = await curl(port, "/healthz", "--head");
    assert.equal(status, "200");
    assert.match(head, /^HTTP\/1\.1 200 OK\r\nConnection: close\r\n/);
    assert.match(head, /\r\nContent-Length: 2\r\n/);
    assert.deepEqual(server.metrics().refused, {});
    assert.equal(server.metrics().accepted, 0);
  });

  test("takes HTTP/1.0 without a Host, and an absolute target", async (t) => {
    const { port, server } = serve(t, { options: { observe } });
    for (const text of [
      "GET /healthz HTTP/1.0\r\n\r\n",
      "GET /healthz?x HTTP/1.0\r\nUser-Agent: a load balancer\r\n\r\n",
      "GET http://a.example/healthz HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ]) {
      const { status, body } = await ask(t, port, text);
      assert.deepEqual([status, body], [200, "ok"], text);
    }
    assert.deepEqual(server.metrics().refused, {});
  });

  test("leaves everything else as it was", async (t) => {
    const { port, server } = serve(t, { options: { observe } });
    for (const line of [
      "GET / HTTP/1.1",
      "GET /healthz/ HTTP/1.1",
      "GET /healthzz HTTP/1.1",
      "GET /Healthz HTTP/1.1",
      "GET /%68ealthz HTTP/1.1",
      "GET /x?/healthz HTTP/1.1",
      "POST /healthz HTTP/1.1",
      "OPTIONS /healthz HTTP/1.1",
    ]) {
      assert.equal((await ask(t, port, request(PLAIN, line))).status, 426, line);
    }
    assert.deepEqual(server.metrics().refused, { NOT_UPGRADE: 8 });
    // An upgrade is an upgrade, on this path too.
    assert.equal((await ask(t, port, request({}, "GET /healthz HTTP/1.1"))).status, 101);
    assert.equal((await ask(t, port, "GET /healthz HTTP/1.1\r\nHost\r\n\r\n")).status, 400);
  });

  test("is off by default", async (t) => {
    for (const off of [undefined, {}, { health: undefined }]) {
      const { port } = serve(t, { options: { observe: off } });
      assert.equal((await ask(t, port, PROBE)).status, 426);
    }
  });

  test("says 503 while the server drains, and counts nothing", withCurl, async (t) => {
    const app = serve(t, { options: { observe } });
    const client = await Client.open(t, app.url);
    const stopped = app.server.stop({ drain: 600_000 });
    await until("the drain", async () => (await ask(t, app.port, request())).status === 503);
    const { refused } = app.server.metrics();
    for (let i = 0; i < 3; i += 1) assert.deepEqual(await curl(app.port), ["503", "draining"]);
    assert.deepEqual(app.server.metrics().refused, refused);
    // A request that comes bit by bit is one, too.
    const slow = new Raw(t, app.port);
    slow.socket.setNoDelay(true);
    for (const part of PROBE.match(/[^]{1,20}/g) ?? []) {
      slow.write(part);
      await new Promise(setImmediate);
    }
    assert.equal((await slow.answer()).body, "draining");
    client.drop();
    await soon("the end", Promise.all([stopped, app.server.stop()]));
  });

  test("says 503 when the JavaScript thread has not answered for 5 s, and 200 when it does again", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, { ...local, observe: { health: "/healthz" }, ioThreads: 2 });
      tell(server);
      process.stdin.once("data", () => {
        const end = Date.now() + 14_000;
        while (Date.now() < end);
        console.log("done");
      });`,
    );
    const port = await portOf(child);
    assert.equal((await ask(t, port, PROBE)).status, 200);
    child.tell("block");
    const statuses: number[] = [];
    await until("a 503", async () => {
      statuses.push((await ask(t, port, PROBE)).status);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return statuses.at(-1) === 503;
    });
    assert.ok(statuses.slice(0, -1).every((status) => status === 200));
    assert.match((await ask(t, port, PROBE)).body, /JavaScript/);
    await child.printed(/done/);
    await until("a 200", async () => (await ask(t, port, PROBE)).status === 200);
  });

  test("says 200 although messages keep the event loop busy", async (t) => {
    const app = serve(t, {
      options: { observe, ioThreads: 1 },
      say: () => {
        const end = performance.now() + 40;
        while (performance.now() < end);
      },
    });
    const client = await Client.open(t, app.url);
    // 8 s of work in turns of 10 ms and more: one batch takes longer than 5 s, but the thread is alive.
    for (let i = 0; i < 200; i += 1) client.say(i);
    await until("the handlers", async () => {
      assert.equal((await ask(t, app.port, PROBE)).status, 200);
      return app.messages.length === 200;
    });
  });

  test("stands outside the limits of connections, addresses and rates", async (t) => {
    const options: ServerOptions = {
      observe,
      maxConnections: 1,
      maxConnectionsPerAddress: 1,
      maxUpgradesPerSecond: 0.001,
      maxUpgradesPerSecondPerAddress: 0.001,
    };
    const { port, url } = serve(t, { options });
    for (let i = 0; i < 5; i += 1) assert.equal((await ask(t, port, PROBE)).status, 200);
    await Client.open(t, url);
    assert.equal((await ask(t, port, request())).status, 429);
    for (let i = 0; i < 5; i += 1) assert.equal((await ask(t, port, PROBE)).status, 200);
  });

  test(
    "answers with 4,096 upgrades pending and hundreds behind them, which get 503",
    withCurl,
    async (t) => {
      const never = latch<object>();
      const app = serve(t, {
        onConnect: () => never.promise,
        options: { observe, handshakeTimeout: 600_000 },
      });
      await sockets(t, app.port, 4_096, request());
      await until("all of them", () => app.connects.length === 4_096);
      assert.deepEqual(await curl(app.port), ["200", "ok"]);
      await sockets(t, app.port, 600, request());
      for (let i = 0; i < 3; i += 1) assert.deepEqual(await curl(app.port), ["200", "ok"]);
      await until("the 503s", () => app.server.metrics().refused.MAX_CONNECTIONS === 600);
      assert.equal(app.connects.length, 4_096);
      assert.deepEqual(app.server.metrics().refused, { MAX_CONNECTIONS: 600 });
    },
  );

  test("answers with thousands of sockets pending that say nothing", withCurl, async (t) => {
    const { port, server } = serve(t, { options: { observe, handshakeTimeout: 600_000 } });
    await sockets(t, port, 4_700);
    for (let i = 0; i < 3; i += 1) assert.deepEqual(await curl(port), ["200", "ok"]);
    assert.deepEqual(Object.keys(server.metrics().refused), ["TIMEOUT"]);
  });

  test("is bounded in time: a probe that never ends is refused", async (t) => {
    const { port } = serve(t, { options: { observe, handshakeTimeout: 50 } });
    const raw = new Raw(t, port, "GET /healthz HTTP/1.1\r\n");
    assert.equal((await raw.answer()).status, 408);
    await soon("the end", raw.ended);
  });

  test("is a TypeError if it is no path, or has no port of its own", (t) => {
    for (const wrong of [true, "/healthz", 1, null, { health: "healthz" }, { health: "/a?b" }]) {
      const options = { observe: wrong } as ServerOptions;
      assert.throws(() => serve(t, { options }), { name: "TypeError", message: /observe/ });
    }
    const unknown = { observe: { healthz: "/healthz" } } as ServerOptions;
    assert.throws(() => serve(t, { options: unknown }), {
      name: "TypeError",
      message: /options\.observe\.healthz: unknown option; did you mean health\?/,
    });
    for (const [name, value] of [
      ["server", {}],
      ["noServer", true],
    ] as const) {
      const options = { observe, [name]: value } as ServerOptions;
      assert.throws(() => serve(t, { options }), {
        name: "TypeError",
        message: new RegExp(`observe.*${name}`),
      });
    }
  });
});
