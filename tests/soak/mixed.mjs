// Everything at once, for as long as you like: what an hour of it leaves behind.
import { setTimeout as sleep } from "node:timers/promises";

import { Actor, eventually } from "./processes.mjs";
import { mib, slope } from "./report.mjs";

/** Longer than anybody stops our processes: their clients are not to be taken for silent ones. */
const HEARTBEAT = 15_000;
/** What memory may grow by in ten minutes of the second half, where that is long enough to tell. */
const GROWTH = 2 ** 20;
const LONG = 30;
/** Messages that are counted one by one at the end. */
const SETTLED = 3_000;
/** The same in all of a shorter run, where memory still settles. */
const SETTLING = 48 * 2 ** 20;

export const title = "all of it together: the soak proper";

export async function run(report, { short, minutes }) {
  const seconds = short ? 6 : minutes * 60;
  const every = short ? 1_500 : Math.min(10_000, (seconds * 1000) / 12);
  const crowd = short ? 20 : 100;
  const few = short ? 2 : 5;
  const seed = Date.now() % 2 ** 32;
  report.progress(`seed ${seed}`);
  const server = await Actor.start("./server.mjs", "--expose-gc");
  const talkers = await Actor.start("./mixed-talkers.mjs");
  const strangers = await Actor.start("./mixed-strangers.mjs");
  const port = await server.call("start", { heartbeatInterval: HEARTBEAT });
  await talkers.call("open", port, crowd, seed);
  const before = { files: server.files(), threads: server.threads() };
  await server.call("sample");
  await sleep(short ? 500 : 3_000);
  const { delay: idle } = await server.call("sample");

  await talkers.call("talk", short ? 10 : 60);
  await strangers.call("come", port, 20, few);
  await server.call("feed", "firehose", 100, 256 * 1024);
  const samples = (report.samples = []);
  const found = async () => {
    const { counts, problems } = await talkers.call("found");
    report.none("what talkers saw", problems);
    report.none("what strangers saw", await strangers.call("found"));
    return counts;
  };
  // Counted in pauses: time in which our processes were kept from running does not count.
  for (let n = 1; (n - 1) * every < seconds * 1000; n++) {
    await sleep(every);
    const sample = await server.call("sample");
    sample.seconds = (n * every) / 1000;
    Object.assign(sample, { files: server.files(), threads: server.threads() });
    samples.push(sample);
    report.check("threads while it runs", !(sample.threads > before.threads), sample.threads);
    checkBooks(report, sample.metrics);
    const { actions } = await found();
    if (n % 6 === 0) {
      const { metrics, rss, heapUsed, open, delay } = sample;
      report.progress(
        `${actions} actions, ${metrics.sent} sent, ${open} open, ${mib(rss)}, ` +
          `heap ${mib(heapUsed)}, delay p99 ${delay.p99.toFixed(1)} ms`,
      );
    }
  }

  await server.call("feed", "firehose", 0, 0);
  const visits = await strangers.call("leave");
  await eventually(async () => (await server.call("state")).open === crowd);
  const rest = await talkers.call("quiet");
  await checkSettled(report, server, talkers, rest.received);
  report.equal("clients at the end", (await server.call("state")).clients, crowd);
  const counts = await found();
  await eventually(() => before.files === undefined || server.files() <= before.files);
  report.figure("talkers, their actions", `${crowd}, ${rest.actions}`);
  report.figure("strangers", visits.visits);
  report.figure("clients ended for their silence", visits.silent);
  report.backAs(server, before);

  const end = await server.call("stop");
  report.equal("talkers are closed with", String(await talkers.call("closed")), "1001");
  report.equal("onConnect and onDisconnect in pairs", end.connected - end.disconnected, 0);
  report.equal("none twice", end.unpaired, 0);
  const lost = end.connected - end.metrics.accepted;
  report.figure("clients gone between onConnect and 101", lost);
  report.check("no more than tried to be", lost >= 0 && lost <= visits.gone, lost);
  report.check("what clients read was written", end.metrics.written >= counts.received);
  tell(report, end, counts, samples, idle);
  report.equal("no fault of the library", end.faults.INTERNAL ?? 0, 0);
  if (!short && minutes >= 1) {
    report.check("slow clients are cut off", end.faults.SLOW_CLIENT > 0);
    report.check("silent clients are cut off", visits.silent > 0);
  }
  await report.endsWell(server);
  await Promise.all([talkers.end(), strangers.end()]);
}

