// What the attackers of the scenario "hostile" share: sockets that come again when they end, until all of them leave.
import { connect } from "node:net";

import { endpoint, request } from "./raw.mjs";

/** How many addresses attacks come from, where there is a choice. */
const ADDRESSES = 16;
/** In ms: until an attacker whose connection has ended comes again. */
const PAUSE = 100;
/** In ms: how long an attacker keeps a socket whose other side the server has ended. */
const STAYS = 5_000;

/** How often each attack began. */
const counts = {};
const problems = [];
const sockets = new Set();
const timers = new Set();
let port = 0;
let leaving = false;

let turn = 0;

/** Where an attack comes from. */
export const address = () => `127.0.0.${3 + (turn++ % ADDRESSES)}`;

/** Something a server must not do. */
export const problem = (text) => void problems.push(text);

/** Does something in so many ms, unless all leave before. */
export function later(ms, work) {
  const timer = setTimeout(() => {
    timers.delete(timer);
    if (!leaving) work();
  }, ms);
  timers.add(timer);
}

/** Does something every so many ms while the socket is there. */
export function every(ms, socket, work) {
  if (socket.destroyed) return;
  work();
  later(ms, () => every(ms, socket, work));
}

/** A socket that sends this, and discards what comes. It stays for a while when the server ends its side. */
export function bare(text, from = address()) {
  const socket = connect({ ...endpoint(port, from), allowHalfOpen: true });
  socket.on("error", () => {});
  socket.on("end", () => later(STAYS, () => socket.resetAndDestroy()));
  socket.resume();
  if (text !== "") socket.write(text);
  return socket;
}

/** The same, upgraded: `onOpen` is told of the socket once it is. Ends with the server's side. */
export function upgraded(onOpen, query) {
  const socket = bare(request(query));
  socket.once("data", (bytes) => {
    if (bytes.toString("latin1", 0, 12) === "HTTP/1.1 101") onOpen(socket);
  });
  socket.on("end", () => socket.destroy());
  return socket;
}

/** An upgraded socket that sends this without a pause. */
export const flood = (chunk, prepare = () => {}) =>
  upgraded((socket) => {
    prepare(socket);
    const go = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", go);
    go();
  });

/** Resets it in so many ms. */
export function resetLater(ms, socket) {
  later(ms, () => socket.resetAndDestroy());
  return socket;
}

/** Lets attacks begin: each name with how many attack at once, and what begins one. */
export function begin(to, attacks) {
  port = to;
  for (const [name, { count, attack, pause = PAUSE }] of Object.entries(attacks)) {
    counts[name] = 0;
    const come = () => {
      if (leaving) return;
      counts[name]++;
      const socket = attack();
      sockets.add(socket);
      socket.on("close", () => {
        sockets.delete(socket);
        later(pause, come);
      });
    };
    for (let n = 0; n < count; n++) come();
  }
}

/** Ends all of it; how often each attack began. */
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
