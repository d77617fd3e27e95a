// What this package is to reach, as data, and what a run says about it. The table of `npm run bench` and
// of the records is made from this.
import { median } from "./figures.mjs";

/**
 * `work` says what is done; `case` where it is measured, and `figure` what is compared: `main` (what
 * the case counts per second), `cpu`, `mainThread`, `p50`, `p99`, `bytes`, `grown`, `files`.
 * Compared is `peer` (this package unless it says otherwise) with every one of `to` on its own, with
 * the better of them (`best`), or with nothing: then the figure itself counts. `called` is another name for a single `to`. The bound is `atLeast`,
 * `atMost` or `below`. `node` is a major version of Node.js without which a row cannot be measured.
 * `from` is the case whose figure is the yardstick, `least` what people call it: the worst of `cases`
 * against it counts.
 */
export const GOALS = [
  ...each("echo 64 B, 64 connections, 1 in flight: messages/s", "echo/64B/64x1", {
    ws: 3.5,
    uws: 1.8,
    bun: 0.9,
  }),
  ...each("echo 64 B, 16 in flight: messages/s", "echo/64B/64x16", { ws: 8, uws: 2.2, bun: 0.7 }),
  ...each("echo 1 KiB, 1 in flight: messages/s", "echo/1KiB/64x1", { ws: 3, uws: 1.6 }),
  ...each("echo 16 KiB, 1 in flight: messages/s", "echo/16KiB/64x1", { ws: 2, uws: 1.3 }),
  ...each("echo 1 KiB, compressed both ways: messages/s", "echo/deflate/1KiB/64x1", { ws: 3 }),
  ...each(
    "fan-out 1 KiB to 1000, 8 in flight, compressed: deliveries/s",
    "fan-out/deflate/1KiB/1000x8",
    {
      ws: 20,
    },
  ),
  {
    work: "echo 16 KiB, 1 in flight, on Node.js 26: messages/s",
    case: "echo/16KiB/64x1",
    figure: "main",
    to: ["bun"],
    atLeast: 0.7,
    node: 26,
  },
  ...each("bytes 1 MiB, 8 connections, 1 in flight: messages/s", "bytes/1MiB/8x1", { ws: 0.9 }),
  ...each("calls 64 B, 64 connections, 1 in flight: replies/s", "call/64B/64x1", {
    socketio: 3,
    trpc: 3,
    orpc: 3,
    ws: 1.6,
    "zocket-send": 0.9,
  }),
  ...each("calls 64 B, 16 in flight: replies/s", "call/64B/64x16", {
    socketio: 3,
    trpc: 3,
    orpc: 3,
    ws: 4,
    "zocket-send": 0.9,
  }),
  ...each("streams of items of 64 B, 64 at once: items/s", "stream/64B/64", { trpc: 2 }),
  ...each("TLS, echo 64 B, 1 in flight: messages/s", "tls/echo/64B/64x1", { ws: 2 }),
  ...each("TLS, echo 64 B, 16 in flight: messages/s", "tls/echo/64B/64x16", { ws: 2 }),
  ...each("TLS, echo 16 KiB, 1 in flight: messages/s", "tls/echo/16KiB/64x1", { ws: 1.5 }),
  openLoop("CPU per message", "cpu", "ws", { atMost: 0.8 }),
  openLoop("p50", "p50", "uws", { atMost: 2 }),
  openLoop("p99", "p99", "ws", { below: 1 }),
  ...["100x1", "1000x1"].map((size) => deliveries(size, 1.0)),
  ...["100x8", "1000x8"].flatMap((size) => [
    deliveries(size, 1.15),
    {
      work: `fan-out ${shown(size)}: CPU of the JavaScript thread per delivery`,
      case: `fan-out/64B/${size}`,
      figure: "mainThread",
      to: ["ws", "uws", "socketio"],
      best: "smallest",
      atMost: 1 / 20,
    },
  ]),
  {
    work: "handshakes with onConnect and a schema for headers (ws has neither): per s",
    case: "handshakes/64",
    figure: "main",
    to: ["ws"],
    atLeast: 5,
  },
  {
    work: "memory: resident bytes per idle connection of 10,000",
    case: "memory/10000",
    figure: "bytes",
    atMost: 4096,
  },
  {
    work: "memory kept: what 10,000 more take than the 10,000 before them who left, as a share",
    case: "memory/10000",
    figure: "grown",
    atMost: 0.05,
  },
  {
    work: "memory kept: files still open after all left",
    case: "memory/10000",
    figure: "files",
    atMost: 0,
  },
  {
    work: "2 I/O threads, not pinned, echo 64 B, 16 in flight: messages/s",
    case: "unpinned/echo/64B/64x16",
    figure: "main",
    peer: "zocket-2",
    to: ["ws"],
    atLeast: 9,
  },
  {
    work: "2 I/O threads, not pinned, fan-out to 1000, 8 in flight: deliveries/s",
    case: "unpinned/fan-out/64B/1000x8",
    figure: "main",
    peer: "zocket-2",
    to: ["zocket"],
    called: "one thread",
    atLeast: 1,
  },
  attached("echo 64 B, 1 in flight: messages/s", "echo/64B/64x1", "zocket", 0.98),
  attached("echo 64 B, 16 in flight: messages/s", "echo/64B/64x16", "zocket", 0.98),
  attached("upgrades per s", "handshakes/64", "zocket", 0.25),
  attached("upgrades per s (ws has neither onConnect nor a schema)", "handshakes/64", "ws", 1.3),
  {
    work: "growth: CPU per message from 10 to 10,000 connections",
    from: "connections/10",
    least: "10 connections",
    cases: ["connections/100", "connections/1000", "connections/10000"],
    figure: "cpu",
    atMost: 1.25,
  },
  {
    work: "growth: CPU per delivery from 1 to 10,000 rooms",
    from: "rooms/1",
    least: "one room",
    cases: ["rooms/100", "rooms/10000"],
    figure: "cpu",
    atMost: 1.25,
  },
];

