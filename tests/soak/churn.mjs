// Clients that come, say one thing and go, by the hundred thousand: nothing of them may stay.
import { Actor, eventually } from "./processes.mjs";
import { mib, slope } from "./report.mjs";

/** What one connection may leave behind; the least that counts as growth, as memory goes up and down by itself. */
const BYTES_EACH = 16;
const NOISE = 16 * 2 ** 20;
/** The share of the connections that is not looked at: what grows then stays as it is. */
const WARM_UP = 0.3;
/** Seconds from one sample of the memory to the next, at most. */
const TURN = 10;

/** More are not under way at once, however slow the machine is. */
const AT_ONCE = 4_000;

export const title = "connect, one message, disconnect, at a high rate";

export async function run(report, { short, minutes, files }) {
  const perSecond = short ? 300 : 1_000;
  const seconds = short ? 6 : Math.min(minutes, 10) * 60;
  const server = await Actor.start("./server.mjs", "--expose-gc");
  const clients = await Actor.start("./churn-clients.mjs");
  const port = await server.call("start");
  const most = Math.min(AT_ONCE, Math.floor(files / 2));
  await clients.call("churn", port, 50, 1, most);
  await eventually(async () => (await server.call("state")).open === 0);
  const before = { files: server.files(), threads: server.threads() };

  // In turns: between two of them nobody is there, and what is in use then is what stays.
  const turn = Math.min(TURN, seconds / 6);
  const samples = [];
  let counts;
  for (let n = 1; n <= Math.round(seconds / turn); n++) {
    counts = await clients.callFor(turn * 1000, "churn", port, perSecond, turn, most);
    await eventually(async () => (await server.call("state")).open === 0);
    const { rss, heapUsed } = await server.call("memory");
    samples.push({ x: counts.started, y: rss });
    if (n % 3 === 0) {
      report.progress(`${counts.started} connections, ${mib(rss)}, heap ${mib(heapUsed)}`);
    }
  }
  await eventually(() => before.files === undefined || server.files() <= before.files);
  const end = await server.call("state");
  report.none("what clients saw", await clients.call("found"));
  report.equal("all are answered", counts.answered, counts.started);
  report.equal("all end", counts.closed + counts.reset, counts.started);
  report.equal("onConnect for each", end.connected, counts.started);
  report.equal("onDisconnect for each", end.disconnected, counts.started);
  report.equal("none twice", end.unpaired, 0);
  report.equal("metrics().accepted", end.metrics.accepted, counts.started);
  report.equal("metrics().received", end.metrics.received, counts.started);
  report.equal("metrics().written", end.metrics.written, counts.started);
  report.equal("nothing in onError", JSON.stringify(end.faults), "{}");
  report.figure("connections", counts.started);
  report.figure("closed, reset", `${counts.closed}, ${counts.reset}`);
  report.figure(
    "each second, reached and wanted",
    `${(counts.started / counts.seconds).toFixed(0)}, ${perSecond}`,
  );

  const warm = samples.filter(({ x }) => x >= WARM_UP * counts.started);
  const each = slope(warm);
  report.figure(
    "memory, first and last sample after warm-up",
    `${mib(warm[0].y)}, ${mib(warm.at(-1).y)}`,
  );
  // Of a short run it would only tell how memory settles.
  if (!short) {
    report.figure("memory for 1,000 connections, by regression", `${(each * 1000).toFixed(0)} B`);
  }
  const grown = each * (warm.at(-1).x - warm[0].x);
  const bound = Math.max(NOISE, BYTES_EACH * (warm.at(-1).x - warm[0].x));
  report.bytes("growth after warm-up, by regression", grown, bound);
  report.backAs(server, before);
  await server.call("stop");
  await report.endsWell(server);
  await clients.end();
}
