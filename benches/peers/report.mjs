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
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2);
}

/**
 * One table per case. `runs` are `{ round, name, peer, figures }`. A ratio is the median over the
 * rounds of a peer's figure by that of `ws` in the same round.
 */
export function tables(runs) {
  const lines = [];
  for (const name of new Set(runs.map((run) => run.name))) {
    const ofCase = runs.filter((run) => run.name === name);
    const unit = ofCase[0].unit;
    lines.push(`### ${name}`, "");
    lines.push(
      `| peer | ${unit} | spread | × ws | CPU µs each | on the main thread | p50 µs | p99 µs | generator busy | elsewhere |`,
      "|---|---|---|---|---|---|---|---|---|---|",
    );
    for (const peer of new Set(ofCase.map((run) => run.peer))) {
      const rows = ofCase.filter((run) => run.peer === peer);
      const of = (key) => rows.map((run) => run.figures[key]);
      const ratios = rows.map((run) => {
        const ws = ofCase.find((other) => other.peer === "ws" && other.round === run.round);
        return ws && run.figures.main / ws.figures.main;
      });
      const mains = of("main");
      const cells = [
        peer,
        short(median(mains)),
        `${short(Math.min(...mains))} – ${short(Math.max(...mains))}`,
        median(ratios)?.toFixed(2) ?? "–",
        ...["cpu", "mainThread", "p50", "p99", "busy", "elsewhere"].map((key) =>
          short(median(of(key))),
        ),
      ];
      lines.push(`| ${cells.join(" | ")} |`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

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
