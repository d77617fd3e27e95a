// A connection's life: what of the request reaches the headers schema, who is let in, and that each onConnect that
// succeeded is followed by exactly one onDisconnect.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { createServer, zocket, type ServerOptions } from "@zocket/core";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import {
  Child,
  Client,
  Raw,
  anything,
  ask,
  frame,
  latch,
  request,
  said,
  serve,
  soon,
  until,
  type App,
  type Headers,
  type LastContext,
} from "./_support.ts";

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The headers onConnect gets for a request. */
async function headersOf(
  t: TestContext,
  changes: Record<string, string | string[] | undefined>,
  target = "/",
  options?: ServerOptions,
): Promise<Headers> {
  const { port, connects } = serve(t, { ...(options && { options }) });
  const { status } = await ask(t, port, request(changes, `GET ${target} HTTP/1.1`));
  assert.equal(status, 101);
  return connects[0]?.headers as Headers;
}

describe("headers", () => {
  test("are the request's, names in lower case, values as they are", async (t) => {
    const headers = await headersOf(t, { "X-MiXed": "VaLue", Authorization: "Bearer a  b" });
    assert.equal(headers["x-mixed"], "VaLue");
    assert.equal(headers["authorization"], "Bearer a  b");
    assert.equal(headers["host"], "localhost");
    assert.equal(headers["upgrade"], "websocket");
    assert.ok(Object.keys(headers).every((name) => name === name.toLowerCase()));
  });

  test("that are repeated are joined with a comma, cookies with a semicolon", async (t) => {
    const headers = await headersOf(t, {
      "X-Many": ["a", "b"],
      "x-MANY": "c",
      Cookie: ["a=1", "b=2; c=3"],
    });
    assert.equal(headers["x-many"], "a, b, c");
    assert.equal(headers["cookie"], "a=1; b=2; c=3");
  });

  test("hold the query parameters too, names in lower case, decoded", async (t) => {
    const headers = await headersOf(
      t,
      {},
      "/p?Authorization=Bearer%20x&A+b=c+d&%C3%89=%F0%9F%99%82&empty=&bare",
    );
    assert.equal(headers["authorization"], "Bearer x");
    assert.equal(headers["a b"], "c d");
    assert.equal(headers["é"], "🙂");
    assert.equal(headers["empty"], "");
    assert.equal(headers["bare"], "");
  });

  test("of the query: the last of several wins, whatever the case of its name", async (t) => {
    const headers = await headersOf(t, {}, "/?a=1&b=x&A=2&a=3&B=y");
    assert.deepEqual([headers["a"], headers["b"]], ["3", "y"]);
  });

  test("that are real win over query parameters of their name", async (t) => {
    const target = "/?authorization=forged&HOST=forged&x-empty=forged";
    const headers = await headersOf(t, { Authorization: "real", "X-Empty": "" }, target);
    assert.equal(headers["authorization"], "real");
    assert.equal(headers["host"], "localhost");
    assert.equal(headers["x-empty"], "");
  });

  test("never have a cookie from the query", async (t) => {
    for (const name of ["cookie", "Cookie", "COOKIE", "c%6Fokie"]) {
      assert.ok(!("cookie" in (await headersOf(t, {}, `/?${name}=a=1`))), name);
      const real = await headersOf(t, { Cookie: "b=2" }, `/?${name}=a=1`);
      assert.equal(real["cookie"], "b=2", name);
    }
  });

  test("named like parts of every object pollute nothing", async (t) => {
    const headers = await headersOf(
      t,
      { Constructor: "a" },
      "/?__proto__=b&toString=c&hasOwnProperty=d",
    );
    assert.equal(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "b");
    assert.equal(headers["constructor"], "a");
    assert.equal(headers["tostring"], "c");
    assert.equal(({} as Headers)["b"], undefined);
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
  });

  test("with bytes above ASCII come as Latin-1, as in Node", async (t) => {
    const { port, connects } = serve(t);
    await ask(t, port, Buffer.from(request({ "X-Name": "Zo\xeb" }), "latin1"));
    assert.equal(connects[0]?.headers["x-name"], "Zoë");
  });
});

describe("requests from other sites, without allowedOrigins", () => {
  const CREDENTIALS = { Cookie: "session=1", Authorization: "Basic secret" };
  const host = { Host: "chat.example:8080" };
  const ELSEWHERE: [what: string, origin: string][] = [
    ["another host", "http://evil.example:8080"],
    ["another port", "http://chat.example:8081"],
    ["the default port", "http://chat.example"],
    ["a host that starts alike", "http://chat.example:8080.evil.example"],
    ["a subdomain", "http://a.chat.example:8080"],
    ["null", "null"],
    ["nonsense", "chat.example:8080"],
  ];
  for (const [what, Origin] of ELSEWHERE) {
    test(`(${what}) keep working, but cookie and a real authorization are withheld`, async (t) => {
      const headers = await headersOf(t, { ...CREDENTIALS, ...host, Origin, "X-Other": "1" });
      assert.ok(!("cookie" in headers) && !("authorization" in headers));
      assert.deepEqual([headers["origin"], headers["x-other"]], [Origin, "1"]);
    });
  }

  test("may still bring an authorization in the query: it is withheld before the merge", async (t) => {
    const Origin = "http://evil.example";
    const headers = await headersOf(t, { ...CREDENTIALS, Origin }, "/?authorization=own&cookie=a");
    assert.equal(headers["authorization"], "own");
    assert.ok(!("cookie" in headers));
  });

  test("from the same host and port nothing is withheld", async (t) => {
    for (const [Host, Origin] of [
      ["chat.example:8080", "http://chat.example:8080"],
      ["chat.example", "https://chat.example"],
      ["chat.example", "http://chat.example"],
      ["chat.example:443", "https://chat.example"],
      ["CHAT.example", "http://chat.EXAMPLE"],
      ["[::1]:80", "http://[::1]"],
    ] as const) {
      const headers = await headersOf(t, { ...CREDENTIALS, Host, Origin });
      assert.equal(headers["cookie"], "session=1", Origin);
      assert.equal(headers["authorization"], "Basic secret", Origin);
    }
  });

  test("without an Origin nothing is withheld", async (t) => {
    const headers = await headersOf(t, { ...CREDENTIALS, ...host });
    assert.equal(headers["cookie"], "session=1");
    assert.equal(headers["authorization"], "Basic secret");
  });
});

