// The clients of the scenario "handlers", on `ws`, and some that come and go.
import { setTimeout as sleep } from "node:timers/promises";

import { WebSocket } from "ws";

import { Raw } from "./raw.mjs";
import { WS } from "./ws.mjs";

/** What one client says while the server is stopped. */
const MIX = ["throws", "rejects", "echo", "late", "shout", "even", "numbered"];
/** How many messages of one client there are without an answer, about: broadcasts count as answers, too. */
const AHEAD = 32;
/** How those who come and go may end while the server stops: in any way but a hang. */
const KINDS = ["", "?kind=late", "?kind=refused"];

const problems = [];
let clients = [];
let stopper;
let going = false;
let visits = 0;
let visiting = 0;

async function connect(port, kind) {
  const url = `ws://127.0.0.1:${port}/?kind=${kind}`;
  const client = { answers: { onEcho: 0, $error: 0 }, said: 0, heard: 0, numbered: 0 };
  client.socket = new WebSocket(url, WS);
  client.socket.on("message", (data) => {
    const { type, payload } = JSON.parse(String(data));
    client.heard++;
    if (type in client.answers) client.answers[type]++;
    if (type === "$error" && !["HANDLER_ERROR", "REJECTED"].includes(payload.code)) {
      problems.push(`$error ${payload.code}`);
    }
  });
  client.socket.on("error", () => {});
  client.closed = new Promise((resolve) => client.socket.once("close", resolve));
  await new Promise((resolve) => client.socket.once("open", resolve));
  return client;
}

function say(client, type) {
  const n = type === "numbered" ? client.numbered++ : client.said;
  const payload = type === "echo" || type === "numbered" ? { n, text: "h" } : { n };
  client.said++;
  client.socket.send(JSON.stringify({ type, payload }));
}

/** Opens so many, and one of which the server knows. */
export async function open(port, count) {
  clients = await Promise.all(Array.from({ length: count }, () => connect(port, "talker")));
  stopper = await connect(port, "stopper");
}

/** A quarter of them asks for what never ends, and more; the others for what fails, and for an answer. */
export async function misbehave(never, more) {
  const stuck = clients.filter((_, place) => place % 4 === 0);
  const others = clients.filter((_, place) => place % 4 !== 0);
  for (const client of stuck) {
    for (let n = 0; n < never + more; n++) say(client, "never");
    say(client, "echo");
  }
  for (const client of others) {
    for (let n = 0; n < 5; n++) say(client, "throws");
    for (let n = 0; n < 5; n++) say(client, "rejects");
    say(client, "echo");
  }
  while (others.some(({ answers }) => answers.onEcho + answers.$error < 11)) await sleep(10);
  const sum = (list, type) => list.reduce((total, { answers }) => total + answers[type], 0);
  return {
    stuck: stuck.length,
    stuckAnswers: sum(stuck, "onEcho") + sum(stuck, "$error"),
    others: others.length,
    echoes: sum(others, "onEcho"),
    errors: sum(others, "$error"),
  };
}

/** Lets everybody say everything, while others come and go; resolves when it is well under way. */
export async function go(port) {
  going = true;
  // Who waits for what never ends says no more.
  for (const client of clients.filter((_, place) => place % 4 !== 0)) {
    const next = () => {
      if (!going || client.socket.readyState !== WebSocket.OPEN) return;
      if (client.said - client.heard < AHEAD) say(client, MIX[client.said % MIX.length]);
      setTimeout(next, 1);
    };
    next();
  }
  const come = () => {
    if (!going) return;
    visit(port);
    setTimeout(come, 5);
  };
  const before = visits;
  come();
  while (visits < before + 10) await sleep(5);
}

function visit(port) {
  const number = visits++;
  visiting++;
  const raw = new Raw(port, KINDS[number % KINDS.length]);
  raw.onOpen = () => raw.say("echo", { n: number, text: "v" });
  raw.onMessage = () => (number % 2 === 0 ? raw.reset() : raw.close());
  raw.onEnd = () => visiting--;
}

/** Cuts off the client that the server knows. */
export function endStopper() {
  stopper.socket.terminate();
}

/** Waits until all are closed; the codes, and how many came and went meanwhile. */
export async function closed() {
  const codes = await Promise.all(clients.map((client) => client.closed));
  going = false;
  await stopper.closed;
  while (visiting > 0) await sleep(10);
  return { codes: [...new Set(codes)].toSorted(), visits };
}

/** What went wrong since this was asked last. */
export function found() {
  return problems.splice(0);
}
