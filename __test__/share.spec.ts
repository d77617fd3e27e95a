// Several JavaScript threads over one engine: the option `share`.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Raw } from "./_raw.ts";
import { freePort } from "./_port.ts";
import { Client, codeOf, name, two } from "./_share-clients.ts";
import { blockUntilTold, Sharing } from "./_share.ts";
import { soon, until } from "./_wait.ts";

describe("A server that threads share", () => {
  test("gives each client to the worker with the fewest, where its callbacks and handlers run", async (t) => {
    const { a, b } = await two(t);
    const clients = [];
    for (let n = 0; n < 6; n++) clients.push(await Client.open(t, a.url));
    const whose = await Promise.all(clients.map((client) => client.who()));
    for (const worker of ["a", "b"]) {
      assert.equal(whose.filter((it) => it.worker === worker).length, 3);
    }
    for (const [worker, sharing] of [
      ["a", a],
      ["b", b],
    ] as const) {
      const ids = whose.filter((it) => it.worker === worker).map(({ id }) => `connect ${id}`);
      assert.deepEqual((await sharing.ask<string[]>("return seen")).sort(), ids.sort());
    }
    clients.forEach((client) => client.close());
    for (const sharing of [a, b]) {
      await until(
        "equal pairs",
        async () => (await sharing.ask<string[]>("return seen")).length === 6,
      );
    }
  });

  test("counts the clients of all, and those of each", async (t) => {
    const { a, b } = await two(t);
    for (let n = 0; n < 3; n++) await Client.open(t, a.url);
    const read = "return [server.clientCount(), server.metrics()]";
    const [count, metrics] = await a.ask<[number, Record<string, unknown>]>(read);
    assert.equal(count, 3);
    assert.equal(metrics["accepted"], 3);
    assert.equal(metrics["orphaned"], 0);
    assert.deepEqual(metrics["workers"], [
      { connections: 2, isThis: true },
      { connections: 1, isThis: false },
    ]);
    const [same, others] = await b.ask<[number, Record<string, unknown>]>(read);
    assert.equal(same, 3);
    assert.deepEqual(others["workers"], [
      { connections: 2, isThis: false },
      { connections: 1, isThis: true },
    ]);
  });

  test("has its rooms and broadcasts in common", async (t) => {
    const { a, b } = await two(t);
    const clients: Client[] = [];
    for (let n = 0; n < 4; n++) clients.push(await Client.open(t, a.url));
    for (const client of clients) await client.call("join", "lobby");
    clients[0]?.send("say", "to the room");
    const said = (text: string) => async () =>
      clients.every(({ got }) => got.filter(({ payload }) => payload === text).length === 1);
    await until("everybody has it once", said("to the room"));
    await b.ask(`server.send.said("from b").broadcast()`);
    await until("everybody has it once", said("from b"));
    await a.ask(`server.send.said("from a").toRoom("lobby")`);
    await until("everybody has it once", said("from a"));
  });

  test("sends to single clients of other workers, and leaves them out", async (t) => {
    const { a, b } = await two(t);
    const clients = [await Client.open(t, a.url), await Client.open(t, a.url)];
    const [first, second] = await Promise.all(clients.map((client) => client.who()));
    assert.deepEqual([first?.worker, second?.worker], ["a", "b"]);
    const ids = JSON.stringify([first?.id, second?.id, crypto.randomUUID(), "nobody"]);
    for (const worker of [a, b]) await worker.ask(`server.send.said("both").to(${ids})`);
    await a.ask(`server.send.said("one").to("${second?.id}")`);
    await a.ask(`server.send.said("others").broadcast({ except: "${second?.id}" })`);
    await b.ask(`server.send.said("others").broadcast({ except: ["${second?.id}", "nobody"] })`);
    const texts = ({ got }: Client) =>
      got.flatMap(({ type, payload }) => (type === "said" ? [payload] : []));
    await until("all", () => clients.every((client) => texts(client).length >= 3));
    await Promise.all(clients.map((client) => client.who()));
    assert.deepEqual(
      clients.map((client) => texts(client).sort()),
      [
        ["both", "both", "others", "others"],
        ["both", "both", "one"],
      ],
    );
    await until("the count of all", async () => {
      const { sent, written, queued, dropped } =
        await a.ask<Record<"sent" | "written" | "queued" | "dropped", number>>(
          "return server.metrics()",
        );
      return queued === 0 && sent === written + dropped;
    });
  });

  test("goes on when one worker stops, and ends with the last", async (t) => {
    const { a, b } = await two(t);
    const first = await Client.open(t, a.url);
    const second = await Client.open(t, a.url);
    assert.equal((await first.who()).worker, "a");
    await a.ask("await server.stop()");
    assert.equal(await codeOf(first), 1012);
    assert.equal((await a.ask<string[]>("return seen")).length, 2);
    const third = await Client.open(t, b.url);
    assert.deepEqual([(await second.who()).worker, (await third.who()).worker], ["b", "b"]);
    // What the first one still wants does not happen.
    await a.ask(`server.send.said("late").broadcast()`);
    await b.ask("await server.stop()");
    assert.deepEqual([await codeOf(second), await codeOf(third)], [1001, 1001]);
    assert.ok(second.got.every(({ payload }) => payload !== "late"));
    await assert.rejects(Client.open(t, b.url));
  });

  test("stops for all with stop({ share: true })", async (t) => {
    const { a, b } = await two(t);
    const clients = [await Client.open(t, a.url), await Client.open(t, a.url)];
    await a.ask("await server.stop({ share: true })");
    for (const client of clients) assert.equal(await codeOf(client), 1001);
    await until("b has heard", async () => (await b.ask<string[]>("return seen")).length === 2);
    await b.ask("await server.stop()");
    await assert.rejects(Client.open(t, b.url));
  });

  test("stops for all also from a worker whose own part has ended", async (t) => {
    const { a, b } = await two(t);
    const clients = [await Client.open(t, a.url), await Client.open(t, a.url)];
    await a.ask("await server.stop()");
    await a.ask("await server.stop({ share: true })");
    assert.deepEqual((await Promise.all(clients.map(codeOf))).toSorted(), [1001, 1012]);
    await until("the end", async () => (await b.ask("return server.clientCount()")) === 0);
    await assert.rejects(Client.open(t, b.url));
    // An end of its own does not touch a server that has begun anew under the name.
    await a.ask("await server.stop({ share: true })");
  });

  test("closes the clients of a worker that is terminated, and counts them", async (t) => {
    const { a, b } = await two(t);
    const clients = [];
    for (let n = 0; n < 10; n++) clients.push(await Client.open(t, a.url));
    const whose = await Promise.all(clients.map((client) => client.who()));
    await a.worker.terminate();
    for (const [at, client] of clients.entries()) {
      if (whose[at]?.worker === "a") assert.equal(await codeOf(client), 1012);
      else assert.equal((await client.who()).worker, "b");
    }
    const orphaned = () => b.ask<number>("return server.metrics().orphaned");
    await until("five orphans", async () => (await orphaned()) === 5);
    for (let n = 0; n < 10; n++) {
      assert.equal((await (await Client.open(t, b.url)).who()).worker, "b");
    }
    assert.equal(await b.ask("return server.clientCount()"), 15);
  });

  test("counts the clients whose onDisconnect a worker that stopped did not live to call", async (t) => {
    const { a, b } = await two(t);
    const clients = [];
    for (let n = 0; n < 6; n++) clients.push(await Client.open(t, a.url));
    const whose = await Promise.all(clients.map((client) => client.who()));
    const ofA = clients.filter((_, at) => whose[at]?.worker === "a");
    assert.equal(ofA.length, 3);
    a.tell("void server.stop(); const end = Date.now() + 60_000; while (Date.now() < end);");
    for (const client of ofA) assert.equal(await codeOf(client), 1012);
    const read = "return server.metrics()";
    type Counted = { orphaned: number; workers: unknown[] };
    await until("its end", async () => (await b.ask<Counted>(read)).workers.length === 1);
    assert.equal((await b.ask<Counted>(read)).orphaned, 0);
    await a.worker.terminate();
    await until("the count", async () => (await b.ask<Counted>(read)).orphaned === 3);
  });

  test("counts the clients that left while their worker blocked, if it is terminated before it hears", async (t) => {
    const { a, b } = await two(t);
    const clients = [];
    for (let n = 0; n < 6; n++) clients.push(await Client.open(t, a.url));
    const whose = await Promise.all(clients.map((client) => client.who()));
    a.tell("const end = Date.now() + 60_000; while (Date.now() < end);");
    const [first, second] = clients.filter((_, at) => whose[at]?.worker === "a");
    for (const client of [first, second]) client?.close();
    for (const client of [first, second]) assert.equal(await codeOf(client as Client), 1005);
    await a.worker.terminate();
    const orphaned = () => b.ask<number>("return server.metrics().orphaned");
    await until("the count", async () => (await orphaned()) === 3);
  });

  test("counts nobody of a worker that has stopped in peace before it is terminated", async (t) => {
    const { a, b, share } = await two(t);
    for (let n = 0; n < 6; n++) await Client.open(t, a.url);
    await a.ask("await server.stop()");
    assert.equal((await a.ask<string[]>("return seen")).length, 6);
    await a.worker.terminate();
    const third = await Sharing.start(t, share, "third");
    assert.equal(third.url, b.url);
    assert.equal(await b.ask<number>("return server.metrics().orphaned"), 0);
  });

  test("closes the clients of the last worker that is terminated with 1012 too, and frees the port", async (t) => {
    const port = await freePort();
    const { a, b, share } = await two(t, { port });
    const clients = [];
    for (let n = 0; n < 20; n++) clients.push(await Client.open(t, a.url));
    await Promise.all([a.worker.terminate(), b.worker.terminate()]);
    assert.deepEqual(
      await Promise.all(clients.map(codeOf)),
      clients.map(() => 1012),
    );
    const again = await Sharing.start(t, share, "again", { port });
    assert.equal((await (await Client.open(t, again.url)).who()).worker, "again");
  });

  test("waits a second at most for clients that do not answer the last worker's end", async (t) => {
    const a = await Sharing.start(t, name(), "a");
    // It reads, and says nothing.
    const client = await Raw.open(t, a.port);
    const began = performance.now();
    await soon("the end of the worker", a.worker.terminate());
    t.diagnostic(`the worker ended after ${Math.round(performance.now() - began)} ms`);
    assert.equal(await client.closeCode(), 1012);
  });

  test("lets workers come and go, many times", async (t) => {
    const share = name();
    const stays = await Sharing.start(t, share, "stays");
    for (let n = 0; n < 12; n++) {
      const other = await Sharing.start(t, share, "comes and goes");
      assert.equal(other.url, stays.url);
      const clients = [await Client.open(t, stays.url), await Client.open(t, stays.url)];
      if (n % 2 === 0) await other.worker.terminate();
      else await other.ask("await server.stop()");
      const codes = () => clients.filter(({ code }) => code !== undefined);
      await until("its client is closed", () => codes().length >= 1);
      assert.deepEqual(
        codes().map(({ code }) => code),
        [1012],
      );
      clients.forEach((client) => client.close());
    }
    await until("nobody", async () => (await stays.ask("return server.clientCount()")) === 0);
    const { length } = await stays.ask<unknown[]>("return server.metrics().workers");
    assert.equal(length, 1);
  });

  test("gives new clients to others while a worker blocks, and those of others go on", async (t) => {
    const { a, b } = await two(t);
    const first = await Client.open(t, a.url);
    const second = await Client.open(t, a.url);
    assert.equal((await first.who()).worker, "a");
    const block = blockUntilTold();
    const blocked = a.ask(block.program);
    // Nothing comes for it meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    for (let n = 0; n < 5; n++) {
      assert.equal((await (await Client.open(t, b.url)).who()).worker, "b");
      assert.equal((await second.who()).worker, "b");
    }
    block.end();
    await blocked;
    assert.equal((await first.who()).worker, "a");
  });

  test("refuses other options and routes, and names the difference but no secret", async (t) => {
    const share = name();
    const first = await Sharing.start(t, share, "first", { maxPayload: 1024 });
    const differs = (options: object, more = false) =>
      Sharing.start(t, share, "other", options, { more }).then(({ started }) => started);
    const { code, message } = await differs({ maxPayload: 2048 });
    assert.equal(code, "SHARE");
    assert.match(message ?? "", /options\.maxPayload: 1024 there, and 2048 here/);
    assert.match(
      (await differs({})).message ?? "",
      /options\.maxPayload: 1024 there, and nothing here/,
    );
    const routes = await differs({ maxPayload: 1024 }, true);
    assert.equal(routes.code, "SHARE");
    assert.match(routes.message ?? "", /the outgoing routes/);
    const same = await differs({ maxPayload: 1024, onError: undefined });
    assert.equal(same.url, first.url);
  });

  test("is another one under another name", async (t) => {
    const a = await Sharing.start(t, name(), "a");
    const b = await Sharing.start(t, name(), "b");
    assert.notEqual(a.url, b.url);
    const wrong = await Sharing.start(t, "", "c");
    assert.match(
      wrong.started.message ?? "",
      /options\.share: expected a name of 1 to 64 characters/,
    );
  });

  test("can be begun anew after its end", async (t) => {
    const { a, b, share } = await two(t);
    await a.ask("await server.stop()");
    await b.ask("await server.stop()");
    const again = await Sharing.start(t, share, "again", { maxPayload: 99 });
    assert.equal((await (await Client.open(t, again.url)).who()).worker, "again");
  });
});
