// A server on somebody else's HTTP server: who gets which upgrade, and what clients notice of it, which is nothing.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KINDS, attached, trusting } from "./_attached.ts";
import { Client } from "./_support.ts";
import { soon, until } from "./_wait.ts";

for (const kind of KINDS) {
  describe(`on a server of ${kind}`, () => {
    test("clients connect, talk and leave", async (t) => {
      const { app, url } = await attached(t, { kind });
      const client = await Client.open(t, url, trusting);
      await client.roundTrip();
      const large = "x".repeat(500_000);
      client.say(large);
      assert.equal((await client.next()).payload !== undefined, true);
      await until("the echo", () => client.received.some((it) => it.payload === large));
      assert.equal(app.server.clientCount(), 1);
      assert.deepEqual(await client.close(), { code: 1000, reason: "" });
      await until("onDisconnect", () => app.disconnects.length === 1);
      assert.equal(app.server.clientCount(), 0);
    });

    test("closing the HTTP server neither closes them nor waits for them", async (t) => {
      const { http, url } = await attached(t, { kind });
      const client = await Client.open(t, url, trusting);
      await client.roundTrip();
      http.closeAllConnections?.();
      await soon("the HTTP server's end", new Promise((resolve) => http.close(resolve)));
      await client.roundTrip();
    });
  });
}
