// What only NATS has: clusters, its permissions, its TLS, its limits. bus.spec.ts has what all buses promise.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { createPublisher, nats, type BusMetrics, type NatsOptions } from "@zocket/core/bus";

import { counters, heard, join, PREFIX, restless, saidTo } from "./_bus.ts";
import { Authority } from "./_certificates.ts";
import { Child, portOf } from "./_child.ts";
import { Nats, needsNats } from "./_nats.ts";
import { blocksOf, readPage } from "./_pages.ts";
import { freePort } from "./_port.ts";
import { Client, serve, type App } from "./_support.ts";
import { until } from "./_wait.ts";

/** What `onError` heard of the bus. */
const told = (app: App) => app.errors.map(({ error }) => String(error));

/** A way to a port of this machine on which all bytes take 50 ms, half of what a server of a cluster may take. */
async function lateWay(t: TestContext, port: number): Promise<number> {
  const server = createServer((client) => {
    const target = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      from.on("error", () => {});
      from.on("data", (bytes) => setTimeout(() => to.write(bytes), 50));
      from.on("close", () => to.destroy());
      t.after(() => from.destroy());
    }
  }).listen(0, "127.0.0.1");
  t.after(() => void server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("the options of nats", () => {
  const given = { servers: ["nats://localhost"], prefix: PREFIX };

  for (const [what, options, message] of [
    ["no options", undefined, /^nats: expected an object of options, got undefined$/],
    [
      "no servers",
      { prefix: PREFIX },
      /servers: expected an array of 1 to 100 URLs, got undefined$/,
    ],
    [
      "an empty list",
      { ...given, servers: [] },
      /servers: expected an array of 1 to 100 URLs, got an array$/,
    ],
    [
      "one URL",
      { ...given, servers: "nats://localhost" },
      /array of 1 to 100 URLs, got another string$/,
    ],
    [
      "another scheme",
      { ...given, servers: ["redis://a"] },
      /servers\[0\]: expected a URL such as/,
    ],
    [
      "a path",
      { ...given, servers: ["nats://a/b"] },
      /servers\[0\]: expected nothing behind the port/,
    ],
    [
      "a list of which one has TLS",
      { ...given, servers: ["nats://a", "tls://b"] },
      /servers: expected all of them with TLS, or none$/,
    ],
    [
      "a user alone",
      { ...given, servers: ["nats://secret@a"] },
      /username and password belong together$/,
    ],
    [
      "a password alone",
      { ...given, password: "secret" },
      /username and password belong together$/,
    ],
    ["url", { ...given, url: "nats://a" }, /options\.url: unknown option; did you mean servers\?$/],
    ["no prefix", { servers: given.servers }, /prefix: expected 1 to 64 letters/],
    ["a wildcard as prefix", { ...given, prefix: ">" }, /prefix: expected 1 to 64 letters/],
    ["more than NATS takes", { ...given, maxMessage: 1_048_577 }, /maxMessage: .* 1024 to 1048576/],
    [
      "tls without TLS",
      { ...given, tls: {} },
      /tls: needs a URL with TLS, such as tls:\/\/host:4222$/,
    ],
    [
      "no certificate",
      { ...given, servers: ["tls://a"], tls: { ca: "secret" } },
      /tls\.ca: expected a certificate as PEM, got another string$/,
    ],
  ] as const) {
    test(`${what}: a TypeError that repeats no secret`, () => {
      assert.throws(
        () => nats(options as unknown as NatsOptions),
        (error: Error) => {
          assert.ok(error instanceof TypeError);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /secret/);
          return true;
        },
      );
    });
  }

  test("what it returns shows no secret", () => {
    const bus = nats({ ...given, servers: ["nats://me:secret@localhost"] });
    assert.deepEqual({ ...bus }, { kind: "nats" });
    assert.doesNotMatch(JSON.stringify(bus) + String(bus), /secret/);
  });
});

