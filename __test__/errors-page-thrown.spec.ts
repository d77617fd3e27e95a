// docs/errors.md: errors with a code that are thrown, and what the client's `onError` gets, each row provoked for real.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";

import { createServer, createZocketClient, zocket, type ClientError } from "@zocket/core";
import { redis } from "@zocket/core/bus";
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { message } from "@zocket/core/contract";
import { WebSocket } from "ws";

import { eachRow, inSources, valuesOf, type Case } from "./_errors-page.ts";
import { httpServer, on } from "./_attached.ts";
import { Authority } from "./_certificates.ts";
import { Child } from "./_child.ts";
import { Sharing } from "./_share.ts";
import { anything, Client, serve, type Given } from "./_support.ts";
import { soon, until } from "./_wait.ts";

/** What the call throws. */
function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}

function hasCode(error: unknown, code: string | undefined): void {
  assert.ok(error instanceof Error && !(error instanceof TypeError), String(error));
  assert.equal((error as NodeJS.ErrnoException).code, code);
}

/** A server that cannot listen because of these options. */
const unable =
  (options: (port: number) => object): Case =>
  async (t, { code }) => {
    const zo = zocket.create({ headers: anything() });
    const router = zo.router({}, {});
    const { port } = serve(t);
    hasCode(
      thrownBy(() => createServer(router, zo, { port: 0, ...options(port) })),
      code,
    );
  };

/** The code of what `createServer` throws in a process of its own, after a preparation. */
async function codeIn(child: Child): Promise<string> {
  const code = await child.printed(/code (\w+)\n/);
  await child.endsWell();
  return code;
}

const TRY = `
  const attempt = (options) => {
    try {
      void createServer(router, zo, { ...local, ioThreads: 1, ...options }).stop();
      console.log("code none");
    } catch (error) {
      console.log("code " + error.code);
    }
  };`;

/** Takes all descriptors but some. */
const filled = (left: number) => `
  ${TRY}
  import { closeSync, openSync } from "node:fs";
  const taken = [];
  try { for (;;) taken.push(openSync(process.execPath)); } catch {}
  for (let left = 0; left < ${left}; left += 1) closeSync(taken.pop());
  attempt({});
  for (const file of taken) closeSync(file);`;

const withoutDescriptors =
  (left: number): Case =>
  async (t, { code }) => {
    if (process.platform === "win32") return t.skip("descriptors have no limit to set here");
    assert.equal(await codeIn(Child.limited(t, 64, filled(left))), code);
  };

/** The first port that every user may listen on. */
function firstFreePort(): number {
  if (process.platform !== "linux") return 0;
  return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
}

