// What the walk over the table in ARCHITECTURE.md stands on: its rows, and a server in a process of its own, with everything
// that a case wants to replace, asked in JavaScript.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import type { ServerOptions } from "@zocket/core";

import { Child, portOf, ROOT } from "./_child.ts";
import { readPage, tablesOf } from "./_pages.ts";
import { Raw } from "./_raw.ts";
import { until } from "./_wait.ts";

export const KIB = 1024;
export const MIB = 1024 * KIB;

const HEADING = "What holds something of a client";
const COLUMNS = ["What", "Where", "Bound", "At the bound", "Freed"];

/** Fills what a row tells of, lets it go, and asserts what the row says. */
export type Case = (t: TestContext) => Promise<unknown>;

/** A test for each row of the table, several at a time: most of them wait. */
export function eachRow(cases: Record<string, Case>): void {
  const tables = tablesOf(readPage("ARCHITECTURE.md")).filter(({ heading }) => heading === HEADING);
  const rows = tables.flatMap((table) => table.rows);
  describe(HEADING, { concurrency: 4 }, () => {
    test("has a case for every row, a row for every case, and no row twice", () => {
      for (const { columns } of tables) assert.deepEqual(columns, COLUMNS);
      assert.deepEqual(rows.map(([what]) => what).toSorted(), Object.keys(cases).toSorted());
    });
    test("says in each row where, and in words", () => {
      for (const row of rows) {
        assert.ok(
          row.every((cell) => cell !== ""),
          `an empty cell: ${row.join(" | ")}`,
        );
        const files = filesOf(row[1]);
        assert.ok(files.length > 0, `${row[0]} names no file`);
        for (const file of files) readFileSync(path.join(ROOT, file));
      }
    });
    test("has every file with a list, a map or a buffer, but those that hold nothing of a client", () => {
      const inRows = rows.flatMap((row) => filesOf(row[1]));
      const holding = [...inRows, ...Object.keys(NOTHING_OF_A_CLIENT)];
      const missing = collectionsIn(["src", "napi/src", "ts"]).filter(
        (file) => !holding.includes(file),
      );
      assert.deepEqual(missing, []);
    });
    for (const [what, walk] of Object.entries(cases)) {
      test(what, async (t) => {
        await walk(t);
      });
    }
  });
}

const filesOf = (cell = "") => [...cell.matchAll(/\]\(([^)]+)\)/g)].map(([, file = ""]) => file);

/** Files with fields that may grow, and why no client is in them. */
const NOTHING_OF_A_CLIENT: Record<string, string> = {
  "src/border/order.rs": "what one call makes",
  "src/bus/books.rs": "one text",
  "src/bus/control.rs": "what one message makes",
  "src/bus/flushes.rs": "callers of flush",
  "src/bus/format.rs": "what one message makes",
  "src/bus/link.rs": "what one report makes",
  "src/bus/names.rs": "the router, and routes that a publisher uses",
  "src/bus/nats/connect.rs": "options",
  "src/bus/notices.rs": "kinds of trouble",
  "src/bus/numbers.rs": "channels that the application publishes to",
  "src/bus/outgoing.rs": "what one message makes",
  "src/bus/redis/slots.rs": "what one answer of a node makes",
  "src/bus/redis/connect.rs": "what a server says of itself",
  "src/bus/parts.rs": "I/O threads",
  "src/config.rs": "options",
  "src/config/bus.rs": "options",
  "src/handshake/rules.rs": "options",
  "src/message/envelope.rs": "what one message makes",
  "src/message/routes.rs": "the router",
  "src/server/engine.rs": "I/O threads",
  "src/server/handle.rs": "what one call makes",
  "src/shard/answer.rs": "what one call makes",
  "src/shard/delivery.rs": "what one call makes",
  "src/shard/shared.rs": "I/O threads",
  "src/transport/tls/fault.rs": "options",
  "src/transport/tls/names.rs": "options",
  "src/transport/tls/options.rs": "options",
  "napi/src/bus.rs": "options",
  "napi/src/fields.rs": "options",
  "napi/src/orders.rs": "what one call makes",
  "napi/src/server.rs": "options and counters",
  "napi/src/shares.rs": "options",
  "ts/server/given.ts": "options",
  "napi/src/sockets.rs": "what one call makes",
  "ts/bus/joined.ts": "callers of ready and synced",
  "ts/bus/publisher.ts": "routes that a publisher uses, which has no clients",
  "ts/bus/settings.ts": "options, held weakly",
  "ts/client/headers.ts": "options",
  "ts/faults/client-fault.ts": "errors, held weakly",
  "ts/messages/in-flight.ts": "calls are in a row; clients that were told of are held weakly",
  "ts/faults/issues.ts": "what one call makes",
  "ts/faults/log-text.ts": "what one call makes",
  "ts/faults/missing-addon.ts": "texts of an error",
  "ts/context/from-outside.ts": "what one call makes",
  "ts/context/room-view.ts": "the empty set",
  "ts/messages/run.ts": "errors, held weakly",
  "ts/context/send.ts": "the router",
  "ts/server/attach/reception.ts": "our servers on an HTTP server",
  "ts/contract/guarded.ts": "handlers, held weakly",
  "ts/contract/router.ts": "the router",
  "ts/contract/validation.ts": "the routes",
  "ts/server/stop.ts": "I/O threads",
  "ts/unknown-options.ts": "texts of an error",
};

