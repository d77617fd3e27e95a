// `trustProxy` and `trustedHeaders`: what a proxy in front says, and who may say it.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { ServerOptions, UpgradeRequest } from "@zocket/core";

import { Raw, ask, request } from "./_raw.ts";
import { serve, type App, type Headers } from "./_support.ts";
import { until } from "./_wait.ts";

type Fields = Record<string, string | string[] | undefined>;

/** Asks for an upgrade, which must be admitted, and gives what `onConnect` got. */
async function admitted(
  t: TestContext,
  app: App,
  fields: Fields = {},
  line?: string,
): Promise<{ headers: Headers; request: UpgradeRequest; raw: Raw }> {
  const before = app.connects.length;
  const raw = new Raw(t, app.port);
  raw.write(request(fields, line));
  assert.equal((await raw.answer()).status, 101);
  const connect = app.connects[before];
  assert.ok(connect);
  return { ...connect, raw };
}

const CLAIMS = {
  "X-Forwarded-For": "203.0.113.7",
  "X-Forwarded-Proto": "https",
  "X-Forwarded-Host": "app.example",
};

describe("trustProxy", () => {
  test("believes nobody by default", async (t) => {
    for (const trustProxy of [undefined, false, 0, []]) {
      const app = serve(t, { options: { trustProxy } });
      const { request, raw } = await admitted(t, app, CLAIMS);
      const { remoteAddress, remotePort, secure, host } = request;
      assert.deepEqual([remoteAddress, secure, host], ["127.0.0.1", false, "localhost"]);
      assert.equal(remotePort, raw.socket.localPort);
    }
  });

  test("takes address, scheme and host from a proxy that it believes", async (t) => {
    const all: ServerOptions["trustProxy"][] = [
      true,
      1,
      ["loopback"],
      ["127.0.0.1"],
      ["10.0.0.0/8", "127.0.0.0/8"],
      ["::ffff:127.0.0.1"],
    ];
    for (const trustProxy of all) {
      const app = serve(t, { options: { trustProxy } });
      const { remoteAddress, remotePort, secure, host } = (await admitted(t, app, CLAIMS)).request;
      assert.deepEqual(
        [remoteAddress, remotePort, secure, host],
        ["203.0.113.7", 0, true, "app.example"],
      );
    }
  });

  test("does not believe a proxy that is not in the list", async (t) => {
    const app = serve(t, { options: { trustProxy: ["10.0.0.0/8", "linklocal", "uniquelocal"] } });
    const { remoteAddress, secure, host } = (await admitted(t, app, CLAIMS)).request;
    assert.deepEqual([remoteAddress, secure, host], ["127.0.0.1", false, "localhost"]);
  });

  test("walks from the right, and stops at the first address that is no proxy's", async (t) => {
    const forwarded = ["6.6.6.6, 203.0.113.7", "[::ffff:10.0.0.2]:81, 10.0.0.1:80"];
    const walks: [ServerOptions["trustProxy"], string][] = [
      [["loopback"], "10.0.0.1"],
      [["loopback", "uniquelocal"], "203.0.113.7"],
      [1, "10.0.0.1"],
      [2, "10.0.0.2"],
      [3, "203.0.113.7"],
      [true, "6.6.6.6"],
      [100, "6.6.6.6"],
    ];
    for (const [trustProxy, expected] of walks) {
      const app = serve(t, { options: { trustProxy } });
      const fields = { "X-Forwarded-For": forwarded };
      assert.equal((await admitted(t, app, fields)).request.remoteAddress, expected);
    }
  });

  test("stops at an entry that is no address", async (t) => {
    const app = serve(t, { options: { trustProxy: true } });
    for (const entry of ["unknown", "", "1.2.3", "a:b"]) {
      const fields = { "X-Forwarded-For": `6.6.6.6, ${entry}, 10.0.0.1` };
      assert.equal((await admitted(t, app, fields)).request.remoteAddress, "10.0.0.1");
    }
  });

  test("reads real header fields alone, never what a client names in its URL or subprotocol", async (t) => {
    const app = serve(t, { options: { trustProxy: true } });
    const query = Object.entries(CLAIMS).map(([name, value]) => `${name}=${value}`);
    const lower = query.map((pair) => pair.toLowerCase());
    const token = Buffer.from(JSON.stringify(CLAIMS)).toString("base64url");
    const { remoteAddress, secure, host } = (
      await admitted(
        t,
        app,
        { "Sec-WebSocket-Protocol": `zocket.1, zocket.h.${token}` },
        `GET /?${[...query, ...lower].join("&")} HTTP/1.1`,
      )
    ).request;
    assert.deepEqual([remoteAddress, secure, host], ["127.0.0.1", false, "localhost"]);
  });

  test("lets the origin rule compare with the host that the proxy names", async (t) => {
    const fields = { Host: "backend:3000", Origin: "https://app.example", Cookie: "a=1" };
    const forwarded = { ...fields, "X-Forwarded-Host": "app.example" };
    const blind = serve(t);
    assert.equal((await admitted(t, blind, forwarded)).headers["cookie"], undefined);
    const app = serve(t, { options: { trustProxy: ["loopback"] } });
    assert.equal((await admitted(t, app, forwarded)).headers["cookie"], "a=1");
    assert.equal((await admitted(t, app, fields)).headers["cookie"], undefined);
    const elsewhere = { ...forwarded, Origin: "https://elsewhere.example" };
    assert.equal((await admitted(t, app, elsewhere)).headers["cookie"], undefined);
  });

  test("counts connections by the address that the proxy names", async (t) => {
    const app = serve(t, {
      options: { trustProxy: ["loopback"], maxConnectionsPerAddress: 1 },
    });
    const from = (address: string) => request({ "X-Forwarded-For": address });
    const first = new Raw(t, app.port);
    first.write(from("203.0.113.7"));
    assert.equal((await first.answer()).status, 101);
    assert.equal((await ask(t, app.port, from("203.0.113.7"))).status, 429);
    assert.equal((await ask(t, app.port, from("203.0.113.7:1"))).status, 429);
    assert.equal((await ask(t, app.port, from("6.6.6.6, 203.0.113.7"))).status, 429);
    assert.equal((await ask(t, app.port, from("203.0.113.8"))).status, 101);
    first.socket.resetAndDestroy();
    await until("the end", () => app.disconnects.length > 0);
    await until("the seat", async () => {
      return (await ask(t, app.port, from("203.0.113.7"))).status === 101;
    });
  });

  test("counts upgrades a second by the address that the proxy names", async (t) => {
    const app = serve(t, {
      options: { trustProxy: 1, maxUpgradesPerSecondPerAddress: 0.001 },
    });
    const from = (address: string) => request({ "X-Forwarded-For": address });
    assert.equal((await ask(t, app.port, from("203.0.113.7"))).status, 101);
    assert.equal((await ask(t, app.port, from("203.0.113.7"))).status, 429);
    assert.equal((await ask(t, app.port, from("203.0.113.8"))).status, 101);
  });

  test("is a TypeError with a limit per address if clients could choose their address", (t) => {
    for (const trustProxy of [true, ["10.0.0.1", "0.0.0.0/0"], ["::/0"]]) {
      for (const limit of ["maxConnectionsPerAddress", "maxUpgradesPerSecondPerAddress"]) {
        assert.throws(() => serve(t, { options: { trustProxy, [limit]: 1 } }), {
          name: "TypeError",
          message: new RegExp(`^createServer: options\\.trustProxy: .*${limit}`),
        });
      }
    }
  });

  test("takes as many entries as a head can hold", async (t) => {
    const app = serve(t, { options: { trustProxy: ["loopback", "1.1.1.1"] } });
    const entries = `6.6.6.6${",1.1.1.1".repeat(1_900)}`;
    const { remoteAddress } = (await admitted(t, app, { "X-Forwarded-For": entries })).request;
    assert.equal(remoteAddress, "6.6.6.6");
    const tooMany = request({ "X-Forwarded-For": `6.6.6.6${",1.1.1.1".repeat(10_000)}` });
    assert.equal((await ask(t, app.port, tooMany)).status, 431);
  });
});