eachRow("Thrown with a code", ["code", "Thrown by"], {
  "ADDON_NOT_LOADED, import": async (t, { code }) => {
    const program = `
      for (const name of ["@zocket/core", "@zocket/core/bus"]) {
        const codes = await import(name).catch((error) => error.code);
        console.log("code " + codes);
      }
      for (const name of ["client", "contract"]) await import("@zocket/core/" + name);`;
    const args = ["--input-type=module", "--eval", program];
    const child = new Child(t, process.execPath, args, { NAPI_RS_NATIVE_LIBRARY_PATH: "none" });
    await child.endsWell();
    assert.equal(child.out, `code ${code}\n`.repeat(2));
  },
  "EADDRINUSE, createServer": unable((port) => ({ port, hostname: "127.0.0.1" })),
  // An address of the block for documentation (RFC 5737): no machine has it.
  "EADDRNOTAVAIL, createServer": unable(() => ({ hostname: "192.0.2.1" })),
  "EACCES, createServer": async (t, { code }) => {
    if (firstFreePort() < 2) return t.skip("every user may listen on every port here");
    // As root one may; 65534 is "nobody".
    const program = `${TRY} if (process.getuid() === 0) process.setuid(65534); attempt({ port: 1 });`;
    return assert.equal(await codeIn(Child.node(t, program)), code);
  },
  "EPATHINUSE, createServer": async (t, { code }) => {
    const server = httpServer();
    serve(t, { options: on(server) });
    const zo = zocket.create({ headers: anything() });
    hasCode(
      thrownBy(() => createServer(zo.router({}, {}), zo, on(server))),
      code,
    );
  },
  "SHARE, createServer": async (t, { code }) => {
    await Sharing.start(t, "errors", "first", { maxPayload: 1 });
    const { started } = await Sharing.start(t, "errors", "other", { maxPayload: 2 });
    assert.equal(started.code, code);
  },
  "ENOENT, createServer": async (t, row) => {
    if (process.platform === "win32") return t.skip("there are no Unix-domain sockets here");
    const options = { port: undefined, socketPath: "no such folder/socket" };
    return unable(() => options)(t, row);
  },
  "ENOTSUP, createServer": async (t, row) => {
    if (process.platform === "linux") return t.skip("Linux has both");
    return unable(() => ({ reusePort: true }))(t, row);
  },
  // No name server is asked for a name that cannot be one.
  "ENOTFOUND, createServer": unable(() => ({ hostname: "no such host" })),
  "ELISTEN, createServer": withoutDescriptors(0),
  // One for the listener, none for the thread.
  "EAGAIN, createServer": withoutDescriptors(1),
  "ETLS, createServer": unable(() => ({ tls: { cert: "", key: "" } })),
  "ETLS, server.setTls": async (t, { code }) => {
    const { server } = serve(t, { options: { tls: new Authority().issue() } });
    hasCode(
      thrownBy(() => server.setTls({ cert: "", key: "" })),
      code,
    );
  },
  "TOO_MANY_ROOMS, ctx.rooms.join": async (t, { code }) => {
    let thrown: unknown;
    const app = serve(t, {
      say: (_, ctx) => {
        for (let room = 0; room < 1_000; room++) ctx.rooms.join(`room ${room}`);
        thrown = thrownBy(() => ctx.rooms.join("one more"));
        ctx.rooms.join("room 0");
        ctx.rooms.leave("room 1");
        ctx.rooms.join("one more");
        ctx.send.said(ctx.rooms.current.size).to(ctx.clientId);
      },
    });
    const client = await Client.open(t, app.url);
    client.say(null);
    assert.equal((await client.next()).payload, 1_000);
    hasCode(thrown, code);
    const small = serve(t, {
      say: (_, ctx) => {
        ctx.rooms.join("one");
        thrown = thrownBy(() => ctx.rooms.join("one more"));
        ctx.send.said(null).to(ctx.clientId);
      },
      options: { maxRoomsPerClient: 1 },
    });
    const other = await Client.open(t, small.url);
    other.say(null);
    await other.next();
    hasCode(thrown, code);
  },
  "TOO_MANY_ROOMS, server.join": async (t, { code }) => {
    const app = serve(t, { options: { maxRoomsPerClient: 1 } });
    await Client.open(t, app.url);
    const id = app.connects[0]?.clientId ?? "";
    await app.server.join(id, "one");
    hasCode(
      thrownBy(() => app.server.join(id, "one more")),
      code,
    );
  },
  "TOO_MANY_QUESTIONS, server.members": async (t, { code }) => {
    const app = serve(t);
    await Client.open(t, app.url);
    const asked = Array.from({ length: 10_100 }, () => app.server.members("room"));
    const [refused] = (await Promise.allSettled(asked)).filter((it) => it.status === "rejected");
    hasCode(refused?.reason, code);
  },
  "TOO_MANY_ORDERS, server.join": async (t, { code }) => {
    const { server } = serve(t, { options: { bus: redis(NOBODY) } });
    const orders = Array.from({ length: 10_000 }, () => server.join(randomUUID(), "room"));
    for (const order of orders) order.catch(() => {});
    hasCode(await refusal(server.join(randomUUID(), "room")), code);
  },
  "PARTIAL, server.members": async (t, { code }) => {
    const { server } = serve(t, { options: { bus: redis(NOBODY) } });
    hasCode(await refusal(server.members("room")), code);
  },
  "BUS, server.join": async (t, { code }) => {
    const { server } = serve(t, { options: { bus: redis(NOBODY) } });
    hasCode(await refusal(server.join(randomUUID(), "room")), code);
  },
});

/** Where no bus is. */
const NOBODY = { url: "redis://127.0.0.1:1", prefix: "errors" };

/** What a promise is rejected with. */
const refusal = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail("it resolved"),
    (error: unknown) => error,
  );

type Sends = (payload: unknown) => void;

/** What the client's `onError` gets when it sends a message to such a server. */
async function told(t: TestContext, given: Given, socket: typeof WebSocket, route = "say") {
  const app = serve(t, given);
  const client = createZocketClient(app.url, { WebSocket: socket });
  t.after(() => client.close());
  const error = new Promise<ClientError>((resolve) => client.onError(resolve));
  (client.send as unknown as Record<string, Sends>)[route]?.(1);
  return soon("onError", error);
}

const refuses =
  (given: Given, { socket = WebSocket, route = "say" } = {}): Case =>
  async (t, row) => {
    const error = await told(t, given, socket, route);
    assert.equal(error.code, row["code"]);
    assert.ok(error.message);
    assert.equal(error.route, row["code"] === "BAD_MESSAGE" ? undefined : route);
    assert.equal(error.issues?.length, row["code"] === "INVALID_PAYLOAD" ? 1 : undefined);
  };

/** Sends something else than it is told to, as no client of ours does. */
class Mangling extends WebSocket {
  override send(): void {
    super.send("no envelope");
  }
}

const throws = (): never => {
  throw new Error("secret");
};
const refusing = {
  "~standard": { version: 1, vendor: "specs", validate: () => ({ issues: [{ message: "no" }] }) },
} as StandardSchemaV1<unknown, unknown>;

/** Every code there is, as the types have it. */
const CLIENT_CODES: Record<ClientError["code"], true> = {
  BAD_MESSAGE: true,
  NO_ROUTE: true,
  INVALID_PAYLOAD: true,
  REJECTED: true,
  HANDLER_ERROR: true,
  RATE_LIMITED: true,
  QUEUE_FULL: true,
  TOO_LARGE: true,
  LOST: true,
  HEADERS: true,
};

