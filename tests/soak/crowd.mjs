// Thousands of connections at once, half of which are reset at the same moment.
import { Actor, eventually } from "./processes.mjs";

/** What memory may grow by from one wave to the next, after the second. */
const GROWTH = 16 * 2 ** 20;

export const title = "half of a crowd is reset at once";

/** The most connections a crowd has that so many open files allow: each process needs some for itself. */
export const fits = (files) => Math.min(15_000, files - 200);

export async function run(report, { short, files }) {
  const wanted = short ? 2_000 : 15_000;
  const waves = short ? 3 : 4;
  const crowd = Math.min(wanted, fits(files));
  if (crowd < wanted) {
    report.progress(`only ${crowd} of ${wanted} connections: ulimit -n is ${files}`);
  }
  report.check("there are files enough for a crowd", crowd >= 500, `ulimit -n is ${files}`);
  if (crowd < 500) return;

  const server = await Actor.start("./server.mjs", "--expose-gc");
  const clients = await Actor.start("./crowd-clients.mjs");
  const port = await server.call("start");
  // Whatever is made once and kept is made before anything is counted.
  await clients.call("open", port, 50);
  await clients.call("echo", 0);
  await clients.call("closeAll");
  await eventually(async () => (await server.call("state")).open === 0);
  const before = { files: server.files(), threads: server.threads() };
  let reset = 0;
  let highest = 0;
  const after = [];
  for (let wave = 1; wave <= waves && report.failures.length === 0; wave++) {
    report.equal(`wave ${wave}: all connect`, await clients.call("open", port, crowd), crowd);
    report.equal(`wave ${wave}: all are answered`, await clients.call("echo", 0), crowd);
    highest = Math.max(highest, (await server.call("memory")).rss);
    const left = await clients.call("resetHalf");
    reset += crowd - left;
    report.equal(`wave ${wave}: the rest is answered`, await clients.call("echo", crowd), left);
    await eventually(async () => (await server.call("state")).open === left);
    const half = await server.call("state");
    report.equal(`wave ${wave}: each reset one got its onDisconnect`, half.open, left);
    report.equal(`wave ${wave}: clientCount()`, half.clients, left);
    report.equal(`wave ${wave}: the rest is closed`, await clients.call("closeAll"), left);
    await eventually(async () => (await server.call("state")).open === 0);
    await eventually(() => before.files === undefined || server.files() <= before.files);
    after.push((await server.call("memory")).rss);
    report.none(`wave ${wave}: what clients saw`, await clients.call("found"));
    report.progress(`wave ${wave} of ${waves}, ${Math.round(after.at(-1) / 2 ** 20)} MiB after it`);
  }

  const end = await server.call("state");
  report.equal("onConnect and onDisconnect in pairs", end.connected - end.disconnected, 0);
  report.equal("none twice", end.unpaired, 0);
  report.equal("connections counted", end.connected, 50 + waves * crowd);
  report.equal("clientCount() at the end", end.clients, 0);
  report.equal("nothing in onError", JSON.stringify(end.faults), "{}");
  report.figure("connections at once", crowd);
  report.figure("reset in one go, in all waves", reset);
  report.figure("memory with all of them open", `${Math.round(highest / 2 ** 20)} MiB`);
  if (after.length === waves) {
    report.bytes(
      "memory from the second wave's end to the last's",
      after.at(-1) - after[1],
      GROWTH,
    );
  }
  report.backAs(server, before);
  await server.call("stop");
  await report.endsWell(server);
  await clients.end();
}
