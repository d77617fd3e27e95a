// The rows of what comes in: requests, messages, and what JavaScript has not dealt with yet.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";

import { engine, framed, House, KIB, MIB, text, told, type Case } from "./_bounds.ts";
import { Child } from "./_child.ts";
import { frame, Raw, request } from "./_raw.ts";
import { until } from "./_wait.ts";

/** Every middleware and handler waits for a promise that the application can reach, and never settles. */
const NEVER = `state.gates = []; const never = () => new Promise((go) => state.gates.push(go));`;
const RECEIVED = "server.metrics().received";

/** Writes messages of one client, so many times. */
function flood({ socket }: Raw, message: Buffer, times: number): void {
  for (let count = 0; count < times; count++) socket.write(message);
}

/** An application on the HTTP server of a Unix-domain socket, which measures itself. */
const PUMPS = `
import { createServer as createHttpServer } from "node:http";
import { createInterface } from "node:readline";
const http = createHttpServer();
const options = { server: http, path: "/ws", ioThreads: 1, maxBackpressure: 64 * 1024, slowClient: "drop", onError() {} };
const server = createServer(router, zo, options);
http.listen(process.env.HTTP_SOCKET, () => console.log("listening"));
const turn = () => new Promise((resolve) => setTimeout(resolve, 50));
createInterface(process.stdin).on("line", async (line) => {
  if (line === "send") {
    for (let round = 0; round < 100; round++) {
      server.send.said("x".repeat(10_000)).broadcast();
      await turn();
    }
    console.log("sent");
    return;
  }
  for (let round = 0; round < 3; round++) { gc(); await turn(); }
  console.log("rss " + process.memoryUsage().rss + " ");
});
`;

/** An upgraded client that does not read. */
async function deaf(t: TestContext, file: string): Promise<Socket> {
  const socket = connect(file);
  t.after(() => socket.destroy());
  socket.on("error", () => {});
  socket.write(request({}, "GET /ws HTTP/1.1"));
  await once(socket, "data");
  socket.pause();
  return socket;
}

