// All attacks we know at once, beside honest clients that must not notice: on stock limits, and on those that we recommend.
import { setTimeout as sleep } from "node:timers/promises";

import { Actor, eventually } from "./processes.mjs";
import { mib } from "./report.mjs";

/** Minutes, however long all of it may take. */
const LONGEST = 10;
/** Places for sockets that are no connection yet; more than these say half a request, and all others are fewer. */
const PLACES = 4_096;
const HALVES = 5_000;
const OTHERS = 500;
/** More memory than this, without V8's heap, and more of V8's heap is not held, however much is sent. */
const NATIVE = 512 * 2 ** 20;
const HEAP = 256 * 2 ** 20;
/** What memory without V8's heap may differ by in the end, besides a tenth; what the heap may. */
const RESTS = 16 * 2 ** 20;
/** Within this it has to come back: ten seconds, and what a busy machine takes. */
const BACK = 30_000;
/** Lines a second that the default log may write: twice what it promises, as nobody knows when a line was written. */
const LINES = 20;
/** Less than attackers want to be held together, and what may be added to it before they are paused. */
const BUFFERED = 16 * 2 ** 20;
const PASSED = 4 * 2 ** 20;
/** The limits for clients that nobody knows, as the page about `createServer` has them. */
const RECOMMENDED = {
  maxPayload: 16 * 1024,
  maxMessagesPerSecond: 20,
  maxHandlersInFlight: 8,
  maxRoomsPerClient: 100,
  maxConnectionsPerAddress: 50,
  maxUpgradesPerSecondPerAddress: 10,
  maxUpgradesPerSecond: 500,
  maxConnections: 10_000,
};

export const title = "all attacks at once, beside honest clients";

export async function run(report, { short, minutes, files }) {
  const seconds = short ? 15 : Math.min(minutes, LONGEST) * 60;
  const halves = Math.min(HALVES, Math.floor(files / 3));
  await underAttack(report, "stock limits", {}, { seconds, halves, honest: short ? 10 : 20 });
  if (short) return;
  const half = { seconds: seconds / 2, halves, honest: 20 };
  await underAttack(report, "recommended limits", RECOMMENDED, half);
  await underAttack(report, "16 MiB for all", { maxBufferedBytes: BUFFERED }, half);
}

async function underAttack(report, name, limits, { seconds, halves, honest }) {
  const started = Date.now();
  const server = await Actor.start("./hostile-server.mjs", "--expose-gc");
  // It is the log, and belongs to what is looked at.
  server.showsErrors = false;
  const clients = await Actor.start("./hostile-honest.mjs");
  const attackers = [
    [await Actor.start("./hostile-floods.mjs")],
    [await Actor.start("./hostile-guests.mjs"), halves],
  ];
  const port = await server.call("start", limits);
  await clients.call("open", port, honest);
  await clients.call("talk", port);
  await server.call("watch");
  await sleep(2_000);
  const before = await server.call("sample");
  Object.assign(before, { files: server.files(), threads: server.threads() });

  await server.call("tell", 100, 256 * 1024);
  for (const [attacker, ...more] of attackers) await attacker.call("come", port, ...more);
  const found = async () => {
    report.none(`${name}: what honest clients saw`, await clients.call("found"));
    for (const [attacker] of attackers) {
      report.none(`${name}: what attackers saw`, await attacker.call("found"));
    }
  };
  const samples = [];
  const every = Math.min(10, seconds / 4);
  // Counted in pauses: time in which our processes were kept from running does not count.
  for (let n = 1; n * every <= seconds; n++) {
    await sleep(every * 1000);
    const sample = await server.call("sample");
    Object.assign(sample, { files: server.files(), threads: server.threads() });
    samples.push(sample);
    checkBooks(report, name, sample.metrics);
    await found();
    const { native, heapUsed, silence, open, files } = sample;
    report.progress(
      `${name}: ${open} open, ${files} files, ${mib(native)} and heap ${mib(heapUsed)}, ` +
        `timer ${times(silence)}`,
    );
  }

  await server.call("tell", 0, 0);
  const counts = {};
  for (const [attacker] of attackers) Object.assign(counts, await attacker.call("leave"));
  report.progress(`${name}: the attackers have left`);
  const { visitors, answers, ...heard } = await clients.call("quiet");
  report.progress(`${name}: the honest clients have all they asked for`);
  await found();
  const gone = await eventually(async () => (await server.call("state")).open === honest);
  report.check(`${name}: nobody but honest clients is left`, gone);
  const attackedFor = samples.length * every;

  const idle = Object.keys(counts).filter((attack) => counts[attack] === 0);
  report.none(`${name}: attacks that did not begin`, idle);
  report.equal(`${name}: each honest message is answered once`, heard.heard, heard.said);
  report.figure(
    `${name}: attacks`,
    Object.values(counts).reduce((sum, n) => sum + n),
  );
  report.figure(`${name}: honest messages, visitors`, `${heard.said}, ${heard.visits}`);
  report.figure(`${name}: answers to honest clients`, times(answers));
  report.figure(`${name}: visits of honest clients`, times(visitors));
  await checkBack(report, name, server, before);
  checkTimer(report, name, before, samples, attackedFor);
  checkMost(report, name, before, samples, limits);

  const end = await server.call("stop");
  report.equal(`${name}: onConnect and onDisconnect in pairs`, end.connected, end.disconnected);
  report.equal(`${name}: none twice`, end.unpaired, 0);
  report.equal(`${name}: nothing waits`, end.metrics.queued, 0);
  report.equal(`${name}: nothing is held`, end.metrics.buffered, 0);
  checkBooks(report, name, end.metrics);
  const { code, signal } = await server.leave();
  report.equal(`${name}: the process ends by itself, with`, signal ?? code, 0);
  checkLog(report, name, server.errors, (Date.now() - started) / 1000);
  for (const actor of [clients, ...attackers.map(([attacker]) => attacker)]) await actor.end();
}

