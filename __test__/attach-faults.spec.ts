// What may go wrong while a client of an HTTP server becomes ours, and how many may do so at once.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { connect as secure } from "node:tls";

import { attached, httpServer, listen, on, portOf, sockets } from "./_attached.ts";
import { Child, portOf as portOfChild } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const onLinux = process.platform === "linux";
const ASK = request({}, "GET /ws HTTP/1.1");

describe("a client of an HTTP server", () => {
  test("that resets between the event and the take-over is forgotten", async (t) => {
    const http = httpServer();
    const app = serve(t, { options: on(http) });
    await listen(t, http);
    const before = onLinux ? sockets() : 0;
    // Node reads the request in one turn; the reset is there before the engine looks.
    for (let round = 0; round < 50; round += 1) {
      const socket = connect(portOf(http), "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.write(ASK);
      if (round % 2 === 0) await new Promise(setImmediate);
      socket.resetAndDestroy();
    }
    await (await Client.open(t, `ws://127.0.0.1:${portOf(http)}/ws`)).roundTrip();
    await until("the end of all others", () => app.server.clientCount() === 1);
    await until("as many onDisconnect", () => app.connects.length === app.disconnects.length + 1);
    if (onLinux) await until("their descriptors", () => sockets() <= before + 2);
  });

  for (const kind of ["https", "http2"] as const) {
    test(`of ${kind} that resets with its request never passes for one without an address`, async (t) => {
      const http = httpServer(kind);
      const app = serve(t, { options: on(http) });
      const url = await listen(t, http, kind);
      for (let round = 0; round < 20; round += 1) {
        const socket = connect(portOf(http), "127.0.0.1");
        const secured = secure({ socket, rejectUnauthorized: false });
        for (const it of [socket, secured]) it.on("error", () => {});
        await once(secured, "secureConnect");
        // Both are there before Node reads. So the system knows the address no more when the request is read.
        secured.write(ASK);
        socket.resetAndDestroy();
      }
      const client = await Client.open(t, `${url}/ws`, { rejectUnauthorized: false });
      await client.roundTrip();
      await until("the end of all others", () => app.server.clientCount() === 1);
      const addresses = app.connects.map(({ request }) => request.remoteAddress);
      assert.deepEqual([...new Set(addresses)], ["127.0.0.1"]);
    });
  }

  test("that sends a long body with its refused request gets the answer, and no reset", async (t) => {
    const { port } = await attached(t);
    // More than the system keeps for a socket that nobody reads.
    const body = Buffer.alloc(16 * 1024 * 1024);
    const attempt = async () => {
      const raw = new Raw(t, port, request({}, "GET /other HTTP/1.1"));
      let isReset = false;
      raw.socket.on("error", () => (isReset = true));
      const written = new Promise((resolve) => raw.socket.write(body, resolve));
      assert.equal((await raw.answer()).status, 404);
      await soon("the end of the body", written);
      raw.socket.end();
      await soon("the end", raw.ended);
      return !isReset;
    };
    // Two seconds after the answer the server gives such a client up, which is not long for a machine that is busy.
    await until("one that has not been reset", attempt);
  });

  test("whose socket somebody has destroyed before is none of ours", async (t) => {
    const http = httpServer();
    let events = 0;
    const app = serve(t, { options: on(http) });
    const ours = http.emit;
    http.emit = function (this: typeof http, name: string, ...given: unknown[]) {
      if (name === "upgrade") {
        events += 1;
        if (events === 1) (given[1] as Socket).destroy();
        if (events === 2) (given[1] as Socket).end();
      }
      return Reflect.apply(ours, http, [name, ...given]) as boolean;
    } as typeof http.emit;
    await listen(t, http);
    for (let round = 0; round < 2; round += 1) {
      const raw = new Raw(t, portOf(http), ASK);
      await soon("the end", raw.ended);
      assert.equal(raw.text, "");
    }
    await Client.open(t, `ws://127.0.0.1:${portOf(http)}/ws`);
    assert.equal(app.connects.length, 1);
  });

  for (const kind of ["http", "unix"] as const) {
    test(`gets 503 from a process without descriptors (${kind})`, { skip: !onLinux }, async (t) => {
      const child = Child.limited(
        t,
        80,
        `
        import { createServer as createHttpServer } from "node:http";
        import { connect } from "node:net";
        import { closeSync, openSync } from "node:fs";
        const http = createHttpServer();
        const options = { server: http, path: "/ws", ioThreads: 1 };
        const server = createServer(router, zo, options);
        const path = "/tmp/zocket-emfile-" + process.pid;
        const where = ${kind === "http"} ? [0, "127.0.0.1"] : [path];
        await new Promise((done) => http.listen(...where, done));
        const port = http.address().port;
        const ask = () => {
          const socket = ${kind === "http"} ? connect(port, "127.0.0.1") : connect(path);
          const told = new Promise((done) => socket.on("data", done).on("close", () => done("closed")));
          return { socket, told };
        };
        let accepted = 0;
        const all = new Promise((done) => http.on("connection", () => ++accepted === 3 && done()));
        const send = (socket) => socket.write(${JSON.stringify(ASK)});
        const first = ask();
        const second = ask();
        const third = ask();
        // They are accepted before the descriptors are gone.
        await all;
        const taken = [];
        try { for (;;) taken.push(openSync(process.execPath)); } catch {}
        send(first.socket);
        const refused = String(await first.told);
        for (const fd of taken.splice(0)) closeSync(fd);
        send(second.socket);
        const admitted = String(await second.told);
        first.socket.destroy(); second.socket.destroy(); third.socket.destroy();
        console.log("answers " + refused.slice(9, 12) + " " + admitted.slice(9, 12) + " " + JSON.stringify(server.metrics().refused));
        http.close();
        await server.stop(true);
        `,
      );
      assert.equal(await child.printed(/answers (.*)\n/), '503 101 {"MAX_CONNECTIONS":1}');
      await child.endsWell();
    });
  }

  test("is served where there are neither descriptors nor pairs, as on Windows", async (t) => {
    const child = Child.node(
      t,
      `Object.defineProperty(process, "platform", { value: "win32" });
       const { createRequire } = await import("node:module");
       const { createServer: createHttpServer } = await import("node:http");
       // Loaded again, as the package looks at the platform when it is loaded.
       const load = createRequire(process.cwd() + "/index.js");
       for (const name of Object.keys(load.cache)) if (name.includes("take-over")) delete load.cache[name];
       delete load.cache[load.resolve("./dist/server/attach/entrance.js")];
       delete load.cache[load.resolve("./dist/server/serve.js")];
       delete load.cache[load.resolve("./dist/server/index.js")];
       const { createServer: create } = load("./dist/server/index.js");
       const http = createHttpServer();
       const server = create(router, zo, { server: http, path: "/ws", maxConnectionsPerAddress: 1 });
       await new Promise((done) => http.listen(0, "127.0.0.1", done));
       tell(server);
       hooks.disconnect = async () => { http.close(); await server.stop(); console.log("stopped"); };`,
    );
    const url = `ws://127.0.0.1:${await portOfChild(child)}/ws`;
    const client = await Client.open(t, url);
    await client.roundTrip();
    client.say("x".repeat(300_000));
    await client.next();
    await until("a large echo", () =>
      client.received.some(({ payload }) => String(payload).length > 200_000),
    );
    const second = new Client(t, url);
    assert.equal((await soon("the second one's end", second.closed)).code, 1006);
    await client.close();
    await child.printed(/stopped/);
    await child.endsWell();
  });
});

test("thousands of upgrades beside ordinary requests leave nothing behind", async (t) => {
  const TOTAL = 5_000;
  const AT_ONCE = 100;
  const { app, port } = await attached(t);
  const before = onLinux ? sockets() : 0;
  let pages = 0;
  let left = TOTAL;
  const browse = async () => {
    while (left > 0) {
      const [page] = (await once(get(`http://127.0.0.1:${port}/page`), "response")) as [
        IncomingMessage,
      ];
      page.resume();
      await once(page, "end");
      pages += 1;
    }
  };
  const visit = async (n: number) => {
    while (left > 0) {
      left -= 1;
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(ASK);
      const [bytes] = (await once(socket, "data")) as [Buffer];
      assert.match(bytes.toString("latin1"), /^HTTP\/1\.1 101 /);
      // Some leave in an orderly way, and some do not.
      if (n % 3 === 0) socket.resetAndDestroy();
      else if (n % 3 === 1) socket.destroy();
      else socket.end();
      if (!socket.destroyed) await once(socket.resume(), "close");
    }
  };
  const visitors = Array.from({ length: AT_ONCE }, (_, n) => visit(n));
  await Promise.all([...visitors, browse(), browse(), browse()]);
  await until("all to leave", () => app.disconnects.length === app.connects.length);
  assert.equal(app.connects.length, TOTAL);
  assert.ok(pages > 0);
  t.diagnostic(`${TOTAL} upgrades beside ${pages} pages`);
  const ids = new Set(app.disconnects.map(({ clientId }) => clientId));
  assert.equal(ids.size, TOTAL);
  assert.deepEqual(app.errors, []);
  assert.equal(app.server.clientCount(), 0);
  // The connections of the pages' agent may linger.
  if (onLinux) await until("their descriptors", () => sockets() <= before + 6);
});
