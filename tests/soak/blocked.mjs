// The JavaScript thread does something else for five seconds, while clients go on.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Actor } from "./processes.mjs";
import { mib } from "./report.mjs";

/** Twice this is less than the time that is blocked: silence of clients that are not read must not count against them. */
const HEARTBEAT = 2_000;
const SHARDS = 2;
/** What waits in the inboxes of all shards, twice, as what is being written is copied, and what stays by itself. */
const BOUND = SHARDS * 2 * 4 * 2 ** 20 + 4 * 2 ** 20;

export const title = "the JavaScript thread is blocked for 5 s under load";

export async function run(report, { short }) {
  const ms = short ? 1_500 : 5_000;
  const talkers = short ? 40 : 200;
  const folder = mkdtempSync(path.join(tmpdir(), "zocket-soak-"));
  const server = await Actor.start("./server.mjs", "--expose-gc");
  const clients = await Actor.start("./blocked-clients.mjs");
  try {
    // Not in the short form, where it would be too short for a busy machine.
    const heartbeat = short ? {} : { heartbeatInterval: HEARTBEAT };
    const options = { ioThreads: SHARDS, ...heartbeat };
    const port = await server.call("start", options);
    await clients.call("open", port, talkers, 20);
    // Small messages fill each client's share of an inbox, and large ones the inboxes.
    const loads = { "small messages": 30, "large messages": short ? 4_000 : 2_000 };
    for (const [load, bytes] of Object.entries(loads)) {
      await clients.call("talk", bytes);
      await sleep(500);
      const before = await clients.call("said");
      const file = path.join(folder, `${bytes}`);
      const blocking = new Promise((resolve) => server.on("blocking", resolve));
      const blocked = server.callFor(ms, "block", ms, file);
      await blocking;
      const pinged = bytes < 100 ? clients.call("ping", 10) : Promise.resolve(0);
      void pinged.then(() => writeFileSync(file, ""));
      const { ms: took, freed, grown } = await blocked;
      const meanwhile = (await clients.call("said")) - before;
      if (bytes < 100) {
        report.check("pings are answered meanwhile", freed, "no pong within a minute");
        report.figure("pongs while it was blocked", await pinged);
        report.equal("each of them", await pinged, 200);
      }
      const sent = await clients.call("quiet");
      const state = await server.call("state");
      report.progress(`${load}: blocked for ${(took / 1000).toFixed(1)} s`);
      report.none(`${load}: what clients saw`, await clients.call("found"));
      report.equal(`${load}: messages out of order`, state.outOfOrder, 0);
      report.equal(`${load}: received`, state.metrics.received, sent);
      report.equal(`${load}: written`, state.metrics.written, sent);
      report.equal(`${load}: still connected`, state.open, talkers + 20);
      report.equal(`${load}: nothing in onError`, JSON.stringify(state.faults), "{}");
      report.figure(`${load}: handed to sockets meanwhile, all`, `${meanwhile}, ${sent}`);
      report.bytes(`${load}: more memory while blocked`, grown, BOUND);
      await clients.call("ping", 1);
    }
    const { rss } = await server.call("memory");
    report.figure("memory at the end", mib(rss));
    const end = await server.call("stop");
    report.equal("onConnect and onDisconnect in pairs", end.connected - end.disconnected, 0);
    report.equal("none twice", end.unpaired, 0);
    await report.endsWell(server);
  } finally {
    rmSync(folder, { recursive: true });
  }
  await clients.end();
}
