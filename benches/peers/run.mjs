// `npm run bench`: the same application on this package and on its peers, measured in turns.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { DISTURBED, figures, short } from "./figures.mjs";
import { judge } from "./goals.mjs";
import { load, memory, mostFiles, starts } from "./measure.mjs";
import { majorOf, nodeOf } from "./node.mjs";
import { CASES, PEERS, files, optional, root } from "./peers.mjs";
import { plot } from "./plot.mjs";
import { beforeTable, goalTable, record, tables } from "./report.mjs";

const HELP = `Compares this package with other WebSocket servers under load, and with its goals.

usage: npm run bench -- [options]

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
cases: ${Object.keys(CASES).join(", ")}
`;

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    before: { type: "string" },
    node: { type: "string", default: process.execPath },
    install: { type: "boolean", default: false },
    priority: { type: "boolean", default: false },
    record: { type: "string" },
    "no-record": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

/** The peers of `--quick`. */
const QUICK = ["zocket", "before", "ws"];
const canPin = os.platform() === "linux" && os.availableParallelism() > 1;

if (options.help) {
  process.stdout.write(HELP);
} else {
  await main();
}

async function main() {
  if (options.install)
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", optional]);
  if (options.before) process.env["ZOCKET_BEFORE"] = path.resolve(options.before);
  const rounds = positive("rounds", options.quick ? 2 : 5);
  const seconds = positive("seconds", options.quick ? 1.5 : 3);
  const warmUp = options.quick ? 0.7 : 1;
  const node = nodeOf(options.node);
  const { peers, cases } = choose();
  enoughFiles(cases);
  build(peers);
  if (!canPin) console.error("nothing is pinned: that needs Linux and two cores");
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
      for (const peer of rotate(parts, round)) {
        const { args: plain, memory: isMemory, pinned, tls } = CASES[name];
        const args = tls ? [...plain, "--tls", secure().TLS_CERT] : plain;
        const measure = isMemory ? memory : load;
        const dialect = PEERS[peer].dialect ?? "json";
        const how = { args, dialect, seconds, warmUp, placement: place(pinned) };
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
        progress(done, rounds);
      }
    }
  }
  const all = judge(runs, { node: majorOf(node), absent });
  const goals = options.quick ? all.filter(({ result }) => result !== undefined) : all;
  console.log(`\n${tables(runs)}\n${beforeTable(runs)}\n${goalTable(goals)}`);
  if (options.quick || options["no-record"]) return;
  const command = ["npm run bench --", ...shownArguments()].join(" ");
  const folder = path.resolve(options.record ?? path.join(root, "benches", "record"));
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
    if (!PEERS[peer].optional || (await starts(server(peer, node), place()))) {
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
      fail(`${name} needs ${needed} open files per process, and ${most} are allowed (ulimit -Hn)`);
    }
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
  const usual = installed.filter((peer) => !options.quick || QUICK.includes(peer));
  return {
    peers: or(chosen, usual),
    cases: or(
      cases.filter((name) => picked.includes(name)),
      cases.filter((name) => !options.quick || CASES[name].quick),
    ),
  };
}

/** The generator, the floor and the engine are built here; the addon is what `npm run build` left. */
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
function place(pinned = true) {
  const { priority } = options;
  const nice = priority ? ["nice", "-n", "-15"] : [];
  const on = (core) => (pinned && canPin ? ["taskset", "-c", core] : []);
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
  console.error(`bench: ${text}`);
  process.exit(2);
}