describe("trustedHeaders", () => {
  const LINE = "GET /?x-user-id=admin&X-User-Id=admin&x-user-%69d=admin&b=1 HTTP/1.1";

  test("without it a client can name every header that the proxy leaves out", async (t) => {
    const { headers } = await admitted(t, serve(t), {}, LINE);
    assert.equal(headers["x-user-id"], "admin");
  });

  test("come from real header fields alone, whatever the case", async (t) => {
    const app = serve(t, { options: { trustedHeaders: ["X-User-ID", "authorization"] } });
    const { headers } = await admitted(t, app, {}, LINE);
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.toLowerCase() === "x-user-id"),
      [],
    );
    assert.equal(headers["b"], "1");
    const real = await admitted(t, app, { "x-User-id": "ada" }, LINE);
    assert.equal(real.headers["x-user-id"], "ada");
    assert.ok(!Object.values(real.headers).includes("admin"));
  });

  test("cannot be named in the subprotocol either", async (t) => {
    const app = serve(t, { options: { trustedHeaders: ["x-user-id"] } });
    const claims = { "x-user-id": "admin", "X-User-Id": "admin", other: "1" };
    const token = Buffer.from(JSON.stringify(claims)).toString("base64url");
    const offer = { "Sec-WebSocket-Protocol": `zocket.1, zocket.h.${token}` };
    const { headers } = await admitted(t, app, offer);
    assert.equal(headers["other"], "1");
    assert.ok(!Object.values(headers).includes("admin"));
  });

  test("are withheld from another site like all others, and it cannot name them", async (t) => {
    const app = serve(t, { options: { trustedHeaders: ["authorization"] } });
    const fields = { Origin: "https://elsewhere.example", Authorization: "real" };
    const { headers } = await admitted(t, app, fields, "GET /?authorization=mine HTTP/1.1");
    assert.equal(headers["authorization"], undefined);
  });
});