describe("allowedOrigins", () => {
  const allowedOrigins = ["https://a.example", "http://b.example:8080"];
  const CREDENTIALS = { Cookie: "session=1", Authorization: "Basic secret" };

  test("as a list lets exactly these in, with their credentials", async (t) => {
    for (const Origin of allowedOrigins) {
      const headers = await headersOf(t, { ...CREDENTIALS, Origin }, "/", { allowedOrigins });
      assert.equal(headers["cookie"], "session=1");
      assert.equal(headers["authorization"], "Basic secret");
    }
  });

  test("as a list refuses others with 403, before onConnect, and tells onError", async (t) => {
    const app = serve(t, { options: { allowedOrigins } });
    const others = [
      "http://a.example",
      "https://a.example:8443",
      "https://a.example.evil",
      "https://x.a.example",
      "null",
      // The server's own site is no exception.
      "http://localhost",
    ];
    for (const Origin of others) {
      assert.equal((await ask(t, app.port, request({ Origin }))).status, 403, Origin);
    }
    await until("the reports", () => app.errors.length === others.length);
    assert.ok(app.errors.every(({ code }) => code === "ORIGIN"));
    assert.equal(app.connects.length, 0);
    assert.deepEqual(app.server.metrics().refused, { ORIGIN: others.length });
  });

  test("lets requests without an Origin in", async (t) => {
    const never = () => assert.fail("there is no origin to ask about");
    for (const rule of [allowedOrigins, [], never]) {
      const headers = await headersOf(t, CREDENTIALS, "/", { allowedOrigins: rule });
      assert.equal(headers["cookie"], "session=1");
    }
  });

  test("as a function is asked with the origin's string", async (t) => {
    const asked: unknown[][] = [];
    const app = serve(t, {
      options: {
        allowedOrigins: (...args: [string]) => {
          asked.push(args);
          return args[0] === "https://a.example";
        },
      },
    });
    const good = request({ ...CREDENTIALS, Origin: "https://a.example" });
    assert.equal((await ask(t, app.port, good)).status, 101);
    assert.equal((await ask(t, app.port, request({ Origin: "null" }))).status, 403);
    assert.deepEqual(
      asked.map(([origin]) => origin),
      ["https://a.example", "null"],
    );
    assert.equal(app.connects[0]?.headers["cookie"], "session=1");
    assert.equal(app.connects.length, 1);
    assert.deepEqual(app.server.metrics().refused, { ORIGIN: 1 });
  });

  test("as a function that throws refuses with 403 and tells onError what it threw", async (t) => {
    const thrown = { secret: "no Error" };
    const app = serve(t, {
      options: {
        allowedOrigins: () => {
          throw thrown;
        },
      },
    });
    const { status, body } = await ask(t, app.port, request({ Origin: "https://a.example" }));
    assert.equal(status, 403);
    assert.doesNotMatch(body, /secret/);
    assert.equal(app.errors.length, 1);
    assert.deepEqual([app.errors[0]?.error, app.errors[0]?.code], [thrown, "ORIGIN"]);
    assert.equal(app.errors[0]?.error, thrown);
    assert.equal(app.connects.length, 0);
  });
});

/** Schemas that want an `authorization`, and give it back as `token` in capitals. */
const SCHEMAS: Record<string, StandardSchemaV1<unknown, { token: string }>> = {
  "Zod 4": z
    .object({ authorization: z.string().min(3) })
    .transform(({ authorization }) => ({ token: authorization.toUpperCase() })),
  "Zod 4, asynchronous": z
    .object({ authorization: z.string().refine(async (text) => text.length >= 3) })
    .transform(async ({ authorization }) => ({ token: authorization.toUpperCase() })),
  "Valibot 1": v.pipe(
    v.object({ authorization: v.pipe(v.string(), v.minLength(3)) }),
    v.transform(({ authorization }) => ({ token: authorization.toUpperCase() })),
  ),
  "Valibot 1, asynchronous": v.pipeAsync(
    v.objectAsync({
      authorization: v.pipeAsync(
        v.string(),
        v.checkAsync(async (text) => text.length >= 3, "too short"),
      ),
    }),
    v.transform(({ authorization }) => ({ token: authorization.toUpperCase() })),
  ),
  "ArkType 2": type({ authorization: "string >= 3" }).pipe(({ authorization }) => ({
    token: authorization.toUpperCase(),
  })),
  "a schema written by hand": byHand((result) => result),
  "a schema written by hand, asynchronous": byHand(async (result) => result),
};

