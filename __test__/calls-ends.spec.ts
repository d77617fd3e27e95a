// Every way in which a call can end leaves nothing behind: no bytes that are counted, no place that is taken, no signal, no stream.
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, type ZocketError } from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { Clients, type Client } from "../dist/context/clients.js";
import { Line } from "./_line.ts";
import { latch, until } from "./_wait.ts";

/** Every client that a server of this process gets, as JavaScript keeps it. */
const clients: Client[] = [];
const { add } = Clients.prototype;
before(() => {
  Clients.prototype.add = function (...args) {
    const client = add.apply(this, args);
    clients.push(client);
    return client;
  };
});
after(() => (Clients.prototype.add = add));

/** What is still kept for a client. */
function kept({ held, waitingBytes, waitingHeld, openCalls, inFlight }: Client): object {
  const { open, signals, unacknowledged, waiting } = openCalls ?? {};
  return {
    held,
    waitingBytes,
    waitingHeld,
    open: open?.size ?? 0,
    signals: signals?.size ?? 0,
    unacknowledged: unacknowledged ?? 0,
    waiting: waiting?.size ?? 0,
    inFlight: inFlight?.count ?? 0,
  };
}

const NOTHING = {
  held: 0,
  waitingBytes: 0,
  waitingHeld: 0,
  open: 0,
  signals: 0,
  unacknowledged: 0,
  waiting: 0,
  inFlight: 0,
};

async function keepsNothing(client: Client): Promise<void> {
  await until("the end of all it holds", () => {
    return JSON.stringify(kept(client)) === JSON.stringify(NOTHING);
  }).catch(() => assert.deepEqual(kept(client), NOTHING));
}

/** A server whose handlers end as they are told, and one client of it. By default a client has one open call at most. */
async function serve(t: TestContext, maxCallsPerClient = 1) {
  let open = latch();
  const release = () => {
    open.open();
    open = latch();
  };
  const happened: string[] = [];
  const faults: string[] = [];
  const zo = zocket.create({ headers: z.object({}) });
  const { message } = zo;
  const late = z.string().refine(async (text) => {
    happened.push(`schema of ${text}`);
    await open.promise;
    return true;
  });
  const errors = { NO: z.object({ why: z.string() }), LATE: late };
  const waits = message.use(async () => {
    happened.push("middleware");
    await open.promise;
  });
  const routes = {
    reply: message.incoming({ payload: z.string(), reply: z.string(), errors }),
    lateReply: message.incoming({ payload: z.string(), reply: late }),
    stream: message.incoming({
      payload: z.string(),
      stream: z.string(),
      reply: z.string(),
      errors,
    }),
    behind: waits.incoming({ payload: z.string(), reply: z.string() }),
    latePayload: message.incoming({ payload: late, reply: z.string() }),
  };
  const app = zo.router(routes, {
    reply: ({ payload, signal, fail }) => {
      happened.push(payload);
      const held = open.promise;
      const aborted = new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
      void aborted.catch(() => {});
      switch (payload) {
        case "later":
          return held.then(() => payload);
        case "declared":
          throw fail("NO", { why: payload });
        case "declared later":
          return held.then(() => {
            throw fail("NO", { why: payload });
          });
        case "declares what does not fit":
          throw fail("NO", { why: 1 as never });
        case "declared with a schema that takes time":
          throw fail("LATE", payload);
        case "throws":
          throw new Error(payload);
        case "throws later":
          return held.then(() => {
            throw new Error(payload);
          });
        case "does not fit":
          return 1 as never;
        case "cannot be JSON":
          return held.then(() => 1n as never);
        case "obeys":
          return aborted as Promise<never>;
        case "declares when aborted":
          return aborted.catch(() => {
            throw fail("NO", { why: payload });
          }) as Promise<never>;
        case "ends otherwise when aborted":
          return aborted.catch(() => {
            throw new Error(payload);
          }) as Promise<never>;
        default:
          return payload;
      }
    },
    lateReply: ({ payload, signal }) => {
      signal.addEventListener("abort", () => happened.push("a signal after the end"));
      return payload;
    },
    behind: ({ payload }) => {
      happened.push(`handled ${payload}`);
      return payload;
    },
    latePayload: ({ payload }) => {
      happened.push(`handled ${payload}`);
      return payload;
    },
    stream: async function* ({ payload, signal, fail }) {
      happened.push(payload);
      try {
        if (payload === "is empty") return "";
        yield payload;
        if (payload === "throws") throw new Error(payload);
        if (payload === "declared") throw fail("NO", { why: payload });
        if (payload === "does not fit") yield 1 as never;
        if (payload === "replies what does not fit") return 1 as never;
        if (payload === "never yields") {
          await new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
        }
        if (payload === "ignores its signal") await open.promise;
        if (payload === "yields for ever" || payload === "throws in finally") {
          for (;;) yield payload;
        }
        return "";
      } finally {
        happened.push("finally");
        // oxlint-disable-next-line no-unsafe-finally -- the case under test
        if (payload === "throws in finally") throw new Error(payload);
      }
    },
  });
  const server = createServer(app, zo, {
    port: 0,
    hostname: "127.0.0.1",
    maxCallsPerClient,
    onError: (_, { code }) => void faults.push(code),
  });
  t.after(() => server.stop(true));
  const line = await Line.open(t, server);
  await line.settle();
  const client = clients.at(-1) as Client;
  /** The engine has no call of it either: there is place for the one that it may have. */
  const isFree = async () => {
    await keepsNothing(client);
    line.say({ id: 1_000, type: "reply", payload: "after" });
    assert.deepEqual(await line.end(1_000), { type: "$reply", id: 1_000, payload: "after" });
    await keepsNothing(client);
  };
  const began = (what: string) => until(`"${what}"`, () => happened.includes(what));
  return { app, server, line, client, happened, faults, release, isFree, began };
}