describe("a cluster of three", needsNats, () => {
  test("joins servers that are connected to different ones", async (t) => {
    const cluster = await Nats.cluster(t, 3);
    const apps = await Promise.all(cluster.map((server) => join(t, server)));
    const clients = await Promise.all(apps.map(({ url }) => Client.open(t, url)));
    await Promise.all(clients.map((client) => client.join("a")));
    await Promise.all(apps.map(({ server }) => server.synced()));
    for (const [index, { server }] of apps.entries()) server.send.said(index).toRoom("a");
    await until("all of them", () => clients.every((client) => saidTo(client).length === 4));
    for (const app of apps)
      assert.deepEqual([counters(app).received, counters(app).missed], [2, 0]);
  });

  test("a message right after synced arrives, whichever server of the cluster it takes", async (t) => {
    const cluster = await Nats.cluster(t, 3);
    const [one, two] = [await join(t, cluster[0] as Nats), await join(t, cluster[1] as Nats)];
    const there = await Client.open(t, two.url);
    for (let room = 0; room < 20; room += 1) {
      await there.join(`room ${room}`);
      await two.server.synced();
      one.server.send.said(room).toRoom(`room ${room}`);
    }
    await until("all of them", () => saidTo(there).length === 40);
  });

  test("a message right after synced arrives, although its server learns late who reads the room", async (t) => {
    const [first, second, third] = [await freePort(), await freePort(), await freePort()];
    const late = await lateWay(t, first);
    const start = async (port: number, ...routes: number[]) => {
      const to = routes.map((route) => `nats://127.0.0.1:${route}`).join(", ");
      const cluster = `cluster { name: spec, listen: "127.0.0.1:${port}", routes: [${to}] }`;
      return Nats.start(t, `${cluster}\nhttp: "127.0.0.1:-1"`);
    };
    const [near, far] = [await start(first), await start(second, late)];
    // Two that have a route take no other one when they hear of each other.
    await until("the late route", async () => (await near.routes()) > 0);
    const cluster = [near, far, await start(third, first, second)];
    for (const server of cluster)
      await until("the routes", async () => (await server.routes()) >= 2);
    const [one, two] = [await join(t, near), await join(t, far)];
    const there = await Client.open(t, two.url);
    await until("the channel for everybody", () => {
      one.shout("early");
      return heard(there, "early") > 0;
    });
    let turn = 0;
    // A machine that is busy may be later than a server may be.
    await until("one that arrives", async () => {
      turn += 1;
      await there.join(`room ${turn}`);
      await two.server.synced();
      one.server.send.said(turn).toRoom(`room ${turn}`);
      one.shout(`after ${turn}`);
      await until("what was sent after it", () => heard(there, `after ${turn}`) === 1);
      return heard(there, turn) === 1;
    });
  });

  test("one is killed while two servers publish: they go on over another, and the counters add up", async (t) => {
    const cluster = await Nats.cluster(t, 3);
    const servers = cluster.map(({ url }) => url);
    const [first, ...others] = cluster as [Nats, Nats, Nats];
    // Both begin on the one that will be killed.
    await Promise.all(others.map((server) => server.kill()));
    const [one, two] = [
      await join(t, first, {}, { servers }),
      await join(t, first, {}, { servers }),
    ];
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    await Promise.all(others.map((server) => server.again()));
    let sent = 0;
    const publishing = setInterval(() => {
      for (let turn = 0; turn < 5; turn += 1) one.shout((sent += 1));
    }, 5);
    t.after(() => clearInterval(publishing));
    await until("some", () => saidTo(there).length > 100);
    await first.kill();
    await until("the outage", () => told(one).length > 0);
    const isBack = (app: App) => counters(app).connected && counters(app).reconnects > 0;
    await until("the return", () => isBack(one) && isBack(two));
    await Promise.all([one.server.synced(), two.server.synced()]);
    const before = sent;
    await until("some more", () => heard(there, before + 100) === 1);
    clearInterval(publishing);
    await until("the end", () => counters(one).queued === 0);
    one.shout("last");
    await until("the last", () => [here, there].every((it) => heard(it, "last") === 1));
    await until("its confirmation", () => counters(one).queued === 0);
    const [ours, theirs] = [counters(one), counters(two)];
    // Every one was heard here, and is heard or missed there.
    assert.equal(saidTo(here).length, sent + 1);
    assert.equal(ours.published, sent + 1);
    assert.equal(theirs.received + theirs.missed, sent + 1);
    const later = saidTo(there).filter((it) => Number(it) > before).length;
    assert.equal(later, sent - before, "all that were sent while both were there");
    assert.deepEqual(
      saidTo(there),
      [...saidTo(there)].sort((a, b) => Number(a) - Number(b)),
    );
    assert.equal(ours.reconnects, 1);
  });
});