function byHand(
  wrap: (
    result: StandardSchemaV1.Result<{ token: string }>,
  ) =>
    | StandardSchemaV1.Result<{ token: string }>
    | Promise<StandardSchemaV1.Result<{ token: string }>>,
): StandardSchemaV1<unknown, { token: string }> {
  const validate = (value: unknown) => {
    const { authorization = "" } = value as Headers;
    return wrap(
      authorization.length < 3
        ? { issues: [{ message: "too short", path: ["authorization"] }] }
        : { value: { token: authorization.toUpperCase() } },
    );
  };
  return { "~standard": { version: 1, vendor: "specs", validate } };
}

describe("the headers schema", () => {
  for (const [name, schema] of Object.entries(SCHEMAS)) {
    test(`(${name}) gives onConnect its output`, async (t) => {
      const app = serve(t, { headers: schema });
      await Client.open(t, app.url, { headers: { authorization: "abc" } });
      assert.deepEqual({ ...app.connects[0]?.headers }, { token: "ABC" });
    });

    test(`(${name}) that finds issues refuses with 400 and its issues as JSON, without onConnect`, async (t) => {
      const app = serve(t, { headers: schema });
      for (const changes of [{ Authorization: "x" }, {}]) {
        const { status, headers, body } = await ask(t, app.port, request(changes));
        assert.equal(status, 400);
        assert.equal(headers["content-type"], "application/json");
        const { error, details, ...rest } = JSON.parse(body);
        assert.equal(error, "Invalid headers");
        assert.deepEqual(rest, {});
        assert.equal(details.length, 1, body);
        assert.equal(typeof details[0].message, "string");
        // Standard Schema: a part of the path is a key, or an object that has it.
        assert.equal(details[0].path[0].key ?? details[0].path[0], "authorization");
      }
      assert.equal(app.connects.length, 0);
      assert.deepEqual(app.server.metrics().refused, { HEADERS: 2 });
      assert.ok(app.errors.every(({ code }) => code === "HEADERS"));
    });
  }

  const THROWING: Record<string, () => never | Promise<never>> = {
    throws: () => {
      throw new Error("secret");
    },
    rejects: async () => {
      throw new Error("secret");
    },
    "throws what is no Error": () => {
      throw "secret";
    },
  };
  for (const [what, validate] of Object.entries(THROWING)) {
    test(`that ${what} refuses with 500 and tells onError, not the client`, async (t) => {
      const headers = { "~standard": { version: 1, vendor: "specs", validate } } as const;
      const app = serve(t, { headers });
      const { status, body } = await ask(t, app.port, request());
      assert.equal(status, 500);
      assert.doesNotMatch(body, /secret/);
      assert.equal(app.connects.length, 0);
      assert.equal(app.errors.length, 1);
      assert.equal(app.errors[0]?.code, "HEADERS");
      assert.match(String(app.errors[0]?.error), /secret/);
    });
  }

  test("that gives back nonsense refuses with 500", async (t) => {
    for (const result of [undefined, null, 1]) {
      const validate = () => result as unknown as StandardSchemaV1.SuccessResult<Headers>;
      const headers = { "~standard": { version: 1, vendor: "specs", validate } } as const;
      assert.equal((await ask(t, serve(t, { headers }).port, request())).status, 500);
    }
  });

  test("whose issues JSON cannot hold still refuses with 400", async (t) => {
    const issue: Record<string, unknown> = { message: "round" };
    issue["self"] = issue;
    const validate = () => ({ issues: [issue as unknown as StandardSchemaV1.Issue] });
    const headers = { "~standard": { version: 1, vendor: "specs", validate } } as const;
    const app = serve(t, { headers });
    const { status, body } = await ask(t, app.port, request());
    assert.equal(status, 400);
    assert.match(body, /Invalid headers/);
  });
});