eachRow("At the client", ["code", "At fault"], {
  "BAD_MESSAGE, client": refuses({}, { socket: Mangling }),
  "NO_ROUTE, client": refuses({}, { route: "nowhere" }),
  "INVALID_PAYLOAD, client": refuses({ payload: refusing }),
  "INVALID_PAYLOAD, application": async (t, { code }) => {
    const routes = { say: message.incoming({ payload: refusing }) };
    const options = { WebSocket, autoConnect: false, routes };
    const client = createZocketClient("ws://127.0.0.1:1", options);
    const told = new Promise<ClientError>((done) => client.onError(done));
    client.send.say(1);
    const { route, issues, ...error } = await soon("onError", told);
    assert.deepEqual([error.code, route, issues?.length], [code, "say", 1]);
  },
  "REJECTED, client": refuses({ middleware: throws }),
  "HANDLER_ERROR, application": refuses({ say: throws }),
  "RATE_LIMITED, client": async (t, { code }) => {
    const app = serve(t, { options: { maxMessagesPerSecond: 0.001 } });
    const client = createZocketClient(app.url, { WebSocket });
    t.after(() => client.close());
    const error = new Promise<ClientError>((resolve) => client.onError(resolve));
    const send = client.send as unknown as Record<string, Sends>;
    for (const payload of [1, 2]) send["say"]?.(payload);
    const told = await soon("onError", error);
    assert.deepEqual([told.code, told.route], [code, "say"]);
    assert.ok((told.retryAfterMs ?? 0) > 0);
  },
  "QUEUE_FULL, network": async (t, { code }) => {
    // Takes connections and never answers.
    const mute = createTcpServer((socket) => socket.on("error", () => {}));
    t.after(() => mute.close());
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as AddressInfo;
    const client = createZocketClient(`ws://127.0.0.1:${port}`, { WebSocket });
    t.after(() => client.close());
    const errors: ClientError[] = [];
    client.onError((error) => errors.push(error));
    const send = client.send as unknown as Record<string, Sends>;
    send["say"]?.("x".repeat(1024 * 1024 - 100));
    await soon("a turn", Promise.resolve());
    assert.deepEqual(errors, []);
    send["say"]?.("x".repeat(100));
    await until("onError", () => errors.length > 0);
    assert.deepEqual(
      errors.map(({ code, route }) => [code, route]),
      [[code, "say"]],
    );
  },
  "TOO_LARGE, client": async (t, { code }) => {
    const app = serve(t, { options: { maxPayload: 1024 } });
    const client = createZocketClient(app.url, { WebSocket });
    t.after(() => client.close());
    const error = new Promise<ClientError>((resolve) => client.onError(resolve));
    const send = client.send as unknown as Record<string, Sends>;
    send["say"]?.("x".repeat(1024));
    send["other"]?.("behind it");
    const told = await soon("onError", error);
    assert.deepEqual([told.code, told.route], [code, "say"]);
  },
  "LOST, network": async (t, { code }) => {
    const app = serve(t);
    // Nothing leaves it once it is open.
    class Stuck extends WebSocket {
      override send(): void {
        Object.defineProperty(this, "bufferedAmount", { value: 30 });
      }
    }
    const client = createZocketClient(app.url, { WebSocket: Stuck });
    t.after(() => client.close());
    const errors: ClientError[] = [];
    client.onError((error) => errors.push(error));
    await soon("the open connection", new Promise<void>((done) => client.onOpen(done)));
    (client.send as unknown as Record<string, Sends>)["say"]?.("x");
    await app.server.stop(true);
    await until("onError", () => errors.length > 0);
    assert.deepEqual(
      errors.map(({ code, route }) => [code, route]),
      [[code, "say"]],
    );
  },
  "HEADERS, application": async (t, { code }) => {
    const headers = () => {
      throw new Error("no token");
    };
    const client = createZocketClient("ws://127.0.0.1:1", { WebSocket, headers });
    t.after(() => client.close());
    const told = await soon("onError", new Promise<ClientError>((done) => client.onError(done)));
    assert.deepEqual([told.code, told.route], [code, undefined]);
    assert.equal((told.cause as Error).message, "no token");
  },
});

describe("nothing that the code can throw is missing in docs/errors.md:", () => {
  test("codes of the binding and of the TypeScript", () => {
    const codes = [
      ...inSources(
        ["napi/src/error.rs", "napi/src/tls.rs", "napi/src/shares.rs"],
        /"(E[A-Z]+|SHARE)"/g,
      ).flat(),
      ...inSources(
        [
          "ts/faults/missing-addon.ts",
          "ts/context/orders.ts",
          "ts/context/questions.ts",
          "ts/context/rooms.ts",
          "ts/server/attach/reception.ts",
        ],
        /code: "([A-Z_]+)"/g,
      ).flat(),
    ];
    const all = [...new Set(codes)].toSorted();
    assert.deepEqual(valuesOf("Thrown with a code", "code"), all);
  });

  test("codes of the client", () => {
    assert.deepEqual(valuesOf("At the client", "code"), Object.keys(CLIENT_CODES).toSorted());
  });
});
