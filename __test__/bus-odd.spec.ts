// The bus in the hands of strangers: methods in odd orders, twice, during outages and after the end, and secrets that nobody may see.
import assert from "node:assert/strict";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { inspect } from "node:util";

import { createPublisher, redis } from "@zocket/core/bus";

import { begin, counters, heard, join, PREFIX, toldOf } from "./_bus.ts";
import { Child } from "./_child.ts";
import { freePort } from "./_port.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { Client, serve, type App } from "./_support.ts";
import { isSettled, soon, until } from "./_wait.ts";

const BUS = { code: "BUS" };
const publisherOn = (url: string, errors: unknown[] = []) =>
  createPublisher<App["router"]>(redis({ url, prefix: PREFIX }), {
    onError: (error) => errors.push(error),
  });

describe("methods in odd orders", needsRedis, () => {
  test("ready, synced and stop before the bus has answered anything", async (t) => {
    const bus = await Redis.start(t);
    const app = begin(t, bus.url);
    const waits = [app.server.ready(), app.server.synced(), app.server.ready()];
    await soon("all of them", Promise.all(waits));
    await Promise.all([app.server.stop(), app.server.stop(), app.server.stop(true)]);
    await assert.rejects(app.server.synced(), BUS);
    await assert.rejects(app.server.ready(), BUS);
    assert.equal(counters(app).connected, false);
  });

  test("synced and ready that wait when the server stops are rejected", async (t) => {
    const app = begin(t, `redis://127.0.0.1:${await freePort()}`);
    const waits = { ready: app.server.ready(), synced: app.server.synced() };
    for (const wait of Object.values(waits)) wait.catch(() => {});
    assert.equal(await isSettled(Promise.race(Object.values(waits))), false);
    await app.server.stop();
    for (const [name, wait] of Object.entries(waits)) {
      await assert.rejects(wait, { ...BUS, message: `server.${name}: it has stopped` });
    }
  });

  test("stop and close end while the bus answers nothing, and what waits is dropped", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const publisher = publisherOn(bus.url);
    publisher.send.said("before").broadcast();
    await publisher.flush();
    bus.pause();
    t.after(() => bus.resume());
    app.shout("under way");
    publisher.send.said("under way").broadcast();
    const flushed = publisher.flush();
    flushed.catch(() => {});
    await soon("both ends", Promise.all([app.server.stop(), publisher.close()]));
    await assert.rejects(flushed, BUS);
    for (const { queued, unconfirmed } of [counters(app), publisher.metrics()]) {
      assert.deepEqual([queued, unconfirmed], [0, 1]);
    }
  });

  test("a thousand calls of synced during an outage are all answered after it", async (t) => {
    const bus = await Redis.start(t);
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    await bus.kill();
    await until("the outage", () => !counters(app).connected);
    await client.join("a");
    const waits = Array.from({ length: 1_000 }, () => app.server.synced());
    await bus.again();
    await soon("all of them", Promise.all(waits));
    assert.equal(counters(app).connected, true);
  });

  test("a server without a bus is synced, ready and has no counters", async (t) => {
    const { server } = serve(t);
    await Promise.all([server.ready(), server.synced()]);
    assert.equal(server.metrics().bus, undefined);
    await server.stop();
    await server.synced();
  });

  test("a publisher that is closed twice, flushed after that, and used after that", async (t) => {
    const bus = await Redis.start(t);
    const errors: unknown[] = [];
    const publisher = publisherOn(bus.url, errors);
    publisher.send.said("last").broadcast();
    const flushed = publisher.flush();
    const closed = publisher.close();
    const { never } = publisher.send as unknown as { never: typeof publisher.send.said };
    const sendNothing = () => {
      const place = (name: string) => `publisher.send.${name}(…): it has stopped`;
      assert.throws(() => publisher.send.said("too late"), { ...BUS, message: place("said") });
      assert.throws(() => never("a route of no kind"), { ...BUS, message: place("never") });
    };
    // What the bus is still to publish was sent before.
    sendNothing();
    await Promise.all([flushed, closed, publisher.close()]);
    await publisher.close();
    await assert.rejects(publisher.flush(), { ...BUS, message: "publisher.flush: it has stopped" });
    const id = "6ef3b1a2-0000-4000-8000-000000000000";
    const message = "publisher.join: it has stopped";
    await assert.rejects(publisher.join(id, "a"), { ...BUS, message });
    await assert.rejects(publisher.members("a"), { code: "PARTIAL" });
    sendNothing();
    assert.equal(publisher.metrics().published, 1);
    assert.equal(publisher.metrics().queued, 0);
    assert.deepEqual(errors, []);
  });

  test("a publisher hears nothing of what servers say to their clients", async (t) => {
    const bus = await Redis.start(t);
    const errors: unknown[] = [];
    const publisher = publisherOn(bus.url, errors);
    t.after(() => publisher.close());
    publisher.send.said("before").broadcast();
    await publisher.flush();
    const app = await join(t, bus);
    const client = await Client.open(t, app.url);
    for (let turn = 0; turn < 3; turn += 1) app.shout(turn);
    await until("the confirmations", () => counters(app).confirmed === 3);
    publisher.send.said("after").broadcast();
    await publisher.flush();
    await until("its message", () => heard(client, "after") === 1);
    const { malformed, missed } = publisher.metrics();
    assert.deepEqual([malformed, missed, errors], [0, 0, []]);
  });

  test("flush during an outage is rejected when what it waits for is dropped", async (t) => {
    const bus = await Redis.start(t);
    const publisher = publisherOn(bus.url);
    t.after(() => publisher.close());
    publisher.send.said("one").broadcast();
    await publisher.flush();
    await bus.kill();
    await until("the outage", () => !publisher.metrics().connected);
    publisher.send.said("two").broadcast();
    const waits = [publisher.flush(), publisher.flush()];
    const [first] = await Promise.allSettled(waits);
    assert.equal(first?.status, "rejected");
    assert.equal(((first as PromiseRejectedResult).reason as { code: string }).code, "BUS");
    assert.equal(publisher.metrics().dropped, 1);
    // Nothing waits, so there is nothing to wait for.
    await publisher.flush();
  });

  test("two servers of one process on one bus object are two servers", async (t) => {
    const bus = await Redis.start(t);
    const on = redis({ url: bus.url, prefix: PREFIX, required: true });
    const [one, two] = [serve(t, { options: { bus: on } }), serve(t, { options: { bus: on } })];
    await Promise.all([one.server.ready(), two.server.ready()]);
    const there = await Client.open(t, two.url);
    one.shout("hello");
    await until("the other", () => heard(there, "hello") === 1);
    await one.server.stop();
    two.shout("still here");
    await until("the rest", () => heard(there, "still here") === 1);
  });
});