describe("onConnect", () => {
  test("runs before the 101", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 1);
    // A whole round trip on another connection later there is still no answer.
    await ask(t, app.port, request({ Upgrade: undefined }));
    assert.equal(raw.text, "");
    admission.open({});
    assert.equal((await raw.answer()).status, 101);
  });

  test("gets a clientId that is a random UUID of version 4 in lower case, the one of ctx", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 50 }, () => Client.open(t, app.url)));
    for (const client of clients) await client.roundTrip();
    const ids = app.connects.map(({ clientId }) => clientId);
    for (const id of ids) assert.match(id, UUID_V4);
    assert.equal(new Set(ids).size, 50);
    assert.deepEqual(app.messages.map(({ clientId }) => clientId).toSorted(), ids.toSorted());
  });

  test("gives the context of handlers and of onDisconnect", async (t) => {
    const app = serve(t, {
      onConnect: async ({ name }) => ({ user: name }),
      say: (_, ctx) => ctx.send.said(ctx.user).to(ctx.clientId),
    });
    const client = await Client.open(t, app.url, { headers: { name: "Ada" } });
    client.say(null);
    assert.equal((await client.next()).payload, "Ada");
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(app.disconnects[0]?.ctx.user, "Ada");
  });

  test("cannot replace clientId, send or rooms: ours win", async (t) => {
    const app = serve(t, {
      onConnect: () => ({ clientId: "forged", send: "forged", rooms: "forged", user: "Ada" }),
    });
    const client = await Client.open(t, app.url);
    await client.roundTrip();
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    const { ctx, clientId } = app.disconnects[0] as { ctx: LastContext; clientId: string };
    assert.equal(ctx.clientId, clientId);
    assert.match(clientId, UUID_V4);
    assert.equal(ctx.rooms.size, 0);
    assert.equal(app.messages[0]?.clientId, clientId);
  });

  const REFUSING: [what: string, thrown: unknown, status: number][] = [
    ["an Error: 403", new Error("secret"), 403],
    [
      "an Error with a status of its own: that",
      Object.assign(new Error("secret"), { status: 401 }),
      401,
    ],
    [
      "the highest status that counts: that",
      Object.assign(new Error("secret"), { status: 599 }),
      599,
    ],
    [
      "the lowest status that counts: that",
      Object.assign(new Error("secret"), { status: 400 }),
      400,
    ],
    ["a status below 400: 403", Object.assign(new Error("secret"), { status: 399 }), 403],
    [
      "a status that would let it in: 403",
      Object.assign(new Error("secret"), { status: 101 }),
      403,
    ],
    ["a status above 599: 403", Object.assign(new Error("secret"), { status: 600 }), 403],
    [
      "a status that is no whole number: 403",
      Object.assign(new Error("secret"), { status: 400.5 }),
      403,
    ],
    ["a status that is no number: 403", Object.assign(new Error("secret"), { status: "401" }), 403],
    ["an object with a status: that", { status: 429, text: "secret" }, 429],
    ["a string: 403", "secret", 403],
    ["undefined: 403", undefined, 403],
    ["null: 403", null, 403],
  ];
  for (const [what, thrown, expected] of REFUSING) {
    test(`that throws ${what}; what was thrown goes to onError, not to the client`, async (t) => {
      const throwing = () => {
        throw thrown;
      };
      for (const onConnect of [throwing, async () => throwing()]) {
        const app = serve(t, { onConnect });
        const { status, body } = await ask(t, app.port, request());
        assert.equal(status, expected);
        assert.doesNotMatch(body, /secret/);
        assert.equal(app.errors.length, 1);
        assert.equal(app.errors[0]?.error, thrown);
        assert.equal(app.errors[0]?.code, "CONNECT");
        await app.server.stop();
        assert.equal(app.disconnects.length, 0, "onDisconnect is for those that succeeded");
        assert.deepEqual(app.server.metrics().refused, { CONNECT: 1 });
      }
    });
  }

  test("that returns nothing gives the context {}", async (t) => {
    for (const onConnect of [() => undefined, async () => undefined]) {
      const app = serve(t, { onConnect });
      const client = await Client.open(t, app.url);
      await client.roundTrip();
      await client.close();
      await until("onDisconnect", () => app.disconnects.length === 1);
      const own = Object.keys(app.disconnects[0]?.ctx ?? { missing: true });
      assert.deepEqual(own.toSorted(), ["clientId", "rooms"]);
    }
  });

  test("may be left out, and so may onDisconnect", async (t) => {
    const zo = zocket.create({ headers: anything<Headers>() });
    const routes = {
      keys: zo.message.incoming({ payload: anything<null>() }),
      said: zo.message.outgoing({ payload: anything<string[]>() }),
    };
    const router = zo.router(routes, {
      keys: ({ ctx }) => ctx.send.said(Object.keys(ctx).toSorted()).to(ctx.clientId),
    });
    const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    const client = await Client.open(t, server.url);
    client.send("keys", null);
    assert.deepEqual((await client.next()).payload, ["clientId", "rooms", "send"]);
    await client.close();
    await until("the end", () => server.clientCount() === 0);
  });

  test("that returns what is no object refuses with 500, and counts as failed", async (t) => {
    for (const wrong of [null, 1, 0, "", "text", true, false, 1n, Symbol("x")]) {
      for (const onConnect of [() => wrong, async () => wrong]) {
        const app = serve(t, { onConnect });
        assert.equal((await ask(t, app.port, request())).status, 500, String(wrong));
        assert.equal(app.errors[0]?.code, "CONNECT");
        await app.server.stop();
        assert.equal(app.disconnects.length, 0);
      }
    }
  });

  test("that is too slow, or a schema that is, gets its client 503", async (t) => {
    const never = new Promise<never>(() => {});
    const slow: StandardSchemaV1<unknown, Headers> = {
      "~standard": { version: 1, vendor: "specs", validate: () => never },
    };
    for (const given of [{ onConnect: () => never }, { headers: slow }]) {
      const app = serve(t, { ...given, options: { handshakeTimeout: 100 } });
      assert.equal((await ask(t, app.port, request())).status, 503);
      assert.deepEqual(app.server.metrics().refused, { TIMEOUT: 1 });
      assert.equal(app.server.clientCount(), 0);
    }
  });

  test("of a slow client does not hold up others", async (t) => {
    const admission = latch<object>();
    const app = serve(t, {
      onConnect: ({ slow }) => (slow ? admission.promise : {}),
      options: { ioThreads: 1 },
    });
    const slow = new Raw(t, app.port, request({ Slow: "1" }));
    await until("onConnect", () => app.connects.length === 1);
    await (await Client.open(t, app.url)).roundTrip();
    admission.open({});
    assert.equal((await slow.answer()).status, 101);
  });
});

