// `onError`, and the logger that stands in for it.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Child, portOf } from "./_child.ts";
import { Raw, ask, request, said } from "./_raw.ts";
import { Client, serve } from "./_support.ts";
import { until } from "./_wait.ts";

describe("onError", () => {
  test("that throws, or rejects, ends nothing", async (t) => {
    for (const onError of [
      () => {
        throw new Error("from onError");
      },
      async () => {
        throw new Error("from onError");
      },
    ]) {
      const app = serve(t, { options: { onError } });
      const client = await Client.open(t, app.url);
      client.socket.send("no json");
      assert.equal((await client.next()).type, "$error");
      await client.roundTrip();
    }
  });

  test("left out, faults of the application are logged as they come, faults of peers as a count now and then", async (t) => {
    const child = Child.node(
      t,
      `const server = createServer(router, zo, local);
       hooks.say = (payload, ctx) => {
         if (payload === "throw") throw new Error("a fault of the application");
         if (payload === "stop") return server.stop();
         ctx.send.said(payload).to(ctx.clientId);
       };
       tell(server);`,
    );
    const client = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    for (let count = 0; count < 5000; count++) client.socket.send("no json");
    for (let count = 0; count < 3; count++) client.say("throw");
    await client.roundTrip();
    client.say("stop");
    const end = await child.exit;
    assert.deepEqual(end, { code: 0, signal: null });
    const log = child.out + child.err;
    assert.equal(log.match(/a fault of the application/g)?.length, 3, log.slice(0, 2000));
    assert.match(log, /BAD_MESSAGE/);
    const lines = log.split("\n").filter((line) => line.includes("BAD_MESSAGE"));
    assert.ok(lines.length < 50, `${lines.length} lines for 5000 bad messages`);
  });

  /** A server with the default logger whose callbacks throw what the given function returns. */
  const throwing = (what: string) => `
    const what = ${what};
    const fail = () => { throw what(); };
    const failing = zocket.create({
      headers: anything,
      onConnect: ({ name }) => name === "refused" ? fail() : {},
      onDisconnect: fail,
    });
    const { incoming } = failing.message;
    const rejecting = failing.message.use(fail).incoming;
    const table = { say: incoming({ payload: anything }), reject: rejecting({ payload: anything }) };
    const server = createServer(failing.router(table, { say: fail, reject() {} }), failing, local);
    process.on("SIGTERM", () => server.stop());
    tell(server);`;

  test("left out, clients that onConnect turns away are counted like other faults of peers", async (t) => {
    const refusal = `() => Object.assign(new Error("unknown token"), { status: 401 })`;
    const child = Child.node(t, throwing(refusal));
    const port = await portOf(child);
    for (let round = 0; round < 100; round++) {
      assert.equal((await ask(t, port, request({ Name: "refused" }))).status, 401);
    }
    child.process.kill("SIGTERM");
    assert.deepEqual(await child.exit, { code: 0, signal: null });
    const lines = child.err.match(/\d+ CONNECT/g) ?? [];
    assert.match(child.err, /Error: unknown token/, "the first one is shown");
    assert.ok(lines.length < 50, `${lines.length} lines for 100 refusals`);
    const counted = lines.reduce((sum, line) => sum + Number.parseInt(line, 10), 0);
    assert.equal(counted, 100);
  });

  test("left out, an onConnect that fails with a status of the server's own is logged as it comes", async (t) => {
    const failure = `() => Object.assign(new Error("no database"), { status: 503 })`;
    const child = Child.node(t, throwing(failure));
    const port = await portOf(child);
    for (let round = 0; round < 5; round++) {
      assert.equal((await ask(t, port, request({ Name: "refused" }))).status, 503);
    }
    child.process.kill("SIGTERM");
    assert.deepEqual(await child.exit, { code: 0, signal: null });
    assert.equal(child.err.match(/Error: no database/g)?.length, 5);
  });

  for (const [name, value] of Object.entries({
    "a revoked proxy":
      "(() => { const it = Proxy.revocable({}, {}); it.revoke(); return it.proxy; })()",
    "an object that throws when it is shown": `{ [Symbol.for("nodejs.util.inspect.custom")]() { throw 1; } }`,
  })) {
    test(`left out, ${name} that was thrown is logged wherever it was thrown, and ends nothing`, async (t) => {
      const child = Child.node(t, throwing(`() => (${value})`));
      const port = await portOf(child);
      assert.equal((await ask(t, port, request({ Name: "refused" }))).status, 403);
      // The logger counts faults of peers within a second after one of them.
      await until("CONNECT", () => /1 CONNECT/.test(child.err));
      const client = await Client.open(t, `ws://127.0.0.1:${port}`);
      client.send("say", 1);
      client.send("reject", 1);
      for (const code of ["HANDLER_ERROR", "REJECTED"]) {
        const { payload } = await client.next();
        assert.equal((payload as { code: string }).code, code);
      }
      await client.close();
      child.process.kill("SIGTERM");
      assert.deepEqual(await child.exit, { code: 0, signal: null });
      for (const code of ["HANDLER_ERROR", "REJECTED", "DISCONNECT"]) {
        assert.ok(child.err.includes(code), `no ${code} in ${child.err}`);
      }
    });
  }

  test("gets whatever was thrown as it is, with its code and client, from every callback", async (t) => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const thrown = [
      undefined,
      null,
      0,
      "text",
      Symbol("symbol"),
      10n,
      () => {},
      Object.create(null),
      Object.freeze(new Error("frozen")),
      { then: 1 },
      proxy,
      new Proxy({}, { get: () => assert.fail("read"), getPrototypeOf: () => assert.fail("asked") }),
    ];
    const cases = { onConnect: "CONNECT", say: "HANDLER_ERROR", onDisconnect: "DISCONNECT" };
    for (const [place, code] of Object.entries(cases)) {
      for (const [index, value] of thrown.entries()) {
        const app = serve(t, {
          [place]: () => {
            throw value;
          },
        });
        const raw = new Raw(t, app.port, request(), said("x"));
        const { status } = await raw.answer();
        assert.equal(status, place === "onConnect" ? 403 : 101);
        if (place === "say") await until("the $error", () => raw.messages().length === 1);
        raw.socket.destroy();
        await until(`${code} for ${index}`, () => app.errors.length === 1);
        const [told] = app.errors;
        assert.ok(Object.is(told?.error, value), `${place}: ${index}`);
        assert.deepEqual(
          { code: told?.code, clientId: told?.clientId, route: told?.route },
          {
            code,
            clientId: app.connects[0]?.clientId,
            route: place === "say" ? "say" : undefined,
          },
        );
      }
    }
  });
});
