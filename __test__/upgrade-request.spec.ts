// The third argument of `onConnect`: what the request was.
import assert from "node:assert/strict";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type UpgradeRequest } from "@zocket/core";

import { Raw, request } from "./_raw.ts";
import { Client, anything, serve, type Headers } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** What `onConnect` gets of a raw upgrade request. */
async function told(
  t: TestContext,
  fields: Record<string, string | string[] | undefined> = {},
  line?: string,
): Promise<{ request: UpgradeRequest; port: number; localPort: number }> {
  const { port, connects } = serve(t);
  const raw = new Raw(t, port);
  raw.write(request(fields, line));
  assert.equal((await raw.answer()).status, 101);
  const [connect] = connects;
  assert.ok(connect);
  return { request: connect.request, port, localPort: raw.socket.localPort ?? 0 };
}

describe("the request that onConnect gets", () => {
  test("says where it goes, where it comes from, and no more than is known", async (t) => {
    const { request, localPort } = await told(t, {}, "GET /chat/%20?a=1&b=%22 HTTP/1.1");
    assert.deepEqual(request, {
      url: "/chat/%20?a=1&b=%22",
      path: "/chat/%20",
      origin: undefined,
      host: "localhost",
      remoteAddress: "127.0.0.1",
      remotePort: localPort,
      secure: false,
      protocol: undefined,
      clientCertificate: undefined,
    });
  });

  test("has the target as it came, also an absolute one", async (t) => {
    const { request } = await told(t, {}, "GET http://a.example/ws?x HTTP/1.1");
    assert.deepEqual([request.url, request.path], ["http://a.example/ws?x", "/ws"]);
  });

  test("has the origin, whatever the rules are", async (t) => {
    const origin = "http://elsewhere.example";
    assert.equal((await told(t, { Origin: origin })).request.origin, origin);
    const rules = [[origin], (given: string) => given === origin];
    for (const allowedOrigins of rules) {
      const { url, connects } = serve(t, { options: { allowedOrigins } });
      await Client.open(t, url, { origin });
      await Client.open(t, url);
      assert.deepEqual(
        connects.map(({ request }) => request.origin),
        [origin, undefined],
      );
    }
  });

  test("has the host and its port as they came", async (t) => {
    assert.equal((await told(t, { Host: "Example.COM:81" })).request.host, "Example.COM:81");
    assert.equal((await told(t, { Host: "[::1]:81" })).request.host, "[::1]:81");
  });

  test("is not what a query or a header claims", async (t) => {
    const names = ["url", "path", "origin", "host", "remoteAddress", "secure", "clientCertificate"];
    const query = names.map((name) => `${name}=forged`).join("&");
    const forged = { "X-Forwarded-For": "203.0.113.1", "X-Forwarded-Proto": "https", Path: "/x" };
    const { request } = await told(t, forged, `GET /?${query} HTTP/1.1`);
    const { origin, host, remoteAddress, secure, clientCertificate } = request;
    assert.deepEqual([origin, clientCertificate, secure], [undefined, undefined, false]);
    assert.deepEqual([host, remoteAddress, request.path], ["localhost", "127.0.0.1", "/"]);
  });

  test("names an IPv4 client as such where the server listens for both kinds of addresses", async (t) => {
    const { port, connects } = serve(t, { options: { hostname: undefined } });
    await Client.open(t, `ws://127.0.0.1:${port}`);
    assert.equal(connects[0]?.request.remoteAddress, "127.0.0.1");
    if (!(await hasIpv6())) {
      t.diagnostic("no IPv6 here");
      return;
    }
    await Client.open(t, `ws://[::1]:${port}`);
    assert.equal(connects[1]?.request.remoteAddress, "::1");
  });

  test("is a plain object of its own for each call", async (t) => {
    const { url, connects } = serve(t, {
      onConnect: (_headers, _clientId, request) => {
        Object.assign(request, { url: "changed" });
      },
    });
    await Client.open(t, url);
    await Client.open(t, `${url}/other`);
    assert.equal(Object.getPrototypeOf(connects[0]?.request), Object.prototype);
    assert.equal(connects[1]?.request.path, "/other");
    assert.notEqual(connects[0]?.request, connects[1]?.request);
  });

  test("is there whatever form the callback has", async (t) => {
    const got: (string | undefined)[] = [];
    const note = (request?: UpgradeRequest) => void got.push(request?.path);
    const forms: ((headers: Headers, clientId: string, request: UpgradeRequest) => unknown)[] = [
      (...args) => note(args[2]),
      (_headers, _clientId, request = {} as UpgradeRequest) => note(request),
      function () {
        note(arguments[2] as UpgradeRequest);
      },
      async (_headers, _clientId, { path }) => void got.push(path),
    ];
    for (const onConnect of forms) {
      const { url } = serve(t, { onConnect });
      await Client.open(t, `${url}/form`);
    }
    assert.deepEqual(got, ["/form", "/form", "/form", "/form"]);
  });

  test("is not needed: callbacks with fewer arguments work as before", async (t) => {
    const zo = zocket.create({
      headers: anything<Headers>(),
      onConnect: (headers, clientId) => ({
        name: headers["name"],
        clientIdLength: clientId.length,
      }),
    });
    const said: unknown[] = [];
    const app = zo.router(
      { say: zo.message.incoming({ payload: anything<unknown>() }) },
      { say: ({ ctx }) => void said.push(ctx.name, ctx.clientIdLength) },
    );
    const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    const client = await Client.open(t, `${server.url}?name=ada`);
    client.say(null);
    await until("the message", () => said.length > 0);
    assert.deepEqual(said, ["ada", 36]);
  });

  test("is complete for a target that fills the head", async (t) => {
    const long = `/${"x".repeat(15_000)}`;
    const { request } = await told(t, {}, `GET ${long}?"\\=1 HTTP/1.1`);
    assert.equal(request.url, `${long}?"\\=1`);
    assert.equal(request.path, long);
  });

  test("is told for a client that resets at once, if at all", async (t) => {
    const { port, connects, disconnects } = serve(t);
    for (let i = 0; i < 20; i += 1) {
      const raw = new Raw(t, port);
      raw.write(request());
      raw.socket.once("connect", () => raw.socket.resetAndDestroy());
    }
    await soon("a client that stays", Client.open(t, `ws://127.0.0.1:${port}`));
    await until("the ends", () => disconnects.length >= connects.length - 1);
    for (const { request } of connects) assert.equal(request.remoteAddress, "127.0.0.1");
  });
});

/** Whether the system has a loopback address of that kind. */
async function hasIpv6(): Promise<boolean> {
  const server = createTcpServer((socket: Socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(0, "::1", () => {
      void (server.address() as AddressInfo);
      server.close(() => resolve(true));
    });
  });
}