/** A row for each peer: how many times its figure. */
function each(work, name, peers) {
  return Object.entries(peers).map(([peer, atLeast]) => {
    return { work, case: name, figure: "main", to: [peer], atLeast };
  });
}

/** This package on a server of Node. */
function attached(what, size, to, atLeast) {
  return {
    work: `attached to an http.Server, ${what}`,
    case: `attached/${size}`,
    figure: "main",
    peer: "zocket-attached",
    to: [to],
    called: to === "zocket" ? "its own port" : undefined,
    atLeast,
  };
}

function openLoop(what, figure, peer, bound) {
  const work = `echo 64 B, 20,000 messages/s: ${what}`;
  return { work, case: "echo/64B/20k-per-second", figure, to: [peer], ...bound };
}

function deliveries(size, atLeast) {
  const work = `fan-out ${shown(size)}: deliveries/s`;
  return {
    work,
    case: `fan-out/64B/${size}`,
    figure: "main",
    to: ["uws", "bun"],
    best: "largest",
    atLeast,
  };
}

function shown(size) {
  const [members, inFlight] = size.split("x");
  return `to ${members}, ${inFlight} in flight`;
}

const NAMES = {
  ws: "ws",
  uws: "uWS.js",
  bun: "Bun",
  socketio: "Socket.IO",
  trpc: "tRPC",
  orpc: "oRPC",
  "zocket-send": "its own echo by send",
};

/**
 * Rows `{ work, goal, result, verdict, met }` for the goals whose case was measured; `result` and `met`
 * are `undefined` where they cannot be said. `runs` are `{ round, name, peer, figures }`; `node` is the
 * major version that ran the servers; `absent` says why a peer did not take part.
 */
export function judge(runs, { node, absent = {}, goals = GOALS }) {
  const measured = new Set(runs.map((run) => run.name));
  return goals
    .filter((goal) => [goal.case ?? goal.from].every((name) => measured.has(name)))
    .filter(({ peer = "zocket" }) => runs.some((run) => run.peer === peer))
    .map((goal) => row(goal, runs, node, absent));
}

