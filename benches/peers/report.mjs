// From measurements to a table and a dated record.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { PEERS, root } from "./peers.mjs";

/** Above this many cores busy with something else, a measurement is marked as disturbed. */
export const DISTURBED = 0.25;

export function median(values) {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What one measurement says, with costs per message. */
export function figures(result) {
  if (result.bytes !== undefined) return { main: result.bytes };
  const each = (seconds) => (seconds === undefined ? undefined : (seconds * 1e6) / result.count);
  return {
    main: result.per_second,
    cpu: each(result.server_cpu?.all),
    mainThread: each(result.server_cpu?.main),
    p50: result.p50_us,
    p99: result.p99_us,
    busy: result.generator_busy,
    elsewhere: result.elsewhere,
  };
}

export function short(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e5) return `${(value / 1e3).toFixed(0)} k`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 1000) return `${(value / 1e3).toFixed(2)} k`;
  if (value >= 100) return value.toFixed(0);
  return value < 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

/** Columns of a table behind the ratio: title and figure. */
const COSTS = [
  ["CPU µs each", "cpu"],
  ["on the main thread", "mainThread"],
  ["p50 µs", "p50"],
  ["p99 µs", "p99"],
  ["generator busy", "busy"],
  ["elsewhere", "elsewhere"],
];

/** One table per case. `runs` are `{ round, name, peer, unit, figures }`. */
export function tables(runs) {
  const names = [...new Set(runs.map((run) => run.name))];
  return names.map((name) => table(runs.filter((run) => run.name === name))).join("\n");
}

/** A ratio is the median over the rounds of a peer's figure by that of `ws` in the same round. */
function table(runs) {
  const [{ name, unit }] = runs;
  const costs = COSTS.filter(([, key]) => runs.some((run) => run.figures[key] !== undefined));
  const hasCpu = costs.some(([, key]) => key === "cpu");
  const titles = ["peer", unit, "spread", "× ws", ...(hasCpu ? ["× ws by CPU"] : [])];
  titles.push(...costs.map(([title]) => title));
  const lines = [`### ${name}`, "", row(titles), row(titles.map(() => "---"))];
  for (const peer of new Set(runs.map((run) => run.peer))) {
    const rows = runs.filter((run) => run.peer === peer);
    const mains = rows.map((run) => run.figures.main);
    const ratio = (of) => {
      const ratios = rows.map((run) => {
        const ws = runs.find((other) => other.peer === "ws" && other.round === run.round);
        return ws && of(run.figures, ws.figures);
      });
      return median(ratios)?.toFixed(2) ?? "–";
    };
    const ratioCells = [ratio((own, ws) => own.main / ws.main)];
    if (hasCpu) ratioCells.push(ratio((own, ws) => ws.cpu / own.cpu));
    const cells = costs.map(([, key]) => short(median(rows.map((run) => run.figures[key]))));
    const spread = `${short(Math.min(...mains))} – ${short(Math.max(...mains))}`;
    lines.push(row([peer, short(median(mains)), spread, ...ratioCells, ...cells]));
  }
  return [...lines, ""].join("\n");
}

const row = (cells) => `| ${cells.join(" | ")} |`;

/** Writes `benches/record/<date>-peers.md` and returns its path. */
export function record(runs, { command, node }) {
  const now = new Date().toISOString();
  const commit = output("git", ["describe", "--always", "--dirty", "--abbrev=12"]);
  const versions = Object.entries(PEERS)
    .filter(([peer]) => runs.some((run) => run.peer === peer))
    .map(([peer, { what, version }]) => `${peer} ${version()} (${what})`);
  const cpu = os.cpus()[0]?.model ?? "unknown";
  const memory = Math.round(os.totalmem() / 2 ** 30);
  const disturbed = runs.filter((run) => run.figures.elsewhere > DISTURBED).length;
  const text = [
    `# Peers, ${now.slice(0, 10)}`,
    "",
    `- commit: ${commit}`,
    `- command: \`${command}\``,
    `- machine: ${cpu}, ${os.cpus().length} cores, ${memory} GiB, ${os.type()} ${os.release()}`,
    `- compilers: ${output("rustc", ["--version"])}; Node ${output(node, ["--version"])}`,
    `- peers: ${versions.join(", ")}`,
    `- measurements: ${runs.length}, of which ${disturbed} while more than ${DISTURBED} cores were busy elsewhere`,
    "",
    "Method and meaning of the columns: `benches/README.md`.",
    "",
    tables(runs),
  ].join("\n");
  const folder = path.join(root, "benches", "record");
  mkdirSync(folder, { recursive: true });
  const stamp = now.slice(0, 16).replace("T", "-").replace(":", "");
  const file = path.join(folder, `${stamp}-peers.md`);
  writeFileSync(file, `${text.trimEnd()}\n`);
  return path.relative(root, file);
}

function output(file, args) {
  try {
    return execFileSync(file, args, { cwd: root, encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}
