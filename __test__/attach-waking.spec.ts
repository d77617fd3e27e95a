// Upgrades of an HTTP server lie ready until the engine is woken for several at once. Nobody waits for that longer than needed, and
// nobody is left lying, whatever happens in the same turn.
import assert from "node:assert/strict";
import type { IncomingMessage, Server } from "node:http";
import { Socket } from "node:net";
import { describe, test } from "node:test";

import { TakeOver } from "../dist/server/attach/take-over.js";
import { attached, httpServer, listen, on, portOf, sockets } from "./_attached.ts";
import { Child, portOf as portOfChild } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { latch, soon, until } from "./_wait.ts";

const ASK = request({}, "GET /ws HTTP/1.1");
const onLinux = process.platform === "linux";
// Elsewhere every client goes through a pump, which wakes the engine at once.
const takesOver = { skip: !onLinux && process.platform !== "darwin" };

/** Does something once, right behind the first upgrade that was taken, in the same turn. */
function behindUpgrade(http: Server, act: () => void): void {
  const ours = http.emit;
  let isDone = false;
  http.emit = function (this: Server, ...given: unknown[]) {
    const result = Reflect.apply(ours, http, given) as boolean;
    if (given[0] === "upgrade" && !isDone) {
      isDone = true;
      act();
    }
    return result;
  } as typeof http.emit;
}

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** The way into an engine that only counts, and the socket of one more upgrade. */
function counting() {
  const seen = { lying: 0, woken: 0 };
  const native = {
    takeOver: () => {
      seen.lying += 1;
      return true;
    },
    wake: () => {
      seen.lying = 0;
      seen.woken += 1;
    },
  };
  const way = new TakeOver(native as unknown as ConstructorParameters<typeof TakeOver>[0]);
  const asked = { method: "GET", url: "/ws", httpVersion: "1.1", rawHeaders: [] as string[] };
  const take = () => {
    const socket = Object.create(Socket.prototype, {
      destroyed: { value: false },
      writableEnded: { value: false },
      writableLength: { value: 0 },
      _handle: { value: { fd: 3, constructor: { name: "TCP" }, readStop() {} } },
      read: { value: () => null },
      destroy: { value: () => {} },
    }) as Socket;
    way.take(asked as unknown as IncomingMessage, socket, Buffer.alloc(0));
  };
  return { seen, take };
}

describe("the engine is woken", takesOver, () => {
  test("for a lone upgrade, although nothing else happens", async () => {
    const { seen, take } = counting();
    for (let round = 1; round < 4; round += 1) {
      take();
      await until("the call", () => seen.woken === round);
      assert.equal(seen.lying, 0);
      // It is over: nothing is left that would wake it again.
      await turn();
      await turn();
      assert.equal(seen.woken, round);
    }
  });

  test("once for upgrades that come together", async () => {
    const { seen, take } = counting();
    for (let client = 0; client < 20; client += 1) take();
    await until("the call", () => seen.woken > 0);
    assert.deepEqual(seen, { lying: 0, woken: 1 });
  });

  test("while one more upgrade comes in each turn, before many lie there", async () => {
    const { seen, take } = counting();
    let most = 0;
    for (let client = 0; client < 500; client += 1) {
      take();
      most = Math.max(most, seen.lying);
      await turn();
    }
    assert.ok(most <= 32, `${most} lay there`);
    await until("the last ones", () => seen.lying === 0);
  });

  test("while one more upgrade comes in each turn, and the turns are long", async () => {
    const { seen, take } = counting();
    for (let client = 0; client < 10; client += 1) {
      take();
      const end = performance.now() + 10;
      while (performance.now() < end);
      await turn();
      assert.equal(seen.lying, 0);
    }
  });

  test("for more upgrades of one turn than may lie there", async () => {
    const { seen, take } = counting();
    for (let client = 0; client < 100; client += 1) take();
    await until("the call", () => seen.lying === 0);
    take();
    await until("the next call", () => seen.lying === 0);
  });
});

test("a client that comes alone is served, and nothing else happens in its process", async (t) => {
  const child = Child.node(
    t,
    `const { createServer: createHttpServer } = await import("node:http");
     const http = createHttpServer();
     const server = createServer(router, zo, { server: http, path: "/ws" });
     http.listen(0, "127.0.0.1", () => console.log("port " + http.address().port + ";"));
     hooks.disconnect = () => http.close();`,
  );
  const client = await Client.open(t, `ws://127.0.0.1:${await portOfChild(child)}/ws`);
  await client.roundTrip();
  await client.close();
  await child.endsWell();
});