/** What has to be so of the counters at any time. */
function checkBooks(report, { sent, written, queued, dropped }) {
  report.equal("sent = written + queued + dropped", sent, written + queued + dropped);
  const sane = [sent, written, queued, dropped].every((n) => Number.isSafeInteger(n) && n >= 0);
  report.check("counters are counts", sane, `${sent}, ${written}, ${queued}, ${dropped}`);
}

/** With the talkers alone, who all read, what is written is what they count, message by message. */
async function checkSettled(report, server, talkers, receivedBefore) {
  const before = await settled(server);
  await talkers.call("talk", 5);
  const heard = async () => (await talkers.call("counted")).received - receivedBefore;
  await eventually(async () => (await heard()) >= SETTLED);
  const counted = await talkers.call("quiet");
  const after = await settled(server);
  const received = counted.received - receivedBefore;
  const grown = (name) => after.metrics[name] - before.metrics[name];
  report.check("the talkers went on", received >= SETTLED, received);
  report.equal("written is what clients counted", grown("written"), received);
  report.equal("sent is what clients counted", grown("sent"), received);
  report.equal("none was dropped", grown("dropped"), 0);
  report.equal("queued at the end", after.metrics.queued, 0);
  checkBooks(report, after.metrics);
}

async function settled(server) {
  await eventually(async () => (await server.call("state")).metrics.queued === 0);
  return server.call("state");
}

function tell(report, end, counts, samples, idle) {
  const { accepted, received, sent, written, dropped, bytesIn, bytesOut, refused, bad } =
    end.metrics;
  report.figure("upgrades accepted, refused", `${accepted}, ${JSON.stringify(refused)}`);
  report.figure("messages received, bad ones", `${received}, ${JSON.stringify(bad)}`);
  report.figure("sent = written + queued + dropped", `${sent} = ${written} + 0 + ${dropped}`);
  report.figure("read by the talkers, and right", counts.received);
  report.figure("bytes in, out", `${mib(bytesIn)}, ${mib(bytesOut)}`);
  report.figure("told to onError", JSON.stringify(end.faults));
  const worst = (of) => Math.max(...samples.map(of)).toFixed(1);
  const delays = samples.map(({ delay }) => delay.p99).toSorted((a, b) => a - b);
  const median = delays[Math.floor(delays.length / 2)].toFixed(1);
  report.figure(
    "event loop delay, idle: p99, max",
    `${idle.p99.toFixed(1)}, ${idle.max.toFixed(1)} ms`,
  );
  report.figure(
    "event loop delay: median p99, worst p99, max",
    `${median}, ${worst(({ delay }) => delay.p99)}, ${worst(({ delay }) => delay.max)} ms`,
  );
  report.figure(
    "open files, most",
    worst(({ files }) => files ?? 0),
  );
  const half = samples.slice(Math.floor(samples.length / 2));
  const minutesOf = ({ seconds }) => seconds / 60;
  const tenMinutes = (of) => 10 * slope(half.map((s) => ({ x: minutesOf(s), y: of(s) })));
  const length = minutesOf(samples.at(-1));
  report.figure(
    "memory: first, half, last sample",
    [samples[0], half[0], samples.at(-1)].map(({ rss }) => mib(rss)).join(", "),
  );
  const rss = tenMinutes((sample) => sample.rss);
  if (length >= LONG) report.bytes("memory, in ten minutes of the second half", rss, GROWTH);
  else
    report.bytes("memory, in all of the second half", samples.at(-1).rss - half[0].rss, SETTLING);
  // Of a short run they would only tell how memory settles.
  if (length < 1) return;
  if (length < LONG) report.figure("memory, in ten minutes of the second half", mib(rss));
  report.figure(
    "heap, in ten minutes of the second half",
    mib(tenMinutes(({ heapUsed }) => heapUsed)),
  );
}
