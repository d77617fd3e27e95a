// After `stop()`: nothing is left that works, that harms, or that holds Node.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, test } from "node:test";

import { Child, portOf } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** The threads and open files of this process; elsewhere than on Linux nobody counts them. */
function held(): { threads: number; files: number } {
  if (process.platform !== "linux") return { threads: 0, files: 0 };
  const count = (what: string) => readdirSync(`/proc/self/${what}`).length;
  return { threads: count("task"), files: count("fd") };
}

describe("after stop", () => {
  test("sends, publishes, joins and closes are harmless", async (t) => {
    const contexts: { send: unknown; rooms: unknown }[] = [];
    const app = serve(t, {
      say: (payload, ctx) => {
        contexts.push(ctx);
        const later = () => {
          ctx.send.said(payload).to(ctx.clientId);
          ctx.send.said(payload).toRoom("room");
          ctx.send.said(payload).broadcast();
          ctx.rooms.join("room");
          ctx.rooms.leave("room");
          assert.equal(ctx.rooms.current.size, 0);
        };
        void app.server.stop().then(() => {
          later();
          setImmediate(later);
        });
      },
    });
    const client = await Client.open(t, app.url);
    client.say("x");
    await client.closed;
    await app.server.stop();
    app.shout("x");
    app.server.publish("room", "said", "x");
    await new Promise(setImmediate);
    app.shout("x");
    const { sent, written, queued, dropped, rooms } = app.server.metrics();
    assert.deepEqual([sent, queued, rooms], [written + dropped, 0, 0]);
    assert.equal(app.server.clientCount(), 0);
    assert.equal(client.received.length, 0);
    assert.equal(contexts.length, 1);
    app.server.ref();
    app.server.unref();
    assert.equal(app.server.port, app.port);
  });

  test("Node exits by itself, also when clients had been there", async (t) => {
    for (const force of [false, true]) {
      const child = Child.node(
        t,
        `const server = createServer(router, zo, local);
         hooks.say = async () => { await server.stop(${force}); console.log("stopped"); };
         tell(server);`,
      );
      const url = `ws://127.0.0.1:${await portOf(child)}`;
      const clients = await Promise.all([0, 1, 2].map(() => Client.open(t, url)));
      clients[0]?.say("stop");
      await child.endsWell();
      assert.match(child.out, /stopped/);
      for (const client of clients) assert.equal((await client.closed).code, force ? 1006 : 1001);
    }
  });

  test("the server and all it held can be collected", async (t) => {
    const child = Child.node(
      t,
      `let server = createServer(router, zo, local);
       const held = new WeakRef(server);
       await server.stop();
       server = undefined;
       // Finalizers and promises have their turns in between.
       for (let turn = 0; turn < 100 && held.deref(); turn++) {
         await new Promise(setImmediate);
         gc();
       }
       console.log(held.deref() ? "kept" : "collected");`,
      ["--expose-gc"],
    );
    await child.endsWell();
    assert.equal(child.out, "collected\n");
  });

  test("Node exits by itself although an onConnect is still pending", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.connect = () => { setImmediate(() => server.stop(true)); return new Promise(() => {}); };
       tell(server);`,
    );
    const raw = new Raw(t, await portOf(child), request());
    await raw.ended;
    const { code, signal } = await soon("the child's exit", child.exit);
    assert.deepEqual([code, signal], [0, null]);
  });

  test("a server can be started and stopped many times, and leaves no thread and no file open", async (t) => {
    const before = held();
    for (let round = 0; round < 30; round++) {
      const app = serve(t, { options: { ioThreads: 2 } });
      const client = await Client.open(t, app.url);
      await client.roundTrip();
      await soon("stop", app.server.stop(round % 2 === 0));
      await client.closed;
    }
    await until("the end of threads and files", () => {
      const after = held();
      return after.threads <= before.threads && after.files <= before.files;
    });
  });
});
