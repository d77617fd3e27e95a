// `node benches/peers/plot.mjs`: draws the newest record that has data, and writes its numbers into
// `docs/performance.md`.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { short } from "./figures.mjs";
import { root } from "./peers.mjs";
import { fillPage, linkTo, newestRecord } from "./page.mjs";
import { goalTable } from "./report.mjs";
import { bars, lines, sheet } from "./svg.mjs";

const PAGE = path.join(root, "docs", "performance.md");
const IMAGES = path.join(root, "docs", "img");
/** Written by hand in the record's names; shown like this. */
const TITLES = {
  echo: "Echo",
  call: "Calls",
  "fan-out": "Fan-out",
  handshakes: "Handshakes",
  unpinned: "Not pinned",
};
const LABELS = {
  zocket: "zocket",
  "zocket-2": "zocket, 2",
  "zocket-send": "zocket, by send",
  uws: "uWS.js",
  bun: "Bun",
  socketio: "Socket.IO",
  trpc: "tRPC",
  orpc: "oRPC",
};

/** Draws and writes; says which record it took. */
export async function plot(folder = path.join(root, "benches", "record")) {
  const { newest, data } = newestRecord(folder, "peers");
  mkdirSync(IMAGES, { recursive: true });
  for (const [name, picture] of Object.entries({ throughput, latency, growth })) {
    writeFileSync(path.join(IMAGES, `${name}.svg`), picture(data));
  }
  await fill(data, newest);
  console.log(`plots of ${newest}: docs/img, docs/performance.md`);
}

const note = ({ date, machine, node }) =>
  `${date.slice(0, 10)}, Node.js ${node.slice(1)}, ${machine}`;

const sorted = (peers, key) =>
  Object.entries(peers)
    .filter(([, figures]) => figures[key] !== undefined)
    .toSorted(([, a], [, b]) => b[key] - a[key]);

function throughput(data) {
  const panels = Object.entries(data.cases)
    .filter(([name]) => /^(echo|call|fan-out|handshakes|unpinned)\//.test(name))
    .filter(([name]) => !name.includes("per-second"))
    .map(([name, { unit, peers }]) =>
      bars({
        title: title(name),
        axis: unit,
        format: short,
        rows: sorted(peers, "main").map(([peer, { main }]) => row(peer, main, short(main))),
      }),
    );
  return sheet("Throughput: more is better", note(data), panels);
}

function latency(data) {
  const panels = Object.entries(data.cases)
    .filter(([name]) => /^(echo|call|fan-out)\//.test(name))
    .map(([name, { peers }]) =>
      bars({
        title: title(name),
        axis: "median (bar) and 99th percentile (tail)",
        format: duration,
        rows: sorted(peers, "p50")
          .toReversed()
          .map(([peer, { p50, p99 }]) => ({
            ...row(peer, p50, `${duration(p50)}, ${duration(p99)}`),
            tail: p99,
          })),
      }),
    );
  return sheet("Latency: less is better", note(data), panels);
}

function growth(data) {
  const panels = [];
  const memory = Object.entries(data.cases).find(([name]) => name.startsWith("memory/"));
  if (memory) {
    const rows = sorted(memory[1].peers, "main").toReversed();
    panels.push(
      bars({
        title: "Memory of one idle connection",
        axis: "resident bytes",
        format: short,
        rows: rows.map(([peer, { main }]) => row(peer, main, short(main))),
      }),
    );
  }
  for (const [what, across, axis] of [
    ["connections", "open connections", "CPU µs per message"],
    ["rooms", "rooms", "CPU µs per delivery"],
  ]) {
    const series = seriesOf(data.cases, what);
    if (series.length === 0) continue;
    const caption = `More ${what}, the same load`;
    panels.push(lines({ title: caption, axis, across, series, format: short }));
  }
  return sheet("What a connection takes, and what many cost: less is better", note(data), panels);
}

function seriesOf(cases, what) {
  const found = Object.entries(cases).filter(([name]) => name.startsWith(`${what}/`));
  const peers = [...new Set(found.flatMap(([, { peers }]) => Object.keys(peers)))];
  return peers.map((peer) => {
    const points = found
      .filter(([, { peers }]) => peers[peer]?.cpu !== undefined)
      .map(([name, { peers }]) => [Number(name.slice(what.length + 1)), peers[peer].cpu]);
    return { label: LABELS[peer] ?? peer, own: peer.startsWith("zocket"), points };
  });
}

function row(peer, value, shown) {
  return { label: LABELS[peer] ?? peer, own: peer.startsWith("zocket"), value, shown };
}

/** `echo/64B/64x16` as people say it. */
function title(name) {
  const [first, ...rest] = name.split("/");
  if (first === "unpinned") return `${TITLES.unpinned}: ${title(rest.join("/"))}`;
  if (first === "handshakes") return `${TITLES[first]}, ${rest[0]} under way`;
  const [size, load] = rest;
  const bytes = size.replace(/(\d)([A-Z])/, "$1 $2");
  const [count, inFlight] = load.split("x");
  if (inFlight === undefined) return `${TITLES[first]}, ${bytes}, 20,000 messages/s`;
  const who = first === "fan-out" ? `to ${count}` : `${count} clients`;
  return `${TITLES[first]}, ${bytes}, ${who}, ${inFlight} in flight`;
}

function duration(microseconds) {
  if (microseconds === 0) return "0";
  if (microseconds < 1000) return `${Number(microseconds.toPrecision(3))} µs`;
  return `${Number((microseconds / 1000).toPrecision(3))} ms`;
}

/** Puts the record's own words and tables between the page's marks. */
async function fill(data, newest) {
  const versions = Object.entries(data.versions).map(([peer, version]) => {
    return `${LABELS[peer] ?? peer} ${version}`;
  });
  const parts = {
    run: [
      `From the record ${linkTo(newest)}: commit ${data.commit}, ${data.machine}, Node.js ${data.node.slice(1)}.`,
      `${[...new Set(versions)].join(", ")}.`,
      ...(data.disturbed ? [`${data.disturbed} measurements were disturbed.`] : []),
    ].join(" "),
    goals:
      goalTable(data.goals ?? []).replace(/^### Goals\n\n/, "") ||
      "That record was made without a look at the goals.",
  };
  await fillPage(PAGE, parts);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await plot();
