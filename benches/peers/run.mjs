// `npm run bench:peers`: the same application on this package and on its peers, measured in turns.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { load, memory } from "./measure.mjs";
import { CASES, PEERS, optional, root } from "./peers.mjs";
import { DISTURBED, figures, record, short, tables } from "./report.mjs";

const HELP = `Compares this package with other WebSocket servers under load.

usage: npm run bench:peers -- [options]

  --quick          three cases, two rounds, short windows, no optional peer: under two minutes
  --only LIST      peers, and cases by name or the start of it, separated by commas
  --rounds N       how often every case is measured for every peer               [5]
  --seconds N      the measured window                                           [3]
  --node PATH      the Node.js that runs the servers                             [this one]
  --install        install uws, bun and socketio (npm, into benches/peers/optional)
  --priority       above everything else on the machine (nice -15; needs root)
  --no-record      write no record to benches/record (--quick writes none either)
  --help

peers: ${Object.keys(PEERS).join(", ")} (of uws, bun and socketio those that are installed)
cases: ${Object.keys(CASES).join(", ")}
`;

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    node: { type: "string", default: process.execPath },
    install: { type: "boolean", default: false },
    priority: { type: "boolean", default: false },
    record: { type: "boolean" },
    help: { type: "boolean", default: false },
  },
});

if (options.help) {
  process.stdout.write(HELP);
} else {
  await main();
}

async function main() {
  if (options.install)
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", optional]);
  const rounds = positive("rounds", options.quick ? 2 : 5);
  const seconds = positive("seconds", options.quick ? 1.5 : 3);
  const warmUp = options.quick ? 0.7 : 1;
  const { peers, cases } = choose();
  build(peers);
  const placement = place();

  const runs = [];
  for (let round = 1; round <= rounds; round++) {
    for (const name of cases) {
      // A different peer begins in every round: none always follows the same one.
      for (const peer of rotate(peers, round)) {
        if (PEERS[peer].without?.some((part) => name.startsWith(part))) continue;
        const command = PEERS[peer].command(options.node);
        const dialect = PEERS[peer].dialect ?? "json";
        const { args, memory: isMemory } = CASES[name];
        const measure = isMemory ? memory : load;
        const result = await measure(command, { args, dialect, seconds, warmUp, placement });
        const unit = isMemory ? "bytes per connection" : `${result.unit}/s`;
        const one = { round, name, peer, unit, figures: figures(result) };
        runs.push(one);
        progress(one, rounds);
      }
    }
  }
  console.log(`\n${tables(runs)}`);
  if (options.record ?? !options.quick) {
    const command = ["npm run bench:peers --", ...shownArguments()].join(" ");
    console.log(`record: ${record(runs, { command, node: options.node })}`);
  }
}

/** The peers and cases of `--only`; all that can run without it. */
function choose() {
  const peers = Object.keys(PEERS);
  const cases = Object.keys(CASES);
  const wanted = options.only?.split(",").map((part) => part.trim()) ?? [];
  const picked = wanted.flatMap((part) => {
    const exact = [...peers, ...cases].filter((name) => name === part);
    const found = exact.length ? exact : cases.filter((name) => name.startsWith(part));
    if (found.length === 0) fail(`--only: no peer and no case named ${part}`);
    return found;
  });
  const or = (chosen, all) => (chosen.length ? chosen : all);
  const installed = peers.filter((peer) => PEERS[peer].version() !== undefined);
  const chosen = peers.filter((peer) => picked.includes(peer));
  const missing = chosen.filter((peer) => !installed.includes(peer));
  if (missing.length) fail(`${missing.join(", ")} not installed: --install does that`);
  const usual = installed.filter((peer) => !options.quick || !PEERS[peer].optional);
  return {
    peers: or(chosen, usual),
    cases: or(
      cases.filter((name) => picked.includes(name)),
      cases.filter((name) => !options.quick || CASES[name].quick),
    ),
  };
}

/** The generator and the floor are built here; the addon is what `npm run build` left. */
function build(peers) {
  const cargo = ["build", "--release", "--quiet"];
  run("cargo", [...cargo, "--package", "zocket-load"]);
  if (peers.includes("engine"))
    run("cargo", [...cargo, "--package", "zocket", "--example", "echo"]);
  if (peers.includes("zocket") && !existsSync(path.join(root, "dist"))) {
    fail("this package is not built: npm run build");
  }
}

/** The server gets the first core and the generator the second, where that can be had. */
function place() {
  const { priority } = options;
  const nice = priority ? ["nice", "-n", "-15"] : [];
  const pinned = os.platform() === "linux" && os.availableParallelism() > 1;
  if (!pinned) console.error("not pinned: that needs Linux and two cores");
  const on = (core) => (pinned ? ["taskset", "-c", core] : []);
  return {
    server: { pin: [...nice, ...on("0")], priority },
    generator: { pin: [...nice, ...on("1")], priority },
  };
}

function progress({ round, name, peer, unit, figures }, rounds) {
  const cost = figures.cpu === undefined ? "" : `, ${short(figures.cpu)} µs of CPU each`;
  const disturbed =
    figures.elsewhere > DISTURBED ? `, ${figures.elsewhere} cores busy elsewhere` : "";
  const head = `${round}/${rounds}  ${name.padEnd(24)} ${peer.padEnd(9)}`;
  console.error(`${head} ${short(figures.main).padStart(7)} ${unit}${cost}${disturbed}`);
}

function rotate(list, by) {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

function positive(name, otherwise) {
  const value = options[name] === undefined ? otherwise : Number(options[name]);
  if (!(value > 0)) fail(`--${name} takes a number above 0`);
  return value;
}

/** The command line without paths of this machine. */
function shownArguments() {
  return process.argv.slice(2).map((argument) => {
    return argument.includes(path.sep) && existsSync(argument) ? path.basename(argument) : argument;
  });
}

function run(file, args) {
  execFileSync(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}

function fail(text) {
  console.error(`bench:peers: ${text}`);
  process.exit(2);
}
