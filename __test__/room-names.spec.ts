// What the names of rooms cost, where clients choose them: a server in a process of its own says how much memory it has.
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { Child, portOf } from "./_child.ts";
import { Client, serve } from "./_support.ts";
import { until } from "./_wait.ts";

const MIB = 2 ** 20;
/** The most bytes of one client's names, and of one name. */
const MOST = MIB;
const LONGEST = 4_096;

interface Held {
  readonly rooms: number;
  readonly joined: number;
  /** The text of the last error. */
  readonly error: string;
  readonly heap: number;
  /** Resident memory without V8's heap. */
  readonly native: number;
}

/** A server that joins the rooms it is told, or parts of a text, and says what it holds. */
async function start(t: TestContext) {
  const child = Child.node(
    t,
    `const server = createServer(router, zo, { ...local, onError: (error) => console.error(error) });
     const held = (ctx, error) => {
       gc();
       const { heapUsed, heapTotal, rss } = process.memoryUsage();
       const { rooms } = server.metrics();
       const joined = ctx.rooms.current.size;
       return { rooms, joined, error, heap: heapUsed, native: rss - heapTotal };
     };
     hooks.say = ({ names = [], whole, leaves }, ctx) => {
       let error = "";
       try {
         for (const name of names) leaves ? ctx.rooms.leave(name) : ctx.rooms.join(name);
         if (whole) ctx.rooms.join(whole.slice(0, 40));
       } catch (thrown) {
         error = thrown.code + " " + thrown.message;
       }
       ctx.send.said(names.length + (whole?.length ?? 0) > 0 ? { error } : held(ctx, error)).to(ctx.clientId);
     };
     tell(server);`,
    ["--expose-gc"],
  );
  const url = `ws://127.0.0.1:${await portOf(child)}`;
  const say = async (client: Client, payload: object) => {
    client.say(payload);
    return (await client.next()).payload as Held;
  };
  return { url, say, held: (client: Client) => say(client, {}) };
}

const nameOf = (client: number, room: number) => `${client}.${room}.`.padEnd(LONGEST, "r");

test("a client that joins all rooms it can holds 1 MiB of names, once, and all of it comes back", async (t) => {
  const CLIENTS = 32;
  const { url, say, held } = await start(t);
  const witness = await Client.open(t, url);
  const before: Held[] = [];
  for (let round = 0; round < 3; round++) {
    before.push(await held(witness));
    const crowd = await Promise.all(Array.from({ length: CLIENTS }, () => Client.open(t, url)));
    await Promise.all(
      crowd.map(async (client, number) => {
        let error = "";
        for (let room = 0; error === ""; room += 16) {
          assert.ok(room < 1_000, "no limit");
          const names = Array.from({ length: 16 }, (_, more) => nameOf(number, room + more));
          ({ error } = await say(client, { names }));
        }
        assert.match(error, /^TOO_MANY_ROOMS rooms\.join: .* at most 1048576 bytes together$/);
        client.received.length = 0;
      }),
    );
    const full = await held(witness);
    assert.equal(full.rooms, (CLIENTS * MOST) / LONGEST);
    const heap = full.heap - (before[round]?.heap ?? 0);
    const native = full.native - (before[round]?.native ?? 0);
    t.diagnostic(
      `${CLIENTS} clients with 1 MiB each: heap +${heap / MIB} MiB, besides +${native / MIB} MiB`,
    );
    assert.ok(heap < 1.2 * CLIENTS * MIB, `${heap} bytes of heap`);
    for (const client of crowd) client.drop();
    await until("the rooms to be gone", async () => (await held(witness)).rooms === 0);
  }
  // After the first crowd: what a process needs besides is there by then.
  const second = before[1] as Held;
  const most = 1.1 * second.native + 16 * MIB;
  let after = second;
  await until("the memory to be back", async () => {
    after = await held(witness);
    return after.native < most && after.heap - second.heap < 2 * MIB;
  });
  t.diagnostic(
    `afterwards: heap +${after.heap - second.heap}, besides +${after.native - second.native} bytes`,
  );
});

test("the bytes of names count as UTF-8, and a room that is left makes room", async (t) => {
  const { url, say, held } = await start(t);
  const client = await Client.open(t, url);
  const names = Array.from(
    { length: 256 },
    (_, n) => `${n}`.padStart(4, "0") + "é".repeat(LONGEST / 2 - 2),
  );
  // Joining a room twice counts once.
  for (const some of [names.slice(0, 128), names.slice(128), names.slice(0, 128)]) {
    assert.equal((await say(client, { names: some })).error, "");
  }
  assert.match((await say(client, { names: ["x"] })).error, /^TOO_MANY_ROOMS /);
  assert.equal((await held(client)).joined, 256);
  await say(client, { names: [names[0], "never joined"], leaves: true });
  assert.equal((await say(client, { names: ["x".repeat(4_096)] })).error, "");
  assert.match((await say(client, { names: ["y"] })).error, /^TOO_MANY_ROOMS /);
  assert.equal((await held(client)).joined, 256);
});

test("a name that is a part of a long text does not keep that text", async (t) => {
  const { url, say, held } = await start(t);
  const client = await Client.open(t, url);
  const whole = (n: number) => `part ${n} `.padEnd(40, "x") + "y".repeat(200_000);
  await say(client, { whole: whole(0) });
  const before = await held(client);
  for (let n = 1; n < 300; n++) await say(client, { whole: whole(n) });
  const after = await held(client);
  assert.equal(after.joined, 300);
  const grown = after.heap - before.heap;
  t.diagnostic(`300 names that are parts of 200 KB each: heap +${grown} bytes`);
  assert.ok(grown < 8 * MIB, `${grown} bytes`);
});

test("a client may be in 1,000 rooms by default", async (t) => {
  let error: unknown;
  const app = serve(t, {
    say: (_, { rooms, send, clientId }) => {
      try {
        for (let n = 0; ; n++) rooms.join(`room ${n}`);
      } catch (thrown) {
        error = thrown;
      }
      send.said(rooms.current.size).to(clientId);
    },
  });
  const client = await Client.open(t, app.url);
  client.say(1);
  assert.equal((await client.next()).payload, 1_000);
  assert.equal((error as { code?: string }).code, "TOO_MANY_ROOMS");
  assert.match(String(error), /a client may be in at most 1000 rooms$/);
});