/** Sources with a field, or something at the top, of a type that can grow. */
function collectionsIn(folders: string[]): string[] {
  const grows = {
    ".rs":
      /^ {4}(pub(\(\w+\))? )?\w+: .*\b(Vec|VecDeque|\w*HashMap|\w*HashSet|BTree\w+|String|Box<\[)\b.*,$/m,
    ".ts":
      /^( {2}(readonly )?#?|( {2})?(export )?const )\w+(: [^=(]+)? = (new (Weak)?(Map|Set)|\[\])|^ {2}#\w+: .*(\[\]|Set<|Map<)/m,
  };
  const all = folders.flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true }).map((name) =>
      `${folder}/${String(name)}`.replaceAll(path.sep, "/"),
    ),
  );
  return all.filter((file) => {
    const pattern = grows[path.extname(file) as keyof typeof grows] as RegExp | undefined;
    if (!pattern || file.endsWith("/tests.rs")) return false;
    const [source = ""] = readFileSync(path.join(ROOT, file), "utf8").split(/#\[cfg\((all\()?test/);
    return pattern.test(source);
  });
}

/** A row that no socket reaches: the engine's own test is there, by its name. */
export const engine =
  (file: string, ...names: string[]): Case =>
  async () => {
    const source = readFileSync(path.join(ROOT, file), "utf8");
    for (const name of names) {
      const found = new RegExp(`test(\\(.*\\))?\\]\\n\\s*(async )?fn ${name}\\(`).test(source);
      assert.ok(found, `${file} has no test ${name}`);
    }
  };

/**
 * Bytes after a collection of garbage: of JavaScript, and of all memory of the process but files. Pages of the addon and of Node
 * that were used for the first time are files; they are 1.3 MiB in some cases here.
 */
export interface Memory {
  heap: number;
  memory: number;
}

/** Whether the server can have the allocator give memory back to the system: where that is glibc's. */
export const GIVES_BACK =
  "glibcVersionRuntime" in (process.report.getReport() as { header: object }).header;

/** What a program in the house can name: `at` holds the application's callbacks, `state` whatever a case keeps there. */
const HOUSE = `
import { readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
const [options] = [JSON.parse(process.env.HOUSE)];
const at = {
  connect: () => ({}),
  disconnect: () => {},
  middle: () => {},
  say: (payload, ctx) => ctx.send.said(payload).to(ctx.clientId),
  call: (payload) => payload,
  stream: async function* () {},
};
const own = zocket.create({
  headers: { "~standard": { version: 1, vendor: "specs", validate: (value) => at.headers?.(value) ?? { value } } },
  onConnect: (...args) => at.connect(...args),
  onOpen: options.opens && ((...args) => at.open(...args)),
  onDisconnect: (...args) => at.disconnect(...args),
});
const slow = own.message.use(({ ctx, payload }) => at.middle(payload, ctx));
const app = own.router(
  {
    say: own.message.incoming({ payload: anything }),
    slow: slow.incoming({ payload: anything }),
    call: own.message.incoming({ payload: anything, reply: anything }),
    stream: own.message.incoming({ payload: anything, stream: anything }),
    said: own.message.outgoing({ payload: anything }),
    newest: own.message.outgoing({ payload: anything, slowClient: "latest" }),
  },
  {
    say: ({ payload, ctx }) => at.say(payload, ctx),
    slow: ({ payload, ctx }) => at.say(payload, ctx),
    call: ({ payload }) => at.call(payload),
    stream: ({ payload, signal }) => at.stream(payload, signal),
  },
);
const errors = [];
const { logs, waits, opens, ...rest } = options;
const told = [];
const wait = () => new Promise((go) => told.push(go));
const onError = logs ? undefined : waits ? wait : (error, info) => errors.push(info);
const server = createServer(app, own, { ...local, ioThreads: 1, onError, ...rest });
const state = {};
const anonymous = () => {
  if (process.platform !== "linux") return undefined;
  return 1024 * Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
};
const turn = () => new Promise((resolve) => setImmediate(resolve));
const busy = (ms) => { for (const end = performance.now() + ms; performance.now() < end; ); };
const stuck = () => {
  const { received } = server.metrics();
  writeSync(1, "stuck " + (state.stuck = (state.stuck ?? 0) + 1) + ";\\n");
  let last = received;
  let since = performance.now();
  for (const end = since + 15_000; performance.now() < end; busy(20)) {
    const now = server.metrics().received;
    if (now !== last) since = performance.now();
    else if (now > received && performance.now() - since > 500) break;
    last = now;
  }
  return last - received;
};
const measure = async () => {
  for (let round = 0; round < 3; round++) { gc(); await turn(); }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, memory: anonymous() ?? rss };
};
const Program = async function () {}.constructor;
const known = { at, busy, errors, measure, server, state, stuck, told, turn };
createInterface(process.stdin).on("line", async (line) => {
  const { id, code } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await new Program(...Object.keys(known), code)(...Object.values(known)) };
  } catch (error) {
    answer = { failed: error.stack };
  }
  console.log("answer " + id + " " + JSON.stringify(answer) + ";");
});
tell(server);
`;