describe("messages sent early", () => {
  test("are kept until onConnect is done, and handled in order", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request(), said(1), said(2));
    await until("onConnect", () => app.connects.length === 1);
    raw.write(said(3), said(4));
    await ask(t, app.port, request({ Upgrade: undefined }));
    assert.equal(app.messages.length, 0);
    admission.open({});
    await until("the echoes", () => raw.messages().length === 4);
    assert.deepEqual(
      app.messages.map(({ payload }) => payload),
      [1, 2, 3, 4],
    );
    assert.deepEqual(app.order, ["connect", "message", "message", "message", "message"]);
  });

  test("in one segment with the request, cut anywhere, are not lost", async (t) => {
    const app = serve(t, { onConnect: async () => ({}) });
    const bytes = Buffer.concat([Buffer.from(request()), said("first"), said("second")]);
    for (let cut = bytes.length - 60; cut < bytes.length; cut += 7) {
      const raw = new Raw(t, app.port, bytes.subarray(0, cut));
      raw.socket.setNoDelay(true);
      await new Promise(setImmediate);
      raw.write(bytes.subarray(cut));
      await until("two echoes", () => raw.messages().length === 2);
      assert.deepEqual(
        raw.messages().map(({ payload }) => payload),
        ["first", "second"],
      );
    }
  });

  test("in large numbers are not lost either", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise, say() {} });
    const raw = new Raw(t, app.port, request());
    const text = "x".repeat(10_000);
    for (let number = 0; number < 100; number++) raw.write(said([number, text]));
    await until("onConnect", () => app.connects.length === 1);
    admission.open({});
    await until("100 messages", () => app.messages.length === 100);
    const numbers = app.messages.map(({ payload }) => (payload as [number, string])[0]);
    assert.deepEqual(numbers, [...Array(100).keys()]);
  });

  test("by a client that is refused reach nobody", async (t) => {
    const app = serve(t, {
      onConnect: () => {
        throw new Error("no");
      },
    });
    const raw = new Raw(t, app.port, request(), said("x"));
    assert.equal((await raw.answer()).status, 403);
    await raw.ended;
    await app.server.stop();
    assert.deepEqual(app.order, ["connect", "error"]);
  });
});

