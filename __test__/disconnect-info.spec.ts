// The third argument of `onDisconnect`: who ended the connection, and the code and reason of its close frame.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { DisconnectInfo } from "@zocket/core";

import { Raw, ask, frame, request } from "./_raw.ts";
import { Client, serve, type App, type Given } from "./_support.ts";
import { latch, until } from "./_wait.ts";

/** How the next client of an application went. */
async function infoOf(app: App, place = 0): Promise<DisconnectInfo | undefined> {
  await until("onDisconnect", () => app.disconnects.length > place);
  return app.disconnects[place]?.info;
}

/** A close frame. */
const close = (code: number, reason: string | Buffer = "") =>
  frame(Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason as string)]), 8);

const info = (by: DisconnectInfo["by"], code: number, reason = "") => ({ code, reason, by });

test("a client that closes gives the code and the reason", async (t) => {
  const app = serve(t);
  const codes = [1000, 1001, 3000, 4999];
  for (const [place, code] of codes.entries()) {
    const client = await Client.open(t, app.url);
    client.socket.close(code, "bye — “now”");
    await client.closed;
    assert.deepEqual(await infoOf(app, place), info("client", code, "bye — “now”"));
  }
});

test("a close frame without a code is 1005", async (t) => {
  const app = serve(t);
  const client = await Client.open(t, app.url);
  client.socket.close();
  assert.deepEqual(await infoOf(app), info("client", 1005));
});

for (const [how, end] of Object.entries({
  "a FIN": (raw: Raw) => raw.socket.end(),
  "the end of its process": (raw: Raw) => raw.socket.destroy(),
})) {
  test(`${how} without a close frame is 1006 by the network`, async (t) => {
    const app = serve(t);
    end(await Raw.open(t, app.port));
    assert.deepEqual(await infoOf(app), info("network", 1006));
  });
}

test("silence is 1006 by the network", async (t) => {
  const app = serve(t, { options: { heartbeatInterval: 30 } });
  await Raw.open(t, app.port);
  assert.deepEqual(await infoOf(app), info("network", 1006));
});

test("a client that reads too slowly is 1006 by slow", async (t) => {
  const app = serve(t, { options: { maxBackpressure: 10_000 } });
  const raw = await Raw.open(t, app.port);
  raw.socket.pause();
  await until("its end", () => {
    app.shout("x".repeat(1_000_000));
    return app.disconnects.length > 0;
  });
  assert.deepEqual(await infoOf(app), info("slow", 1006));
});

const FAULTS: readonly (readonly [string, number, Uint8Array])[] = [
  ["a frame that breaks the protocol", 1002, Buffer.of(0x81, 1, 120)],
  ["a close code that nobody may send", 1002, close(1006)],
  ["text that is no UTF-8", 1007, frame(Buffer.of(0xff))],
  ["a message that is too long", 1009, frame("x".repeat(2_000))],
];
for (const [what, code, bytes] of FAULTS) {
  test(`${what} is ${code} by the server`, async (t) => {
    const app = serve(t, { options: { maxPayload: 1_000 } });
    const raw = await Raw.open(t, app.port);
    raw.write(bytes);
    assert.equal(await raw.closeCode(), code);
    const { by, code: told, reason } = (await infoOf(app)) ?? {};
    assert.deepEqual([by, told], ["server", code]);
    assert.notEqual(reason, "");
  });
}

test("stop() is 1001, and stop(true) 1006, by stop", async (t) => {
  for (const [force, code] of [
    [false, 1001],
    [true, 1006],
  ] as const) {
    const app = serve(t);
    await Client.open(t, app.url);
    await app.server.stop(force);
    assert.deepEqual(await infoOf(app), info("stop", code));
  }
});

test("a drain is 1001 by stop, with the hint as its reason", async (t) => {
  const app = serve(t);
  await Client.open(t, app.url);
  await app.server.stop({ drain: 1 });
  const { by, code, reason } = (await infoOf(app)) ?? {};
  assert.deepEqual([by, code], ["stop", 1001]);
  assert.match(String(reason), /^reconnect-after=\d+$/);
});

/** An application whose `onConnect` ends when the test says so. */
function slow(t: TestContext, given: Given = {}) {
  const { promise, open } = latch();
  const app = serve(t, { onConnect: () => promise.then(() => ({ user: "Ada" })), ...given });
  return { app, open };
}

test("a client that goes before onConnect is done is 1006 by the network", async (t) => {
  const { app, open } = slow(t);
  const raw = new Raw(t, app.port, request());
  await until("onConnect", () => app.connects.length === 1);
  raw.socket.destroy();
  const other = await ask(t, app.port, request({ Upgrade: undefined }));
  assert.equal(other.status, 426);
  await until("its end", () => app.server.metrics().accepted === 0);
  // Long enough for the engine to tell; if it has not, the client is admitted and gone.
  await new Promise((resolve) => setTimeout(resolve, 50));
  open();
  assert.deepEqual(await infoOf(app), info("network", 1006));
  assert.equal(app.disconnects[0]?.ctx.user, "Ada");
});

test("a client whose onConnect takes too long is 1006 by the server", async (t) => {
  const { app, open } = slow(t, { options: { handshakeTimeout: 1_000 } });
  assert.equal((await ask(t, app.port, request())).status, 503);
  open();
  assert.deepEqual(await infoOf(app), info("server", 1006));
});

test("a client whose onConnect is pending when the server stops is 1006 by stop", async (t) => {
  const { app, open } = slow(t);
  const asked = ask(t, app.port, request());
  await until("onConnect", () => app.connects.length === 1);
  const stopped = app.server.stop();
  assert.equal((await asked).status, 503);
  open();
  await stopped;
  assert.deepEqual(await infoOf(app), info("stop", 1006));
});

test("each call gets an object of its own", async (t) => {
  const app = serve(t, {
    onDisconnect: (_ctx, _clientId, given) => Object.assign(given, { code: 1 }),
  });
  for (const place of [0, 1]) {
    const client = await Client.open(t, app.url);
    await client.close(4000);
    await until("onDisconnect", () => app.disconnects.length > place);
  }
  assert.notEqual(app.disconnects[0]?.info, app.disconnects[1]?.info);
});
