// `node benches/peers/scale/fleet.mjs`: what fleets of servers need of a bus, from the newest record of `npm run bench -- scale`,
// written into `docs/scaling.md`.
import path from "node:path";
import { pathToFileURL } from "node:url";

import { short } from "../figures.mjs";
import { fillPage, linkTo, newestRecord } from "../page.mjs";
import { root } from "../peers.mjs";
import { goalTable } from "../report.mjs";

const PAGE = path.join(root, "docs", "scaling.md");
const FLEETS = [10, 100, 1_000];
/** How many processes have members of one room, in what is computed. */
const READERS = 3;
/** Of one core, at most. Above it, what waits for the bus begins to grow. */
const LOAD = 0.7;
const BUSES = { "zocket-redis": "Redis", "zocket-nats": "NATS" };

/** Computes and writes; says which record it took. */
export async function fleet(folder = path.join(root, "benches", "record")) {
  const { newest, data } = newestRecord(folder, "scale");
  const costs = Object.entries(BUSES).flatMap(([peer, name]) => {
    const found = costsOf(data.cases, peer);
    return found ? [{ name, ...found }] : [];
  });
  const disturbed = data.disturbed ? ` ${data.disturbed} measurements were disturbed.` : "";
  const node = `Node.js ${data.node.slice(1)}`;
  await fillPage(PAGE, {
    run: `From the record ${linkTo(newest)}: commit ${data.commit}, ${data.machine}, ${node}.${disturbed}`,
    goals: goalTable(data.goals ?? []).replace(/^### Goals\n\n/, ""),
    costs: costTable(costs),
    fleets: costs.map((cost) => `**One ${cost.name}**\n\n${fleetTable(cost)}`).join("\n\n"),
  });
  console.log(`numbers of ${newest}: docs/scaling.md`);
}

/**
 * Microseconds and bytes of one publication: `once`, and for `each` process that reads the room. A line through the cases that
 * differ in nothing but the number of processes.
 */
function costsOf(cases, peer) {
  const rows = Object.entries(cases)
    .filter(([name, { peers }]) => name.startsWith("spread/") && peers[peer])
    .map(([name, { peers }]) => ({ count: Number(name.split("/")[1]), ...peers[peer] }));
  if (rows.length < 2) return undefined;
  const line = (of) => fit(rows.map((row) => [row.count, of(row)]));
  return {
    cpu: line((row) => row.bus * row.count),
    out: line((row) => row.busOut),
    server: line((row) => row.cpu * row.count),
  };
}

/** `once + each * x`, by least squares. What cannot be below 0 is not. */
function fit(points) {
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])];
  const each =
    mean((point) => (point[0] - x) * (point[1] - y)) / mean((point) => (point[0] - x) ** 2);
  const once = y - each * x;
  return once >= 0 ? { once, each } : { once: 0, each: mean((point) => point[1] / point[0]) };
}

const at = ({ once, each }, readers) => once + each * readers;

function costTable(costs) {
  const rows = costs.map(({ name, cpu, out, server }) => [
    name,
    ...[cpu.once, cpu.each, out.each, server.once, server.each].map(short),
  ]);
  const titles = [
    "bus",
    "its CPU µs for a publication",
    "and for each process that reads it",
    "bytes to each of them",
    "CPU µs of the process that publishes",
    "CPU µs of each that reads",
  ];
  return table([titles, ...rows]);
}

/** What fleets need of one server, and where it ends. A process announces itself every `max(1, N / 50)` seconds to all. */
function fleetTable({ cpu, out }) {
  const titles = [
    "processes",
    "share of a core for their announcements",
    `messages/s to rooms that ${READERS} processes read, in all`,
    "Mbit/s then",
    "broadcasts/s, in all",
  ];
  const rows = FLEETS.map((count) => {
    const announced = Math.min(count, 50) * at(cpu, count) * 1e-6;
    const left = Math.max(0, LOAD - announced) * 1e6;
    const toRooms = left / at(cpu, READERS);
    const traffic = (toRooms * at(out, READERS) * 8) / 1e6;
    return [String(count), announced.toFixed(3), toRooms, traffic, left / at(cpu, count)].map(
      (cell) => (typeof cell === "number" ? short(cell) : cell),
    );
  });
  return table([titles, ...rows]);
}

function table([titles, ...rows]) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await fleet();
