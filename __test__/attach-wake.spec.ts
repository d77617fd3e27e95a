// When the engine is woken for the clients of an HTTP server: once for several, but none of them waits long.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { describe, test } from "node:test";
import type { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";

import type { Native } from "../dist/border/native.js";
import { TakeOver } from "../dist/server/attach/take-over.js";
import { attached, listen, portOf } from "./_attached.ts";
import { request, said } from "./_raw.ts";
import { serve } from "./_support.ts";
import { until } from "./_wait.ts";

const ASK = Buffer.from(request({}, "GET /ws HTTP/1.1"));

function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

describe("the clients of an HTTP server", () => {
  test("do not wait for more clients where each turn of the event loop takes long", async (t) => {
    const held: [IncomingMessage, Duplex, Buffer][] = [];
    const http = createServer().on("upgrade", (...upgrade) => held.push(upgrade));
    await listen(t, http);
    for (let n = 0; n < 10; n++) {
      const socket = connect(portOf(http), "127.0.0.1").on("error", () => {});
      t.after(() => socket.destroy());
      socket.write(ASK);
    }
    await until("the requests", () => held.length === 10);

    let woken = 0;
    const native = { takeOver: () => true, wake: () => (woken += 1) };
    const clients = new TakeOver(native as unknown as Native);
    for (const [n, upgrade] of held.entries()) {
      clients.take(...upgrade);
      spin(6);
      await turn();
      assert.equal(woken, n + 1);
    }
  });

  test("connect while a test runner has replaced the timers, and afterwards", async (t) => {
    const { app, port } = await attached(t, {});
    const ask = () => {
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      t.after(() => socket.destroy());
      socket.write(Buffer.concat([ASK, said("hello")]));
    };
    t.mock.timers.enable({ apis: ["setImmediate"] });
    ask();
    await until("the message of the first", () => app.messages.length === 1);
    t.mock.timers.reset();
    ask();
    await until("the message of the second", () => app.messages.length === 2);
  });
});

test("messages that wait for the next turn go on while a test runner has replaced the timers", async (t) => {
  const app = await serve(t, { say: () => spin(4) });
  const socket = connect(app.server.port, "127.0.0.1").on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  t.mock.timers.enable({ apis: ["setImmediate"] });
  const many = Array.from({ length: 30 }, (_, n) => said(n));
  socket.write(Buffer.concat([ASK, ...many]));
  await until("the messages", () => app.messages.length === 30);
});
