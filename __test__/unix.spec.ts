// Servers on Unix-domain sockets, and several processes on one port.
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer as createNetServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import { createServer, zocket, type ServerOptions } from "@zocket/core";

import { Child, portOf } from "./_child.ts";
import { request } from "./_raw.ts";
import { Client, anything, serve } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const onLinux = process.platform === "linux";
const skip = process.platform === "win32" && "there are no Unix-domain sockets here";
const LONGEST = onLinux ? 107 : 103;
const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router({}, {});

/** A path in a folder of the test's own. */
function place(t: TestContext, name = "app.sock"): string {
  const folder = mkdtempSync(path.join(tmpdir(), "zocket-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return path.join(folder, name);
}

const at = (socketPath: string, more: ServerOptions = {}): ServerOptions =>
  ({ port: undefined, hostname: undefined, socketPath, ...more }) as ServerOptions;
const urlOf = (file: string, rest = "/") => `ws+unix://${file}:${rest}`;
const inUse = (file: string) =>
  assert.throws(() => void createServer(router, zo, { socketPath: file }).stop(), {
    name: "Error",
    code: "EADDRINUSE",
    message: new RegExp(path.basename(file)),
  });

describe("a server on a Unix-domain socket", { skip }, () => {
  test("serves clients like any other, and tells its path", async (t) => {
    const file = place(t);
    const { server, connects } = serve(t, { options: at(file) });
    assert.deepEqual([server.port, server.hostname, server.url], [0, "", `ws+unix:${file}`]);
    const client = await Client.open(t, urlOf(file, "/?name=x"));
    await client.roundTrip();
    client.say("x".repeat(500_000));
    await until("a large echo", () => client.received.length === 2);
    assert.equal(connects[0]?.headers["name"], "x");
    await client.close();
  });

  test("has clients without an address, whom no limit for addresses concerns", async (t) => {
    const file = place(t);
    const seen: string[] = [];
    const own = zocket.create({
      headers: anything<Record<string, string>>(),
      onConnect: (_headers, _id, { remoteAddress }) => {
        seen.push(remoteAddress);
        return {};
      },
    });
    const limits = { maxConnectionsPerAddress: 1, maxUpgradesPerSecondPerAddress: 0.001 };
    const server = createServer(own.router({}, {}), own, { socketPath: file, ...limits });
    t.after(() => server.stop(true));
    for (let n = 0; n < 5; n += 1) await Client.open(t, urlOf(file));
    assert.deepEqual(seen, ["", "", "", "", ""]);
  });

  test("removes its file when it stops, and leaves one that is not its own", async (t) => {
    const file = place(t);
    await serve(t, { options: at(file) }).server.stop();
    assert.equal(existsSync(file), false);
    const { server } = serve(t, { options: at(file) });
    renameSync(file, `${file}.moved`);
    writeFileSync(file, "somebody's");
    await server.stop();
    assert.equal(readFileSync(file, "utf8"), "somebody's");
    assert.ok(lstatSync(`${file}.moved`).isSocket());
    const other = serve(t, { options: at(`${file}.2`) });
    rmSync(`${file}.2`);
    const next = serve(t, { options: at(`${file}.2`) });
    await other.server.stop();
    await (await Client.open(t, urlOf(`${file}.2`))).roundTrip();
    await next.server.stop();
    assert.equal(existsSync(`${file}.2`), false);
  });

  test("keeps its file while it drains", async (t) => {
    const file = place(t);
    const { server } = serve(t, { options: at(file) });
    const client = await Client.open(t, urlOf(file));
    const stopped = server.stop({ drain: 100_000 });
    const socket = connect(file);
    socket.write(request());
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 503 /);
    await client.close();
    await soon("stop", stopped);
    assert.equal(existsSync(file), false);
  });

  test("replaces a socket file that nobody listens on", async (t) => {
    const file = place(t);
    const child = Child.node(
      t,
      `createServer(router, zo, { socketPath: ${JSON.stringify(file)} }); console.log("up");`,
    );
    await child.printed(/up/);
    inUse(file);
    child.process.kill("SIGKILL");
    await child.exit;
    assert.ok(lstatSync(file).isSocket());
    serve(t, { options: at(file) });
    await (await Client.open(t, urlOf(file))).roundTrip();
  });

  test("lets everything else at its path be", async (t) => {
    const file = place(t);
    writeFileSync(file, "kept");
    inUse(file);
    assert.equal(readFileSync(file, "utf8"), "kept");
    const folder = path.dirname(file);
    inUse(folder);
    const link = place(t, "link");
    symlinkSync(file, link);
    inUse(link);
    symlinkSync("/nowhere at all", `${link}.2`);
    inUse(`${link}.2`);
    assert.ok(lstatSync(link).isSymbolicLink() && lstatSync(`${link}.2`).isSymbolicLink());
    const theirs = createNetServer().listen(`${file}.2`);
    await once(theirs, "listening");
    t.after(() => void theirs.close());
    inUse(`${file}.2`);
    assert.ok(theirs.listening && lstatSync(`${file}.2`).isSocket());
    const { server } = serve(t, { options: at(`${file}.3`) });
    inUse(`${file}.3`);
    await (await Client.open(t, urlOf(`${file}.3`))).roundTrip();
    await server.stop();
  });

  test("of those that find an old file at the same time, one alone gets it", async (t) => {
    const file = place(t);
    const old = Child.node(
      t,
      `createServer(router, zo, { socketPath: ${JSON.stringify(file)} }); console.log("up");`,
    );
    await old.printed(/up/);
    old.process.kill("SIGKILL");
    await old.exit;
    const program = `
      await new Promise((done) => process.stdin.once("data", done));
      let result;
      try {
        createServer(router, zo, { socketPath: ${JSON.stringify(file)}, ioThreads: 1 });
        result = "up";
      } catch (error) {
        result = error.code;
      }
      console.log("result " + result + ";");`;
    const children = Array.from({ length: 4 }, () => Child.node(t, program));
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const child of children) child.tell("go");
    const results = await Promise.all(children.map((child) => child.printed(/result (\w+);/)));
    assert.deepEqual(results.toSorted(), ["EADDRINUSE", "EADDRINUSE", "EADDRINUSE", "up"]);
    await Client.open(t, urlOf(file));
  });

  test("has a path that the system can keep", async (t) => {
    const folder = path.dirname(place(t));
    const longest = path.join(folder, "x".repeat(LONGEST - folder.length - 1));
    assert.equal(longest.length, LONGEST);
    const { server } = serve(t, { options: at(longest) });
    await server.stop();
    for (const wrong of [`${longest}x`, "", "a\0b"]) {
      assert.throws(() => createServer(router, zo, { socketPath: wrong }), {
        name: "TypeError",
        message: /socketPath/,
      });
    }
    assert.throws(() => createServer(router, zo, { socketPath: path.join(folder, "no", "x") }), {
      code: "ENOENT",
    });
  });

  test("cannot have a port too", (t) => {
    const file = place(t);
    for (const [name, value] of Object.entries({ port: 0, hostname: "::1", reusePort: true })) {
      assert.throws(() => createServer(router, zo, { socketPath: file, [name]: value }), {
        name: "TypeError",
        message: new RegExp(`${name}.*options\\.socketPath`),
      });
    }
    assert.equal(existsSync(file), false);
  });

  test("leaves nothing behind where it cannot start", async (t) => {
    const file = place(t);
    assert.throws(() =>
      createServer(router, zo, { socketPath: file, ioThreads: 257 } as ServerOptions),
    );
    assert.equal(existsSync(file), false);
  });

  test("removes its file although the process has gone to another folder", async (t) => {
    const file = place(t);
    const child = Child.node(
      t,
      `process.chdir(${JSON.stringify(path.dirname(file))});
       const server = createServer(router, zo, { socketPath: ${JSON.stringify(path.basename(file))} });
       console.log("begun");
       process.stdin.once("data", async () => {
         process.chdir("/");
         await server.stop();
         process.stdin.destroy();
       });`,
    );
    await child.printed(/begun/);
    assert.equal(existsSync(file), true);
    child.tell("");
    await child.endsWell();
    assert.equal(existsSync(file), false);
  });

  test("removes its file in a worker that is terminated", async (t) => {
    const file = place(t);
    const child = Child.node(
      t,
      `import { Worker } from "node:worker_threads";
       const worker = new Worker(\`
         import { createServer, zocket } from "@zocket/core";
         import { parentPort } from "node:worker_threads";
         const anything = { "~standard": { version: 1, vendor: "specs", validate: (value) => ({ value }) } };
         const zo = zocket.create({ headers: anything });
         createServer(zo.router({}, {}), zo, { socketPath: ${JSON.stringify(file)} });
         parentPort.postMessage(1);
       \`, { eval: true });
       worker.once("message", async () => { await worker.terminate(); console.log("over"); });`,
    );
    await child.printed(/over/);
    await child.endsWell();
    assert.equal(existsSync(file), false);
  });
});

