// From measurements to tables and a dated record.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { DISTURBED, median, short } from "./figures.mjs";
import { PEERS, root } from "./peers.mjs";

/** Columns of a table behind the ratio: title and figure. */
const COSTS = [
  ["CPU µs each", "cpu"],
  ["on the main thread", "mainThread"],
  ["p50 µs", "p50"],
  ["p99 µs", "p99"],
  ["generator busy", "busy"],
  ["elsewhere", "elsewhere"],
  ["kept, bytes per connection", "kept"],
  ["grown by a third wave", "grown"],
  ["files kept", "files"],
];

/** One table per case. `runs` are `{ round, name, peer, unit, figures }`, and `yardstick` says by case whom the others are compared with. */
export function tables(runs, { columns = COSTS, yardstick = () => "ws" } = {}) {
  const names = [...new Set(runs.map((run) => run.name))];
  const of = (name) => runs.filter((run) => run.name === name);
  return names.map((name) => table(of(name), columns, yardstick(name))).join("\n");
}

/** A ratio is the median over the rounds of a peer's figure by that of the yardstick in the same round. */
function table(runs, columns, yardstick) {
  const [{ name, unit }] = runs;
  const costs = columns.filter(([, key]) => runs.some((run) => run.figures[key] !== undefined));
  const hasCpu = costs.some(([, key]) => key === "cpu");
  const times = `× ${yardstick}`;
  const titles = ["peer", unit, "spread", times, ...(hasCpu ? [`${times} by CPU`] : [])];
  titles.push(...costs.map(([title]) => title));
  const lines = [`### ${name}`, "", row(titles), row(titles.map(() => "---"))];
  for (const peer of new Set(runs.map((run) => run.peer))) {
    const rows = runs.filter((run) => run.peer === peer);
    const mains = rows.map((run) => run.figures.main);
    const ratio = (of) => {
      const ratios = rows.map((run) => {
        const base = runs.find((it) => it.peer === yardstick && it.round === run.round);
        return base && of(run.figures, base.figures);
      });
      return median(ratios)?.toFixed(2) ?? "–";
    };
    const ratioCells = [ratio((own, base) => own.main / base.main)];
    if (hasCpu) ratioCells.push(ratio((own, base) => base.cpu / own.cpu));
    const cells = costs.map(([, key]) => short(median(rows.map((run) => run.figures[key]))));
    const spread = `${short(Math.min(...mains))} – ${short(Math.max(...mains))}`;
    lines.push(row([peer, short(median(mains)), spread, ...ratioCells, ...cells]));
  }
  return [...lines, ""].join("\n");
}

/** This package by its earlier version, case by case; empty when that took no part. A ratio above 1 is better, also by CPU. */
export function beforeTable(runs) {
  if (!runs.some(({ peer }) => peer === "before")) return "";
  const titles = ["case", "× before", "spread", "× before by CPU"];
  const lines = ["### Against the version before", "", row(titles), row(titles.map(() => "---"))];
  for (const name of new Set(runs.map((run) => run.name))) {
    const of = (peer) => runs.filter((run) => run.name === name && run.peer === peer);
    const pairs = of("zocket").flatMap((own) => {
      const other = of("before").find(({ round }) => round === own.round);
      return other ? [[own.figures, other.figures]] : [];
    });
    if (pairs.length === 0) continue;
    // Of memory less is better, of all else more.
    const better = ([own, other]) =>
      name.startsWith("memory") ? other.main / own.main : own.main / other.main;
    const ratios = pairs.map(better);
    const byCpu = pairs.map(([own, other]) => own.cpu && other.cpu / own.cpu);
    const spread = `${Math.min(...ratios).toFixed(3)} – ${Math.max(...ratios).toFixed(3)}`;
    const middle = (values) => median(values)?.toFixed(3) ?? "–";
    lines.push(row([name, middle(ratios), spread, middle(byCpu)]));
  }
  return [...lines, ""].join("\n");
}

/** The table of the goals; empty when none could be judged. */
export function goalTable(rows) {
  if (rows.length === 0) return "";
  const titles = ["work", "goal", "result", "met or missed"];
  const lines = ["### Goals", "", row(titles), row(titles.map(() => "---"))];
  for (const { work, goal, result = "–", verdict } of rows) {
    lines.push(row([work, goal, result, verdict]));
  }
  return [...lines, ""].join("\n");
}

const row = (cells) => `| ${cells.join(" | ")} |`;

/** Writes `<time>-<kind>.md` and the same for programs, `.json`, to `folder`; returns the path. */
export function record(runs, goals, how) {
  const { command, node, folder, kind = "peers", peers = PEERS, options } = how;
  const now = new Date().toISOString();
  const commit = output("git", ["describe", "--always", "--dirty", "--abbrev=12"]);
  const took = Object.keys(peers).filter((peer) => runs.some((run) => run.peer === peer));
  const versions = Object.fromEntries(took.map((peer) => [peer, peers[peer].version()]));
  const cpu = os.cpus()[0]?.model ?? "unknown";
  const memory = Math.round(os.totalmem() / 2 ** 30);
  const machine = `${cpu}, ${os.cpus().length} cores, ${memory} GiB, ${os.type()} ${os.release()}`;
  const nodeVersion = output(node, ["--version"]);
  const disturbed = runs.filter((run) => run.figures.elsewhere > DISTURBED).length;
  const shown = took.map((peer) => `${peer} ${versions[peer]} (${peers[peer].what})`);
  const text = [
    `# ${kind[0].toUpperCase()}${kind.slice(1)}, ${now.slice(0, 10)}`,
    "",
    `- commit: ${commit}`,
    `- command: \`${command}\``,
    `- machine: ${machine}`,
    `- compilers: ${output("rustc", ["--version"])}; Node ${nodeVersion}`,
    `- peers: ${shown.join(", ")}`,
    `- measurements: ${runs.length}, of which ${disturbed} while more than ${DISTURBED} cores were busy elsewhere`,
    "",
    "Method and meaning of the columns: `benches/README.md`.",
    "",
    goalTable(goals),
    beforeTable(runs),
    tables(runs, options),
  ].join("\n");
  mkdirSync(folder, { recursive: true });
  const name = `${now.slice(0, 16).replace("T", "-").replace(":", "")}-${kind}`;
  const file = path.join(folder, `${name}.md`);
  writeFileSync(file, `${text.trimEnd()}\n`);
  const data = { date: now, commit, command, machine, node: nodeVersion, versions, disturbed };
  const json = JSON.stringify({ ...data, goals, cases: medians(runs) }, undefined, 1);
  writeFileSync(path.join(folder, `${name}.json`), `${json}\n`);
  return path.relative(root, file);
}

/** Each case's unit and, for each peer, the medians of its figures. */
function medians(runs) {
  const cases = {};
  for (const { name, unit } of runs) cases[name] ??= { unit, peers: {} };
  for (const [name, { peers }] of Object.entries(cases)) {
    const ofCase = runs.filter((run) => run.name === name);
    for (const peer of new Set(ofCase.map((run) => run.peer))) {
      const all = ofCase.filter((run) => run.peer === peer).map((run) => run.figures);
      const keys = Object.keys(all[0]).filter((key) => all[0][key] !== undefined);
      const middle = (key) => Number(median(all.map((figures) => figures[key])).toPrecision(4));
      peers[peer] = Object.fromEntries(keys.map((key) => [key, middle(key)]));
    }
  }
  return cases;
}

function output(file, args) {
  try {
    return execFileSync(file, args, { cwd: root, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}