describe("onDisconnect runs exactly once", () => {
  /** Stops the server, so that nothing more can come, and looks. */
  async function onceFor(app: App, ids = app.connects.map(({ clientId }) => clientId)) {
    await until("onDisconnect", () => app.disconnects.length >= ids.length);
    await app.server.stop();
    assert.deepEqual(
      app.disconnects.map(({ clientId }) => clientId),
      ids,
    );
  }

  test("after a close frame", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    assert.equal((await client.close(1000)).code, 1000);
    await onceFor(app);
  });

  test("after a close frame with a code of the application, which comes back", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    assert.equal((await client.close(4321)).code, 4321);
    await onceFor(app);
  });

  test("after a close frame with more behind it, which is ignored", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    raw.write(Buffer.concat([said("before"), frame(Buffer.of(3, 232), 8), said("after")]));
    assert.equal(await raw.closeCode(), 1000);
    await onceFor(app);
    assert.deepEqual(app.order, ["connect", "message", "disconnect"]);
    assert.equal(app.messages[0]?.payload, "before");
  });

  test("after a reset", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url);
    client.reset();
    await onceFor(app);
  });

  test("after an end without a close frame", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    raw.socket.end();
    await onceFor(app);
    await raw.ended;
  });

  test("after silence", async (t) => {
    const app = serve(t, { options: { heartbeatInterval: 30 } });
    await Raw.open(t, app.port);
    await onceFor(app);
  });

  test("after a broken frame", async (t) => {
    const app = serve(t);
    const raw = await Raw.open(t, app.port);
    // Unmasked, which RFC 6455 forbids to clients.
    raw.write(Buffer.of(0x81, 1, 120));
    assert.equal(await raw.closeCode(), 1002);
    await onceFor(app);
  });

  test("for a client that is too slow", async (t) => {
    const app = serve(t, { options: { maxBackpressure: 10_000 } });
    const raw = await Raw.open(t, app.port);
    raw.socket.pause();
    await until("its end", () => {
      app.shout("x".repeat(100_000));
      return app.disconnects.length > 0;
    });
    await onceFor(app);
  });

  test("at stop", async (t) => {
    const app = serve(t);
    await Client.open(t, app.url);
    await app.server.stop();
    assert.equal(app.disconnects.length, 1);
    await onceFor(app);
  });

  test("at stop(true)", async (t) => {
    const app = serve(t);
    await Client.open(t, app.url);
    await app.server.stop(true);
    assert.equal(app.disconnects.length, 1);
    await onceFor(app);
  });

  test("for a client that was gone before onConnect resolved, once it has", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: ({ slow }) => (slow ? admission.promise : {}) });
    const raw = new Raw(t, app.port, request({ Slow: "1" }), said("never"));
    await until("onConnect", () => app.connects.length === 1);
    raw.socket.resetAndDestroy();
    await raw.ended;
    const other = await Client.open(t, app.url);
    await other.roundTrip();
    assert.equal(app.disconnects.length, 0, "onConnect has not resolved yet");
    admission.open({ user: "late" });
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.equal(app.disconnects[0]?.clientId, app.connects[0]?.clientId);
    assert.equal(app.disconnects[0]?.ctx.user, "late");
    assert.equal(app.disconnects[0]?.ctx.rooms.size, 0);
    assert.equal(app.server.clientCount(), 1);
    await other.close();
    await onceFor(app);
    assert.equal(app.messages.length, 1, "its early message is dropped");
  });

  test("for a client that timed out before onConnect resolved, once it has", async (t) => {
    const admission = latch<object>();
    const app = serve(t, {
      onConnect: () => admission.promise,
      options: { handshakeTimeout: 100 },
    });
    assert.equal((await ask(t, app.port, request())).status, 503);
    assert.equal(app.disconnects.length, 0);
    admission.open({ user: "late" });
    await onceFor(app);
    assert.equal(app.disconnects[0]?.ctx.user, "late");
  });

  test("for each of many that leave in many ways while they are admitted", async (t) => {
    const app = serve(t, {
      onConnect: async () => {
        for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
        return {};
      },
      options: { ioThreads: 2 },
    });
    for (let round = 0; round < 100; round++) {
      const raw = new Raw(t, app.port, request(), said(round));
      await until("onConnect", () => app.connects.length > round);
      for (let turn = 0; turn < round % 6; turn++) await new Promise(setImmediate);
      if (round % 3 === 0) raw.socket.resetAndDestroy();
      else if (round % 3 === 1) raw.socket.end();
      else raw.write(frame(Buffer.of(3, 232), 8));
    }
    await until("all ends", () => app.disconnects.length >= 100);
    await app.server.stop();
    const sorted = (list: { clientId: string }[]) => list.map((it) => it.clientId).toSorted();
    assert.deepEqual(sorted(app.disconnects), sorted(app.connects));
    assert.equal(app.server.clientCount(), 0);
    assert.deepEqual(app.errors, []);
  });

  test("when several things end it at once", async (t) => {
    const app = serve(t);
    const clients = await Promise.all(Array.from({ length: 30 }, () => Client.open(t, app.url)));
    for (const [index, client] of clients.entries()) {
      if (index % 3 === 0) client.reset();
      else if (index % 3 === 1) client.socket.close();
    }
    const stopped = app.server.stop();
    for (const client of clients) client.socket.close();
    void app.server.stop(true);
    await stopped;
    const ids = app.disconnects.map(({ clientId }) => clientId);
    assert.equal(ids.length, 30);
    assert.equal(new Set(ids).size, 30);
  });
});

describe("whatever clients do", () => {
  /** Numbers that look random and are the same in every run. */
  function dice(seed: number): (sides: number) => number {
    let state = seed;
    return (sides) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % sides;
    };
  }

  for (const seed of [1, 2, 3]) {
    test(`each sees onConnect, its messages in order, onDisconnect, and nothing after (seed ${seed})`, async (t) => {
      const roll = dice(seed);
      const pause = async () => {
        for (let turns = roll(4); turns > 0; turns--) await new Promise(setImmediate);
      };
      const lives = new Map<string, unknown[]>();
      const app = serve(t, {
        onConnect: async ({ fails }, clientId) => {
          await pause();
          if (fails) throw new Error("refused");
          lives.set(clientId, ["connected"]);
          return {};
        },
        say: (payload, ctx) => {
          lives.get(ctx.clientId)?.push(payload);
          ctx.send.said(payload).broadcast();
        },
        onDisconnect: async (_, clientId) => {
          lives.get(clientId)?.push("gone");
          app.shout("gone");
          await pause();
        },
        options: { ioThreads: 3 },
      });
      const live = async () => {
        const raw = new Raw(t, app.port, request(roll(8) === 0 ? { Fails: "1" } : {}));
        for (let number = 0, count = roll(40); number < count; number++) {
          raw.write(said(number));
          if (roll(5) === 0) await pause();
        }
        await pause();
        const end = roll(5);
        if (end === 0) raw.socket.resetAndDestroy();
        else if (end === 1) raw.socket.end();
        else if (end === 2) raw.write(frame(Buffer.of(3, 232), 8));
        else if (end === 3) raw.write(Buffer.of(0x81, 1, 120));
      };
      for (let wave = 0; wave < 10; wave++) {
        await Promise.all(Array.from({ length: 20 }, live));
      }
      await until("half of them", () => lives.size > 100);
      await soon("stop", app.server.stop(seed % 2 === 0));
      await until("all ends", () => [...lives.values()].every((life) => life.at(-1) === "gone"));
      for (const life of lives.values()) {
        const numbers = life.slice(1, -1);
        assert.equal(life[0], "connected");
        assert.deepEqual(numbers, [...Array(numbers.length).keys()]);
      }
      assert.equal(app.disconnects.length, lives.size);
      assert.equal(app.server.clientCount(), 0);
      const { sent, written, queued, dropped, connections } = app.server.metrics();
      assert.deepEqual([sent, queued, connections], [written + dropped, 0, 0]);
      assert.ok(app.errors.every(({ code }) => code === "CONNECT"));
    });
  }
});

