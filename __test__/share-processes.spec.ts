// Several threads in each of several processes: a bus joins the processes, and each client hears everything once.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, test, type TestContext } from "node:test";

import { redis, type RedisOptions } from "@zocket/core/bus";

import { Child, ROOT } from "./_child.ts";
import { assertCompiled, blocksOf, COMPILERS, Project, readPage } from "./_pages.ts";
import { freePort } from "./_port.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Client, codeOf, name } from "./_share-clients.ts";
import { PROGRAM, Sharing } from "./_share.ts";
import { serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const onLinux = process.platform === "linux";
const needsBoth = { skip: needsRedis.skip || (onLinux ? false : "reusePort balances on Linux") };

const PREFIX = "spec";
const onBus = ({ url }: Redis) => ({ url, prefix: PREFIX, required: true });

/** What a client got of the route `said`. */
const said = ({ got }: Client) =>
  got.flatMap(({ type, payload }) => (type === "said" ? [payload] : []));

/** How many servers read what is for everybody. */
async function readersOf(redis: Redis): Promise<number> {
  const told = await redis.command("PUBSUB", "NUMSUB", `${PREFIX}:all`);
  return Number(/:(\d+)/.exec(told)?.[1]);
}

/** A client in the lobby of each of so many threads. */
async function visit(t: TestContext, url: string, threads: number): Promise<Client[]> {
  const clients: Client[] = [];
  for (let n = 0; n < threads; n++) {
    const client = await Client.open(t, url);
    await client.call("join", "lobby");
    clients.push(client);
  }
  const owners = await Promise.all(clients.map((client) => client.who()));
  const expected = Array.from({ length: threads }, (_, n) => `worker ${n + 1}`);
  assert.deepEqual(owners.map(({ worker }) => worker).toSorted(), expected);
  return clients;
}

/** Threads of this process that share a server. */
async function start(t: TestContext, bus: RedisOptions, count: number): Promise<Sharing[]> {
  const share = name();
  const threads: Sharing[] = [];
  for (let n = 1; n <= count; n++) {
    const thread = await Sharing.start(t, share, `worker ${n}`, {}, { bus });
    assert.equal(thread.started.message, undefined);
    threads.push(thread);
  }
  await Promise.all(threads.map((thread) => thread.ask("await server.ready()")));
  return threads;
}

/** The same in another process. Returns its address. */
async function startElsewhere(t: TestContext, bus: RedisOptions, count: number): Promise<string> {
  const program = `
    import { once } from "node:events";
    import { Worker } from "node:worker_threads";
    let url;
    for (let n = 1; n <= ${count}; n++) {
      const workerData = { share: "there", name: "worker " + n, options: {}, bus: ${JSON.stringify(bus)} };
      const worker = new Worker(${JSON.stringify(PROGRAM)}, { eval: true, execArgv: [], workerData });
      [{ url }] = await once(worker, "message");
      worker.postMessage({ number: 1, text: "await server.ready()" });
      await once(worker, "message");
    }
    console.log("serves at " + url + ";");`;
  return Child.node(t, program).printed(/serves at (.*);/);
}

describe("several threads in each of several processes", needsRedis, () => {
  test("a message to a room, from any thread, reaches the clients of each thread of each process once", async (t) => {
    const bus = onBus(await Redis.start(t));
    const here = await start(t, bus, 2);
    const there = await startElsewhere(t, bus, 3);
    const first = here[0]?.url as string;
    const clients = [...(await visit(t, first, 2)), ...(await visit(t, there, 3))];
    await here[0]?.ask("await server.synced()");
    // The other process has read the room once one of our messages has come.
    const last = clients.at(-1) as Client;
    await until("the subscription there", async () => {
      await here[0]?.ask(`server.send.said("warm").toRoom("lobby")`);
      return said(last).includes("warm");
    });
    await here[1]?.ask(`server.send.said("from thread 2 here").toRoom("lobby")`);
    // A handler of the third thread there sends this one.
    for (const client of clients.slice(2)) client.send("say", "from each thread there");
    const texts = (client: Client) => said(client).filter((text) => text !== "warm");
    for (const client of clients) await until("all", () => texts(client).length === 4);
    await here[1]?.ask(`server.send.said("last").broadcast()`);
    for (const client of clients) {
      await until("the last", () => texts(client).includes("last"));
      assert.deepEqual(texts(client).toSorted(), [
        "from each thread there",
        "from each thread there",
        "from each thread there",
        "from thread 2 here",
        "last",
      ]);
    }
    const counted = await here[0]?.ask<{ received: number; missed: number; malformed: number }>(
      "return server.metrics().bus",
    );
    assert.deepEqual([counted?.received, counted?.missed, counted?.malformed], [3, 0, 0]);
  });

  test("a client is sent to by its id from any thread of any process", async (t) => {
    const bus = onBus(await Redis.start(t));
    const here = await start(t, bus, 2);
    const there = await start(t, bus, 2);
    const clients = await visit(t, there[0]?.url as string, 2);
    for (const [at, thread] of [...here, ...there].entries()) {
      for (const client of clients) {
        const { id } = await client.who();
        await thread.ask(`server.send.said(${at}).to("${id}")`);
      }
    }
    for (const client of clients) {
      await until("all of them", () => said(client).length === 4);
      assert.deepEqual(said(client).toSorted(), [0, 1, 2, 3]);
    }
  });

  test("a client is put into a room and disconnected from any thread of another process, in its own thread", async (t) => {
    const bus = onBus(await Redis.start(t));
    const here = await start(t, bus, 2);
    const there = await start(t, bus, 2);
    const clients = await visit(t, there[0]?.url as string, 2);
    const ids = await Promise.all(clients.map((client) => client.who().then(({ id }) => id)));
    const all = JSON.stringify(ids);
    await here[1]?.ask(`await server.join(${all}, "room"); server.send.said("in").toRoom("room");`);
    for (const client of clients) {
      await until("the message", () => said(client).length === 1);
      assert.deepEqual(await client.call("rooms", 0), ["lobby", "room"]);
    }
    assert.equal(await here[0]?.ask(`return server.roomSize("room")`), 2);
    await here[0]?.ask(`await server.leave(${all}, "room")`);
    assert.equal(await here[1]?.ask(`return server.roomSize("room")`), 0);
    await here[1]?.ask(`await server.disconnect(${all}, { code: 4002 })`);
    for (const client of clients) assert.equal(await codeOf(client), 4002);
    for (const thread of there) {
      const ends = () => thread.ask<{ by: string; code: number }[]>("return ends");
      await until("its end", async () => (await ends()).length === 1);
      assert.deepEqual(
        (await ends()).map(({ by, code }) => [by, code]),
        [["server", 4002]],
      );
    }
  });

  test("a thread that stops leaves the bus to the others, of which the oldest hears about it", async (t) => {
    const running = await Redis.start(t);
    const bus = onBus(running);
    const [first, second] = (await start(t, bus, 2)) as [Sharing, Sharing];
    const [elsewhere] = (await start(t, bus, 1)) as [Sharing];
    const [client] = await visit(t, elsewhere.url, 1);
    await first.ask("await server.stop()");
    await second.ask(`server.send.said("still here").broadcast()`);
    await until("the message", () => said(client as Client).length === 1);
    await running.kill();
    const seen = () => second.ask<string[]>("return seen");
    await until("the outage", async () => (await seen()).includes("error BUS"));
    assert.ok(!(await first.ask<string[]>("return seen")).includes("error BUS"));
    await second.worker.terminate();
    await elsewhere.ask(`server.send.said("alone").broadcast()`);
    await until("the message", () => said(client as Client).length === 2);
  });
});

describe("threads on a bus that all end", needsRedis, () => {
  const size = `return server.roomSize("lobby")`;

  test("by stop({ share: true }) are nobody for others at once, and leave the bus", async (t) => {
    const running = await Redis.start(t);
    const bus = onBus(running);
    const [elsewhere] = (await start(t, bus, 1)) as [Sharing];
    const threads = await start(t, bus, 3);
    await visit(t, threads[0]?.url as string, 3);
    assert.equal(await elsewhere.ask(size), 3);
    await threads[1]?.ask("await server.stop({ share: true })");
    for (const thread of threads) await thread.ask("await server.stop()");
    await until("the end of their connections", async () => (await readersOf(running)) === 1);
    for (const { worker } of threads) await worker.terminate();
    assert.equal(await elsewhere.ask(size), 0);
  });

  test("by worker.terminate() are nobody for others at once", async (t) => {
    const bus = onBus(await Redis.start(t));
    const [elsewhere] = (await start(t, bus, 1)) as [Sharing];
    const threads = await start(t, bus, 2);
    await visit(t, threads[0]?.url as string, 2);
    assert.equal(await elsewhere.ask(size), 2);
    for (const { worker } of threads) await worker.terminate();
    assert.equal(await elsewhere.ask(size), 0);
  });
});

describe("a bus that is required", () => {
  test("is waited for in each thread, which is told where the bus is not, and serves", async (t) => {
    const bus = { url: "redis://:very-secret@127.0.0.1:1", prefix: PREFIX, required: true };
    const share = name();
    const first = await Sharing.start(t, share, "first", {}, { bus });
    // It comes when the outage has been told already.
    await until("the outage", async () =>
      (await first.ask<string[]>("return seen")).includes("error BUS"),
    );
    const second = await Sharing.start(t, share, "second", {}, { bus });
    const why = (thread: Sharing) =>
      thread.ask<string>(
        "return server.ready().then(() => 'ready', (error) => error.code + error.message)",
      );
    const told = Promise.all([first, second].map(why));
    for (const worker of ["first", "second"]) {
      assert.equal((await (await Client.open(t, first.url)).who()).worker, worker);
    }
    for (const text of await told) {
      assert.match(text, /^BUSserver\.ready: not within 10 s: the bus at 127\.0\.0\.1:1 is away/);
      assert.doesNotMatch(text, /secret/);
    }
    // The oldest one alone hears of the outage.
    assert.ok(!(await second.ask<string[]>("return seen")).includes("error BUS"));
  });
});

/** The example of the page. */
const cluster = blocksOf(readPage("docs/scaling.md")).find(({ code }) =>
  code.startsWith("// cluster.mts\n"),
);
const project = new Project({ "cluster.mts": cluster?.code ?? "" });

describe("processes on one port", () => {
  for (const compiler of Object.keys(COMPILERS)) {
    test(`the example compiles with ${compiler} under strict`, () => {
      assertCompiled(project, compiler);
    });
  }

  test(
    "a node:cluster, as the page shows it, is one application, and replaces a process that is killed",
    needsBoth,
    async (t) => {
      const bus = await Redis.start(t);
      const port = await freePort();
      const env = { REDIS_URL: bus.url, PORT: String(port) };
      const primary = project.start(t, "cluster.mjs", env);
      const serving = () => [...primary.out.matchAll(/process (\d+) serves/g)].map(([, id]) => id);
      await until("both processes", () => serving().length === 2);
      const clients = new Map<string, Client>();
      await until("a client in each", async () => {
        const client = await Client.open(t, `ws://127.0.0.1:${port}`);
        clients.set(String(await client.call("enter", "lobby")), client);
        return clients.size === 2;
      });
      assert.deepEqual([...clients.keys()].toSorted(), serving().toSorted());
      const [[killed, one], [, two]] = [...clients] as [[string, Client], [string, Client]];
      const heard = ({ got }: Client, room: string) =>
        got.filter(({ payload }) => payload === `somebody entered ${room}`).length;
      // Both processes have read the room when a message has come both ways.
      await one.call("enter", "hall");
      await two.call("enter", "hall");
      await until("a message from one to two", async () => {
        const before = heard(two, "hall");
        await one.call("enter", "hall");
        return heard(two, "hall") > before;
      });
      await until("a message from two to one", async () => {
        const before = heard(one, "hall");
        await two.call("enter", "hall");
        return heard(one, "hall") > before;
      });
      process.kill(Number(killed), "SIGKILL");
      assert.equal(await codeOf(one), 1006);
      await two.call("enter", "lobby");
      await until("another process", () => serving().length === 3);
      primary.process.kill("SIGTERM");
      // Its processes end with it.
      assert.notEqual(await codeOf(two), undefined);
    },
  );

  test(
    "a process that is forked has its own server on the port, and nothing of its parent's",
    needsBoth,
    async (t) => {
      const bus = await Redis.start(t);
      const port = await freePort();
      const share = name();
      const place = { port, hostname: "127.0.0.1", reusePort: true, share };
      const parent = serve(t, { options: { ...place, bus: redis(onBus(bus)) } });
      await parent.server.ready();
      const program = `
      import { createServer, zocket } from "@zocket/core";
      import { redis } from "@zocket/core/bus";
      const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
      const zo = zocket.create({ headers: anything });
      const routes = { said: zo.message.outgoing({ payload: anything }) };
      process.on("message", async ({ place, bus }) => {
        const server = createServer(zo.router(routes, {}), zo, { ...place, bus: redis(bus) });
        await server.ready();
        process.send("ready");
      });
      process.send("started");`;
      const execArgv = ["--input-type=module", "--eval", program];
      const child = fork("child", { cwd: ROOT, execArgv });
      t.after(() => child.kill("SIGKILL"));
      await soon("its start", once(child, "message"));
      child.send({ place, bus: onBus(bus) });
      await soon("its server", once(child, "message"));
      const [here, there]: Client[][] = [[], []];
      await until("a client in each", async () => {
        const before = parent.connects.length;
        const client = await Client.open(t, parent.url);
        (parent.connects.length > before ? here : there)?.push(client);
        return here?.length && there?.length;
      });
      parent.shout("to all");
      for (const client of [...(here ?? []), ...(there ?? [])]) {
        await until("the message", () => said(client).length === 1);
      }
      assert.equal(parent.server.metrics().workers?.length, 1);
      child.kill("SIGKILL");
      for (const client of there ?? []) assert.equal(await codeOf(client), 1006);
      parent.shout("to the rest");
      for (const client of here ?? []) {
        await until("the message", () => said(client).length === 2);
        assert.deepEqual(said(client), ["to all", "to the rest"]);
      }
    },
  );
});