describe("reusePort", () => {
  test("lets the workers of node:cluster have one port", { skip: !onLinux }, async (t) => {
    // Each worker runs the same program.
    const child = Child.node(
      t,
      `import cluster from "node:cluster";
       if (cluster.isPrimary) {
         cluster.setupPrimary({ exec: "worker" });
         const ready = (worker) => new Promise((done) => worker.once("message", done));
         const port = await ready(cluster.fork());
         await Promise.all([1, 2].map(() => ready(cluster.fork({ SHARED_PORT: port }))));
         tell({ port });
       } else {
         const port = Number(process.env.SHARED_PORT ?? 0);
         const server = createServer(router, zo, { ...local, port, reusePort: true, ioThreads: 1 });
         hooks.say = (payload, ctx) => ctx.send.said(process.pid).to(ctx.clientId);
         process.send(server.port);
       }`,
    );
    const port = await portOf(child);
    const pids = new Set<unknown>();
    await until("clients at all three", async () => {
      const client = await Client.open(t, `ws://127.0.0.1:${port}`);
      client.say(1);
      pids.add((await client.next()).payload);
      client.drop();
      return pids.size === 3;
    });
    assert.throws(() => createServer(router, zo, { port, hostname: "127.0.0.1" }), {
      code: "EADDRINUSE",
    });
  });

  test("is ENOTSUP elsewhere", { skip: onLinux }, () => {
    assert.throws(() => createServer(router, zo, { port: 0, reusePort: true }), {
      name: "Error",
      code: "ENOTSUP",
    });
  });
});
