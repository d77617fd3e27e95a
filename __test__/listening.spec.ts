// Where a server listens: port, host name, the URL it tells, and addresses it cannot have.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { Child, portOf } from "./_child.ts";
import { Client, anything, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const hasIPv6 = Object.values(networkInterfaces())
  .flat()
  .some((it) => it?.address === "::1");
const onLinux = process.platform === "linux";
const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router(
  { say: zo.message.incoming({ payload: anything<unknown>() }) },
  { say() {} },
);

describe("where a server listens", () => {
  test("it is bound when createServer returns", async (t) => {
    const { server } = serve(t);
    assert.ok(server.port > 0 && server.port < 65_536);
    assert.equal(server.hostname, "127.0.0.1");
    assert.equal(server.url, `ws://127.0.0.1:${server.port}`);
    await Client.open(t, server.url);
  });

  test("port 3000 of all interfaces is the default", async () => {
    try {
      const server = createServer(router, zo);
      const { port, url } = server;
      await server.stop();
      assert.deepEqual([port, url], [3000, "ws://localhost:3000"]);
    } catch (error) {
      // Somebody else on this machine has it, which tells as much.
      assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
      assert.match((error as Error).message, /\b3000\b/);
    }
  });

  test("port 0 is any free one", (t) => {
    assert.notEqual(serve(t).port, serve(t).port);
  });

  test("all interfaces are reached by IPv4 and IPv6, and the url says localhost", async (t) => {
    const { server, port } = serve(t, { options: { hostname: undefined } as ServerOptions });
    assert.equal(server.url, `ws://localhost:${port}`);
    assert.ok(["::", "0.0.0.0"].includes(server.hostname), server.hostname);
    await Client.open(t, `ws://127.0.0.1:${port}`);
    if (hasIPv6) await Client.open(t, `ws://[::1]:${port}`);
    else t.diagnostic("this machine has no IPv6: ::1 is not tried");
  });

  test("the unspecified addresses are all interfaces too", (t) => {
    const { server } = serve(t, { options: { hostname: "0.0.0.0" } });
    assert.equal(server.url, `ws://localhost:${server.port}`);
  });

  test("an IPv6 address stands in brackets in the url", { skip: !hasIPv6 }, async (t) => {
    const { server } = serve(t, { options: { hostname: "::1" } });
    assert.equal(server.hostname, "::1");
    assert.equal(server.url, `ws://[::1]:${server.port}`);
    await Client.open(t, server.url);
  });

  test(
    "an IPv4 address written as an IPv6 one is served by both",
    { skip: !hasIPv6 },
    async (t) => {
      const { server, port } = serve(t, { options: { hostname: "::ffff:127.0.0.1" } });
      assert.equal(server.url, `ws://[::ffff:127.0.0.1]:${port}`);
      await Client.open(t, server.url);
      await Client.open(t, `ws://127.0.0.1:${port}`);
    },
  );

  test("a host name is resolved: hostname and url tell the address, which can be connected to", async (t) => {
    const { server, port } = serve(t, { options: { hostname: "localhost" } });
    const { hostname, url } = server;
    assert.ok(hostname === "127.0.0.1" || hostname === "::1", hostname);
    const host = hostname === "::1" ? "[::1]" : hostname;
    assert.equal(url, `ws://${host}:${port}`);
    await Client.open(t, url);
  });

  test("a host name that is none is an Error with ENOTFOUND", () => {
    for (const hostname of ["no such name", "[::1]", "a\0b", "x".repeat(300)]) {
      const nowhere = () => createServer(router, zo, { port: 0, hostname });
      assert.throws(nowhere, { name: "Error", code: "ENOTFOUND" });
    }
  });

  test("failing to listen leaves no thread and no file open", { skip: !onLinux }, async (t) => {
    const held = () => ["task", "fd"].map((what) => readdirSync(`/proc/self/${what}`).length);
    const { port, url } = serve(t);
    const before = held();
    for (let round = 0; round < 100; round++) {
      const again = () => createServer(router, zo, { port, hostname: "127.0.0.1" });
      assert.throws(again, { code: "EADDRINUSE" });
    }
    await until("as many as before", () => String(held()) === String(before));
    await Client.open(t, url);
  });

  test("a child process does not hold the port", async (t) => {
    const { server, port } = serve(t);
    const idle = Child.node(t, `setInterval(() => {}, 1000); tell({ port: 1 });`);
    await portOf(idle);
    await server.stop();
    await Client.open(t, serve(t, { options: { port } }).url);
  });

  test("the same port can be had again right after stop, whatever became of its clients", async (t) => {
    let { server, port } = serve(t);
    for (let round = 0; round < 10; round++) {
      const { url } = server;
      const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(t, url)));
      clients[0]?.reset();
      clients[1]?.drop();
      await server.stop(round % 2 === 0);
      ({ server } = serve(t, { options: { port } }));
    }
  });

  test("a port that another program has is an Error with EADDRINUSE, thrown by createServer", async (t) => {
    const other = createTcpServer().listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    assert.throws(
      () => createServer(router, zo, { port, hostname: "127.0.0.1" }),
      (error) => {
        assert.ok(error instanceof Error && !(error instanceof TypeError));
        assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
        return true;
      },
    );
  });

  test("a port that another of our servers has is EADDRINUSE too, and leaves that server alone", async (t) => {
    const { port, url } = serve(t);
    const again = () => createServer(router, zo, { port, hostname: "127.0.0.1" });
    assert.throws(again, { code: "EADDRINUSE" });
    await (await Client.open(t, url)).roundTrip();
  });

  test("all interfaces cannot be had twice either, by us or by others", async (t) => {
    const server = createServer(router, zo, { port: 0 });
    t.after(() => server.stop(true));
    assert.throws(() => createServer(router, zo, { port: server.port }), { code: "EADDRINUSE" });
    const other = createTcpServer().listen(server.port);
    const [error] = await once(other, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "EADDRINUSE");
  });

  test("an address that is not this machine's is an Error with a code", () => {
    const elsewhere = () => createServer(router, zo, { port: 0, hostname: "192.0.2.1" });
    assert.throws(elsewhere, { name: "Error", code: "EADDRNOTAVAIL" });
  });
});
