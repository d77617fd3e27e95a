// The options of `createServer`: what is wrong is said at once, what is left out has its default.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createServer as createHttp2Server } from "node:http2";
import { Server as NetServer } from "node:net";
import { availableParallelism } from "node:os";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { Client, anything, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const onLinux = process.platform === "linux";
const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router(
  { say: zo.message.incoming({ payload: anything<unknown>() }) },
  { say() {} },
);

/** Lists with an entry that no client sends as its origin. */
const NO_ORIGINS = [
  "",
  "*",
  "example.com",
  "localhost:3000",
  "//example.com",
  "://example.com",
  "1http://example.com",
  "https://example.com/",
  "https://example.com/chat",
  "https://example.com?x",
  "https://example.com#x",
  "https://*.example.com",
  "https://user@example.com",
  "https://a.example,https://b.example",
  "https://Example.com",
  "HTTPS://example.com",
  "App://example",
  "http://example.com:80",
  "https://example.com:443",
  " https://example.com",
  "https://example.com\n",
  "https://bücher.example",
  "Null",
].map((entry) => ["https://a.example", entry]);

/** What a function takes, as its error about an unknown option lists it. */
function listedBy(use: () => unknown): string[] {
  let names: string[] = [];
  assert.throws(use, ({ message }: Error) => {
    names = message.split(": unknown option; expected one of ")[1]?.split(", ") ?? [];
    return names.length > 0;
  });
  return names;
}

describe("options", () => {
  const WRONG: [name: string, ...values: unknown[]][] = [
    ["port", -1, 65_536, 1.5, NaN, "3000", null, true],
    ["hostname", "", 1, null, {}],
    ["tls", "cert", 1, null, [], {}],
    ["bus", {}, "what redis(…) or nats(…) of @zocket/core/bus returned", null, {}],
    ["reusePort", 1, "true", null, {}],
    ["socketPath", "", 1, null, {}, "a\0b", "x".repeat(108)],
    ["server", 1, "http", null, {}, new NetServer(), createHttp2Server()],
    ["noServer", 1, "true", null, {}],
    ["path", "", "chat", "/chat?x", "/chat#x", 1, null, /x/],
    ["allowedOrigins", "https://example.com", 1, null, {}, [1], [null], ...NO_ORIGINS],
    [
      "trustProxy",
      -1,
      1.5,
      NaN,
      Infinity,
      2 ** 32,
      "loopback",
      null,
      {},
      [1],
      ["10.0.0.0/33"],
      [""],
    ],
    ["trustedHeaders", "x-user-id", 1, null, {}, [1], [""], ["x user"], ["x:y"]],
    ["protocols", "mqtt", 1, null, {}, [1], [""], ["a b"], ["é"], ["a,b"], ["mqtt", "zocket.1"]],
    ["maxPayload", 0, -1, 1.5, Infinity, "1", null, 2 ** 40],
    ["maxBackpressure", -1, 0.5, NaN, "1", null],
    ["maxBufferedBytes", 0, -1, 1_048_575, 1_048_576.5, Infinity, NaN, "1048576", null],
    ["slowClient", "close", "", 1, null, true],
    ["compression", 1, "on", null, [], new Map(), () => {}],
    ["heartbeatInterval", -1, 0.5, NaN, Infinity, "30", null, 2 ** 31],
    ["handshakeTimeout", 0, -1, NaN, Infinity, "10", null, 2 ** 31],
    ["maxConnections", 0, -1, 1.5, NaN, Infinity, "1", null],
    ["maxConnectionsPerAddress", 0, -1, 1.5, NaN, Infinity, "1", null],
    ["maxUpgradesPerSecondPerAddress", 0, -1, 0.0009, NaN, Infinity, 1e6 + 1, "1", null],
    ["maxUpgradesPerSecond", 0, -1, 0.0009, NaN, Infinity, 1e6 + 1, "1", null],
    ["maxMessagesPerSecond", 0, -1, 0.0009, NaN, Infinity, 1e6 + 1, "1", null],
    ["maxCallsPerClient", 0, -1, 1.5, NaN, Infinity, 2 ** 32, "1", null],
    ["maxHandlersInFlight", 0, -1, 1.5, NaN, Infinity, 2 ** 32, "1", null],
    ["maxRoomsPerClient", 0, -1, 1.5, NaN, Infinity, 2 ** 24 + 1, "1", null],
    ["observe", "/healthz", true, 1, null, { health: 1 }, { health: "x" }, { healthz: "/x" }],
    ["ioThreads", 0, -1, 1.5, 257, "1", null],
    ["share", "", "x".repeat(65), 1, true, null],
    ["validateOutgoing", 1, "true", null, {}],
    ["onError", 1, "log", null, {}],
  ];
  for (const [name, ...values] of WRONG) {
    test(`a wrong ${name} is a TypeError that names it`, () => {
      for (const value of values) {
        const options = { port: 0, [name]: value } as ServerOptions;
        assert.throws(
          () => void createServer(router, zo, options).stop(),
          (error) => {
            assert.ok(error instanceof TypeError, `${String(value)}: ${String(error)}`);
            assert.ok(error.message.includes(name), error.message);
            return true;
          },
          `${name}: ${String(value)} was taken`,
        );
      }
    });
  }

  test("one that does not exist is a TypeError that names it, and the right name where one is near", () => {
    const near: [wrong: string, right: string][] = [
      ["host", "hostname"],
      ["HostName", "hostname"],
      ["prot", "port"],
      ["maxMessagePerSecond", "maxMessagesPerSecond"],
      ["maxUpgradePerSeconds", "maxUpgradesPerSecond"],
      ["maxPaylod", "maxPayload"],
      ["maxBufferedByte", "maxBufferedBytes"],
      ["maxPayloadLength", "maxPayload"],
      ["idleTimeout", "heartbeatInterval"],
      ["cors", "allowedOrigins"],
      ["trustedProxies", "trustProxy"],
      ["trustedHeader", "trustedHeaders"],
      ["subprotocols", "protocols"],
      ["handleProtocols", "protocols"],
      ["onerror", "onError"],
      ["validation", "validateOutgoing"],
      ["validateOutput", "validateOutgoing"],
      ["health", "observe"],
    ];
    for (const [wrong, right] of near) {
      for (const value of ["1", undefined]) {
        assert.throws(
          () => void createServer(router, zo, { port: 0, [wrong]: value }).stop(),
          {
            name: "TypeError",
            message: `createServer: options.${wrong}: unknown option; did you mean ${right}?`,
          },
          wrong,
        );
      }
    }
    const names = WRONG.map(([name]) => name);
    for (const wrong of ["clientTracking", "", "x".repeat(9_999)]) {
      assert.throws(
        () => void createServer(router, zo, { port: 0, [wrong]: {} }).stop(),
        (error) => {
          assert.ok(error instanceof TypeError);
          const [begin, end] = error.message.split(": unknown option; expected one of ");
          const cut = wrong.length > 120 ? `${wrong.slice(0, 120)}…` : wrong;
          assert.equal(begin, `createServer: options.${cut}`);
          assert.deepEqual(end?.split(", ").sort(), [...names].sort());
          return true;
        },
      );
    }
  });

  test("one that zocket.create takes is a TypeError that says so, and the other way round", () => {
    const headers = anything();
    const given = (name: string, value?: unknown) =>
      void createServer(router, zo, { port: 0, [name]: value }).stop();
    const made = (name: string, value?: unknown) =>
      zocket.create({ headers, [name]: value } as { headers: typeof headers });
    const near = [
      ["context", "onConnect"],
      ["onDisconect", "onDisconnect"],
    ] as const;
    for (const name of listedBy(() => made("clientTracking"))) {
      const message = `createServer: options.${name}: unknown option; zocket.create takes it`;
      assert.throws(() => given(name, () => {}), { name: "TypeError", message });
    }
    for (const [wrong, meant] of near) {
      const message = `createServer: options.${wrong}: unknown option; did you mean ${meant} of zocket.create?`;
      assert.throws(() => given(wrong), { name: "TypeError", message });
    }
    for (const name of listedBy(() => given("clientTracking"))) {
      const message = `zocket.create: config.${name}: unknown option; createServer takes it`;
      assert.throws(() => made(name), { name: "TypeError", message });
      // Whatever else is missing.
      assert.throws(() => zocket.create({ [name]: 1 } as never), { name: "TypeError", message });
    }
    const message =
      "zocket.create: config.host: unknown option; did you mean hostname of createServer?";
    assert.throws(() => made("host", "::1"), { name: "TypeError", message });
  });

  test("a list or a map of them is a TypeError", () => {
    for (const options of [[], new Map([["port", 0]]), new Set(), "port", 0, null, () => {}]) {
      assert.throws(
        () => void createServer(router, zo, options as ServerOptions).stop(),
        { name: "TypeError", message: /^createServer: options: expected an object, got / },
        String(options),
      );
    }
  });

  test("one that is undefined is left out", async (t) => {
    const names = WRONG.map(([name]) => name).filter((name) => name !== "port");
    const undefineds = Object.fromEntries(names.map((name) => [name, undefined]));
    await Client.open(t, serve(t, { options: { ...undefineds, hostname: "127.0.0.1" } }).url);
  });

  test("they may be frozen, inherited or without a prototype; what reading one throws reaches the caller", async () => {
    class Options {
      get port() {
        return 0;
      }
    }
    const bare = Object.assign(Object.create(null) as ServerOptions, { port: 0 });
    const frozen = Object.freeze({ port: 0, allowedOrigins: Object.freeze(["https://a.com"]) });
    for (const options of [bare, frozen, new Options()]) {
      const server = createServer(router, zo, options);
      assert.notEqual(server.port, 3000);
      await server.stop();
    }
    for (const [name] of WRONG) {
      const thrown = new Error(name);
      const options = Object.defineProperty({ port: 0 }, name, {
        get() {
          throw thrown;
        },
      });
      assert.throws(() => createServer(router, zo, options), thrown, name);
    }
  });

  test("ioThreads is the number of threads for WebSocket I/O", { skip: !onLinux }, async (t) => {
    const threads = () => readdirSync("/proc/self/task").length;
    const before = threads();
    const { server } = serve(t, { options: { ioThreads: 1 } });
    const others = threads() - before - 1;
    await server.stop();
    await until("its threads' end", () => threads() <= before);
    const { url } = serve(t, { options: { ioThreads: 7 } });
    assert.equal(threads() - before, 7 + others);
    const clients = await Promise.all(Array.from({ length: 14 }, () => Client.open(t, url)));
    await Promise.all(clients.map((client) => client.roundTrip()));
  });

  test("ioThreads is by default the number of cores, at most 4", { skip: !onLinux }, async (t) => {
    const count = () =>
      readdirSync("/proc/self/task").filter((task) => {
        try {
          return readFileSync(`/proc/self/task/${task}/comm`, "utf8").startsWith("zocket-io");
        } catch {
          // It ended between the two looks.
          return false;
        }
      }).length;
    await until("the end of other servers' threads", () => count() === 0);
    serve(t);
    assert.equal(count(), Math.min(availableParallelism(), 4));
  });

  test("anything but a router, a zo and an object of options is a TypeError", () => {
    const create = createServer as (...args: unknown[]) => unknown;
    for (const wrong of [undefined, null, 1, "x", {}, () => {}, [router]]) {
      assert.throws(() => create(wrong, zo, { port: 0 }), TypeError, `router: ${String(wrong)}`);
      assert.throws(() => create(router, wrong, { port: 0 }), TypeError, `zo: ${String(wrong)}`);
    }
    for (const wrong of [null, 1, "x", true]) {
      assert.throws(() => create(router, zo, wrong), TypeError, `options: ${String(wrong)}`);
    }
  });
});
