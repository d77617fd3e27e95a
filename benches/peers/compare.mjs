// The same application on this package and on its peers, one server each, measured in turns.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { helpOr } from "../../scripts/steps.mjs";
import { figures } from "./figures.mjs";
import { judge } from "./goals.mjs";
import { load, memory, mostFiles, starts } from "./measure.mjs";
import { majorOf, nodeOf } from "./node.mjs";
import { CASES, PEERS, files } from "./peers.mjs";
import { plot } from "./plot.mjs";
import { beforeTable, goalTable, record, tables } from "./report.mjs";
import * as running from "./running.mjs";

const HELP = `Compares this package with other WebSocket servers under load, and with its goals.

usage: npm run bench -- [options]
       npm run bench -- scale [options]    several processes on a bus, and several threads

  --quick          three cases, two peers, two rounds, short windows: under two minutes
  --only LIST      peers, and cases by name or the start of it, separated by commas
  --rounds N       how often every case is measured for every peer               [5]
  --seconds N      the measured window                                           [3]
  --before FOLDER  compares with an earlier version too: a checkout of it, built
  --node WHAT      the Node.js that runs the servers: a path, or a version such as 26,
                   which npm installs into a cache outside the repository        [this one]
  --install        install uws, bun, socketio, trpc and orpc (npm, into benches/peers/optional)
  --priority       above everything else on the machine (nice -15; needs root)
  --record FOLDER  where the record goes                                         [benches/record]
  --no-record      write no record and no plots (--quick writes none either)
  --help

peers: ${Object.keys(PEERS).join(", ")} (of uws, bun, socketio, trpc and orpc those that are installed)
cases: ${Object.keys(CASES).join(", ")}`;

const options = helpOr(
  () => parseArgs({ options: { ...running.COMMON, before: { type: "string" } } }),
  HELP,
);

/** The peers of `--quick`. */
const QUICK = ["zocket", "before", "ws"];

await main();

async function main() {
  if (options.install) running.install();
  if (options.before) process.env["ZOCKET_BEFORE"] = path.resolve(options.before);
  const rounds = running.positive(options, "rounds", options.quick ? 2 : 5);
  const seconds = running.positive(options, "seconds", options.quick ? 1.5 : 3);
  const node = nodeOf(options.node);
  const { peers, cases } = choose();
  enoughFiles(cases);
  running.build({ engine: peers.includes("engine") });
  if (!running.canPin) console.error("nothing is pinned: that needs Linux and two cores");
  const { able, absent } = await split(peers, node);

  const runs = [];
  /** Cases that the version before cannot run, as it has no such feature yet. */
  const beyond = new Set();
  for (let round = 1; round <= rounds; round++) {
    for (const name of cases) {
      // A different peer begins in every round: none always follows the same one.
      const parts = able.filter(
        (peer) => takesPart(peer, name) && !(peer === "before" && beyond.has(name)),
      );
      for (const peer of running.rotate(parts, round)) {
        const { args: plain, memory: isMemory, pinned, tls, warmUp: long = 1 } = CASES[name];
        const warmUp = options.quick ? 0.7 : long;
        const args = tls ? [...plain, "--tls", secure().TLS_CERT] : plain;
        const measure = isMemory ? memory : load;
        const dialect = PEERS[peer].dialect ?? "json";
        const how = { args, dialect, seconds, warmUp, placement: running.place(options, pinned) };
        const one = server(peer, node);
        if (tls) one.environment = { ...one.environment, ...secure() };
        const result = await measure(one, how).catch((cause) => {
          if (peer !== "before") throw new Error(`${name}, ${peer}: ${cause.message}`, { cause });
          console.error(`${name}: left out for the version before: ${cause.message}`);
          beyond.add(name);
        });
        if (result === undefined) continue;
        const unit = isMemory ? "bytes per connection" : `${result.unit}/s`;
        const done = { round, name, peer, unit, figures: figures(result) };
        runs.push(done);
        running.progress(done, rounds);
      }
    }
  }
  const all = judge(runs, { node: majorOf(node), absent });
  const goals = options.quick ? all.filter(({ result }) => result !== undefined) : all;
  console.log(`\n${tables(runs)}\n${beforeTable(runs)}\n${goalTable(goals)}`);
  if (options.quick || options["no-record"]) return;
  const command = ["npm run bench --", ...running.shownArguments()].join(" ");
  const folder = running.recordFolder(options);
  console.log(`record: ${record(runs, goals, { command, node, folder })}`);
  // Part of a run would leave gaps in the plots, and a record that is put elsewhere is not for the page.
  if (!options.only && !options.record) await plot();
}

function server(peer, node) {
  return { ...PEERS[peer], command: PEERS[peer].command(node) };
}

/** A certificate for this run, as the servers' environment has it. */
function secure() {
  if (secure.files) return secure.files;
  const folder = mkdtempSync(path.join(os.tmpdir(), "zocket-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [TLS_CERT, TLS_KEY] = ["cert.pem", "key.pem"].map((name) => path.join(folder, name));
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const extensions = ["subjectAltName=DNS:localhost", "basicConstraints=critical,CA:FALSE"];
  const added = extensions.flatMap((extension) => ["-addext", extension]);
  const out = ["-keyout", TLS_KEY, "-out", TLS_CERT];
  const request = ["req", "-x509", "-subj", "/CN=localhost", ...kind, ...added, ...out];
  execFileSync("openssl", request, { stdio: ["ignore", "ignore", "inherit"] });
  return (secure.files = { TLS_CERT, TLS_KEY });
}

function takesPart(peer, name) {
  const { without, named } = PEERS[peer];
  const { peers } = CASES[name];
  if (peers) return peers.includes(peer === "before" ? "zocket" : peer);
  return !named && !without?.some((part) => name.startsWith(part));
}

/** The peers that run, and why others do not: not installed, or not made for this Node.js. */
async function split(peers, node) {
  const absent = {};
  const able = [];
  for (const peer of Object.keys(PEERS)) {
    if (PEERS[peer].version() === undefined) absent[peer] = "is not installed";
    if (!peers.includes(peer)) continue;
    if (!PEERS[peer].optional || (await starts(server(peer, node), running.place(options)))) {
      able.push(peer);
    } else {
      absent[peer] = `does not start under Node.js ${majorOf(node)}`;
      console.error(`${peer} ${absent[peer]}: left out`);
    }
  }
  return { able, absent };
}

function enoughFiles(cases) {
  const most = mostFiles();
  for (const name of cases) {
    const needed = files(CASES[name]);
    if (needed > most) {
      running.fail(
        `${name} needs ${needed} open files per process, and ${most} are allowed (ulimit -Hn)`,
      );
    }
  }
}

/** The peers and cases of `--only`; all that can run without it. */
function choose() {
  const peers = Object.keys(PEERS);
  const cases = Object.keys(CASES);
  const picked = running.picked(options.only, [...peers, ...cases]);
  const or = (chosen, all) => (chosen.length ? chosen : all);
  const installed = peers.filter((peer) => PEERS[peer].version() !== undefined);
  const chosen = peers.filter((peer) => picked.includes(peer));
  const missing = chosen.filter((peer) => !installed.includes(peer));
  if (missing.length) running.fail(`${missing.join(", ")} not installed: --install does that`);
  const usual = installed.filter((peer) => !options.quick || QUICK.includes(peer));
  return {
    peers: or(chosen, usual),
    cases: or(
      cases.filter((name) => picked.includes(name)),
      cases.filter((name) => !options.quick || CASES[name].quick),
    ),
  };
}
