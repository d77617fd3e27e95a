// User code at its worst: what it throws and returns fails its own step, reaches `onError`, and harms nobody else.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

import { listen, listenTo } from "./_chat.ts";
import {
  anything,
  gate,
  raise,
  reply,
  schema,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  until,
  zo,
} from "./_talk.ts";

describe("what user code returns", () => {
  test("may be any thenable: it is waited for like a promise, and its failure is one", async (t) => {
    const log: string[] = [];
    const thenable = (value: unknown, failure?: Error) => ({
      // oxlint-disable-next-line no-thenable
      then(fulfil: (value: unknown) => void, fail: (error: Error) => void) {
        setImmediate(() => (failure ? fail(failure) : fulfil(value)));
      },
    });
    const builder = zo.message.use((({ payload }: { payload: unknown }) =>
      thenable(
        { added: 1 },
        payload === "no" ? new Error("secret") : undefined,
      )) as never as () => {
      added: number;
    });
    const payload = schema((value) => thenable({ value }));
    const routes = { ...syncRoutes, say: builder.incoming({ payload }) };
    const app = zo.router(routes, {
      ...syncHandlers,
      say: (({ payload, ctx }: { payload: unknown; ctx: { added: number } }) => {
        log.push(`${payload} ${ctx.added}`);
        return thenable(undefined, payload === "fail" ? new Error("secret") : undefined);
      }) as never as () => void,
    });
    const { server, problems } = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
    const talker = await Talker.open(t, server.url);
    for (const word of ["yes", "no", "fail"]) talker.say("say", word);
    const codes = [(await reply(talker)).code, (await reply(talker)).code];
    assert.deepEqual(codes, ["REJECTED", "HANDLER_ERROR"]);
    assert.deepEqual(log, ["yes 1", "fail 1"]);
    assert.equal((await problems.take(2)).length, 2);
  });

  test("may fail when it is looked at: that is a failure of its step", async (t) => {
    const hostile = new Proxy({}, { get: () => raise(new Error("secret")) });
    const keyless = new Proxy(
      {},
      { get: () => undefined, ownKeys: () => raise(new Error("secret")) },
    );
    const { url: first } = listenTo(t, () => hostile);
    const { url: second } = listenTo(
      t,
      () => {},
      () => hostile,
    );
    const { url: third } = listenTo(
      t,
      () => {},
      () => keyless,
    );
    const { url: fourth } = listen(
      t,
      schema(() => hostile),
    );
    const { url: fifth } = listen(
      t,
      schema(() => ({ issues: [hostile, keyless] })),
    );
    const expected = [
      "HANDLER_ERROR",
      "REJECTED",
      "REJECTED",
      "INVALID_PAYLOAD",
      "INVALID_PAYLOAD",
    ];
    for (const [index, url] of [first, second, third, fourth, fifth].entries()) {
      const talker = await Talker.meet(t, url);
      talker.say("chat.say");
      assert.equal((await reply(talker)).code, expected[index]);
      assert.deepEqual(await talker.sync(), []);
    }
  });
});

/** Throws, and rejects, with what throws when it is looked at in any way. */
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const failing = {
  throws: () => raise(revoked()),
  rejects: () => Promise.reject(revoked()),
} as const;