describe("onDisconnect does not run", () => {
  test("when onConnect failed, whether the client waited or not", async (t) => {
    const verdict = latch<never>();
    const app = serve(t, { onConnect: () => verdict.promise });
    const waits = new Raw(t, app.port, request());
    const gone = new Raw(t, app.port, request());
    await until("onConnect", () => app.connects.length === 2);
    gone.socket.resetAndDestroy();
    await gone.ended;
    verdict.fail(new Error("no"));
    assert.equal((await waits.answer()).status, 403);
    await app.server.stop();
    assert.equal(app.disconnects.length, 0);
    assert.ok(app.errors.length >= 1 && app.errors.every(({ code }) => code === "CONNECT"));
  });

  test("when onConnect failed after the handshake timeout; what it threw is told", async (t) => {
    const verdict = latch<never>();
    const app = serve(t, { onConnect: () => verdict.promise, options: { handshakeTimeout: 100 } });
    assert.equal((await ask(t, app.port, request())).status, 503);
    const thrown = new Error("too late");
    verdict.fail(thrown);
    await until("the report", () => app.errors.some(({ error }) => error === thrown));
    await app.server.stop();
    assert.equal(app.disconnects.length, 0);
  });

  test("for requests that never got to onConnect", async (t) => {
    const app = serve(t, {
      headers: SCHEMAS["Zod 4"] as unknown as StandardSchemaV1<unknown, Headers>,
    });
    await ask(t, app.port, request());
    await ask(t, app.port, request({ Upgrade: undefined }));
    await app.server.stop();
    assert.equal(app.connects.length + app.disconnects.length, 0);
  });
});

describe("onDisconnect", () => {
  test("gets the user's context, clientId, and the rooms it was in as a ReadonlySet", async (t) => {
    const app = serve(t, { onConnect: () => ({ user: "Ada" }) });
    const client = await Client.open(t, app.url);
    await client.join("a");
    await client.join("b");
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    const { ctx, clientId } = app.disconnects[0] as { ctx: LastContext; clientId: string };
    assert.deepEqual(Object.keys(ctx).toSorted(), ["clientId", "rooms", "user"]);
    assert.equal(ctx.user, "Ada");
    assert.equal(ctx.clientId, clientId);
    assert.equal(clientId, app.connects[0]?.clientId);
    assert.ok(ctx.rooms.has("a") && ctx.rooms.has("b") && !ctx.rooms.has("c"));
    assert.equal(ctx.rooms.size, 2);
    assert.deepEqual([...ctx.rooms], ["a", "b"]);
    assert.deepEqual([...ctx.rooms.keys()], ["a", "b"]);
    assert.deepEqual(
      [...ctx.rooms.entries()],
      [
        ["a", "a"],
        ["b", "b"],
      ],
    );
    const seen: string[] = [];
    ctx.rooms.forEach((room) => seen.push(room));
    assert.deepEqual(seen, ["a", "b"]);
  });

  test("is followed by nothing for that client: it is in no room and gets no message", async (t) => {
    const contexts: { rooms: { join(room: string): void; has(room: string): boolean } }[] = [];
    let goneId = "";
    const app = serve(t, {
      say: (_, ctx) => {
        contexts.push(ctx);
        ctx.rooms.join("room");
        ctx.send.said("joined").to(ctx.clientId);
      },
      onDisconnect: (_, clientId) => {
        goneId = clientId;
        app.server.publish("room", "said", "to the room");
        app.server.send.said("to it").to(clientId);
        app.server.send.said("to all").broadcast();
      },
    });
    const stays = await Client.open(t, app.url);
    const goes = await Client.open(t, app.url);
    for (const client of [stays, goes]) {
      client.say(null);
      await client.next();
    }
    const { sent } = app.server.metrics();
    await goes.close();
    assert.equal((await stays.next()).payload, "to the room");
    assert.equal((await stays.next()).payload, "to all");
    assert.equal(goes.received.length, 1);
    assert.equal(app.server.metrics().sent, sent + 2, "nothing was meant for the one that is gone");
    // Its context may be kept: joins do nothing.
    assert.notEqual(goneId, "");
    const late = contexts[1]?.rooms;
    late?.join("other");
    assert.equal(late?.has("other"), false);
    app.server.publish("other", "said", "nobody");
    await stays.close();
    assert.equal(app.server.metrics().sent, sent + 2);
  });

  test("comes after the handlers of all messages read before the end have started", async (t) => {
    const app = serve(t, { say() {} });
    for (let round = 0; round < 20; round++) {
      const raw = await Raw.open(t, app.port);
      const before = app.messages.length;
      const messages = Array.from({ length: 50 }, (_, number) => said(number));
      raw.write(Buffer.concat([...messages, frame(Buffer.of(3, 232), 8)]));
      await until("onDisconnect", () => app.disconnects.length > round);
      assert.equal(app.messages.length - before, 50);
      assert.equal(app.order.at(-1), "disconnect");
    }
  });

  test("does not wait for handlers that are still running", async (t) => {
    const handler = latch();
    const app = serve(t, { say: () => handler.promise });
    const client = await Client.open(t, app.url);
    client.say("x");
    await until("the handler", () => app.messages.length === 1);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    handler.open();
  });

  test("drops messages still pending in a schema or a middleware", async (t) => {
    const passed = latch();
    let waiting = 0;
    const app = serve(t, {
      middleware: () => {
        waiting++;
        return passed.promise;
      },
    });
    const client = await Client.open(t, app.url);
    const other = await Client.open(t, app.url);
    for (let number = 0; number < 5; number++) client.say(number);
    await until("the middleware", () => waiting === 1);
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    passed.open();
    await other.roundTrip();
    assert.equal(app.messages.length, 1, "the other one's alone");
    assert.equal(waiting, 2);
  });

  test("that throws or rejects goes to onError as DISCONNECT and ends nothing", async (t) => {
    const thrown = new Error("from onDisconnect");
    const throwing = () => {
      throw thrown;
    };
    for (const onDisconnect of [throwing, async () => throwing()]) {
      const app = serve(t, { onDisconnect });
      const client = await Client.open(t, app.url);
      await client.close();
      await until("the report", () => app.errors.length === 1);
      const { error, code, clientId } = app.errors[0] ?? {};
      assert.equal(error, thrown);
      assert.deepEqual([code, clientId], ["DISCONNECT", app.connects[0]?.clientId]);
      await (await Client.open(t, app.url)).roundTrip();
      await app.server.stop();
      assert.equal(app.disconnects.length, 2);
    }
  });

  test("keeps the rooms of that moment, whatever happens later", async (t) => {
    const contexts: { rooms: { join(room: string): void; leave(room: string): void } }[] = [];
    const app = serve(t, {
      say: (_, ctx) => {
        contexts.push(ctx);
        ctx.rooms.join("a");
        ctx.send.said("done").to(ctx.clientId);
      },
    });
    const client = await Client.open(t, app.url);
    client.say(null);
    await client.next();
    await client.close();
    await until("onDisconnect", () => app.disconnects.length === 1);
    contexts[0]?.rooms.leave("a");
    contexts[0]?.rooms.join("b");
    assert.deepEqual([...(app.disconnects[0]?.ctx.rooms ?? [])], ["a"]);
  });
});