const times = ({ p50, p99, max }) =>
  `p50 ${p50.toFixed(0)}, p99 ${p99.toFixed(0)}, max ${max.toFixed(0)} ms`;

/** What has to be so of the counters at any time. */
function checkBooks(report, name, { sent, written, queued, dropped }) {
  const sum = written + queued + dropped;
  report.equal(`${name}: sent = written + queued + dropped`, sent, sum);
}

/** The attackers have left: what was taken for them has to come back. */
async function checkBack(report, name, server, before) {
  const bound = before.native / 10 + RESTS;
  let after;
  for (let passed = 0; passed < BACK; passed += 1_000) {
    await sleep(1_000);
    after = await server.call("sample");
    if (after.native - before.native <= bound && after.heapUsed - before.heapUsed <= RESTS) break;
  }
  report.figure(`${name}: memory without V8's heap, before`, mib(before.native));
  report.bytes(
    `${name}: memory that stays, without V8's heap`,
    after.native - before.native,
    bound,
  );
  report.bytes(`${name}: V8's heap that stays`, after.heapUsed - before.heapUsed, RESTS);
  await eventually(() => before.files === undefined || server.files() <= before.files);
  await eventually(() => before.threads === undefined || server.threads() <= before.threads);
  report.back(`${name}: open files`, server.files(), before.files);
  report.back(`${name}: threads`, server.threads(), before.threads);
}

/** A timer of the application runs all the time. Machines are busy: only what no pause of them explains is a fault. */
function checkTimer(report, name, before, samples, seconds) {
  const most = (of) => Math.max(...samples.map(({ silence }) => of(silence)));
  const worst = { p50: most(({ p50 }) => p50), p99: most(({ p99 }) => p99) };
  worst.max = most(({ max }) => max);
  report.figure(`${name}: timer of 10 ms, before`, times(before.silence));
  report.figure(
    `${name}: timer of 10 ms, worst`,
    times(worst),
    `max ≤ ${(seconds / 3).toFixed(0)} s`,
  );
  report.check(`${name}: the timer goes on`, worst.max <= (seconds * 1000) / 3, `${worst.max} ms`);
}

/** The most that was taken while it went on. */
function checkMost(report, name, before, samples, { maxBufferedBytes }) {
  const most = (of) => Math.max(...samples.map((sample) => of(sample) ?? 0));
  const grown = (of) => most(of) - of(before);
  const native = grown((sample) => sample.native);
  report.bytes(`${name}: more memory, without V8's heap`, native, NATIVE);
  report.bytes(
    `${name}: more of V8's heap`,
    grown(({ heapUsed }) => heapUsed),
    HEAP,
  );
  const buffered = most(({ metrics }) => metrics.buffered);
  if (maxBufferedBytes === undefined) report.figure(`${name}: buffered`, mib(buffered));
  else report.bytes(`${name}: buffered`, buffered, maxBufferedBytes + PASSED);
  if (before.files !== undefined) {
    const files = most((sample) => sample.files);
    const bound = before.files + PLACES + OTHERS;
    report.figure(`${name}: open files, at most`, files, `≤ ${bound}`);
    report.check(`${name}: open files are bounded`, files <= bound, files);
  }
  report.figure(
    `${name}: connections, at most`,
    most(({ open }) => open),
  );
  const threads = most(({ threads }) => threads);
  report.check(`${name}: no more threads`, !(threads > before.threads), threads);
  const { metrics } = samples.at(-1);
  report.figure(
    `${name}: messages received, bad ones`,
    `${metrics.received}, ${JSON.stringify(metrics.bad)}`,
  );
  report.figure(
    `${name}: upgrades accepted, refused`,
    `${metrics.accepted}, ${JSON.stringify(metrics.refused)}`,
  );
  const { sent, written, queued, dropped } = metrics;
  report.figure(
    `${name}: sent = written + queued + dropped`,
    `${sent} = ${written} + ${queued} + ${dropped}`,
  );
}

/** Whatever clients provoke, the log is short, and each line of it is an entry of ours. */
function checkLog(report, name, log, seconds) {
  const lines = log.split("\n").slice(0, -1);
  report.figure(
    `${name}: lines in the log`,
    `${lines.length} in ${seconds.toFixed(0)} s`,
    `≤ ${LINES} a second`,
  );
  report.check(`${name}: the log is short`, lines.length <= LINES * seconds, lines.length);
  const isStrange = (line) => !line.startsWith("zocket: ") || /\p{Cc}/u.test(line);
  report.none(
    `${name}: lines that are no entries`,
    lines.filter(isStrange).map((line) => JSON.stringify(line)),
  );
  const ours = lines.filter((line) => /^zocket: (\d+ )?INTERNAL/.test(line));
  report.none(`${name}: faults of the library`, ours);
}
