// `onError`, and the logger that stands in for it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Child, Client, portOf, serve } from "./_support.ts";

describe("onError", () => {
  test("that throws, or rejects, ends nothing", async (t) => {
    for (const onError of [
      () => {
        throw new Error("from onError");
      },
      async () => {
        throw new Error("from onError");
      },
    ]) {
      const app = serve(t, { options: { onError } });
      const client = await Client.open(t, app.url);
      client.socket.send("no json");
      assert.equal((await client.next()).type, "$error");
      await client.roundTrip();
    }
  });

  test("left out, faults of the application are logged as they come, faults of peers as a count now and then", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = (payload, ctx) => {
         if (payload === "throw") throw new Error("a fault of the application");
         if (payload === "stop") return server.stop();
         ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    for (let count = 0; count < 5000; count++) client.socket.send("no json");
    for (let count = 0; count < 3; count++) client.say("throw");
    await client.roundTrip();
    client.say("stop");
    const end = await child.exit;
    assert.deepEqual(end, { code: 0, signal: null });
    const log = child.out + child.err;
    assert.equal(log.match(/a fault of the application/g)?.length, 3, log.slice(0, 2000));
    assert.match(log, /BAD_MESSAGE/);
    const lines = log.split("\n").filter((line) => line.includes("BAD_MESSAGE"));
    assert.ok(lines.length < 50, `${lines.length} lines for 5000 bad messages`);
  });
});
