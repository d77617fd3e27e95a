// `npm run bench -- scale`: several processes on a bus, and several threads on one port.
import os from "node:os";
import { parseArgs } from "node:util";

import { helpOr } from "../../../scripts/steps.mjs";
import { compute } from "../apps/application.mjs";
import { figures, median } from "../figures.mjs";
import { judge } from "../goals.mjs";
import { majorOf, nodeOf } from "../node.mjs";
import { goalTable, record, tables } from "../report.mjs";
import * as running from "../running.mjs";
import { CASES, COLUMNS, GOALS, PEERS, QUICK } from "./cases.mjs";
import { fleet } from "./fleet.mjs";
import { load } from "./measure.mjs";

const HELP = `Measures several processes on a bus, several threads on one port, and what they cost.

usage: npm run bench -- scale [options]

  --quick          a few cases, two rounds, short windows: two minutes
  --only LIST      peers and cases by name or the start of it, separated by commas
  --rounds N       how often every case is measured for every peer               [5]
  --seconds N      the measured window                                           [3]
  --node WHAT      the Node.js that runs the servers: a path, or a version such as 26  [this one]
  --install        install Socket.IO, its adapters and ioredis (npm, into benches/peers/optional)
  --priority       above everything else on the machine (nice -15; needs root)
  --record FOLDER  where the record goes                                         [benches/record]
  --no-record      write no record, and no numbers into docs/scaling.md (--quick writes none either)
  --help

It starts a redis-server and a nats-server for each measurement, on free ports. Peers whose server or package is
not installed are left out.

peers: ${Object.keys(PEERS).join(", ")}
cases: ${Object.keys(CASES).join(", ")}`;

const options = helpOr(() => parseArgs({ options: running.COMMON }), HELP);
const REPORT = { columns: COLUMNS, yardstick: (name) => CASES[name].yardstick };

await main();

async function main() {
  if (options.install) running.install();
  const rounds = running.positive(options, "rounds", options.quick ? 2 : 5);
  const seconds = running.positive(options, "seconds", options.quick ? 1.5 : 3);
  const warmUp = options.quick ? 0.7 : 1;
  const node = nodeOf(options.node);
  const { peers, cases, absent } = choose();
  running.build();
  if (!running.canPin) console.error("nothing is pinned: that needs Linux and two cores");
  const work = roundsOf(100);
  const runs = [];
  for (let round = 1; round <= rounds; round++) {
    for (const name of cases) {
      const one = CASES[name];
      const parts = peers.filter((peer) => one.peers.includes(peer));
      if (parts.length === 0) continue;
      for (const peer of running.rotate(parts, round)) {
        const placement = running.place(options, one.pinned);
        const command = PEERS[peer].command(node);
        const how = { command, seconds, warmUp, placement, work };
        const result = await load(PEERS[peer], one, how).catch((cause) => {
          throw new Error(`${name}, ${peer}: ${cause.message}`, { cause });
        });
        const unit = `${result.unit}/s`;
        const done = { round, name, peer, unit, figures: figures(result, one) };
        runs.push(done);
        running.progress(done, rounds);
      }
    }
  }
  const all = judge(runs, { node: majorOf(node), absent, goals: GOALS });
  const goals = options.quick ? all.filter(({ result }) => result !== undefined) : all;
  console.log(`\n${tables(runs, REPORT)}\n${goalTable(goals)}`);
  if (options.quick || options["no-record"]) return;
  const command = ["npm run bench -- scale", ...running.shownArguments()].join(" ");
  const folder = running.recordFolder(options);
  const about = { command, node, folder, kind: "scale", peers: PEERS, options: REPORT };
  console.log(`record: ${record(runs, goals, about)}`);
  if (!options.only && !options.record) await fleet();
}

/** The peers and cases of `--only`, and why other peers take no part. */
function choose() {
  const [peers, cases] = [Object.keys(PEERS), Object.keys(CASES)];
  const picked = running.picked(options.only, [...peers, ...cases]);
  const here = peers.filter((peer) => PEERS[peer].version() !== undefined);
  const missing = peers.filter((peer) => !here.includes(peer));
  const absent = Object.fromEntries(missing.map((peer) => [peer, "is not installed"]));
  for (const peer of missing) console.error(`${peer} is not installed: left out`);
  const chosen = here.filter((peer) => picked.includes(peer));
  const named = cases.filter((name) => picked.includes(name));
  const usual = cases.filter((name) => !options.quick || QUICK.includes(name));
  return { absent, peers: chosen.length ? chosen : here, cases: named.length ? named : usual };
}

/** How many rounds of arithmetic take so many microseconds of CPU on this machine. */
function roundsOf(microseconds) {
  const ROUNDS = 20_000;
  const times = Array.from({ length: 200 }, () => {
    const before = process.cpuUsage();
    const start = performance.now();
    compute(ROUNDS);
    const { user } = process.cpuUsage(before);
    return Math.max(user, (performance.now() - start) * 1000);
  });
  // The first half is not compiled yet.
  const each = median(times.slice(100)) / ROUNDS;
  console.error(
    `${os.cpus()[0]?.model}: ${Math.round(microseconds / each)} rounds take ${microseconds} µs`,
  );
  return Math.round(microseconds / each);
}