export const WAY_IN: Record<string, Case> = {
  "a request's head": async (t) => {
    const house = await House.open(t);
    const long = request({ "X-Long": text(17 * KIB) });
    assert.equal((await new Raw(t, house.port, long.slice(0, -4)).answer()).status, 431);
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`x-${at}`, "1"]));
    assert.equal((await new Raw(t, house.port, request(many)).answer()).status, 431);
    await house.crowd(1);
    await engine("tests/memory.rs", "half_requests_hold_no_more_than_a_head_each")(t);
  },

  "pending sockets": async (t) => {
    const house = await House.open(t, { maxConnections: 100 });
    const half = Array.from({ length: 100 }, () => new Raw(t, house.port, "GET / HTTP/1.1\r\n"));
    let open = half.length;
    for (const { ended } of half) void ended.then(() => (open -= 1));
    await until("those past 64 places to be dropped", () => open <= 65);
    const refused = await house.ask<number>("return server.metrics().refused.TIMEOUT ?? 0;");
    assert.ok(refused >= 35 && refused <= 37, `${refused} were dropped`);
    for (const { socket } of half) socket.destroy();
    await house.crowd(64);
  },

  "a client whose bytes pass through Node": async (t) => {
    if (process.platform === "win32") return t.skip("the test needs a Unix-domain socket");
    const folder = mkdtempSync(path.join(tmpdir(), "zocket-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, "http.sock");
    const child = Child.node(t, PUMPS, ["--expose-gc"], { HTTP_SOCKET: file });
    const measure = async () => Number(await child.printed(/^rss (\d+) /m));
    const next = async () => {
      child.out = "";
      child.tell("measure");
      return measure();
    };
    await child.printed(/listening/);
    // What is made once.
    const openAll = () => Promise.all(Array.from({ length: 100 }, () => deaf(t, file)));
    for (const socket of await openAll()) socket.destroy();
    const before = await next();
    const crowd = await openAll();
    child.tell("send");
    await child.printed(/sent/);
    let most = 0;
    for (let look = 0; look < 5; look += 1) most = Math.max(most, await next());
    // Of the 100 MB that are sent, the engine keeps `maxBackpressure` for each, and Node what two sockets buffer.
    assert.ok(most - before < 60 * MIB, `${most - before} bytes`);
    for (const socket of crowd) socket.destroy();
    await until("the end of all", async () => (await next()) - before < 24 * MIB);
  },

  "a TLS handshake": engine("tests/tls.rs", "a_hello_without_end_is_cut_short"),
  "a TLS record that is not complete": engine(
    "tests/tls.rs",
    "records_that_are_not_complete_are_counted_as_held",
  ),
  "messages before the 101": async (t) => {
    const house = await House.open(t);
    await house.ask(`${NEVER} at.connect = never;`);
    const early = told("say", text(KIB));
    await house.comesBack("memory", [8 * MIB, 48 * MIB], async () => {
      const crowd = Array.from({ length: 200 }, () => new Raw(t, house.port, request()));
      await house.until("all upgrades", "state.gates.length === 200");
      for (const raw of crowd) flood(raw, early, 1_000);
      let last = -1;
      await until("the server to read no more", async () => {
        const left = crowd.reduce((sum, { socket }) => sum + socket.writableLength, 0);
        const isStill = left === last;
        last = left;
        await new Promise((done) => setTimeout(done, 300));
        return isStill;
      });
      return crowd;
    });
  },

  "an upgrade that the application decides about": async (t) => {
    const house = await House.open(t);
    await house.ask(`${NEVER} at.headers = never;`);
    const long = request({ "X-Long": text(12_000) });
    await house.comesBack("heap", [3 * MIB, 12 * MIB], async () => {
      const crowd = Array.from({ length: 300 }, () => new Raw(t, house.port, long));
      await house.until("all upgrades", "state.gates.length === 300");
      return crowd;
    });
  },

  "the answer to a refused request": async (t) => {
    const house = await House.open(t);
    await house.ask(
      `const issue = { message: "m".repeat(1000), path: ["x-long"] };
       at.headers = () => ({ issues: Array.from({ length: 1000 }, () => issue) });`,
    );
    const { status, body } = await new Raw(t, house.port, request({ "X-Long": "1" })).answer();
    assert.equal(status, 400);
    assert.ok(body.length > KIB && body.length <= 16 * KIB, `${body.length} bytes`);
    await engine(
      "tests/handshake_hostile.rs",
      "who_goes_on_sending_after_a_refusal_is_cut_off",
      "a_request_that_the_owner_refused_is_a_pending_socket_until_it_is_closed",
    )(t);
  },

  "a message under way": async (t) => {
    const maxPayload = 4 * MIB;
    const house = await House.open(t, { maxPayload });
    const most = framed(text(maxPayload - 1), maxPayload);
    await house.comesBack("memory", [32 * MIB, 72 * MIB], async () => {
      const crowd = await house.crowd(10);
      for (const raw of crowd) raw.write(most);
      await house.until("all of it", `server.metrics().bytesIn >= ${10 * most.length}`);
      return crowd;
    });
    const [liar] = await house.crowd(1);
    liar?.write(framed("", maxPayload + 1));
    assert.equal(await liar?.closeCode(), 1009);
  },

  "a compressed message under way": engine(
    "tests/deflate.rs",
    "a_bomb_is_1009_and_others_are_served_meanwhile",
    "a_message_may_inflate_to_max_payload_and_no_further",
    "what_inflates_counts_towards_the_bound_of_the_server",
  ),

  "a control frame": engine(
    "tests/memory.rs",
    "empty_fragments_and_pings_without_end_hold_nothing",
  ),

  "a pong": engine("tests/memory.rs", "pings_of_a_client_that_does_not_read_hold_one_pong"),
  "a `$pong`": engine("tests/zocket_1.rs", "while_a_pong_waits_no_second_is_made"),

  "the inbox of an I/O thread": async (t) => {
    const house = await House.open(t);
    await house.ask("state.got = 0; at.say = () => { state.got += 1; };");
    const crowd = await house.crowd(60);
    const message = told("say", text(16 * KIB));
    const read = await house.whileStuck(() => {
      for (const raw of crowd) flood(raw, message, 40);
    });
    const bytes = read * 16 * KIB;
    assert.ok(bytes > 3.5 * MIB && bytes < 4.5 * MIB, `${(bytes / MIB).toFixed(2)} MiB`);
    await house.until("all messages", `state.got === ${60 * 40}`);
    await house.leave(crowd);
  },

  "one client's share of the inbox": async (t) => {
    const house = await House.open(t);
    await house.ask("state.got = 0; at.say = () => { state.got += 1; };");
    const crowd = await house.crowd(2);
    const [one, other] = crowd as [Raw, Raw];
    const short = await house.whileStuck(() => flood(one, told("say", 1), 1_000));
    assert.equal(short, 64);
    await house.until("all short ones", "state.got === 1_000");
    const long = await house.whileStuck(() => flood(other, told("say", text(32 * KIB)), 100));
    assert.ok(long >= 4 && long <= 5, `${long} messages`);
    await house.until("all messages", "state.got === 1_100");
    await house.leave(crowd);
  },

  "a batch of events": async (t) => {
    const house = await House.open(t);
    await house.ask(
      "state.got = []; at.say = (payload) => { busy(12); state.got.push(new WeakRef(payload)); };",
    );
    const crowd = await house.crowd(1);
    flood(crowd[0] as Raw, told("say", { text: text(KIB) }), 60);
    await house.until("all messages, a few in each turn", "state.got.length === 60");
    await house.ask("await measure();");
    await house.until("nothing to be left", "state.got.every((it) => it.deref() === undefined)");
    await engine(
      "src/border/inbox.rs",
      "batches_join_until_they_hold_a_thousand_events",
      "a_batch_stays_under_its_bytes_unless_one_message_is_larger",
    )(t);
  },

  "a message that waits for a middleware": async (t) => {
    const house = await House.open(t);
    await house.ask(`${NEVER} at.middle = (payload) => payload === "go" ? turn() : never();`);
    const long = told("slow", { text: text(900 * KIB) });
    await house.comesBack("heap", [6 * MIB, 14 * MIB], async () => {
      const crowd = await house.crowd(8);
      for (const [at, raw] of crowd.entries()) {
        // Half of them wait for another one first.
        if (at % 2 === 0) raw.write(told("slow", "go"));
        raw.write(long);
      }
      await house.until("all messages", "state.gates.length === 8");
      return crowd;
    });
  },

  "messages behind a pending one": async (t) => {
    const house = await House.open(t);
    await house.ask(`${NEVER} at.middle = never;`);
    const few = (await house.crowd(1)) as [Raw];
    flood(few[0], told("slow", 1), 1_000);
    const count = await house.still(RECEIVED);
    assert.ok(count >= 65 && count <= 3 * 65, `${count} messages`);
    await house.leave(few);
    const message = told("slow", { text: text(16 * KIB) });
    await house.comesBack("heap", [5 * MIB, 10 * MIB], async () => {
      const crowd = await house.crowd(20);
      for (const raw of crowd) flood(raw, message, 100);
      await house.still(RECEIVED);
      return crowd;
    });
  },

  "handler calls under way": async (t) => {
    const house = await House.open(t, { maxHandlersInFlight: 8 });
    await house.ask(`${NEVER} at.say = never;`);
    const few = (await house.crowd(1)) as [Raw];
    flood(few[0], told("say", 1), 100);
    await house.still(RECEIVED);
    assert.equal(await house.ask("return state.gates.length;"), 8);
    await house.leave(few);
    const long = told("say", text(600 * KIB));
    const crowd = await house.crowd(6);
    for (const raw of crowd) flood(raw, long, 3);
    await house.until("a call for each", "state.gates.length >= 8 + 6");
    await house.still(RECEIVED);
    // Two of them were more than maxPayload.
    assert.equal(await house.ask("return state.gates.length;"), 8 + 6);
    // Once for each client.
    await house.until("all to be told", "errors.length >= 7");
    const codes = await house.ask<string[]>("return errors.map((it) => it.code);");
    assert.deepEqual(
      codes,
      Array.from({ length: 7 }, () => "HANDLERS"),
    );
    // Three of 600 KB each: one has its handler called, one waits, and the engine has the third.
    const full = (await house.measure()).heap;
    await house.leave(crowd);
    let gone = 0;
    await until("what waited to be let go", async () => {
      gone = full - (await house.measure()).heap;
      return gone > 3.3 * MIB;
    }).catch((error: unknown) => {
      throw new Error(`only ${(gone / MIB).toFixed(1)} MiB were let go`, { cause: error });
    });
  },

  "open calls of a client": async (t) => {
    const house = await House.open(t, { maxCallsPerClient: 8 });
    await house.ask(`${NEVER} at.call = never;`);
    const called = (id: number, payload: unknown) =>
      framed(JSON.stringify({ type: "call", id, payload }));
    const crowd = await house.crowd(6);
    for (const raw of crowd) for (let id = 0; id < 100; id++) raw.write(called(id, 1));
    const refused = "server.metrics().bad.TOO_MANY_CALLS";
    await house.until("the rest to be refused", `${refused} === 6 * 92`);
    await house.until("the others to be called", "state.gates.length === 6 * 8");
    // Aborted ones keep their places.
    for (const raw of crowd) raw.write(framed('{"type":"$abort","id":0}'));
    for (const raw of crowd) raw.write(called(200, 1));
    await house.until("one more each to be refused", `${refused} === 6 * 93`);
    await house.ask("for (const go of state.gates.splice(0)) go();");
    // Not to the ones that were aborted.
    await house.until("all answers", "server.metrics().sent === 6 * (7 + 93)");
    await house.leave(crowd);
    const before = (await house.measure()).heap;
    const others = await house.crowd(6);
    // Two of them are more than `maxPayload`.
    for (const raw of others) {
      for (let id = 0; id < 3; id++) raw.write(called(id, { text: text(900 * KIB) }));
    }
    await house.until("the rest to be refused", `${refused} === 6 * (93 + 2)`);
    // Their handlers have let go of the payloads.
    const full = (await house.measure()).heap - before;
    assert.ok(full < MIB, `${(full / MIB).toFixed(1)} MiB`);
    await house.leave(others);
    await engine(
      "src/connection/calls.rs",
      "the_memory_of_many_calls_goes_with_the_last_of_them",
    )(t);
  },

  "items of streams that are not acknowledged": async (t) => {
    const house = await House.open(t, { maxBackpressure: 512 * KIB });
    await house.ask(
      `state.made = 0; state.ended = 0;
       at.stream = async function* (text) {
         try { for (;;) { state.made += 1; yield text; } } finally { state.ended += 1; }
       };`,
    );
    const crowd = await house.crowd(2);
    const [one, other] = crowd as [Raw, Raw];
    const streamed = (id: number, payload: unknown) =>
      framed(JSON.stringify({ type: "stream", id, payload }));
    one.write(streamed(1, 1));
    // The last one is made before there is no room.
    assert.equal(await house.still("state.made"), 64);
    one.write(framed('{"type":"$more","id":1,"payload":32}'));
    await house.until("32 more", "state.made === 96");
    for (let id = 0; id < 10; id++) other.write(streamed(id, text(100 * KIB)));
    await house.until("one of each, and those that fit", "state.made >= 96 + 10");
    const made = (await house.still("state.made")) - 96;
    assert.ok(made <= 13, `${made} items of 100 KiB`);
    await house.leave(crowd);
    await house.until("all generators to end", "state.ended === 11");
  },

  "messages of all clients that are not done": async (t) => {
    const house = await House.open(t, {}, ["--max-old-space-size=64"]);
    await house.ask(`${NEVER} at.middle = never;`);
    for (let round = 0; round < 2; round++) {
      const crowd = await house.crowd(30);
      let cut = 0;
      for (const raw of crowd) void raw.ended.then(() => (cut += 1));
      for (const raw of crowd) flood(raw, told("slow", { text: text(90_000) }), 5);
      await until("some to be cut off", () => cut > 5);
      assert.ok(cut < 30, "not all of them");
      await house.leave(crowd);
      const codes = await house.ask<string[]>("return errors.splice(0).map((it) => it.code);");
      assert.deepEqual([...new Set(codes)], ["HANDLERS"]);
    }
    // Nothing of them is counted any more.
    const [one] = (await house.crowd(1)) as [Raw];
    one.write(told("slow", { text: text(900_000) }));
    await house.ask("await new Promise((done) => setTimeout(done, 1_500));");
    assert.equal(await house.ask("return errors.length + 10 * server.clientCount();"), 10);
  },

  "messages that wait for the next turn": async (t) => {
    const house = await House.open(t);
    await house.ask(
      "state.got = 0; at.middle = async () => { await undefined; busy(1); }; at.say = () => { state.got += 1; };",
    );
    const before = await house.measure();
    const crowd = await house.crowd(50);
    for (const raw of crowd) flood(raw, told("slow", { text: text(4 * KIB) }), 20);
    await house.until("all messages", "state.got === 1_000");
    await house.leave(crowd);
    await until("nothing to be left", async () => {
      return (await house.measure()).heap < before.heap + MIB;
    });
  },

  "stores that the application enters": async (t) => {
    const house = await House.open(t);
    await house.ask(
      `const { AsyncLocalStorage } = await import("node:async_hooks");
       const storage = new AsyncLocalStorage();
       state.stores = []; state.gates = [];
       const enter = () => {
         const store = { text: Buffer.alloc(20_000, 97).toString() };
         state.stores.push(new WeakRef(store));
         storage.enterWith(store);
       };
       at.connect = () => { enter(); return {}; };
       at.middle = async () => { enter(); await turn(); };
       at.say = enter;
       at.disconnect = enter;`,
    );
    const crowd = await house.crowd(50);
    for (const raw of crowd) flood(raw, told("slow", 1), 4);
    await house.until("all messages", "state.stores.length === 450");
    await house.leave(crowd);
    await house.until("all calls", "state.stores.length === 500");
    await until("no store to be left", async () => {
      await house.measure();
      return house.ask<boolean>("return state.stores.every((it) => !it.deref());");
    });
  },

  "bad messages that are not told yet": async (t) => {
    const house = await House.open(t);
    const crowd = await house.crowd(5);
    const start = performance.now();
    for (const raw of crowd) flood(raw, frame("{"), 5_000);
    await house.until(
      "all counts",
      "errors.reduce((sum, { count = 1 }) => sum + count, 0) === 25_000",
    );
    const seconds = (performance.now() - start) / 1_000;
    const events = await house.ask<number>("return errors.length;");
    assert.ok(events <= 5 * 2 * (seconds + 1), `${events} events in ${seconds} s`);
    await house.leave(crowd);
  },

  "what the default log has counted": async (t) => {
    const house = await House.open(t, { logs: true });
    await house.ask("at.say = (payload) => { throw new Error(payload); };");
    const before = await house.measure();
    const crowd = await house.crowd(1);
    for (let at = 0; at < 3_000; at++) (crowd[0] as Raw).write(told("say", `${at}${text(KIB)}`));
    const counted = /\d+ HANDLER_ERROR \(more than the log shows/;
    await until("the line of what was counted", () => counted.test(house.child.err));
    await house.leave(crowd);
    await until("nothing to be left", async () => {
      return (await house.measure()).heap < before.heap + MIB;
    });
  },
};