describe("in the turn of an upgrade", takesOver, () => {
  for (const [how, answer] of [
    [undefined, 503],
    [{ drain: 0 }, 503],
    [{ drain: 60_000 }, 503],
    [true, undefined],
  ] as const) {
    test(`stop(${how === undefined ? "" : JSON.stringify(how)}) answers it, and keeps nothing of it`, async (t) => {
      const http = httpServer();
      const app = serve(t, { options: on(http) });
      await listen(t, http);
      const before = onLinux ? sockets() : 0;
      const stopped = latch();
      behindUpgrade(http, () => void app.server.stop(how).then(stopped.open, stopped.fail));
      const raw = new Raw(t, portOf(http), ASK);
      await soon("the end", raw.ended);
      if (answer !== undefined) {
        assert.equal((await raw.answer()).status, answer);
        assert.deepEqual(app.server.metrics().refused, { STOP: 1 });
      }
      await soon("stop", stopped.promise);
      assert.equal(app.server.clientCount(), 0);
      assert.equal(app.connects.length, app.disconnects.length);
      if (onLinux) await until("its descriptors", () => sockets() <= before);
    });
  }

  test("closing the HTTP server loses nobody", async (t) => {
    const { app, http, url } = await attached(t);
    const closed = latch();
    behindUpgrade(http, () => void http.close(() => closed.open()));
    const client = await Client.open(t, url);
    await client.roundTrip();
    await soon("the HTTP server's end", closed.promise);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
  });

  test("unref() loses nobody, and gives every place back", async (t) => {
    // With this option, 64 may be pending.
    const options = { maxConnections: 64 };
    const { app, http, url } = await attached(t, { given: { options } });
    const ours = http.emit;
    let upgrades = 0;
    http.emit = function (this: Server, ...given: unknown[]) {
      const result = Reflect.apply(ours, http, given) as boolean;
      if (given[0] === "upgrade") {
        upgrades += 1;
        app.server.unref();
        if (upgrades % 2 === 0) app.server.ref();
      }
      return result;
    } as typeof http.emit;
    for (let round = 1; round <= 130; round += 1) {
      const client = await Client.open(t, url);
      client.drop();
      await until("its end", () => app.disconnects.length === round);
      await until("its place", () => app.server.clientCount() === 0);
    }
    assert.equal(app.connects.length, upgrades);
  });

  test("everything lets go of Node, which serves the client as long as something else keeps it", async (t) => {
    const child = Child.node(
      t,
      `const { createServer: createHttpServer } = await import("node:http");
       const http = createHttpServer();
       const server = createServer(router, zo, { server: http, path: "/ws" });
       const other = setInterval(() => {}, 1_000);
       hooks.say = () => { clearInterval(other); };
       const ours = http.emit;
       http.emit = (...given) => {
         const result = Reflect.apply(ours, http, given);
         if (given[0] === "upgrade") { server.unref(); http.close(); }
         return result;
       };
       http.listen(0, "127.0.0.1", () => console.log("port " + http.address().port + ";"));`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOfChild(child)}/ws`);
    client.say(1);
    await child.endsWell();
  });

  for (const act of [
    "server.unref(); http.close();",
    "http.close(); void server.stop();",
    "void server.stop(true); http.close();",
    "http.close(); void server.stop({ drain: 0 });",
  ]) {
    test(`the process ends by itself after ${act}`, async (t) => {
      const child = Child.node(
        t,
        `const { createServer: createHttpServer } = await import("node:http");
         const http = createHttpServer();
         const server = createServer(router, zo, { server: http, path: "/ws" });
         const ours = http.emit;
         http.emit = (...given) => {
           const result = Reflect.apply(ours, http, given);
           if (given[0] === "upgrade") { ${act} }
           return result;
         };
         http.listen(0, "127.0.0.1", () => console.log("port " + http.address().port + ";"));`,
      );
      const raw = new Raw(t, await portOfChild(child), ASK);
      await soon("the client's end", raw.ended);
      await child.endsWell();
    });
  }
});
