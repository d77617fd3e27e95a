// The clients of the scenario "blocked", on `ws`: some send without a pause, some only ping.
import { setTimeout as sleep } from "node:timers/promises";

import { WebSocket } from "ws";

import { WS } from "./ws.mjs";

/** Messages of one client without an answer: more than the server takes from one while its application is busy. */
const AHEAD = 400;
/** Messages of one client in one go: few, so that pings are answered between. */
const IN_ONE_GO = 4;

const problems = [];
let talkers = [];
let pingers = [];
let talking = false;

function connect(port) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, WS);
  socket.on("error", (error) => problems.push(error.message));
  socket.on("close", (code) => code !== 1001 && problems.push(`closed with ${code}`));
  return new Promise((resolve) => socket.once("open", () => resolve(socket)));
}

/** Opens so many of each kind. */
export async function open(port, talking, pinging) {
  const all = (count) => Promise.all(Array.from({ length: count }, () => connect(port)));
  talkers = (await all(talking)).map((socket) => {
    const talker = { socket, said: 0, heard: 0 };
    socket.on("message", (data) => {
      const { n } = JSON.parse(String(data)).payload;
      if (n !== talker.heard) problems.push(`${n} instead of ${talker.heard}`);
      talker.heard++;
    });
    return talker;
  });
  pingers = (await all(pinging)).map((socket) => {
    const pinger = { socket, pings: 0, pongs: 0 };
    socket.on("pong", () => pinger.pongs++);
    return pinger;
  });
}

const total = () => talkers.reduce((sum, { said }) => sum + said, 0);

/** Lets the talkers send messages of so many bytes, as many as they may. */
export function talk(bytes) {
  const text = "x".repeat(bytes);
  talking = true;
  for (const talker of talkers) {
    const next = () => {
      for (let n = 0; n < IN_ONE_GO && talker.said - talker.heard < AHEAD; n++) {
        const payload = { n: talker.said++, text };
        talker.socket.send(JSON.stringify({ type: "numbered", payload }));
      }
      if (talking) setTimeout(next, 2);
    };
    next();
  }
}

/** Lets them stop, and waits for all answers; how many messages there were. */
export async function quiet() {
  talking = false;
  const waits = ({ socket, said, heard }) => heard < said && socket.readyState === WebSocket.OPEN;
  while (talkers.some(waits)) await sleep(20);
  return total();
}

/** How many were sent until now. */
export function said() {
  return total();
}

/** Each of the pingers sends so many pings and waits for their pongs; how many pongs came. */
export async function ping(count) {
  for (let n = 0; n < count; n++) {
    for (const pinger of pingers) pinger.socket.ping(String(pinger.pings++));
    const waits = ({ socket, pings, pongs }) =>
      pongs < pings && socket.readyState === WebSocket.OPEN;
    while (pingers.some(waits)) await sleep(5);
  }
  return pingers.reduce((sum, { pongs }) => sum + pongs, 0);
}

/** What went wrong since this was asked last. */
export function found() {
  return problems.splice(0);
}
