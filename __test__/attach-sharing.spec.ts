// An HTTP server that several share: which upgrades are whose, what the server tells of addresses, and what keeps Node alive.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { Server as NetServer } from "node:net";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";
import { WebSocketServer } from "ws";

import { attached, httpServer, listen, on, portOf, trusting } from "./_attached.ts";
import { Authority } from "./_certificates.ts";
import { Child, portOf as portOfChild } from "./_child.ts";
import { ask, Raw, request } from "./_raw.ts";
import { Client, anything, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router({}, {});
const upgradeTo = (path: string, changes = {}) => request(changes, `GET ${path} HTTP/1.1`);
type OnUpgrade = (request: IncomingMessage, socket: Duplex) => void;

/** A listener of upgrades that answers 418, and the URLs that it got. */
function teapot(http: Server, add: "on" | "prependListener" = "on"): string[] {
  const got: string[] = [];
  const listener: OnUpgrade = ({ url = "" }, socket) => {
    got.push(url);
    socket.end("HTTP/1.1 418 Teapot\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  };
  http[add]("upgrade", listener);
  return got;
}

describe("upgrades of a shared HTTP server", () => {
  test("for other paths go to the other listeners, and ours to nobody else, whoever came first", async (t) => {
    for (const [add, isFirst] of [
      ["on", true],
      ["on", false],
      ["prependListener", false],
    ] as const) {
      const http = httpServer();
      const before = isFirst ? teapot(http, add) : [];
      const app = serve(t, { options: on(http) });
      const after = isFirst ? before : teapot(http, add);
      await listen(t, http);
      assert.equal((await ask(t, portOf(http), upgradeTo("/vite-hmr"))).status, 418);
      await Client.open(t, `ws://127.0.0.1:${portOf(http)}/ws?q=1`);
      assert.deepEqual(after, ["/vite-hmr"]);
      assert.deepEqual(app.server.metrics().refused, {});
    }
  });

  test("a ws server with a path of its own works beside us", async (t) => {
    const http = httpServer();
    const other = new WebSocketServer({ noServer: true });
    const hot: OnUpgrade = (request, socket) => {
      if (request.url !== "/hmr") return;
      other.handleUpgrade(request, socket, Buffer.alloc(0), (it) => it.send('{"type":"hot"}'));
    };
    http.on("upgrade", hot);
    serve(t, { options: on(http) });
    const beside = new WebSocketServer({ server: http, path: "/beside" });
    t.after(() => void beside.close());
    const url = await listen(t, http);
    await (await Client.open(t, `${url}/ws`)).roundTrip();
    await Client.open(t, `${url}/beside`);
  });

  test("get 404 if nobody else listens, and the refusal is counted", async (t) => {
    const { app, port } = await attached(t);
    for (const path of ["/other", "/ws/", "/WS", "/ws2", "/%77s"]) {
      assert.equal((await ask(t, port, upgradeTo(path))).status, 404, path);
    }
    assert.deepEqual(app.server.metrics().refused, { PATH: 5 });
  });

  test("are found by the path in every form that a proxy may send", async (t) => {
    const { port } = await attached(t);
    for (const target of ["/ws", "/ws?a=/b", "http://localhost/ws", "HTTP://localhost:80/ws?x"]) {
      assert.equal((await ask(t, port, upgradeTo(target))).status, 101, target);
    }
  });

  test("to another protocol stay ordinary requests where Node can tell, and get 404 elsewhere", async (t) => {
    const { app, http, port } = await attached(t);
    const canTell = "shouldUpgradeCallback" in http;
    for (const path of ["/ws", "/page"]) {
      const answer = await ask(t, port, upgradeTo(path, { Upgrade: "h2c" }));
      assert.equal(answer.status, canTell ? 200 : 404);
      if (canTell) assert.equal(answer.body, `got ${path}`);
    }
    const got = teapot(http);
    assert.equal((await ask(t, port, upgradeTo("/ws", { Upgrade: "h2c" }))).status, 418);
    assert.deepEqual(got, ["/ws"]);
    assert.equal((await ask(t, port, upgradeTo("/ws", { Upgrade: "WebSocket, h2c" }))).status, 101);
    await app.server.stop();
  });

  test("two servers on one path are one too many, and on two paths they are not", async (t) => {
    const http = httpServer();
    const one = serve(t, { options: on(http, { path: "/one" }) });
    const two = serve(t, { options: on(http, { path: "/two" }) });
    assert.throws(() => createServer(router, zo, on(http, { path: "/one" })), {
      name: "Error",
      code: "EPATHINUSE",
      message: /options\.path.*options\.server.*\/one/,
    });
    const url = await listen(t, http);
    await Client.open(t, `${url}/one`);
    await Client.open(t, `${url}/two`);
    assert.deepEqual([one.connects.length, two.connects.length], [1, 1]);
    assert.equal(http.listenerCount("upgrade"), 1);
    await one.server.stop();
    const again = serve(t, { options: on(http, { path: "/one" }) });
    await Client.open(t, `${url}/one`);
    assert.deepEqual([one.connects.length, again.connects.length], [1, 1]);
  });

  test("a stopped server leaves the HTTP server as it was", async (t) => {
    const http = httpServer();
    const names = () => Object.getOwnPropertyNames(http).toSorted();
    const before = names();
    const choose = (http as { shouldUpgradeCallback?: unknown }).shouldUpgradeCallback;
    for (let round = 0; round < 3; round += 1) {
      const { server } = serve(t, { options: on(http) });
      assert.equal(http.listenerCount("upgrade"), 1);
      const stopped = server.stop();
      assert.equal(http.listenerCount("upgrade"), 0);
      await stopped;
      assert.deepEqual(names(), before);
      assert.equal((http as { shouldUpgradeCallback?: unknown }).shouldUpgradeCallback, choose);
    }
    await listen(t, http);
    // Without a listener Node takes an upgrade for an ordinary request, or ends it.
    const raw = new Raw(t, portOf(http), upgradeTo("/ws"));
    await until(
      "an answer that is not ours",
      () => raw.text.includes("got /ws") || raw.socket.destroyed,
    );
  });

  test("somebody who covers emit after us does not lose it when we leave", async (t) => {
    const http = httpServer();
    const app = serve(t, { options: on(http) });
    const { emit } = http;
    const seen: unknown[] = [];
    http.emit = function (this: Server, ...given: unknown[]) {
      seen.push(given[0]);
      return Reflect.apply(emit, this, given) as boolean;
    } as Server["emit"];
    const url = await listen(t, http);
    await Client.open(t, `${url}/ws`);
    await app.server.stop();
    assert.ok(seen.includes("upgrade"));
    const again = serve(t, { options: on(http) });
    await Client.open(t, `${url}/ws`);
    assert.equal(again.connects.length, 1);
  });
});

describe("the address of an HTTP server", () => {
  test("is read at each moment", async (t) => {
    const http = httpServer();
    const { server } = serve(t, { options: on(http) });
    const place = () => [server.port, server.hostname, server.url];
    assert.deepEqual(place(), [0, "", ""]);
    await listen(t, http);
    const port = portOf(http);
    assert.deepEqual(place(), [port, "127.0.0.1", `ws://127.0.0.1:${port}`]);
    http.close();
    await once(http, "close");
    assert.deepEqual(place(), [0, "", ""]);
    http.listen(0);
    await once(http, "listening");
    assert.deepEqual([server.port, server.url], [portOf(http), `ws://localhost:${portOf(http)}`]);
  });

  test("starts with wss where it speaks TLS, and is a path where it has one", async (t) => {
    for (const kind of ["https", "http2"] as const) {
      const { app, port } = await attached(t, { kind });
      assert.equal(app.server.url, `wss://127.0.0.1:${port}`);
    }
    const { app, http } = await attached(t, { kind: "unix" });
    const place = () => [app.server.port, app.server.hostname, app.server.url];
    assert.deepEqual(place(), [0, "", `ws+unix:${String(http.address())}`]);
    http.close();
    await once(http, "close");
    assert.deepEqual(place(), [0, "", ""]);
  });
});

describe("the options server and path", () => {
  const http = httpServer();
  const throwsTypeError = (options: object, ...names: string[]) =>
    assert.throws(
      () => void createServer(router, zo, options as ServerOptions).stop(),
      (error) => {
        assert.ok(error instanceof TypeError, String(error));
        for (const name of names) assert.ok(error.message.includes(name), error.message);
        return true;
      },
    );

  test("cannot be combined with others that say where to listen", () => {
    const others = { port: 0, hostname: "x", socketPath: "/x", reusePort: true, noServer: true };
    for (const [name, value] of Object.entries(others)) {
      throwsTypeError({ server: http, path: "/ws", [name]: value }, name, "options.server");
    }
    throwsTypeError({ server: http, path: "/ws", tls: {} }, "tls");
    assert.equal(http.listenerCount("upgrade"), 0);
  });

  test("belong together", () => {
    throwsTypeError({ server: http }, "options.path", "options.server");
    throwsTypeError({ server: http, path: "ws" }, "path");
    assert.equal(http.listenerCount("upgrade"), 0);
  });

  test("take HTTP servers alone", () => {
    const others = [new NetServer(), createHttp2Server(), {}, "http", null, 80, () => {}];
    for (const server of others) throwsTypeError({ server, path: "/ws" }, "options.server");
  });
});

describe("on an HTTP server, Node", () => {
  const START = `
    import { createServer as createHttpServer } from "node:http";
    const http = createHttpServer();
    const server = createServer(router, zo, { server: http, path: "/ws" });
    const listening = () => new Promise((done) => http.listen(0, "127.0.0.1", done));`;

  test("is not kept alive by the server", async (t) => {
    await Child.node(t, START).endsWell();
    await Child.node(t, `${START} await listening(); http.close();`).endsWell();
    await Child.node(t, `${START} await listening(); http.unref();`).endsWell();
  });

  test("is kept alive by open connections, and by stop() until it resolves", async (t) => {
    const child = Child.node(
      t,
      `${START} await listening(); tell(server);
       hooks.connect = () => { setTimeout(() => http.close()); };
       hooks.disconnect = () => console.log("gone");
       hooks.say = async () => { await server.stop(); console.log("stopped"); };`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOfChild(child)}/ws`);
    // Long enough that it would have ended.
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.say(1);
    await child.printed(/gone[^]*stopped/);
    await child.endsWell();
  });

  test("is not kept alive by connections after unref", async (t) => {
    for (const before of ["server.unref();", ""]) {
      const child = Child.node(
        t,
        `${START} ${before} await listening(); tell(server);
         hooks.say = () => { http.close(); http.unref(); server.unref(); };`,
      );
      const client = await Client.open(t, `ws://127.0.0.1:${await portOfChild(child)}/ws`);
      client.say(1);
      await child.endsWell();
    }
  });

  test(
    "is not kept alive by connections that it pumps either",
    { skip: process.platform === "win32" },
    async (t) => {
      for (const before of [true, false]) {
        const child = Child.node(
          t,
          `${START} ${before ? "server.unref();" : ""}
           const path = "/tmp/zocket-unref-" + process.pid;
           http.listen(path, () => console.log("at " + path + ";"));
           hooks.say = () => { http.close(); http.unref(); server.unref(); };`,
        );
        const path = await child.printed(/at (.*);/);
        const client = await Client.open(t, `ws+unix://${path}:/ws`);
        await new Promise((resolve) => setTimeout(resolve, 200));
        client.say(1);
        await child.endsWell();
      }
    },
  );
});

test("onConnect is told of TLS and of the address, whichever way the bytes take", async (t) => {
  for (const kind of ["http", "https", "unix"] as const) {
    const http = httpServer(kind);
    const seen: { secure: boolean; remoteAddress: string; remotePort: number }[] = [];
    const own = zocket.create({
      headers: anything<Record<string, string>>(),
      onConnect: (_headers, _id, request) => {
        seen.push(request);
        return {};
      },
    });
    const server = createServer(own.router({}, {}), own, on(http));
    t.after(() => server.stop(true));
    const client = await Client.open(t, `${await listen(t, http, kind)}/ws`, trusting);
    const local = (client.socket as unknown as { _socket: { localPort?: number } })._socket;
    const { secure, remoteAddress, remotePort } = seen[0] ?? assert.fail("nobody connected");
    assert.equal(secure, kind === "https");
    assert.equal(remoteAddress, kind === "unix" ? "" : "127.0.0.1");
    assert.equal(remotePort, kind === "unix" ? 0 : local.localPort);
  }
});

test("onConnect gets the certificate of a client if Node says that it is authorized", async (t) => {
  const authority = new Authority();
  const { cert, key } = authority.issue();
  const http = createHttpsServer({
    cert,
    key,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const seen: (string | undefined)[] = [];
  const own = zocket.create({
    headers: anything<Record<string, string>>(),
    onConnect: (_headers, _id, { clientCertificate }) => {
      seen.push(clientCertificate);
      return {};
    },
  });
  const server = createServer(own.router({}, {}), own, on(http));
  t.after(() => server.stop(true));
  const url = `${await listen(t, http, "https")}/ws`;
  const known = authority.issue("known");
  await Client.open(t, url, { ...trusting, ...known });
  await Client.open(t, url, { ...trusting, ...new Authority("another").issue("unknown") });
  await Client.open(t, url, trusting);
  const plain = (text: string | undefined) => text?.replaceAll(/\s/g, "");
  assert.deepEqual(seen.map(plain), [plain(known.cert), undefined, undefined]);
});
