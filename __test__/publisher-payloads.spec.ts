// What a publisher sends: payloads of bytes, and payloads that go through a transformer.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import {
  createServer,
  createZocketClient,
  zocket,
  type Transformer,
  type ZocketServer,
} from "@zocket/core";
import { createPublisher, redis, type PublisherOptions } from "@zocket/core/bus";
import { bytes, message } from "@zocket/core/contract";
import superjson from "superjson";
import { WebSocket } from "ws";
import { z } from "zod";

import { PREFIX } from "./_bus.ts";
import { onEachBus, type AnyBus } from "./_buses.ts";
import { soon, until } from "./_wait.ts";

const rich = message.withTransformer();
const routes = {
  onText: message.outgoing({ payload: z.string() }),
  file: { onPart: message.outgoing({ payload: bytes() }) },
};
const richRoutes = {
  onDay: rich.outgoing({ payload: z.unknown() }),
  file: { onPart: rich.outgoing({ payload: bytes() }) },
};

const busOn = (bus: AnyBus) => bus.on({ required: true });

const headers = z.object({});
const optionsOn = (on: AnyBus) => ({
  port: 0,
  hostname: "127.0.0.1",
  bus: busOn(on),
  onError() {},
});

/** A server on the bus, and what its one client gets. */
async function listen(t: TestContext, on: AnyBus) {
  const zo = zocket.create({ headers });
  const server = createServer(zo.router(routes, {}), zo, optionsOn(on));
  const client = createZocketClient<typeof routes>(server.url, { WebSocket });
  const got: unknown[] = [];
  client.on.onText((text) => got.push(text));
  client.on.file.onPart((part) => got.push(part));
  return begun(t, server, client, got);
}

/** The same with a transformer. */
async function listenRich(t: TestContext, on: AnyBus) {
  const zo = zocket.create({ headers, transformer: superjson });
  const server = createServer(zo.router(richRoutes, {}), zo, optionsOn(on));
  const { url } = server;
  const client = createZocketClient<typeof richRoutes>(url, { WebSocket, transformer: superjson });
  const got: unknown[] = [];
  client.on.onDay((day) => got.push(day));
  client.on.file.onPart((part) => got.push(part));
  return begun(t, server, client, got);
}

/** Waits for the server and its client. */
async function begun(
  t: TestContext,
  server: Pick<ZocketServer, "clientCount" | "metrics" | "ready" | "stop">,
  client: { close(): void },
  got: readonly unknown[],
) {
  t.after(() => soon("the server's end", server.stop(true)));
  t.after(() => client.close());
  await server.ready();
  await until("the client", () => server.clientCount() === 1);
  return { got, malformed: () => server.metrics().bus?.malformed };
}

onEachBus("a publisher", (Bus) => {
  test("sends bytes as they are, in order with JSON", async (t) => {
    const on = await Bus.start(t);
    const { got, malformed } = await listen(t, on);
    const publisher = createPublisher<typeof routes>(busOn(on));
    t.after(() => publisher.close());
    const whole = Uint8Array.of(9, 0, 255, 9);
    publisher.send.file.onPart(whole).broadcast();
    publisher.send.onText("between").broadcast();
    publisher.send.file.onPart(whole.buffer).broadcast();
    publisher.send.file.onPart(new DataView(whole.buffer, 1, 2)).broadcast();
    publisher.send.file.onPart(new Uint8Array()).broadcast();
    const later = publisher.send.file.onPart(whole);
    whole.fill(1);
    later.broadcast();
    publisher.send.file.onPart(new Uint8Array(100_000).fill(7)).broadcast();
    await publisher.flush();
    await until("all of them", () => got.length === 7);
    const [nine, part] = [Uint8Array.of(9, 0, 255, 9), Uint8Array.of(0, 255)];
    const expected = [nine, "between", nine, part, new Uint8Array(), nine];
    assert.deepEqual(got.slice(0, 6), expected);
    assert.deepEqual(got[6], new Uint8Array(100_000).fill(7));
    assert.equal(malformed(), 0);
  });

  test("is told of nothing if the kind is wrong: each server discards it, and counts it as malformed", async (t) => {
    const on = await Bus.start(t);
    const [one, two] = [await listen(t, on), await listen(t, on)];
    const publisher = createPublisher<typeof routes>(busOn(on));
    t.after(() => publisher.close());
    const send = publisher.send as unknown as {
      readonly onText: (payload: unknown) => { broadcast(): void };
      readonly file: { readonly onPart: (payload?: unknown) => { broadcast(): void } };
    };
    send.onText(new Uint8Array(3)).broadcast();
    send.file.onPart("text").broadcast();
    send.file.onPart().broadcast();
    send.onText("after").broadcast();
    await publisher.flush();
    for (const { got, malformed } of [one, two]) {
      await until("what was sent after", () => got.includes("after"));
      assert.deepEqual([got, malformed()], [["after"], 3]);
    }
    const detached = new Uint8Array(4);
    structuredClone(detached, { transfer: [detached.buffer] });
    assert.throws(() => send.file.onPart(detached), TypeError);
    const { published, confirmed } = publisher.metrics();
    assert.deepEqual([published, confirmed], [4, 4]);
  });

  test("runs payloads through its transformer, but not bytes", async (t) => {
    const on = await Bus.start(t);
    const { got, malformed } = await listenRich(t, on);
    const publisher = createPublisher<typeof richRoutes>(busOn(on), { transformer: superjson });
    t.after(() => publisher.close());
    const day = { at: new Date(86_400_000), tags: new Set(["a"]), many: 10n ** 20n };
    publisher.send.onDay(day).broadcast();
    publisher.send.onDay(undefined).broadcast();
    publisher.send.file.onPart(Uint8Array.of(1, 2)).broadcast();
    await publisher.flush();
    await until("all of them", () => got.length === 3);
    assert.deepEqual(got, [day, undefined, Uint8Array.of(1, 2)]);
    assert.equal(malformed(), 0);
  });

  test("throws at send what its transformer cannot take", async (t) => {
    const cause = new Error("not this one");
    const transformer: Transformer = {
      serialize: () => {
        throw cause;
      },
      deserialize: (json) => json,
    };
    const publisher = createPublisher<typeof richRoutes>(busOn(await Bus.start(t)), {
      transformer,
    });
    t.after(() => publisher.close());
    assert.throws(() => publisher.send.onDay(1), {
      name: "TypeError",
      message: "send.onDay(…): the transformer cannot serialize the payload",
      cause,
    });
    assert.equal(publisher.metrics().published, 0);
  });
});

describe("a publisher", () => {
  test("refuses what is not a transformer", () => {
    const on = redis({ url: "redis://localhost", prefix: PREFIX });
    for (const [transformer, got] of [
      [null, "null"],
      [1, "number"],
      [{ serialize() {} }, "object"],
    ] as const) {
      const options = { transformer } as unknown as PublisherOptions;
      assert.throws(() => createPublisher<typeof routes>(on, options), {
        name: "TypeError",
        message: `createPublisher: options.transformer: expected an object with serialize() and deserialize(), got ${got}`,
      });
    }
  });
});