/** A server that answers everything with what it was told, and then with errors. */
async function parrot(t: TestContext, answer: (asked: string) => string): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => socket.write(answer(bytes.toString("latin1"))));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe("a secret", () => {
  const SECRET = "s3cret-p@ss";
  const USER = "us3r-n@me";
  const auth = `${encodeURIComponent(USER)}:${encodeURIComponent(SECRET)}`;
  const shows = (text: string) =>
    [SECRET, USER, encodeURIComponent(SECRET), encodeURIComponent(USER)].some((it) =>
      text.includes(it),
    );

  test("is in no error of an option", () => {
    const urls = [
      `http://${auth}@host`,
      `redis://${auth}@`,
      `redis://${auth}@host:99999`,
      `redis://${auth}@host:0`,
      `redis://${auth}@host/zero`,
      `redis://${auth}@host?secret=${SECRET}`,
      `redis://${auth}@host#${SECRET}`,
      `redis://%E0%A4%A:${SECRET}@host`,
      `redis:${auth}`,
      `${auth}`,
      SECRET,
      { password: SECRET },
      [SECRET],
    ];
    const options: Record<string, unknown>[] = [
      ...urls.map((url) => ({ url, prefix: PREFIX })),
      { url: "redis://host", prefix: `${SECRET}:*` },
      { url: "redis://host", prefix: PREFIX, password: { SECRET } },
      { url: "redis://host", prefix: PREFIX, username: [USER] },
      { url: "redis://host", prefix: PREFIX, passwort: SECRET },
      { url: "redis://host", prefix: PREFIX, tls: SECRET },
      { url: "rediss://host", prefix: PREFIX, tls: { key: SECRET, cert: SECRET } },
      { url: "rediss://host", prefix: PREFIX, tls: { ca: SECRET } },
      { url: "redis://host", prefix: PREFIX, maxMessage: SECRET },
      { url: "redis://host", prefix: PREFIX, required: SECRET },
    ];
    for (const given of options) {
      assert.throws(
        () => redis(given as never),
        (error: Error) => {
          assert.ok(error instanceof TypeError, inspect(error));
          assert.ok(!shows(`${inspect(error)}${error.stack ?? ""}`), inspect(error));
          return true;
        },
      );
    }
  });

  test("cannot be left out beside a user, as Redis would take us for its default one", () => {
    const sentinel = { sentinels: [`redis://host`], name: "main" };
    for (const given of [
      { url: `redis://${encodeURIComponent(USER)}@host` },
      { url: "redis://host", username: USER },
      { ...sentinel, username: USER },
      { ...sentinel, sentinels: [`redis://${encodeURIComponent(USER)}@host`] },
      { cluster: ["redis://host"], username: USER },
    ]) {
      const message = "redis: options.username: needs a password";
      assert.throws(() => redis({ prefix: PREFIX, ...given } as never), {
        name: "TypeError",
        message,
      });
    }
    redis({ url: `redis://${encodeURIComponent(USER)}@host`, prefix: PREFIX, password: SECRET });
    redis({ url: `redis://:${encodeURIComponent(SECRET)}@host`, prefix: PREFIX, username: USER });
  });

  test("is in no form of the bus", () => {
    const bus = redis({ url: `redis://${auth}@host`, prefix: PREFIX });
    const forms = [inspect(bus, { depth: 9, showHidden: true }), JSON.stringify(bus), String(bus)];
    forms.push(JSON.stringify(Object.getOwnPropertyDescriptors(bus)));
    for (const form of forms) assert.ok(!shows(form), form);
    assert.throws(
      () => serve({ after() {} } as never, { options: { bus: { ...bus } as never } }),
      TypeError,
    );
  });

  test("is in no error about a URL where a bus belongs", () => {
    const url = `redis://${auth}@host` as never;
    const uses = [
      () => serve({ after() {} } as never, { options: { bus: url } }),
      () => createPublisher(url),
    ];
    for (const use of uses) {
      assert.throws(use, (error: Error) => {
        assert.ok(error instanceof TypeError, inspect(error));
        assert.match(error.message, /expected what redis\(…\) or nats\(…\)/);
        assert.ok(!shows(`${inspect(error)}${error.stack ?? ""}`), inspect(error));
        return true;
      });
    }
  });

  test("is in no text about a server that repeats what it was sent", async (t) => {
    // As Redis does with a command that it does not know.
    const ports = [
      await parrot(
        t,
        (asked) => `-ERR unknown command, args: ${asked.replaceAll("\r\n", " ")}\r\n`,
      ),
      await parrot(t, (asked) => `-${asked.replaceAll("\r\n", " ")}\r\n`),
      await parrot(t, (asked) => asked),
      await parrot(t, (asked) => `+OK\r\n+OK\r\n+OK\r\n-ERR ${asked.replaceAll("\r\n", " ")}\r\n`),
      await parrot(t, () => "HTTP/1.1 400 Bad Request\r\n\r\n"),
    ];
    const meet = async (port: number) => {
      const app = begin(t, `redis://${auth}@127.0.0.1:${port}`);
      await until("the report", () => toldOf(app).length > 0);
      const told = inspect(app.errors, { depth: 9 });
      assert.ok(!shows(told), told);
      assert.match(told, new RegExp(`127\\.0\\.0\\.1:${port}`));
      assert.ok(!shows(inspect(app.server, { depth: 9 })));
      assert.ok(!shows(inspect(app.server.metrics())));
      await app.server.stop(true);
    };
    await Promise.all(ports.map(meet));
  });

  test("is in nothing that a program prints by itself", needsRedis, async (t) => {
    const bus = await Redis.start(t, ["--requirepass", "right"]);
    const child = Child.node(
      t,
      `const { createPublisher, redis } = await import("@zocket/core/bus");
      const bus = redis({ url: "redis://${auth}@127.0.0.1:${bus.port}", prefix: "${PREFIX}", required: true });
      const server = createServer(router, zo, { ...local, bus });
      const publisher = createPublisher(bus);
      publisher.send.said(1).broadcast();
      const waits = [server.ready(), server.synced(), publisher.flush()];
      await Promise.all(waits.map((wait) => wait.catch(console.error)));
      console.log(bus, server, publisher, server.metrics(), publisher.metrics());
      await server.stop();
      await publisher.close();`,
    );
    const { code } = await soon("its end", child.exit);
    assert.equal(code, 0, child.err);
    assert.match(child.err, /does not accept the user name or the password/);
    assert.ok(!shows(child.out + child.err), child.out + child.err);
  });

  test(
    "a payload is in no text about a command that Redis does not know",
    needsRedis,
    async (t) => {
      const bus = await Redis.start(t, ["--rename-command", "PUBLISH", "SHOUT"]);
      const app = await join(t, bus);
      app.shout(SECRET);
      await until("the report", () => toldOf(app).length > 0);
      assert.match(toldOf(app)[0]?.text ?? "", /refused 1 publications.*unknown command/);
      assert.ok(!shows(inspect(app.errors)), inspect(app.errors));
      assert.equal(counters(app).dropped, 1);
    },
  );
});
