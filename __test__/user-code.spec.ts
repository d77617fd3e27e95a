// User code at its worst: what it throws and returns fails its own step, reaches `onError`, and harms nobody else.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer } from "@zocket/core";
import { z } from "zod";

import { listen, listenTo } from "./_chat.ts";
import {
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