describe("clients of other makers", () => {
  test("Node's own WebSocket connects, talks and closes", async (t) => {
    const app = serve(t);
    const program = `
      const socket = new WebSocket(${JSON.stringify(`${app.url}/?authorization=secret`)});
      socket.onopen = () => socket.send(JSON.stringify({ type: "say", payload: "grüße 🙂" }));
      socket.onmessage = ({ data }) => { console.log(data); socket.close(4000, "bye"); };
      socket.onclose = ({ code, wasClean }) => console.log(code, wasClean);`;
    const flags = process.versions.node.startsWith("20.") ? ["--experimental-websocket"] : [];
    const child = new Child(t, process.execPath, [...flags, "--no-warnings", "--eval", program]);
    await child.endsWell();
    assert.equal(child.out, '{"type":"said","payload":"grüße 🙂"}\n4000 true\n');
    assert.equal(app.connects[0]?.headers["authorization"], "secret");
    await until("onDisconnect", () => app.disconnects.length === 1);
  });

  const python = process.env["ZOCKET_PYTHON"];
  const skip = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("Python's websockets connects, talks, pings and closes", { skip }, async (t) => {
    const app = serve(t);
    const program = `
import asyncio, json, websockets

async def main():
    headers = {"Authorization": "Bearer ada"}
    async with websockets.connect("${app.url}/?a=1", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "say", "payload": "grüße 🙂"}))
        print(json.loads(await socket.recv())["payload"])
        await socket.send(json.dumps({"type": "say", "payload": "binary"}).encode())
        print(json.loads(await socket.recv())["payload"])
        await (await socket.ping())
        print("pong")
    print(socket.close_code)

asyncio.run(main())
`;
    const env = { PYTHONIOENCODING: "utf-8" };
    const child = new Child(t, python ?? "", ["-c", program], env);
    await child.endsWell();
    assert.deepEqual(child.out.trim().split(/\r?\n/), ["grüße 🙂", "binary", "pong", "1000"]);
    assert.equal(app.connects[0]?.headers["authorization"], "Bearer ada");
    assert.equal(app.connects[0]?.headers["a"], "1");
  });

  test("Python's websockets sees a refusal with its status and body", { skip }, async (t) => {
    const app = serve(t, {
      headers: SCHEMAS["Zod 4"] as unknown as StandardSchemaV1<unknown, Headers>,
    });
    const program = `
import asyncio, websockets

async def main():
    try:
        await websockets.connect("${app.url}")
    except websockets.InvalidStatus as refused:
        print(refused.response.status_code, refused.response.body.decode())

asyncio.run(main())
`;
    const child = new Child(t, python ?? "", ["-c", program]);
    await child.endsWell();
    assert.match(child.out, /^400 \{"error":"Invalid headers","details":\[.+\]\}\s*$/);
  });

  test("ws offers compression and a subprotocol, and gets neither", async (t) => {
    const app = serve(t);
    const client = await Client.open(t, app.url, { perMessageDeflate: true });
    assert.equal(client.socket.extensions, "");
    await client.roundTrip();
    await soon("the end", client.close());
  });
});