describe("what NATS refuses", needsNats, () => {
  const users = (permissions: string, password = "right") =>
    `authorization { users: [{ user: app, password: "${password}", permissions: ${permissions} }] }`;
  const app = { username: "app", password: "right" };

  test("a wrong password is told as such, without the password, and the server serves", async (t) => {
    const bus = await Nats.start(t, users('{ publish: "spec.>", subscribe: "spec.>" }'));
    const servers = [`nats://app:very-secret@127.0.0.1:${bus.port}`];
    const one = serve(t, { options: { bus: nats({ servers, prefix: PREFIX, required: true }) } });
    const client = await Client.open(t, one.url);
    await client.roundTrip();
    await until("the report", () => one.errors.length > 0);
    await assert.rejects(one.server.ready(), (error: Error & { code?: string }) => {
      assert.equal(error.code, "BUS");
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${bus.port}.*password`));
      return true;
    });
    assert.match(told(one).join(), /does not accept the user name or the password/);
    assert.doesNotMatch(told(one).join(), /very-secret/);
    assert.equal(one.errors.length, 1);
  });

  test("a password that changes is an outage of the credentials, until it is right again", async (t) => {
    const permissions = '{ publish: "spec.>", subscribe: "spec.>" }';
    const bus = await Nats.start(t, users(permissions));
    const one = await join(t, bus, {}, app);
    bus.configure(users(permissions, "another"));
    bus.reload();
    await until("the outage", () => told(one).some((text) => /password/.test(text)));
    bus.configure(users(permissions));
    bus.reload();
    await until("the return", () => counters(one).connected);
    await until("the report", () => /is back/.test(told(one).at(-1) ?? ""));
  });

  test("the permissions of the page are enough", async (t) => {
    const page = blocksOf(readPage("docs/scaling.md"));
    const config = page.find(({ info }) => info[0] === "nats")?.code ?? "";
    const bus = await Nats.start(t, config);
    const on = { prefix: "chat", username: "chat", password: "password" };
    const [one, two] = [await join(t, bus, {}, on), await join(t, bus, {}, on)];
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    one.server.send.said("x").toRoom("a");
    await until("it", () => heard(there, "x") === 1);
    await until("its confirmation", () => counters(one).confirmed === 1);
    assert.deepEqual([...told(one), ...told(two)], []);
  });

  test("publications that are not permitted are dropped and told, and the others are confirmed", async (t) => {
    const permissions = '{ publish: { allow: "spec.>", deny: "spec.all" }, subscribe: "spec.>" }';
    const bus = await Nats.start(t, users(permissions));
    const [one, two] = [await join(t, bus, {}, app), await join(t, bus, {}, app)];
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    for (let turn = 0; turn < 1_000; turn += 1) {
      one.shout(turn);
      one.server.send.said(`room ${turn}`).toRoom("a");
    }
    await until("the last one", () => heard(there, "room 999") === 1);
    await until("all answers", () => counters(one).queued === 0);
    const { confirmed, dropped, unconfirmed, connected } = counters(one);
    assert.deepEqual([confirmed, dropped, unconfirmed, connected], [1_000, 1_000, 0, true]);
    assert.equal(saidTo(there).length, 1_001);
    await until("the report", () => told(one).length > 0);
    assert.match(
      told(one)[0] as string,
      /refused \d+ publications.*Permissions Violation for Publish/,
    );
  });

  test("a user who may not publish at all hears so, and its publications are dropped", async (t) => {
    const bus = await Nats.start(t, users('{ publish: { deny: ">" }, subscribe: "spec.>" }'));
    const one = await join(t, bus, {}, app);
    one.shout("x");
    await until("the drop", () => counters(one).dropped === 1);
    await until("the report", () => told(one).some((text) => /refused 1 publications/.test(text)));
    await sleep(4_000);
    assert.equal(counters(one).connected, true);
  });

  test("a user who may not subscribe has no bus, and hears why", async (t) => {
    const bus = await Nats.start(t, users('{ publish: "spec.>", subscribe: "spec.all" }'));
    const one = serve(t, { options: { bus: bus.on({ ...app, required: true }) } });
    await until("the report", () => told(one).length === 1);
    assert.match(
      told(one)[0] as string,
      /does not permit this user what a bus needs: .*Subscription/,
    );
    await assert.rejects(one.server.ready(), { code: "BUS", message: /does not permit/ });
  });

  test("a publication that is longer than the server's max_payload is dropped and told", async (t) => {
    const bus = await Nats.start(t, "max_payload: 2000");
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    const long = "x".repeat(2_000);
    one.shout(long);
    one.shout("short");
    await until("the short one", () => heard(there, "short") === 1);
    await until("the long one here", () => heard(here, long) === 1);
    assert.equal(heard(there, long), 0);
    await until("the report", () => told(one).length === 1);
    assert.match(told(one)[0] as string, /refused 1 publications.*the server takes 2000/);
    await until("the confirmation", () => counters(one).confirmed === 1);
    assert.deepEqual([counters(one).dropped, counters(one).reconnects], [1, 0]);
  });
});

describe("TLS to NATS", needsNats, () => {
  const authority = new Authority();

  async function secured(t: Parameters<typeof Nats.start>[0], more = "") {
    const bus = await Nats.start(t);
    await bus.kill();
    const identity = authority.issue("127.0.0.1");
    const [cert, key] = [bus.file("cert.pem", identity.cert), bus.file("key.pem", identity.key)];
    const ca = bus.file("ca.pem", authority.cert);
    bus.configure(`tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}"${more} }`);
    await bus.again();
    return { bus, servers: [`tls://127.0.0.1:${bus.port}`] };
  }

  test("the certificate is checked against the given authority", async (t) => {
    const { bus, servers } = await secured(t);
    const on = { servers, tls: { ca: authority.cert } };
    const [one, two] = [await join(t, bus, {}, on), await join(t, bus, {}, on)];
    const there = await Client.open(t, two.url);
    one.shout("x".repeat(100_000));
    await until("it", () => saidTo(there).length === 1);
    await until("its confirmation", () => counters(one).confirmed === 1);
  });

  test("a certificate of nobody that is known is told as such", async (t) => {
    const { bus, servers } = await secured(t);
    for (const tls of [{}, { ca: new Authority("another").cert }]) {
      const one = serve(t, { options: { bus: bus.on({ servers, tls }) } });
      await until("the report", () => told(one).length === 1);
      assert.match(told(one)[0] as string, /certificate/);
    }
  });

  test("a server that asks for a certificate gets ours, and nobody comes without one", async (t) => {
    const { bus, servers } = await secured(t, ", verify: true");
    const tls = { ca: authority.cert, ...authority.issue("app") };
    const one = await join(t, bus, {}, { servers, tls });
    one.shout("x");
    await until("the confirmation", () => counters(one).confirmed === 1);
    const other = serve(t, {
      options: { bus: bus.on({ servers, tls: { ca: authority.cert } }) },
    });
    await until("the report", () => told(other).length === 1);
    assert.match(told(other)[0] as string, /ertificate/);
  });

  test("a server without TLS is not spoken to in the clear", async (t) => {
    const bus = await Nats.start(t);
    const servers = [`tls://me:secret@127.0.0.1:${bus.port}`];
    const one = serve(t, { options: { bus: bus.on({ servers }) } });
    await until("the report", () => told(one).length === 1);
    assert.equal(counters(one).connected, false);
    assert.doesNotMatch(told(one).join(), /secret/);
  });
});

describe("what is strange on NATS", needsNats, () => {
  test("garbage on all subjects of a server is counted, and it goes on", async (t) => {
    const bus = await Nats.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    const process = (two.connects[0]?.clientId ?? "").replaceAll("-", "").slice(0, 12);
    for (const channel of ["all", `p.${process}`, `p.${process}.mark`]) {
      for (const bytes of ["", "garbage", "\r\nPING\r\n"]) await bus.say(channel, bytes);
    }
    // Headers have no meaning here, and what is below them is read.
    await bus.write("HPUB spec.all 22 29\r\nNATS/1.0\r\nfoo: bar\r\n\r\ngarbage\r\n");
    await until("the count", () => counters(two).malformed === 10);
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("the confirmation", () => counters(one).queued === 0);
    assert.deepEqual([counters(two).reconnects, counters(two).connected], [0, true]);
  });

  test("headers that are not those of NATS cost a reconnect, and nothing else", async (t) => {
    const bus = await Nats.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const there = await Client.open(t, two.url);
    await bus.write("HPUB spec.all 11 12\r\nno headers!x\r\n");
    await until("both outages", () => told(one).length > 0 && told(two).length > 0);
    await until("both returns", () => counters(one).connected && counters(two).connected);
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("the confirmation", () => counters(one).queued === 0);
    assert.deepEqual([counters(one).reconnects, counters(two).reconnects], [1, 1]);
  });

  test("a server that is silent for five seconds is away, and what was under way is unconfirmed", async (t) => {
    const bus = await Nats.start(t);
    const [one, two] = [await join(t, bus), await join(t, bus)];
    const [here, there] = [await Client.open(t, one.url), await Client.open(t, two.url)];
    one.shout("before");
    await until("its confirmation", () => counters(one).confirmed === 1);
    await until("what was sent before", () => heard(there, "before") === 1);
    bus.pause();
    t.after(() => bus.resume());
    for (let turn = 0; turn < 10; turn += 1) one.shout(turn);
    await until("the outage", () => told(one).length === 1);
    await until("all here", () => saidTo(here).length === 11);
    assert.equal(counters(one).unconfirmed, 10);
    await sleep(2_000);
    bus.resume();
    await until("the return", () => counters(one).connected && counters(two).connected);
    one.shout("after");
    await until("what was sent after", () => heard(there, "after") === 1);
    await until("the confirmation", () => counters(one).queued === 0);
    const { received, missed } = counters(two);
    assert.equal(received + missed, 12);
    assert.equal(saidTo(there).length, received);
  });

  test("bursts of long messages arrive in order, or are missed and said to be", async (t) => {
    const bus = await Nats.start(t);
    const two = await join(t, bus, { options: { maxBackpressure: 100_000_000 } });
    const there = await Client.open(t, two.url);
    await there.join("a");
    await two.server.synced();
    const publisher = createPublisher<App["router"]>(bus.on(), { onError: () => {} });
    t.after(() => publisher.close());
    const text = "x".repeat(100_000);
    let published = 0;
    for (let burst = 0; burst < 10; burst += 1) {
      for (let turn = 0; turn < 30; turn += 1)
        publisher.send.said([(published += 1), text]).toRoom("a");
      await publisher.flush();
    }
    await until("all of them", () => counters(two).received + counters(two).missed === published);
    await until("all at the client", () => saidTo(there).length >= 1 + counters(two).received);
    const numbers = saidTo(there)
      .slice(1)
      .map((it) => (it as [number])[0]);
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
    assert.deepEqual([counters(two).received, counters(two).missed], [published, 0]);
  });

  test("a process that reads too slowly is cut off by NATS, comes back, and knows what it missed", async (t) => {
    const bus = await Nats.start(
      t,
      "max_payload: 500000\nmax_pending: 1000000\nwrite_deadline: '500ms'",
    );
    const child = Child.node(
      t,
      `const { nats } = await import("@zocket/core/bus");
      hooks.say = (payload, ctx) => ctx.send.said(server.metrics().bus).to(ctx.clientId);
      const options = { ...local, bus: ${bus.code}, maxBackpressure: 100_000_000, onError() {} };
      const server = createServer(router, zo, options);
      await server.ready();
      tell(server);`,
    );
    const there = await Client.open(t, `ws://127.0.0.1:${await portOf(child)}`);
    const publisher = createPublisher<App["router"]>(bus.on(), { onError: () => {} });
    t.after(() => publisher.close());
    const text = "x".repeat(100_000);
    publisher.send.said("first").broadcast();
    await until("the first", () => heard(there, "first") === 1);
    child.process.kill("SIGSTOP");
    let published = 1;
    for (let burst = 0; burst < 15; burst += 1) {
      for (let turn = 0; turn < 30; turn += 1) publisher.send.said(text).broadcast();
      published += 30;
      await publisher.flush();
    }
    child.process.kill("SIGCONT");
    const metrics = async () => {
      const before = there.received.length;
      there.say("metrics");
      const isMetrics = (it: unknown) => typeof it === "object" && it !== null;
      const mine = () => there.received.slice(before).find(({ payload }) => isMetrics(payload));
      await until("its counters", mine);
      return mine()?.payload as BusMetrics;
    };
    await until("its return", async () => {
      const { reconnects, connected } = await metrics();
      return reconnects > 0 && connected;
    });
    publisher.send.said("last").broadcast();
    await until("the last", () => heard(there, "last") === 1);
    const { received, missed } = await metrics();
    assert.ok(missed > 0);
    assert.equal(received + missed, published + 1);
    const texts = () => saidTo(there).filter((it) => typeof it === "string").length;
    await until("all that it received", () => texts() >= received);
    assert.equal(texts(), received);
    assert.equal(publisher.metrics().confirmed, published + 1);
  });

  test("the memory for many rooms goes back to the system after their members have left", async (t) => {
    const bus = await Nats.start(t);
    const child = Child.node(
      t,
      `const { nats } = await import("@zocket/core/bus");
      hooks.say = async (many, ctx) => {
        for (let room = 0; room < many; room += 1) ctx.rooms.join("room " + room);
        await server.synced();
        gc();
        const { rooms } = server.metrics().bus;
        ctx.send.said({ rooms, resident: process.memoryUsage.rss() }).to(ctx.clientId);
      };
      const options = { ...local, bus: ${bus.code}, maxRoomsPerClient: 100_000 };
      const server = createServer(router, zo, options);
      await server.ready();
      tell(server);`,
      ["--expose-gc"],
    );
    const url = `ws://127.0.0.1:${await portOf(child)}`;
    const here = await Client.open(t, url);
    const look = async (many = 0) => {
      const before = here.received.length;
      here.say(many);
      await until("an answer", () => here.received.length > before);
      return here.received.at(-1)?.payload as { rooms: number; resident: number };
    };
    const before = await look();
    const crowd = await Client.open(t, url);
    crowd.say(20_000);
    await until("all rooms", async () => (await look()).rooms === 20_000);
    const full = await look();
    crowd.drop();
    await until("the end of all rooms", async () => (await look()).rooms === 0);
    const limit = before.resident + 16 * 1024 * 1024;
    await until("the memory", async () => (await look()).resident < limit);
    t.diagnostic(`${Math.round((full.resident - before.resident) / 20_000)} bytes a room`);
  });

  test("joins and leaves of one room a thousand times are one subscription", async (t) => {
    const bus = await Nats.start(t, `http: "127.0.0.1:-1"`);
    const { app, turns } = await restless(t, bus);
    const before = await bus.subscriptions();
    assert.ok(before.inserts > 0);
    await turns();
    assert.deepEqual(await bus.subscriptions(), before);
    await until("the room to be let go", () => counters(app).rooms === 0);
    const ended = async () => (await bus.subscriptions()).removes - before.removes;
    await until("the end of its subscription", async () => (await ended()) === 1);
  });
});
