// `stop()` and `onDisconnect`: who waits for whom, and for how long.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Client, serve } from "./_support.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

describe("stop() inside onDisconnect", () => {
  for (const force of [false, true]) {
    test(`awaited at once does not wait for that same call (force: ${force})`, async (t) => {
      const done = latch();
      const app = serve(t, {
        onDisconnect: async () => {
          await app.server.stop(force);
          done.open();
        },
      });
      await (await Client.open(t, app.url)).close();
      await soon("stop inside onDisconnect", done.promise);
      assert.deepEqual(app.errors, []);
    });

    test(`awaited after an await does not wait for that same call (force: ${force})`, async (t) => {
      const done = latch();
      const app = serve(t, {
        onDisconnect: async () => {
          await new Promise(setImmediate);
          await app.server.stop(force);
          done.open();
        },
      });
      await (await Client.open(t, app.url)).close();
      await soon("stop inside onDisconnect", done.promise);
      assert.deepEqual(app.errors, []);
    });

    test(`awaited in two at once ends (force: ${force})`, async (t) => {
      let done = 0;
      const app = serve(t, {
        onDisconnect: async () => {
          await new Promise(setImmediate);
          await app.server.stop(force);
          done++;
        },
      });
      const clients = [await Client.open(t, app.url), await Client.open(t, app.url)];
      for (const client of clients) client.drop();
      await until("both", () => done === 2);
      assert.deepEqual(app.errors, []);
    });
  }

  test("waits for the onDisconnect of other clients", async (t) => {
    const written = latch();
    let stopped = false;
    const app = serve(t, {
      onConnect: ({ name }) => ({ user: name }),
      onDisconnect: async ({ user }) => {
        if (user === "slow") return written.promise;
        await app.server.stop();
        stopped = true;
      },
    });
    const slow = await Client.open(t, app.url, { headers: { name: "slow" } });
    const quick = await Client.open(t, app.url, { headers: { name: "quick" } });
    await slow.close();
    await quick.close();
    await until("both ends", () => app.disconnects.length === 2);
    await new Promise(setImmediate);
    assert.equal(stopped, false);
    written.open();
    await until("stop", () => stopped);
  });

  test("leaves a stop() from outside waiting for it", async (t) => {
    const written = latch();
    const app = serve(t, {
      onDisconnect: async () => {
        await app.server.stop();
        await written.promise;
      },
    });
    await Client.open(t, app.url);
    const stopped = app.server.stop();
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(await isSettled(stopped), false);
    written.open();
    await soon("stop", stopped);
  });
});

describe("an onDisconnect that takes too long", () => {
  test("is told to onError as STOP, and stop() resolves, also one that waits for it", async (t) => {
    let others = 0;
    const app = serve(t, {
      onConnect: ({ name }) => ({ user: name }),
      onDisconnect: async ({ user }) => {
        if (user === "stuck") return new Promise(() => {});
        await app.server.stop();
        others++;
      },
    });
    const stuck = await Client.open(t, app.url, { headers: { name: "stuck" } });
    await Client.open(t, app.url);
    // The wait is ten seconds, and not for users to choose.
    await soon("stop", app.server.stop());
    assert.equal((await stuck.closed).code, 1001);
    await until("the other one", () => others === 1);
    assert.deepEqual(
      app.errors.map(({ code, clientId }) => [code, clientId]),
      [["STOP", app.connects[0]?.clientId]],
    );
    assert.ok(app.errors[0]?.error instanceof Error);
  });
});
