// Who is let in: the headers schema and `onConnect`, their refusals, and the messages that come before they are done.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { createServer, zocket } from "@zocket/core";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";

import { Raw, ask, frame, request, said } from "./_raw.ts";
import { Client, anything, serve, type Headers, type LastContext } from "./_support.ts";
import { latch, until } from "./_wait.ts";

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
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

/** An object that cannot be asked whether it is a promise. */
function trap(): object {
  return Object.defineProperty({}, "then", {
    get() {
      throw new Error("secret");
    },
  });
}

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
        assert.equal(details[0].message === "not accepted", "Authorization" in changes);
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
    "returns an object whose `then` throws": () => trap() as never,
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

  const hostile = {
    get status(): number {
      throw new Error("secret");
    },
  };
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
    ["a status that is NaN: 403", Object.assign(new Error("secret"), { status: NaN }), 403],
    ["a status that is a bigint: 403", Object.assign(new Error("secret"), { status: 401n }), 403],
    ["an object with a status: that", { status: 429, text: "secret" }, 429],
    ["a function with a status: that", Object.assign(() => {}, { status: 402 }), 402],
    ["an object whose status throws: 403", hostile, 403],
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
        const { status, headers, body } = await ask(t, app.port, request());
        assert.equal(status, expected);
        assert.doesNotMatch(body, /secret/);
        assert.match(headers["content-type"] ?? "", /^text\/plain/);
        assert.equal(app.errors.length, 1);
        assert.ok(Object.is(app.errors[0]?.error, thrown));
        assert.equal(app.errors[0]?.code, "CONNECT");
        await app.server.stop();
        assert.equal(app.disconnects.length, 0, "onDisconnect is for those that succeeded");
        assert.deepEqual(app.server.metrics().refused, { CONNECT: 1 });
      }
    });
  }

  test("that returns an object whose `then` throws refuses with 403, as the origin function does", async (t) => {
    for (const [code, given] of [
      ["CONNECT", { onConnect: trap }],
      ["ORIGIN", { options: { allowedOrigins: trap as never } }],
    ] as const) {
      const app = serve(t, given);
      const { status, body } = await ask(t, app.port, request({ Origin: "http://a.test" }));
      assert.equal(status, 403);
      assert.doesNotMatch(body, /secret/);
      assert.deepEqual(
        app.errors.map((it) => [it.code, String(it.error)]),
        [[code, "Error: secret"]],
      );
      assert.deepEqual(app.server.metrics().refused, { [code]: 1 });
    }
  });

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
    const keys = ["clientId", "disconnect", "rooms", "send"];
    assert.deepEqual((await client.next()).payload, keys);
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
      const app = serve(t, { ...given, options: { handshakeTimeout: 1_000 } });
      assert.equal((await ask(t, app.port, request())).status, 503);
      assert.deepEqual(app.server.metrics().refused, { TIMEOUT: 1 });
      assert.equal(app.server.clientCount(), 0);
    }
  });

  for (const [what, isOrigin] of [
    ["its headers schema", false],
    ["allowedOrigins", true],
  ] as const) {
    test(`is not called for a client that has left during ${what}`, async (t) => {
      const first = latch();
      let asked = 0;
      const later = () => ((asked += 1) === 1 ? first.promise : Promise.resolve());
      const slow: StandardSchemaV1<unknown, Headers> = {
        "~standard": {
          version: 1,
          vendor: "specs",
          validate: (value) => later().then(() => ({ value: value as Headers })),
        },
      };
      const options = { ioThreads: 1, maxConnections: 1 };
      const allowedOrigins = (() => later().then(() => true)) as unknown as () => boolean;
      const app = isOrigin
        ? serve(t, { options: { ...options, allowedOrigins } })
        : serve(t, { headers: slow, options });
      const from = isOrigin ? { Origin: "https://example.com" } : {};
      const left = new Raw(t, app.port, request({ ...from, Name: "left" }));
      await until("the question", () => asked === 1);
      left.socket.destroy();
      // It has its place until the server knows that it has left.
      let stays: Raw | undefined;
      await until("its place", async () => {
        stays = new Raw(t, app.port, request({ ...from, Name: "stays" }));
        return (await stays.answer()).status === 101;
      });
      first.open();
      stays?.write(said("here"));
      await until("the message", () => app.messages.length === 1);
      await app.server.stop(true);
      assert.deepEqual(
        app.connects.map(({ headers }) => headers["name"]),
        ["stays"],
      );
      assert.deepEqual(app.errors, []);
      assert.equal(app.disconnects.length, 1);
    });
  }

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
    const messages = [1, 2, 3, 4].map(said);
    const raw = new Raw(t, app.port, request(), ...messages.slice(0, 2));
    await until("onConnect", () => app.connects.length === 1);
    raw.write(...messages.slice(2));
    await ask(t, app.port, request({ Upgrade: undefined }));
    assert.equal(app.messages.length, 0);
    admission.open({});
    await until("the echoes", () => raw.messages().length === 4);
    assert.deepEqual(
      app.messages.map(({ payload }) => payload),
      [1, 2, 3, 4],
    );
    assert.deepEqual(app.order, ["connect", "message", "message", "message", "message"]);
    const { received, bytesIn } = app.server.metrics();
    assert.deepEqual([received, bytesIn], [4, Buffer.concat(messages).length]);
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

  test("may be in fragments, with pings among them and a close frame behind", async (t) => {
    const admission = latch<object>();
    const app = serve(t, { onConnect: () => admission.promise });
    const raw = new Raw(t, app.port, request());
    const [first, last] = ['{"type":"say","pay', 'load":2}'];
    raw.write(
      frame("a", 9),
      said(1),
      frame(first, 1, false),
      frame("b", 9),
      frame(last, 0),
      said(3),
    );
    raw.write(frame(Buffer.of(3, 232), 8), said(4));
    await until("onConnect", () => app.connects.length === 1);
    await ask(t, app.port, request({ Upgrade: undefined }));
    assert.equal(raw.text, "");
    admission.open({});
    assert.equal(await raw.closeCode(), 1000);
    const pongs = raw.frames().filter(({ opcode }) => opcode === 10);
    assert.deepEqual(
      pongs.map(({ payload }) => payload.toString()),
      ["a", "b"],
    );
    await until("onDisconnect", () => app.disconnects.length === 1);
    assert.deepEqual(
      app.messages.map(({ payload }) => payload),
      [1, 2, 3],
    );
    assert.deepEqual(app.order, ["connect", "message", "message", "message", "disconnect"]);
  });

  test("by a client that is refused reach nobody, and leave it its refusal, however many there are", async (t) => {
    const refusal = latch<never>();
    const app = serve(t, { onConnect: () => refusal.promise });
    const raw = new Raw(t, app.port, request());
    const text = "x".repeat(10_000);
    for (let number = 0; number < 50; number++) raw.write(said(text));
    await until("onConnect", () => app.connects.length === 1);
    refusal.fail(Object.assign(new Error("no"), { status: 401 }));
    assert.equal((await raw.answer()).status, 401);
    await raw.ended;
    assert.deepEqual(app.order, ["connect", "error"]);
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

describe("a message that is sent inside onConnect to the client itself", () => {
  for (const [environment, heard] of [
    [undefined, 1],
    ["test", 1],
    ["production", 0],
  ] as const) {
    test(`is lost, which onError hears ${heard} times with NODE_ENV ${environment}`, async (t) => {
      const before = process.env["NODE_ENV"];
      t.after(() => {
        if (before === undefined) delete process.env["NODE_ENV"];
        else process.env["NODE_ENV"] = before;
      });
      if (environment === undefined) delete process.env["NODE_ENV"];
      else process.env["NODE_ENV"] = environment;
      const app = serve(t, {
        onConnect: async (_, clientId) => {
          app.server.send.said("gone before").to("00000000-0000-4000-8000-000000000000");
          app.server.send.said("too early").to(clientId);
          await Promise.resolve();
          app.server.send.said("too early").to([clientId]);
        },
      });
      for (let round = 0; round < 3; round++) {
        const client = await Client.open(t, app.url);
        await client.roundTrip();
        assert.equal(client.received.length, 1);
      }
      assert.equal(app.errors.length, heard);
      for (const { error, code, clientId } of app.errors) {
        assert.equal(code, "CONNECT");
        assert.equal(clientId, app.connects[0]?.clientId);
        assert.match(
          String(error),
          /^Error: send\.said\(…\)\.to: the onConnect of this client is still pending/,
        );
      }
    });
  }
});
