// How long Node lives with a server in it, and how it ends in the middle of everything.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Child, portOf } from "./_child.ts";
import { Raw, request, said } from "./_raw.ts";
import { Client, serve } from "./_support.ts";

describe("how long Node lives", () => {
  test("it stays alive while a server listens, and exits by itself after stop", async (t) => {
    const child = Child.node(
      t,
      `process.on("beforeExit", () => console.log("idle"));
       const server = createServer(router, zo, local);
       hooks.say = (payload, ctx) => {
         if (payload === "stop") void server.stop();
         else ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    await client.roundTrip();
    assert.doesNotMatch(child.out, /idle/);
    client.say("stop");
    assert.equal((await client.closed).code, 1001);
    await child.endsWell();
  });

  test("after unref the listener does not hold it", async (t) => {
    await Child.node(t, `createServer(router, zo, local).unref();`).endsWell();
  });

  test("after unref open connections do not hold it", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = () => server.unref();
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    client.say("unref");
    await child.endsWell();
    await client.closed;
  });

  test("after unref, stop() holds it until it has resolved, and unref lets it go again", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, { ...local, onError() {} });
       hooks.say = () => {
         server.unref();
         process.once("beforeExit", async () => { await server.stop(); console.log("stopped"); });
       };
       tell(server);`,
    );
    // It does not answer the close frame, so that the end takes its time.
    const mute = await Raw.open(t, await portOf(child));
    mute.write(said("x"));
    assert.equal(await mute.closeCode(), 1001);
    await child.endsWell();
    assert.match(child.out, /stopped/);

    const impatient = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = () => { void server.stop(); server.unref(); };
       process.on("exit", () => console.log("clients: " + server.clientCount()));
       tell(server);`,
    );
    const other = await Raw.open(t, await portOf(impatient));
    other.write(said("x"));
    await impatient.endsWell();
    assert.match(impatient.out, /clients: 1/);
  });

  test("after ref it holds Node again", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       server.unref(); server.unref(); server.ref(); server.ref();
       hooks.say = (payload, ctx) => {
         if (payload === "unref") server.unref();
         else ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    await client.roundTrip();
    client.say("unref");
    await child.endsWell();
  });

  test("an unref'd server works while something else holds Node", async (t) => {
    const app = serve(t);
    app.server.unref();
    await (await Client.open(t, app.url)).roundTrip();
    app.server.ref();
  });

  test("it stays alive, and the server works, although nobody keeps what createServer returned", async (t) => {
    const child = Child.node(
      t,
      `tell(createServer(router, zo, local));
       hooks.say = (payload, ctx) => { gc(); gc(); ctx.send.said(payload).to(ctx.clientId); };
       for (let turn = 0; turn < 10; turn++) { gc(); await new Promise(setImmediate); }
       console.log("collected");`,
      ["--expose-gc"],
    );
    const port = await portOf(child);
    await child.printed(/collected/);
    const client = await Client.open(t, `ws://127.0.0.1:${port}`);
    for (let round = 0; round < 5; round++) await client.roundTrip();
    child.process.kill();
    await child.exit;
  });

  test("a server may be used, and stopped, while the process exits", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       process.on("exit", () => {
         server.send.said("last words").broadcast();
         server.metrics();
         void server.stop();
         void server.stop(true);
       });
       hooks.say = () => process.exit(0);
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    client.say("exit");
    await child.endsWell();
  });

  test("ref and unref after stop are harmless", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       await server.stop();
       server.ref(); server.unref(); server.ref();`,
    );
    await child.endsWell();
  });

  const TRAFFIC = `
    const server = createServer(router, zo, { ...local, ioThreads: 4 });
    let messages = 0;
    hooks.say = (payload, ctx) => {
      ctx.send.said(payload).broadcast();
      if (++messages === 2000) end();
    };
    tell(server);`;

  /** Sixteen clients that talk until the server is gone. */
  async function flood(t: Parameters<typeof Client.open>[0], port: number): Promise<void> {
    const open = Array.from({ length: 16 }, () => Client.open(t, `ws://127.0.0.1:${port}`));
    const clients = await Promise.all(open);
    await Promise.all(
      clients.map(async (client) => {
        while (client.socket.readyState === client.socket.OPEN) {
          for (let burst = 0; burst < 20; burst++) client.say("x".repeat(burst));
          await new Promise(setImmediate);
        }
      }),
    );
  }

  test("process.exit in mid-traffic exits with its code, five times", async (t) => {
    for (let round = 0; round < 5; round++) {
      const child = Child.node(t, `const end = () => process.exit(7);${TRAFFIC}`);
      await flood(t, await portOf(child));
      assert.deepEqual(
        { ...(await child.exit), err: child.err },
        { code: 7, signal: null, err: "" },
      );
    }
  });

  test("an uncaught error in mid-traffic ends the process as it does without a server, five times", async (t) => {
    for (let round = 0; round < 5; round++) {
      const child = Child.node(
        t,
        `const end = () => setImmediate(() => { throw new Error("on purpose"); });${TRAFFIC}`,
      );
      await flood(t, await portOf(child));
      assert.deepEqual(await child.exit, { code: 1, signal: null });
      assert.match(child.err, /Error: on purpose/);
      assert.doesNotMatch(child.err, /panic|fatal|napi/i);
    }
  });

  test("process.exit works in every callback", async (t) => {
    for (const hook of ["connect", "say", "disconnect"]) {
      const child = Child.node(
        t,
        `hooks.${hook} = () => process.exit(7); tell(createServer(router, zo, local));`,
      );
      const raw = new Raw(t, await portOf(child), request(), said("x"));
      if (hook === "disconnect") {
        await raw.answer();
        raw.socket.destroy();
      }
      assert.deepEqual(await child.exit, { code: 7, signal: null }, hook);
    }
  });
});
