// Limits that are off unless they are set: messages a second, handlers under way, rooms, connections by address, upgrades.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ErrorPayload } from "@zocket/core";

import { ask, Raw, request, said } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { isSettled, latch, soon, until } from "./_wait.ts";

/** One in a thousand seconds: nothing comes back while a test runs. */
const ONE = 0.001;

describe("maxMessagesPerSecond", () => {
  test("answers what is over it with RATE_LIMITED, tells onError, and keeps the connection", async (t) => {
    const app = serve(t, { options: { maxMessagesPerSecond: ONE } });
    const client = await Client.open(t, app.url);
    client.say("first");
    assert.deepEqual(await client.next(), { type: "said", payload: "first" });
    client.say("second");
    client.socket.send("no envelope");
    for (const route of ["say", undefined]) {
      const { type, payload } = await client.next();
      const error = payload as ErrorPayload;
      assert.deepEqual([type, error.code, error.route], ["$error", "RATE_LIMITED", route]);
      const { retryAfterMs = 0 } = error;
      assert.ok(Number.isInteger(retryAfterMs) && retryAfterMs >= 1 && retryAfterMs <= 1e6);
    }
    const { clientId } = app.messages[0] ?? {};
    await until("onError", () => app.errors.length === 2);
    assert.deepEqual(
      app.errors.map(({ code, clientId, route }) => [code, clientId, route]),
      [
        ["RATE_LIMITED", clientId, "say"],
        ["RATE_LIMITED", clientId, undefined],
      ],
    );
    assert.deepEqual(app.server.metrics().bad, { RATE_LIMITED: 2 });
    assert.equal(app.messages.length, 1);
    // Others have a bucket of their own.
    await (await Client.open(t, app.url)).roundTrip();
  });

  test("lets one second's worth through at once, and more as time goes by", async (t) => {
    const app = serve(t, { options: { maxMessagesPerSecond: 20 } });
    const client = await Client.open(t, app.url);
    for (let number = 0; number < 20; number++) client.say(number);
    await until("the burst", () => client.received.length === 20);
    assert.deepEqual(app.errors, []);
    await until("one more", async () => {
      const before = client.received.length;
      client.say("more");
      await until("an answer", () => client.received.length > before);
      return client.received.at(-1)?.type === "said";
    });
  });

  test("is off by default", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    for (let number = 0; number < 20_000; number++) client.say(number);
    await until("all", () => client.received.length === 20_000);
    assert.deepEqual(app.errors, []);
  });
});

