// The clients of the scenario "mixed" that do not keep to the rules: they come and go, break off, and do not read.
import { connect } from "node:net";

import { Raw, frame, request } from "./raw.mjs";

/** How long a client that does not read is left alone. */
const PATIENCE = 8_000;

const counts = { visits: 0, gone: 0, silent: 0 };
const problems = [];
const sockets = new Set();
const timers = new Set();
let port = 0;
let leaving = false;

function later(ms, work) {
  const timer = setTimeout(() => {
    timers.delete(timer);
    work();
  }, ms);
  timers.add(timer);
}

/** A client, and what has to be the end of it; `undefined` where anything may. */
function raw(query, ending) {
  const client = new Raw(port, query);
  sockets.add(client.socket);
  client.onEnd = (why) => {
    sockets.delete(client.socket);
    if (ending !== undefined && why !== ending && !leaving) {
      problems.push(`${why} instead of ${ending}`);
    }
  };
  return client;
}

/** A socket that sends this and is reset later. */
function bare(text, ms) {
  const socket = connect({ host: "127.0.0.1", port });
  sockets.add(socket);
  socket.on("error", () => {});
  socket.on("close", () => sockets.delete(socket));
  socket.resume().write(text);
  later(ms, () => socket.resetAndDestroy());
}

const VISITS = [
  function polite() {
    const client = raw("", 1000);
    client.onOpen = () => client.say("echo", { n: 1, text: "stranger" });
    client.onMessage = () => client.close();
  },
  function cutsOff() {
    const client = raw("", "reset by us");
    client.onOpen = () => client.say("echo", { n: 1, text: "stranger" });
    client.onMessage = () => client.reset();
  },
  function halfARequest() {
    bare(request().slice(0, 60), 1_000);
  },
  function isRefused() {
    raw("?kind=refused", "HTTP/1.1 403 Forbidden");
  },
  function goneBeforeTheAdmission() {
    counts.gone++;
    bare(request("?kind=late"), 3);
  },
  function brokenFrame() {
    const client = raw("", 1002);
    client.onOpen = () => client.socket.write(frame(3, Buffer.from("x")));
  },
  function notMasked() {
    const client = raw("", 1002);
    client.onOpen = () => client.socket.write("\x81\x01x");
  },
  function leavesARoom() {
    const client = raw("", undefined);
    client.onOpen = () => {
      for (let room = 0; room < 20; room++) client.say("join", { room: `room ${room}` });
    };
    later(200, () => client.reset());
  },
  function tooLarge() {
    const client = raw("", 1009);
    const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4]);
    client.onOpen = () => client.socket.write(head);
  },
];
function doesNotRead() {
  if (leaving) return;
  const client = raw("", undefined);
  client.onOpen = () => {
    client.say("join", { room: "firehose" });
    client.onMessage = () => client.socket.pause();
  };
  later(PATIENCE, () => {
    client.reset();
    doesNotRead();
  });
}

/** Answers no ping: as good as a client whose network is gone. */
function isSilent() {
  if (leaving) return;
  const client = raw("", undefined);
  client.mute = true;
  client.socket.once("close", () => {
    if (!leaving) counts.silent++;
    isSilent();
  });
}

/** Lets strangers come every so many ms, so many of them not reading, and as many silent. */
export function come(to, every, few) {
  port = to;
  for (let n = 0; n < few; n++) {
    doesNotRead();
    isSilent();
  }
  const next = () => {
    if (leaving) return;
    VISITS[counts.visits++ % VISITS.length]();
    later(every, next);
  };
  next();
}

/** Ends all of it. */
export async function leave() {
  leaving = true;
  for (const timer of timers) clearTimeout(timer);
  for (const socket of sockets) socket.resetAndDestroy();
  while (sockets.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  return counts;
}

/** What went wrong since this was asked last. */
export function found() {
  return problems.splice(0);
}
