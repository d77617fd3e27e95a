// What `stop()` does with messages that were read and wait for handlers that take long.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

for (const how of [false, true]) {
  test(`stop(${how}) resolves although messages would take their handlers longer, and says how many were dropped`, async (t) => {
    const app = serve(t, {
      say: () => {
        const end = performance.now() + 20;
        while (performance.now() < end);
      },
    });
    const clients = await Promise.all(Array.from({ length: 30 }, () => Client.open(t, app.url)));
    // Half a minute of work.
    for (const client of clients) for (let count = 0; count < 50; count++) client.say(count);
    await until("all to be read", () => app.server.metrics().received === 1_500);
    await soon("stop", app.server.stop(how));
    assert.equal(app.disconnects.length, 30);
    const told = app.errors.filter(({ code }) => code === "STOP").map(({ error }) => String(error));
    const [dropped = 0] = told.map((text) =>
      Number(/the server discarded (\d+) messages/.exec(text)?.[1]),
    );
    assert.equal(app.messages.length + dropped, 1_500);
    assert.ok(app.messages.length > 0 && dropped > 0, `${dropped} dropped`);
  });
}
