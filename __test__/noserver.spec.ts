// `noServer`: the application routes upgrades itself, and hands them over one by one.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { Duplex } from "node:stream";
import { describe, test } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { KINDS, httpServer, listen, portOf, trusting } from "./_attached.ts";
import { Raw, ask, request, said } from "./_raw.ts";
import { Client, anything, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router({}, {});
const none = { port: undefined, hostname: undefined, noServer: true } as unknown as ServerOptions;

describe("handleUpgrade", () => {
  for (const kind of KINDS) {
    test(`takes an upgrade of a server of ${kind}, at once or later, with what was sent meanwhile`, async (t) => {
      for (const delay of [0, 100]) {
        const app = serve(t, { options: none });
        const http = httpServer(kind);
        http.on("upgrade", async (request, socket, head) => {
          socket.on("error", () => {});
          if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
          app.server.handleUpgrade(request, socket, head);
        });
        const url = await listen(t, http, kind);
        const client = new Client(t, `${url}/any/path?x=1`, trusting);
        await soon("the 101", once(client.socket, "open"));
        await client.roundTrip();
        assert.equal(app.connects[0]?.headers["x"], "1");
        await client.close();
      }
    });
  }

  for (const kind of KINDS) {
    test(`refuses a socket of a server of ${kind} that it has had, and serves it on`, async (t) => {
      const app = serve(t, { options: none });
      const http = httpServer(kind);
      const thrown: unknown[] = [];
      http.on("upgrade", (request, socket, head) => {
        socket.on("error", () => {});
        app.server.handleUpgrade(request, socket, head);
        try {
          app.server.handleUpgrade(request, socket, head);
        } catch (error) {
          thrown.push(error);
        }
      });
      const client = new Client(t, await listen(t, http, kind), trusting);
      await soon("the 101", once(client.socket, "open"));
      await client.roundTrip();
      assert.match(
        String(thrown[0]),
        /^TypeError: server.handleUpgrade: socket: expected a socket/,
      );
      await client.close();
    });
  }

  test("takes along what came between the event and the call", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    let go = () => {};
    http.on("upgrade", (request, socket, head) => {
      go = () => app.server.handleUpgrade(request, socket, head);
    });
    await listen(t, http);
    const raw = new Raw(t, portOf(http), request());
    const early = Array.from({ length: 100 }, (_, n) => said(`${n} ${"x".repeat(1_000)}`));
    for (const message of early) {
      raw.write(message);
      await new Promise(setImmediate);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    go();
    raw.write(said("last"));
    await until("all", () => app.messages.length === 101);
    const heads = app.messages.map(({ payload }) => String(payload).split(" ")[0]);
    assert.deepEqual(heads, [...Array.from(early, (_, n) => String(n)), "last"]);
  });

  for (const kind of KINDS) {
    test(`takes a socket of a server of ${kind} that somebody waits at for bytes to read`, async (t) => {
      const app = serve(t, { options: none });
      const http = httpServer(kind);
      http.on("upgrade", async (request, socket, head) => {
        socket.on("readable", () => {});
        await new Promise(setImmediate);
        app.server.handleUpgrade(request, socket, head);
      });
      const url = await listen(t, http, kind);
      const client = new Client(t, url, trusting);
      await soon("the 101", once(client.socket, "open"));
      await client.roundTrip();
      await client.close();
      await until("onDisconnect", () => app.disconnects.length === 1);
    });
  }

  // On a socket that Node has written all to, the engine writes from then on. Otherwise what Node has left would be lost, or come late.
  for (const [what, bytes, isCorked] of [
    ["that the system does not take at once", 16 * 1024 * 1024, false],
    ["that is held back for now", 10, true],
  ] as const) {
    test(`lets what was written before leave first, ${what}`, async (t) => {
      const app = serve(t, { options: none });
      const http = httpServer();
      http.on("upgrade", (request, socket, head) => {
        if (isCorked) socket.cork();
        socket.write(Buffer.alloc(bytes, "x"));
        assert.ok(socket.writableLength > 0);
        app.server.handleUpgrade(request, socket, head);
        if (isCorked) setImmediate(() => socket.uncork());
      });
      await listen(t, http);
      const socket = connect(portOf(http), "127.0.0.1");
      t.after(() => socket.destroy());
      let early = 0;
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        const at = text === "" ? chunk.indexOf("H") : 0;
        const end = at < 0 ? chunk.length : at;
        early += end;
        text += chunk.toString("latin1", end);
      });
      socket.write(request());
      socket.write(said("first"));
      await until("the echo", () => text.includes('"first"') || socket.destroyed);
      assert.equal(early, bytes);
      assert.match(text, /^HTTP\/1\.1 101 [^]*"first"/);
      socket.write(said("second"));
      await until("the other echo", () => text.includes('"second"') || socket.destroyed);
      assert.deepEqual(
        app.messages.map(({ payload }) => payload),
        ["first", "second"],
      );
    });
  }

  test("forgets a client that has left before the call", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    http.on("upgrade", async (request, socket, head) => {
      socket.on("error", () => {});
      await new Promise((resolve) => socket.resume().once("close", resolve));
      app.server.handleUpgrade(request, socket, head);
    });
    await listen(t, http);
    const raw = new Raw(t, portOf(http), request());
    await once(http, "upgrade");
    raw.socket.resetAndDestroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([app.connects.length, app.server.clientCount()], [0, 0]);
  });

  test("keeps to a path, if one is given", async (t) => {
    const app = serve(t, { options: { ...none, path: "/only" } as ServerOptions });
    const http = httpServer();
    http.on("upgrade", app.server.handleUpgrade);
    await listen(t, http);
    assert.equal((await ask(t, portOf(http), request({}, "GET /other HTTP/1.1"))).status, 404);
    assert.equal((await ask(t, portOf(http), request({}, "GET /only HTTP/1.1"))).status, 101);
  });

  test("takes the header fields as they are now, and refuses what no head can hold", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    let change: (request: IncomingMessage) => void = () => {};
    http.on("upgrade", (request: IncomingMessage, socket, head) => {
      change(request);
      app.server.handleUpgrade(request, socket, head);
    });
    await listen(t, http);
    change = ({ rawHeaders }) => rawHeaders.push("X-User", "7");
    assert.equal((await ask(t, portOf(http), request())).status, 101);
    assert.equal(app.connects[0]?.headers["x-user"], "7");
    change = ({ rawHeaders }) => rawHeaders.splice(rawHeaders.indexOf("X-User"), 2, "x-user", "8");
    assert.equal((await ask(t, portOf(http), request({ "X-User": "admin" }))).status, 101);
    assert.equal(app.connects[1]?.headers["x-user"], "8");
    change = ({ rawHeaders }) => rawHeaders.splice(rawHeaders.indexOf("X-User"), 2);
    assert.equal((await ask(t, portOf(http), request({ "X-User": "admin" }))).status, 101);
    assert.equal(app.connects[2]?.headers["x-user"], undefined);
    for (const value of ["7\r\nX-Admin: 1", "7\nX-Admin: 1", "7\0", "\u{1f600}"]) {
      change = ({ rawHeaders }) => rawHeaders.push("X-User", value);
      assert.equal((await ask(t, portOf(http), request())).status, 400, JSON.stringify(value));
    }
    change = (it) => (it.url = "/ HTTP/1.1\r\nX-Admin: 1\r\nX: ");
    assert.equal((await ask(t, portOf(http), request())).status, 400);
    assert.equal(app.connects.length, 3);
  });

  test("answers 503 once the server stops", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    http.on("upgrade", app.server.handleUpgrade);
    await listen(t, http);
    const stopped = app.server.stop();
    assert.equal((await ask(t, portOf(http), request())).status, 503);
    await stopped;
    assert.equal((await ask(t, portOf(http), request())).status, 503);
  });

  test("counts the time from the call, not from the request", async (t) => {
    const app = serve(t, { options: { ...none, handshakeTimeout: 1_000 } as ServerOptions });
    const http = httpServer();
    http.on("upgrade", async (request, socket, head) => {
      await new Promise((resolve) => setTimeout(resolve, 1_300));
      app.server.handleUpgrade(request, socket, head);
    });
    await listen(t, http);
    assert.equal((await ask(t, portOf(http), request())).status, 101);
  });

  test("throws a TypeError for anything that is not from an upgrade event", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    const wrong = (pattern: RegExp, ...given: unknown[]) =>
      assert.throws(() => Reflect.apply(app.server.handleUpgrade, app.server, given), {
        name: "TypeError",
        message: pattern,
      });
    const errors: unknown[] = [];
    http.on("upgrade", (request, socket, head) => {
      try {
        wrong(/handleUpgrade: request/, undefined, socket, head);
        wrong(/handleUpgrade: request/, {}, socket, head);
        wrong(/handleUpgrade: socket/, request, {}, head);
        wrong(/handleUpgrade: socket/, request, null, head);
        wrong(/handleUpgrade: head/, request, socket);
        wrong(/handleUpgrade: head/, request, socket, "");
        app.server.handleUpgrade(request, socket, head);
        wrong(/handleUpgrade: socket.*before/, request, socket, head);
      } catch (error) {
        errors.push(error);
      }
    });
    http.on("request", (request) => {
      if (request.url !== "/page") return;
      try {
        wrong(/handleUpgrade: socket/, request, request.socket, Buffer.alloc(0));
      } catch (error) {
        errors.push(error);
      }
    });
    await listen(t, http);
    assert.equal((await ask(t, portOf(http), request())).status, 101);
    assert.equal((await ask(t, portOf(http), "GET /page HTTP/1.1\r\nHost: x\r\n\r\n")).status, 200);
    assert.deepEqual(errors, []);
  });

  test("throws a TypeError on every other server", (t) => {
    for (const options of [{}, { noServer: false }]) {
      const { server } = serve(t, { options });
      assert.throws(() => Reflect.apply(server.handleUpgrade, server, []), {
        name: "TypeError",
        message: /noServer/,
      });
    }
  });

  test("takes streams that are no sockets of the system", async (t) => {
    const app = serve(t, { options: none });
    const http = httpServer();
    http.on("upgrade", (request, socket, head) => {
      const wrapped = Duplex.from({ readable: socket, writable: socket } as never);
      app.server.handleUpgrade(request, wrapped, head);
    });
    const url = await listen(t, http);
    const client = await Client.open(t, url);
    await client.roundTrip();
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
  });
});

describe("noServer", () => {
  test("has neither port nor url", (t) => {
    const { server } = serve(t, { options: none });
    assert.deepEqual([server.port, server.hostname, server.url], [0, "", ""]);
  });

  test("cannot be combined with options that say where to listen", () => {
    const others = {
      server: httpServer(),
      port: 0,
      hostname: "x",
      socketPath: "/x",
      reusePort: true,
    };
    for (const [name, value] of Object.entries({ ...others, tls: {} })) {
      const options = { noServer: true, path: "/ws", [name]: value } as ServerOptions;
      assert.throws(
        () => createServer(router, zo, options),
        (error) => {
          assert.ok(error instanceof TypeError, String(error));
          assert.ok(
            error.message.includes(name) && error.message.includes("noServer"),
            error.message,
          );
          return true;
        },
        name,
      );
    }
  });
});