function row(goal, runs, node, absent) {
  const { work } = goal;
  const head = { work, goal: bound(goal) };
  const open = (verdict) => ({ ...head, verdict });
  if (goal.node && goal.node !== node) {
    return open(`not measured: needs Node.js ${goal.node} (\`--node ${goal.node}\`)`);
  }
  const missing = (goal.to ?? []).filter((peer) => !runs.some((run) => run.peer === peer));
  const why = missing.map((peer) => `${peer} ${absent[peer] ?? "did not take part"}`).join(", ");
  if (missing.length === (goal.to?.length ?? -1)) return open(`not measured: ${why}`);
  const value = goal.cases ? growth(goal, runs) : compare(goal, runs);
  if (value === undefined) return open("not measured");
  const result = written(goal, value);
  if (!holds(goal, value))
    return { ...head, result, verdict: `missed by ${gap(goal, value)}`, met: false };
  // The better of several cannot be named while one of them is absent.
  if (why) return { ...head, result, verdict: `not decided: ${why}` };
  return { ...head, result, verdict: "met", met: true };
}

/** Median over the rounds of the figure, or of its ratio to the peers' in the same round. */
function compare({ case: name, figure, peer = "zocket", to, best }, runs) {
  const rows = runs.filter((run) => run.name === name);
  const values = rows
    .filter((run) => run.peer === peer)
    .map((own) => {
      const value = own.figures[figure];
      if (!to || value === undefined) return value;
      const others = rows
        .filter((run) => run.round === own.round && to.includes(run.peer))
        .map((run) => run.figures[figure])
        .filter((other) => other !== undefined);
      if (others.length === 0) return undefined;
      return value / (best === "smallest" ? Math.min(...others) : Math.max(...others));
    });
  return median(values);
}

/** The largest of the cases' median ratios to `from`. */
function growth({ from, cases, figure, peer = "zocket" }, runs) {
  const own = runs.filter((run) => run.peer === peer);
  const ratios = cases.map((name) => {
    return median(
      own
        .filter((run) => run.name === name)
        .map((run) => {
          const first = own.find((it) => it.name === from && it.round === run.round);
          return first && run.figures[figure] / first.figures[figure];
        }),
    );
  });
  // All of them, or the growth is not known.
  return ratios.includes(undefined) ? undefined : Math.max(...ratios);
}

function holds({ atLeast, atMost, below }, value) {
  if (atLeast !== undefined) return value >= atLeast;
  return below === undefined ? value <= atMost : value < below;
}

/** How far a value is from its bound: a share of it, or the difference where the bound is 0. */
function gap({ atLeast, atMost, below }, value) {
  const limit = atLeast ?? atMost ?? below;
  if (limit === 0) return number(value);
  const share = Math.abs(value - limit) / limit;
  return share < 0.01 ? "under 1 %" : `${Math.round(share * 100)} %`;
}

function bound({ to, called, best, figure, from, least, atLeast, atMost, below }) {
  const sign = atLeast === undefined ? (below === undefined ? "≤" : "<") : "≥";
  const limit = number(atLeast ?? atMost ?? below);
  if (from) return `${sign} ${limit} × that with ${least}`;
  if (!to) return `${sign} ${limit}${figure === "bytes" ? " bytes" : ""}`;
  const others = to.map((peer) => NAMES[peer] ?? peer);
  if (others.length === 1) return `${sign} ${limit} × ${called ?? others[0]}`;
  return `${sign} ${limit} × the ${best} of ${others.join(", ")}`;
}

function written({ to, cases, figure }, value) {
  if (to || cases) return `${value < 0.1 ? value.toFixed(3) : value.toFixed(2)} ×`;
  return figure === "bytes" ? `${Math.round(value)} bytes` : number(value);
}

const number = (value) => String(Math.round(value * 1000) / 1000);
