// Bytes beside a transformer: they do not go through it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createServer, createZocketClient, zocket } from "@zocket/core";
import superjson from "superjson";
import { WebSocket } from "ws";
import { z } from "zod";

import { latch, soon } from "./_wait.ts";

test("bytes do not go through the transformer, and other payloads of the router do", async (t) => {
  const seen: unknown[] = [];
  const transformer = {
    serialize: (value: unknown) => (seen.push(value), superjson.serialize(value)),
    deserialize: (json: unknown) => superjson.deserialize(json as never) as unknown,
  };
  const zo = zocket.create({ headers: z.object({}), transformer });
  const routes = {
    echo: zo.message.incoming({ payload: zo.bytes(), reply: zo.bytes() }),
    size: zo.message.incoming({ payload: zo.bytes(), reply: z.bigint() }),
    onBytes: zo.message.outgoing({ payload: zo.bytes() }),
  };
  const app = zo.router(routes, {
    echo: ({ payload }) => payload,
    size: ({ payload }) => BigInt(payload.length),
  });
  const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1", validateOutgoing: true });
  t.after(() => server.stop(true));
  const client = createZocketClient<typeof app>(server.url, { WebSocket, transformer });
  t.after(() => client.close());
  const bytes = Uint8Array.of(0, 1, 255);
  assert.deepEqual(await client.call.echo(bytes), bytes);
  assert.equal(await client.call.size(bytes), 3n);
  const got = latch<Uint8Array>();
  client.on.onBytes(got.open);
  server.send.onBytes(bytes).broadcast();
  assert.deepEqual(await soon("the bytes", got.promise), bytes);
  assert.deepEqual(seen, [3n]);
  assert.throws(() => server.send.onBytes("text" as never), TypeError);
});