describe("a thrown value that cannot even be looked at ends nothing", () => {
  const places = {
    allowedOrigins: 403,
    headers: 500,
    onConnect: 403,
    schema: "INVALID_PAYLOAD",
    middleware: "REJECTED",
    handler: "HANDLER_ERROR",
    onDisconnect: undefined,
  } as const;
  for (const [place, expected] of Object.entries(places)) {
    for (const [manner, fail] of Object.entries(failing)) {
      for (const who of ["onError", "the default logger"]) {
        test(`${place} ${manner}, and ${who} is told`, async (t) => {
          const log = t.mock.method(console, "error", () => {});
          const told: string[] = [];
          const at = (here: string) => (here === place ? fail : undefined);
          const own = zocket.create({
            headers: schema(at("headers") ?? ((value) => ({ value }))),
            onConnect: (at("onConnect") ?? (() => ({}))) as () => {},
            onDisconnect: (at("onDisconnect") ?? (() => {})) as () => void,
          });
          const builder = own.message.use((at("middleware") ?? (() => {})) as () => void);
          const payload = schema(at("schema") ?? ((value) => ({ value })));
          const routes = {
            say: builder.incoming({ payload }),
            sync: own.message.incoming({ payload: anything }),
            onSync: own.message.outgoing({ payload: anything }),
          };
          const app = own.router(routes, {
            ...syncHandlers,
            say: (at("handler") ?? (() => {})) as () => void,
          });
          const server = createServer(app, own, {
            port: 0,
            ...(at("allowedOrigins") && { allowedOrigins: fail as () => boolean }),
            ...(who === "onError" && { onError: (_, { code }) => void told.push(code) }),
          });
          t.after(() => server.stop(true));
          if (typeof expected === "number") {
            const opening = Talker.open(t, server.url, { Origin: "http://a.example" });
            await assert.rejects(opening, new RegExp(`${expected}`));
          } else {
            const talker = await Talker.open(t, server.url);
            talker.say("say");
            if (expected) assert.equal((await reply(talker)).code, expected);
            assert.deepEqual(await talker.sync(), []);
            await talker.leave();
            await until(() => server.clientCount() === 0, "it is gone");
          }
          await until(() => told.length + log.mock.callCount() === 1, "the one word about it");
          assert.equal(told.length, who === "onError" ? 1 : 0);
        });
      }
    }
  }
});

test("issues in an array that throws are issues all the same", async (t) => {
  const issues = Object.defineProperty([{}], 0, { get: () => raise(new Error("secret")) });
  const endless = new Proxy([{}], {
    get: (target, key) => (key === "length" ? 2 ** 32 : raise(new Error(String(target)))),
  });
  for (const result of [{ issues }, { issues: endless }]) {
    for (const answer of [() => result, () => Promise.resolve(result)]) {
      const { url, problems } = listen(t, schema(answer));
      const talker = await Talker.meet(t, url);
      talker.say("chat.say", 1);
      assert.equal((await reply(talker)).code, "INVALID_PAYLOAD");
      assert.deepEqual(await talker.sync(), []);
      assert.equal((await problems.next()).info.code, "INVALID_PAYLOAD");
    }
  }
});

describe("onError", () => {
  test("gets what an asynchronous handler throws once its client is gone", async (t) => {
    const failure = gate<Promise<never>>();
    let started = false;
    const { url, problems, server } = listenTo(t, () => {
      started = true;
      return failure.promise;
    });
    const talker = await Talker.meet(t, url);
    talker.say("chat.say");
    await until(() => started, "the handler runs");
    await talker.leave();
    await until(() => server.clientCount() === 0, "it is gone");
    const thrown = new Error("late");
    failure.open(Promise.reject(thrown));
    const { error, info } = await problems.next();
    assert.equal(error, thrown);
    const expected = { code: "HANDLER_ERROR", clientId: talker.id, route: "chat.say" };
    assert.deepEqual({ ...info }, expected);
  });

  for (const [what, onError] of [
    ["throws", () => raise(new Error("from onError"))],
    ["rejects", () => Promise.reject(new Error("from onError"))],
  ] as const) {
    test(`one that ${what} harms nothing`, async (t) => {
      const { url } = listen(
        t,
        schema((value) => (value === "bad" ? raise(new Error()) : { value })),
        { onError },
      );
      const talker = await Talker.meet(t, url);
      talker.raw("no JSON");
      talker.say("nowhere");
      talker.say("chat.say", "bad");
      const replies = [await reply(talker), await reply(talker), await reply(talker)];
      const codes = replies.map(({ code }) => code).sort();
      assert.deepEqual(codes, ["BAD_MESSAGE", "INVALID_PAYLOAD", "NO_ROUTE"]);
      assert.deepEqual(await talker.sync(), []);
    });
  }

  test("gets what went wrong once each, in the order of one client's messages", async (t) => {
    const { url, problems } = listen(t, z.number());
    const talker = await Talker.meet(t, url);
    talker.say("chat.say", "x");
    talker.say("chat.sing");
    talker.raw("[]");
    talker.say("chat.say", "y");
    await talker.take(4);
    const codes = (await problems.take(4)).map(({ info }) => info.code);
    assert.deepEqual(codes, ["INVALID_PAYLOAD", "NO_ROUTE", "BAD_MESSAGE", "INVALID_PAYLOAD"]);
    assert.deepEqual(problems.drain(), []);
  });
});
