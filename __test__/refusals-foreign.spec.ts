// Clients of other makers that offer `zocket.1`: what they see of a welcome and of a refusal. And thousands that are refused
// and stay.
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";

import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket as WsWebSocket } from "ws";

import { Child } from "./_child.ts";
import { GUARDED, LET_IN, token, TURNED_AWAY, watch } from "./_guarded.ts";
import { Raw, request } from "./_raw.ts";
import { serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

describe("a client of another maker that offers zocket.1", () => {
  const makers: Record<string, typeof WebSocket> = {
    ws: WsWebSocket as never,
    undici: UndiciWebSocket as never,
  };
  for (const [maker, Socket] of Object.entries(makers)) {
    test(`(${maker}) sees the welcome, a pong, and a refusal with its code`, async (t) => {
      const { url } = serve(t, GUARDED);
      const seen = (...protocols: string[]) => soon("its end", watch(url, protocols, Socket));
      assert.deepEqual(await seen("zocket.1", token("grüße")), LET_IN);
      assert.deepEqual(await seen("zocket.1", token("no")), TURNED_AWAY);
      assert.deepEqual(await seen("zocket.1"), TURNED_AWAY);
    });
  }

  const python = process.env["ZOCKET_PYTHON"];
  const skip = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("(Python's websockets) sees them too", { skip }, async (t) => {
    const { url } = serve(t, GUARDED);
    const program = `
import asyncio, json, websockets

async def see(*subprotocols):
    async with websockets.connect("${url}", subprotocols=subprotocols) as socket:
        first = json.loads(await socket.recv())
        print(socket.subprotocol, first["type"])
        if first["type"] == "$welcome":
            await socket.send(json.dumps({"type": "$ping"}))
            print(await socket.recv())
        else:
            await socket.wait_closed()
    print(socket.close_code)

asyncio.run(see("zocket.1", "${token("grüße")}"))
asyncio.run(see("zocket.1"))
`;
    const child = new Child(t, python ?? "", ["-c", program]);
    await child.endsWell();
    assert.deepEqual(child.out.trim().split(/\r?\n/), [
      "zocket.1 $welcome",
      '{"type":"$pong"}',
      "1000",
      "zocket.1 $refused",
      "4401",
    ]);
  });
});

describe("refused clients that stay", () => {
  test("hold no place for longer than the others need it: 4,096 of them, and everybody else gets in", async (t) => {
    const app = serve(t, GUARDED);
    const sockets: Socket[] = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    const hello = request({ "Sec-WebSocket-Protocol": "zocket.1" });
    let told = 0;
    const join = () => {
      const socket = connect({ port: app.port, host: "127.0.0.1", allowHalfOpen: true });
      socket.on("error", () => {});
      socket.once("data", () => (told += 1));
      socket.write(hello);
      sockets.push(socket);
    };
    for (let count = 0; count < 4_096; count += 64) {
      for (let n = 0; n < 64; n++) join();
      await until("their refusals", () => told === count + 64);
    }
    const protocols = { "Sec-WebSocket-Protocol": `zocket.1, ${token("grüße")}` };
    const others = Array.from({ length: 32 }, () => new Raw(t, app.port, request(protocols)));
    await Promise.all(
      others.map((raw) => until("a welcome", () => raw.messages()[0]?.type === "$welcome")),
    );
    assert.equal(app.connects.length, 4_096 + 32);
    assert.equal(app.server.clientCount(), 32);
    assert.deepEqual(app.server.metrics().refused, { CONNECT: 4_096 });
    await until("their end", () =>
      sockets.every((socket) => socket.readableEnded || socket.destroyed),
    );
    assert.equal(app.disconnects.length, 0);
  });
});
