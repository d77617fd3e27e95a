// Clients that nobody here wrote: Node's, Python's, and what `ws` does beyond the other specs.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { z } from "zod";

import { Child } from "./_child.ts";
import { Client, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

describe("clients of other makers", () => {
  test("Node's own WebSocket connects, talks and closes", async (t) => {
    const app = serve(t);
    const program = `
      const socket = new WebSocket(${JSON.stringify(`${app.url}/?authorization=secret`)});
      socket.onopen = () => socket.send(JSON.stringify({ type: "say", payload: "grüße 🙂" }));
      socket.onmessage = ({ data }) => { console.log(data); socket.close(4000, "bye"); };
      socket.onclose = ({ code, wasClean }) => console.log(code, wasClean);`;
    const flags = process.versions.node.startsWith("20.") ? ["--experimental-websocket"] : [];
    const child = new Child(t, process.execPath, [...flags, "--no-warnings", "--eval", program]);
    await child.endsWell();
    assert.equal(child.out, '{"type":"said","payload":"grüße 🙂"}\n4000 true\n');
    assert.equal(app.connects[0]?.headers["authorization"], "secret");
    await until("onDisconnect", () => app.disconnects.length === 1);
  });

  const python = process.env["ZOCKET_PYTHON"];
  const skip = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("Python's websockets connects, talks, pings and closes", { skip }, async (t) => {
    const app = serve(t);
    const program = `
import asyncio, json, websockets

async def main():
    headers = {"Authorization": "Bearer ada"}
    async with websockets.connect("${app.url}/?a=1", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "say", "payload": "grüße 🙂"}))
        print(json.loads(await socket.recv())["payload"])
        await socket.send(json.dumps({"type": "say", "payload": "binary"}).encode())
        print(json.loads(await socket.recv())["payload"])
        await (await socket.ping())
        print("pong")
    print(socket.close_code)

asyncio.run(main())
`;
    const env = { PYTHONIOENCODING: "utf-8" };
    const child = new Child(t, python ?? "", ["-c", program], env);
    await child.endsWell();
    assert.deepEqual(child.out.trim().split(/\r?\n/), ["grüße 🙂", "binary", "pong", "1000"]);
    assert.equal(app.connects[0]?.headers["authorization"], "Bearer ada");
    assert.equal(app.connects[0]?.headers["a"], "1");
  });

  test(
    "Python's websockets, thirty in one room, get everybody's messages once and in order",
    { skip },
    async (t) => {
      const app = serve(t, { say: (payload, ctx) => ctx.send.said(payload).toRoom("room") });
      const program = `
import asyncio, json, websockets

CLIENTS, MESSAGES = 30, 20
joined = 0

async def client(number, ready):
    global joined
    async with websockets.connect("${app.url}") as socket:
        await socket.send(json.dumps({"type": "join", "payload": "room"}))
        await socket.recv()
        joined += 1
        if joined == CLIENTS:
            ready.set()
        await ready.wait()
        for count in range(MESSAGES):
            await socket.send(json.dumps({"type": "say", "payload": [number, count]}))
        due = [0] * CLIENTS
        for _ in range(CLIENTS * MESSAGES):
            sender, count = json.loads(await socket.recv())["payload"]
            assert count == due[sender], (number, sender, count, due[sender])
            due[sender] += 1
        assert due == [MESSAGES] * CLIENTS

async def main():
    ready = asyncio.Event()
    await asyncio.gather(*(client(number, ready) for number in range(CLIENTS)))
    print("all")

asyncio.run(main())
`;
      const child = new Child(t, python ?? "", ["-c", program]);
      await child.endsWell();
      assert.equal(child.out.trim(), "all");
      await until("all onDisconnects", () => app.disconnects.length === 30);
      const { sent, written } = app.server.metrics();
      assert.deepEqual([sent, written], [30 + 30 * 30 * 20, 30 + 30 * 30 * 20]);
    },
  );

  test("Python's websockets sees a refusal with its status and body", { skip }, async (t) => {
    const app = serve(t, {
      headers: z.object({ authorization: z.string() }),
    });
    const program = `
import asyncio, websockets

async def main():
    try:
        await websockets.connect("${app.url}")
    except websockets.InvalidStatus as refused:
        print(refused.response.status_code, refused.response.body.decode())

asyncio.run(main())
`;
    const child = new Child(t, python ?? "", ["-c", program]);
    await child.endsWell();
    assert.match(child.out, /^400 \{"error":"Invalid headers","details":\[.+\]\}\s*$/);
  });

  test("ws offers compression and a subprotocol, and gets neither", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url, { perMessageDeflate: true });
    assert.equal(client.socket.extensions, "");
    await client.roundTrip();
    await soon("the end", client.close());
  });
});