describe("nothing is kept of a call", () => {
  const answered: Record<string, [route: string, payloads: string[], type: string]> = {
    "with a reply": ["reply", ["at once", "later"], "$reply"],
    "with a reply whose schema takes time": ["lateReply", ["late reply"], "$reply"],
    "behind a middleware that takes time": ["behind", ["behind"], "$reply"],
    "behind a payload's schema that takes time": ["latePayload", ["late"], "$reply"],
    "with a declared error": [
      "reply",
      [
        "declared",
        "declared later",
        "declared with a schema that takes time",
        "declares what does not fit",
      ],
      "$error",
    ],
    "whose handler throws": ["reply", ["throws", "throws later"], "$error"],
    "with a reply that cannot be sent": ["reply", ["does not fit", "cannot be JSON"], "$error"],
    "whose generator returns": ["stream", ["yields once", "is empty"], "$end"],
    "whose generator throws": ["stream", ["throws", "declared"], "$error"],
    "with an item or a reply that does not fit": [
      "stream",
      ["does not fit", "replies what does not fit"],
      "$error",
    ],
  };
  for (const [name, [type, payloads, end]] of Object.entries(answered)) {
    test(`that is answered ${name}`.replace("answered whose", "over, and whose"), async (t) => {
      const { line, release, isFree, happened } = await serve(t);
      for (const [id, payload] of payloads.entries()) {
        line.say({ id, type, payload });
        await until("its end", () => {
          release();
          return line.of(id).some((it) => it.type !== "$item");
        });
        assert.equal((await line.end(id)).type, end, JSON.stringify(line.of(id)));
      }
      await isFree();
      const ended = happened.filter((it) => it === "finally").length;
      assert.equal(ended, type === "stream" ? payloads.length : 0);
    });
  }

  const aborted: Record<string, [route: string, payload: string, began: string]> = {
    "while its middleware takes time": ["behind", "behind", "middleware"],
    "while its handler takes time": ["reply", "later", "later"],
    "while its payload's schema takes time": ["latePayload", "late", "schema of late"],
    "while its reply's schema takes time": ["lateReply", "late reply", "schema of late reply"],
    "while its error's schema takes time": [
      "reply",
      "declared with a schema that takes time",
      "schema of declared with a schema that takes time",
    ],
    "whose handler throws the reason of its signal": ["reply", "obeys", "obeys"],
    "whose handler answers with a declared error then": [
      "reply",
      "declares when aborted",
      "declares when aborted",
    ],
    "whose handler throws then": [
      "reply",
      "ends otherwise when aborted",
      "ends otherwise when aborted",
    ],
    "whose generator waits for its signal": ["stream", "never yields", "never yields"],
    "whose generator ignores it": ["stream", "ignores its signal", "ignores its signal"],
    "whose generator yields for ever": ["stream", "yields for ever", "yields for ever"],
    "whose generator throws in finally": ["stream", "throws in finally", "throws in finally"],
  };
  for (const [name, [type, payload, start]] of Object.entries(aborted)) {
    test(`that is aborted, ${name}`, async (t) => {
      const { line, release, isFree, began, client, happened, faults } = await serve(t);
      line.say({ id: 1, type, payload });
      await began(start);
      line.say({ id: 1, type: "$abort" });
      await line.settle();
      const isOver = () => (kept(client) as { open: number }).open === 0;
      await until("its place", () => {
        release();
        return isOver();
      });
      release();
      await isFree();
      if (type === "stream") assert.ok(happened.includes("finally"));
      assert.ok(!happened.includes("a signal after the end"));
      assert.ok(!happened.includes(`handled ${payload}`));
      const isFault = payload === "ends otherwise when aborted" || payload === "throws in finally";
      assert.deepEqual(
        faults.filter((code) => code !== "NO_ROUTE"),
        isFault ? ["HANDLER_ERROR"] : [],
      );
      assert.deepEqual(
        line.of(1).filter((it) => it.type !== "$item"),
        [],
      );
    });

    test(`whose client is gone, ${name}`, async (t) => {
      const { line, release, began, client, happened, server } = await serve(t);
      line.say({ id: 1, type, payload });
      await began(start);
      line.socket.terminate();
      await until("its end", () => client.phase === "gone");
      await until("its handler's end", () => {
        release();
        return client.held === 0;
      });
      await keepsNothing(client);
      if (type === "stream") assert.ok(happened.includes("finally"));
      assert.ok(!happened.includes("a signal after the end"));
      assert.ok(!happened.includes(`handled ${payload}`));
      await until("no client", () => server.clientCount() === 0);
    });
  }

  test("that is aborted behind a message that is pending", async (t) => {
    const { line, release, began, isFree, client, happened } = await serve(t, 256);
    line.say({ id: 1, type: "behind", payload: "first" });
    await began("middleware");
    line.say({ id: 1, type: "$abort" });
    line.say({ id: 2, type: "reply", payload: "second" });
    line.say({ id: 2, type: "$abort" });
    line.say({ id: 3, type: "reply", payload: "third" });
    await until("the third alone", () => {
      const { open, waitingHeld } = kept(client) as Record<string, number>;
      return open === 1 && (waitingHeld as number) > 0;
    });
    release();
    assert.equal((await line.end(3)).type, "$reply");
    assert.deepEqual(happened, ["middleware", "third"]);
    await isFree();
  });

  test("whose generator has credit left, and none, when its client goes", async (t) => {
    const { line, client } = await serve(t);
    line.say({ id: 1, type: "stream", payload: "yields for ever" });
    await until("its items", () => line.of(1).length === 64);
    assert.ok(client.held > 0);
    line.say({ id: 1, type: "$more", payload: 7 });
    await until("more items", () => line.of(1).length === 71);
    line.socket.terminate();
    await keepsNothing(client);
  });

  for (const how of ["stop()", "stop(true)", "stop({ drain })"]) {
    test(`whose server is stopped by ${how}`, async (t) => {
      const { line, server, client, began, release, happened } = await serve(t);
      const more = await Promise.all(Array.from({ length: 4 }, () => Line.open(t, server)));
      await Promise.all(more.map((it) => it.settle()));
      const all = [client, ...clients.slice(-4)];
      const payloads = ["later", "obeys", "never yields", "yields for ever", "ignores its signal"];
      for (const [at, one] of [line, ...more].entries()) {
        one.say({ id: 1, type: at < 2 ? "reply" : "stream", payload: payloads[at] });
        await began(payloads[at] as string);
      }
      const stopped =
        how === "stop({ drain })" ? server.stop({ drain: 50 }) : server.stop(how === "stop(true)");
      await stopped;
      await until("all handlers", () => {
        release();
        return all.every((it) => it.held === 0);
      });
      for (const one of all) await keepsNothing(one);
      assert.equal(happened.filter((it) => it === "finally").length, 3);
    });
  }

  test("of our client that times out, is left by a break, and is closed", async (t) => {
    const { app, server, happened, isFree, began, release } = await serve(t);
    const own = createZocketClient<typeof app>(server.url, { WebSocket });
    t.after(() => own.close());
    const codes: string[] = [];
    const codeOf = (error: unknown) => codes.push((error as ZocketError).code);
    await own.call.reply("at once");
    const client = clients.at(-1) as Client;
    await own.call.reply("later", { timeout: 20 }).catch(codeOf);
    await began("later");
    await until("its handler's end", () => {
      release();
      return client.held === 0;
    });
    await keepsNothing(client);
    const items = own.call.stream("yields for ever");
    for await (const _ of items) break;
    await items.catch(codeOf);
    await keepsNothing(client);
    const last = own.call.stream("never yields").catch(codeOf);
    await began("never yields");
    own.close();
    await last;
    await keepsNothing(client);
    assert.deepEqual(codes, ["TIMEOUT", "ABORTED", "CLOSED"]);
    assert.equal(happened.filter((it) => it === "finally").length, 2);
    await isFree();
  });
});