/** A server in a process of its own, which can be asked to measure itself. */
export class House {
  readonly child: Child;
  readonly #t: TestContext;
  #port = 0;
  #asked = 0;
  #stuck = 0;

  private constructor(t: TestContext, options: object, flags: string[]) {
    this.#t = t;
    const env = { HOUSE: JSON.stringify(options) };
    this.child = Child.node(t, HOUSE, ["--expose-gc", ...flags], env);
  }

  /** One that runs, with one I/O thread. With `logs` it has the default log; with `waits` its `onError` never ends; with `opens` it has an `onOpen`. */
  static async open(
    t: TestContext,
    options: ServerOptions & { logs?: true; waits?: true; opens?: true } = {},
    flags: string[] = [],
  ): Promise<House> {
    const house = new House(t, options, flags);
    house.#port = await portOf(house.child);
    return house;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  /** Runs code in the server's process; what it returns. */
  async ask<T = unknown>(code: string): Promise<T> {
    const id = (this.#asked += 1);
    this.child.tell(JSON.stringify({ id, code }));
    const answer = await this.child.printed(new RegExp(`^answer ${id} (.*);$`, "m"));
    const { value, failed } = JSON.parse(answer) as { value: T; failed?: string };
    assert.equal(failed, undefined);
    return value;
  }

  measure(): Promise<Memory> {
    return this.ask<Memory>("return measure();");
  }

  /** So many clients, upgraded; `fields` are header fields of their requests. */
  async crowd(count: number, fields: Record<string, string> = {}): Promise<Raw[]> {
    return Promise.all(Array.from({ length: count }, () => Raw.open(this.#t, this.#port, fields)));
  }

  /** Sends while JavaScript is busy, until the engine reads no more; how many messages it has read. */
  async whileStuck(send: () => void): Promise<number> {
    const read = this.ask<number>("return stuck();");
    this.#stuck += 1;
    await this.child.printed(new RegExp(`stuck ${this.#stuck};`));
    send();
    return read;
  }

  /** Waits until code says that something holds. */
  async until(what: string, code: string): Promise<void> {
    await until(what, () => this.ask<boolean>(`return ${code};`));
  }

  /** Waits until a number of the server has stopped to change: it reads no further. */
  async still(code: string): Promise<number> {
    let last = -1;
    let same = 0;
    await until(`${code} to stand still`, async () => {
      const now = await this.ask<number>(
        `await new Promise((done) => setTimeout(done, 50)); return ${code};`,
      );
      same = now === last && now > 0 ? same + 1 : 0;
      last = now;
      return same >= 5;
    });
    return last;
  }

  /** Lets clients go with a reset, and waits until the server has noticed. */
  async leave(crowd: Raw[]): Promise<void> {
    for (const { socket } of crowd) socket.resetAndDestroy();
    await this.until("the clients to be gone", "server.clientCount() === 0");
  }

  /** Asserts that filling holds so much, and that letting go gives it back. */
  async comesBack(
    kind: keyof Memory,
    [least, most]: [number, number],
    fill: () => Promise<Raw[]>,
    letGo: (crowd: Raw[]) => Promise<void> = (crowd) => this.leave(crowd),
  ): Promise<void> {
    const before = (await this.measure())[kind];
    const crowd = await fill();
    const full = (await this.measure())[kind] - before;
    this.#t.diagnostic(`${(full / MIB).toFixed(1)} MiB of ${kind} when full`);
    assert.ok(full >= least && full <= most, `${(full / MIB).toFixed(2)} MiB of ${kind} when full`);
    await letGo(crowd);
    if (kind === "memory" && !GIVES_BACK) return;
    let left = 0;
    // Most often 1 MiB less to 2 MiB more than before: V8 and the allocator take and return pages when they like. After the first crowd
    // that fills 40 MiB, buffers that serve the next one stay too: 4 to 6 MiB in all.
    const mayStay = kind === "memory" ? Math.max(4 * MIB, full / 5) : least / 4;
    await until(`${kind} to come back`, async () => {
      left = (await this.measure())[kind] - before;
      return left < mayStay;
    }).catch((error: unknown) => {
      throw new Error(`${(left / MIB).toFixed(2)} MiB of ${kind} are left`, { cause: error });
    });
    this.#t.diagnostic(`${(left / MIB).toFixed(1)} MiB of ${kind} afterwards`);
  }
}

/** A message in one masked frame, however long; the mask is 0, which leaves the text as it is. */
export function framed(text: string, announced = Buffer.byteLength(text), first = 0x81): Buffer {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0xff;
  head.writeBigUInt64BE(BigInt(announced), 2);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** A message for a route, with so many bytes of text. */
export const told = (route: string, payload: unknown) =>
  framed(JSON.stringify({ type: route, payload }));
export const text = (bytes: number) => "x".repeat(bytes);