describe("maxHandlersInFlight", () => {
  test("lets later messages of that client wait, in order, until a handler is done", async (t) => {
    const latches = Array.from({ length: 6 }, () => latch());
    const app = serve(t, {
      say: (payload, ctx) => {
        if (typeof payload !== "number") ctx.send.said(payload).to(ctx.clientId);
        else return latches[payload]?.promise;
      },
      options: { maxHandlersInFlight: 2 },
    });
    const numbers = () => app.messages.map(({ payload }) => payload).filter(Number.isInteger);
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    for (let number = 0; number < 6; number++) client.say(number);
    client.say("last");
    await until("two of them", () => numbers().length === 2);
    // Another client is not concerned, and what it is told has come behind them.
    await other.roundTrip();
    assert.deepEqual(numbers(), [0, 1]);
    latches[1]?.open();
    await until("the third", () => numbers().length === 3);
    latches[0]?.open();
    // A handler that fails is done too.
    latches[2]?.fail(new Error("no"));
    await until("the fifth", () => numbers().length === 5);
    assert.deepEqual(numbers(), [0, 1, 2, 3, 4]);
    await other.roundTrip();
    assert.equal(client.received.length, 1, "the last one waits");
    for (const { open } of latches) open();
    await until("the last one", () => client.received.some(({ payload }) => payload === "last"));
    assert.deepEqual(numbers(), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(
      app.errors.map(({ code }) => code),
      ["HANDLERS", "HANDLER_ERROR"],
    );
  });

  test("holds behind a middleware too, and does not count what is synchronous", async (t) => {
    const gate = latch();
    let running = 0;
    let most = 0;
    const app = serve(t, {
      middleware: () => new Promise(setImmediate),
      say: async () => {
        most = Math.max(most, ++running);
        await gate.promise;
        await new Promise(setImmediate);
        running -= 1;
      },
      options: { maxHandlersInFlight: 3 },
    });
    const client = await Client.open(t, app.url);
    for (let number = 0; number < 300; number++) client.say(number);
    await until("three", () => app.messages.length === 3);
    gate.open();
    await until("all", () => app.messages.length === 300 && running === 0);
    assert.equal(most, 3);
    assert.deepEqual(
      app.messages.map(({ payload }) => payload),
      [...Array(300).keys()],
    );
  });

  test("past 64 that wait the client is not read, and nothing is lost", async (t) => {
    const gate = latch();
    const app = serve(t, { say: () => gate.promise, options: { maxHandlersInFlight: 1 } });
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    const COUNT = 5_000;
    const text = "x".repeat(2_000);
    for (let number = 0; number < COUNT; number++) client.say([number, text]);
    await until("the reading to stop", async () => {
      const before = app.server.metrics().bytesIn;
      other.socket.ping();
      await new Promise((resolve) => other.socket.once("pong", resolve));
      await new Promise((resolve) => setTimeout(resolve, 50));
      return app.server.metrics().received > 64 && app.server.metrics().bytesIn - before < 100;
    });
    assert.ok(app.server.metrics().received < COUNT / 2, `${app.server.metrics().received}`);
    assert.equal(app.messages.length, 1);
    gate.open();
    await until("all", () => app.messages.length === COUNT);
    assert.deepEqual(
      app.messages.map(({ payload }) => (payload as [number])[0]),
      [...Array(COUNT).keys()],
    );
  });

  for (const [what, count, size] of [
    ["64 messages", 70, 1],
    ["256 KiB", 60, 5_000],
  ] as const) {
    test(`past ${what} that wait the client is not read`, async (t) => {
      const gate = latch();
      const options = { maxHandlersInFlight: 1, ioThreads: 1 };
      const app = serve(t, {
        say: (payload, ctx) => {
          if (Array.isArray(payload)) return gate.promise;
          return ctx.send.said(payload).to(ctx.clientId);
        },
        options,
      });
      const [client, other] = [await Client.open(t, app.url), await Client.open(t, app.url)];
      const received = () => app.server.metrics().received;
      for (let number = 0; number < count; number += 1) client.say([number, "x".repeat(size)]);
      await until("all of them to leave", () => client.socket.bufferedAmount === 0);
      for (let turn = 0; turn < 5; turn += 1) await other.roundTrip();
      client.say(["behind"]);
      for (let turn = 0; turn < 20; turn += 1) await other.roundTrip();
      assert.ok(received() - 25 <= count, `${received() - 25} messages`);
      gate.open();
      await until("what was behind", () => received() === count + 26);
    });
  }

  test("does not keep onDisconnect waiting for a handler that is never done", async (t) => {
    const app = serve(t, {
      say: () => new Promise(() => {}),
      options: { maxHandlersInFlight: 1 },
    });
    const client = await Client.open(t, app.url);
    client.say(1);
    client.say(2);
    await until("the first", () => app.messages.length === 1);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    await soon("stop", app.server.stop());
    assert.equal(app.messages.length, 1);
  });

  test("is 256 by default, and onError hears of it once", async (t) => {
    const gate = latch();
    const app = serve(t, { say: () => gate.promise });
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    for (let number = 0; number < 1_000; number++) client.say(number);
    await until("as many as may be", () => app.messages.length === 256);
    other.say("other");
    await until("the other client's", () => app.messages.at(-1)?.payload === "other");
    assert.equal(app.messages.length, 257);
    gate.open();
    await until("all", () => app.messages.length === 1_001);
    assert.deepEqual(
      app.errors.map(({ code }) => code),
      ["HANDLERS"],
    );
  });

  test("counts bytes too: together the messages of a client's calls hold maxPayload at most, and one always may", async (t) => {
    const gate = latch();
    const app = serve(t, { say: () => gate.promise, options: { maxPayload: 100_000 } });
    const client = await Client.open(t, app.url);
    const texts = [90_000, 5_000, 5_000, 90_000, 1].map((length) => "x".repeat(length));
    for (const text of texts) client.say(text);
    await until("the first two", () => app.messages.length === 2);
    const other = await Client.open(t, app.url);
    other.say("other");
    await until("the other client's", () => app.messages.at(-1)?.payload === "other");
    assert.equal(app.messages.length, 3, "a third of the first client would be too much");
    gate.open();
    await until("all", () => app.messages.length === texts.length + 1);
  });
});

describe("maxRoomsPerClient", () => {
  test("is how many rooms one client may be in; leaving one makes room", async (t) => {
    const thrown: unknown[] = [];
    const app = serve(t, {
      say: (payload, { rooms, send, clientId }) => {
        for (const room of payload as string[]) {
          try {
            rooms.join(room);
          } catch (error) {
            thrown.push(error);
          }
        }
        send.said([...rooms.current]).to(clientId);
        rooms.leave("a");
      },
      options: { maxRoomsPerClient: 2 },
    });
    const client = await Client.open(t, app.url);
    client.say(["a", "b", "b", "c"]);
    assert.deepEqual((await client.next()).payload, ["a", "b"]);
    client.say(["c"]);
    assert.deepEqual((await client.next()).payload, ["b", "c"]);
    assert.equal(thrown.length, 1);
    const [error] = thrown as (Error & { code?: string })[];
    assert.equal(error?.code, "TOO_MANY_ROOMS");
    assert.match(error?.message ?? "", /at most 2 rooms/);
    const other = await Client.open(t, app.url);
    other.say(["b", "c"]);
    assert.deepEqual((await other.next()).payload, ["b", "c"]);
  });
});

describe("maxConnectionsPerAddress", () => {
  test("refuses further upgrades with 429, counts pending ones, and frees a place that is left", async (t) => {
    const admission = latch<object>();
    const app = serve(t, {
      onConnect: ({ slow }) => (slow ? admission.promise : {}),
      options: { maxConnectionsPerAddress: 2 },
    });
    const first = await Client.open(t, app.url);
    const pending = new Raw(t, app.port, request({}, "GET /?slow=1 HTTP/1.1"));
    await until("onConnect", () => app.connects.length === 2);
    for (let more = 0; more < 3; more++) {
      assert.equal((await ask(t, app.port, request())).status, 429);
    }
    assert.deepEqual(app.server.metrics().refused, { ADDRESS: 3 });
    assert.equal(app.connects.length, 2);
    // A request that is no upgrade takes no place.
    assert.equal((await ask(t, app.port, request({ Upgrade: undefined }))).status, 426);
    await first.close();
    await until("a place", async () => (await ask(t, app.port, request())).status === 101);
    admission.open({});
    assert.equal((await pending.answer()).status, 101);
  });

  test(
    "counts other addresses by themselves",
    { skip: process.platform !== "linux" },
    async (t) => {
      const app = serve(t, { options: { hostname: "0.0.0.0", maxConnectionsPerAddress: 1 } });
      await Client.open(t, app.url);
      assert.equal((await ask(t, app.port, request())).status, 429);
      // All of 127.0.0.0/8 is this machine.
      await Client.open(t, app.url, { localAddress: "127.0.0.2" });
    },
  );
});

describe("maxUpgradesPerSecondPerAddress", () => {
  test("refuses further upgrades with 429 and Retry-After before onConnect", async (t) => {
    const app = serve(t, { options: { maxUpgradesPerSecondPerAddress: ONE } });
    const client = await Client.open(t, app.url);
    for (let more = 0; more < 3; more++) {
      const { status, headers } = await ask(t, app.port, request());
      assert.equal(status, 429);
      const seconds = Number(headers["retry-after"]);
      assert.ok(Number.isInteger(seconds) && seconds > 900 && seconds <= 1_000, `${seconds}`);
    }
    assert.equal((await ask(t, app.port, request({ Upgrade: undefined }))).status, 426);
    assert.equal(app.connects.length, 1);
    assert.deepEqual(app.server.metrics().refused, { ADDRESS_RATE: 3, NOT_UPGRADE: 1 });
    await client.roundTrip();
  });

  test(
    "leaves the rate of the server to other addresses",
    { skip: process.platform !== "linux" },
    async (t) => {
      const options = { maxUpgradesPerSecondPerAddress: ONE, maxUpgradesPerSecond: 2 };
      const app = serve(t, { options });
      await Client.open(t, app.url);
      for (let more = 0; more < 20; more++) {
        assert.equal((await ask(t, app.port, request())).status, 429);
      }
      // All of 127.0.0.0/8 is this machine.
      await Client.open(t, app.url, { localAddress: "127.0.0.2" });
      assert.deepEqual(app.server.metrics().refused, { ADDRESS_RATE: 20 });
    },
  );

  test("takes nothing from an address whose upgrade the rate of the server refuses", async (t) => {
    const options = {
      maxUpgradesPerSecondPerAddress: ONE,
      maxUpgradesPerSecond: 2,
      trustProxy: ["loopback"],
    };
    const app = serve(t, { options });
    const from = async (address: string) =>
      (await ask(t, app.port, request({ "X-Forwarded-For": address }))).status;
    const addresses = Array.from({ length: 20 }, (_, n) => `192.0.2.${n}`);
    const statuses = await Promise.all(addresses.map(from));
    const refused = addresses.find((_, n) => statuses[n] === 503) as string;
    let status = 503;
    await until("room at the server", async () => (status = await from(refused)) !== 503);
    assert.equal(status, 101);
    assert.equal(await from(refused), 429);
  });
});

describe("maxUpgradesPerSecond", () => {
  test("refuses further upgrades with 503 and Retry-After before onConnect", async (t) => {
    const app = serve(t, { options: { maxUpgradesPerSecond: ONE } });
    const client = await Client.open(t, app.url);
    for (let more = 0; more < 3; more++) {
      const { status, headers } = await ask(t, app.port, request());
      assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
    }
    assert.equal((await ask(t, app.port, request({ Upgrade: undefined }))).status, 426);
    assert.equal(app.connects.length, 1);
    assert.deepEqual(app.server.metrics().refused, { UPGRADE_RATE: 3, NOT_UPGRADE: 1 });
    await client.roundTrip();
  });

  test("lets one second's worth through at once", async (t) => {
    const app = serve(t, { options: { maxUpgradesPerSecond: 30 } });
    await Promise.all(Array.from({ length: 30 }, () => Client.open(t, app.url)));
    assert.deepEqual(app.server.metrics().refused, {});
  });
});

test("a message held back by no limit is not held back: all of them set high", async (t) => {
  const app = serve(t, {
    options: {
      maxMessagesPerSecond: 1e6,
      maxHandlersInFlight: 1_000,
      maxConnectionsPerAddress: 1_000,
      maxUpgradesPerSecond: 1e6,
      maxUpgradesPerSecondPerAddress: 1e6,
      maxRoomsPerClient: 2 ** 24,
    },
  });
  const raw = await Raw.open(t, app.port);
  raw.write(...Array.from({ length: 500 }, (_, number) => said(number)));
  await until("all", () => raw.messages().length === 500);
  const stopped = app.server.stop();
  assert.equal(await isSettled(stopped), false);
  await soon("stop", app.server.stop(true));
});
