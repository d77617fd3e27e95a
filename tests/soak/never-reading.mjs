// Clients that never read, in a room that others read: what waits for them is bounded, and nobody else notices.
import { setTimeout as sleep } from "node:timers/promises";

import { Actor, eventually } from "./processes.mjs";
import { mib } from "./report.mjs";

const BACKPRESSURE = 2 ** 18;
const BYTES = 4_000;
/** Messages in one go, and how far the slowest reader may be behind: no reader is to become a slow client. */
const AT_ONCE = 8;
const WINDOW = 32;
/** More than the system's own buffers of one connection hold. */
const MOST = (64 * 2 ** 20) / BYTES;
/** What memory may grow by besides. */
const FIXED = 48 * 2 ** 20;

export const title = "clients that never read, and broadcasts";

export async function run(report, { short }) {
  for (const policy of ["disconnect", "drop"]) await runPolicy(report, policy, short);
}

async function runPolicy(report, policy, short) {
  const ignoring = short ? 10 : 100;
  const reading = short ? 5 : 20;
  const server = await Actor.start("./server.mjs", "--expose-gc");
  const clients = await Actor.start("./never-reading-clients.mjs");
  const options = { slowClient: policy, maxBackpressure: BACKPRESSURE, heartbeatInterval: 0 };
  const port = await server.call("start", options);
  await clients.call("ignore", port, ignoring);
  await clients.call("read", port, reading);
  await eventually(async () => (await server.call("readers")).count === reading);
  const joins = ignoring + reading;
  const { rss } = await server.call("memory");

  let peak = 0;
  let samples = 0;
  let sent = 0;
  let all = false;
  for (; !all && sent < MOST; sent += AT_ONCE) {
    while ((await server.call("readers")).lowest < sent - WINDOW) await sleep(1);
    const { metrics, rss } = await server.call("tick", "news", sent, AT_ONCE, BYTES);
    peak = Math.max(peak, rss);
    samples++;
    checkBooks(report, policy, metrics);
    if (policy === "disconnect") all = (await server.call("state")).open === reading;
    // Dropped for all of them, on average: who was never dropped for is found below.
    else all = metrics.dropped >= ignoring * 100;
  }
  report.check(`${policy}: it comes to it`, all, `not after ${sent} messages`);
  report.progress(`${policy}: ${sent} messages to ${joins}, ${mib(peak)} at most`);

  const counted = await clients.call("counted", sent);
  if (policy === "disconnect") await checkCutOff(report, server, counted, sent, ignoring);
  else await checkDropped(report, server, clients, counted, sent, joins);
  report.none(`${policy}: what clients saw`, await clients.call("found"));
  report.check(
    `${policy}: readers have it all`,
    counted.readers.every((count) => count === sent),
    counted.readers.join(),
  );
  const bound = ignoring * BACKPRESSURE + FIXED;
  report.figure(`${policy}: messages until then`, `${sent} of ${BYTES} B to ${joins} clients`);
  report.figure(`${policy}: samples of metrics()`, samples);
  report.bytes(`${policy}: memory above before, at most`, peak - rss, bound);

  const end = await server.call("stop");
  report.equal(`${policy}: pairs`, end.connected - end.disconnected, 0);
  report.equal(`${policy}: none twice`, end.unpaired, 0);
  report.equal(`${policy}: exit code`, (await server.leave()).code, 0);
  report.equal(`${policy}: standard error`, server.errors, "");
  await clients.end();
}

function checkBooks(report, policy, { sent, written, queued, dropped }) {
  report.equal(`${policy}: the sum of the counters`, written + queued + dropped, sent);
  const sane = [written, queued, dropped].every((n) => Number.isSafeInteger(n) && n >= 0);
  report.check(`${policy}: counters are counts`, sane, `${written}, ${queued}, ${dropped}`);
}

/** Those who do not read are gone; what they did not get is dropped, and the readers have theirs. */
async function checkCutOff(report, server, counted, sent, ignoring) {
  const { metrics, faults, open } = await server.call("state");
  const read = counted.readers.reduce((sum, count) => sum + count, 0);
  const joins = ignoring + counted.readers.length;
  report.equal("disconnect: told to onError, each once", faults.SLOW_CLIENT, ignoring);
  report.equal("disconnect: readers are still there", open, counted.readers.length);
  report.equal("disconnect: nothing waits", metrics.queued, 0);
  const written = metrics.written - joins - read;
  const most = metrics.sent - joins - read;
  report.check("disconnect: some was written to them", written > 0 && written < most, written);
  report.equal("disconnect: sums", metrics.dropped, most - written);
  report.figure("disconnect: sent, written, dropped", books(metrics));
  report.check("disconnect: nobody else got less", read === sent * counted.readers.length, read);
}

/** Those who did not read do so now: then every message is either counted by a client or dropped. */
async function checkDropped(report, server, clients, counted, sent, joins) {
  const held = await server.call("state");
  report.equal("drop: all are still there", held.open, joins);
  await clients.call("resume");
  await eventually(async () => (await server.call("state")).metrics.queued === 0);
  const { metrics, open, faults } = await server.call("state");
  const sum = ({ readers, others }) =>
    [...readers, ...others].reduce((total, count) => total + count, 0);
  let now = counted;
  await eventually(async () => {
    now = await clients.call("counted", sent);
    return sum(now) >= metrics.written - joins;
  });
  report.equal("drop: written is what clients counted", metrics.written - joins, sum(now));
  report.equal("drop: sent", metrics.sent, sent * joins + joins);
  report.equal("drop: dropped is the rest", metrics.dropped, metrics.sent - metrics.written);
  report.check(
    "drop: something was dropped for each who did not read",
    now.others.every((count) => count > 0 && count < sent),
    now.others.join(),
  );
  report.equal("drop: all are still there at the end", open, joins);
  report.equal(
    "drop: nothing else in onError",
    JSON.stringify({ ...faults, SLOW_CLIENT: 0 }),
    '{"SLOW_CLIENT":0}',
  );
  report.figure("drop: sent, written, dropped", books(metrics));
}

const books = ({ sent, written, dropped }) => `${sent}, ${written}, ${dropped}`;
