// The clients of the scenario "churn": each comes, says one thing, and goes.
import { WebSocket } from "ws";

import { Raw } from "./raw.mjs";
import { WS } from "./ws.mjs";

const counts = { seconds: 0, started: 0, answered: 0, closed: 0, reset: 0 };
const problems = [];
let underWay = 0;

/** A visit of our own client, ended by a close frame or a reset; resolves when it is over. */
function visit(port, number, ending) {
  return new Promise((resolve) => {
    const raw = new Raw(port);
    raw.onOpen = () => raw.say("echo", { n: number, text: "churn" });
    raw.onMessage = (text) => {
      if (JSON.parse(text).payload.n !== number) problems.push(`${text} for ${number}`);
      counts.answered++;
      if (ending === "reset") raw.reset();
      else raw.close();
    };
    raw.onEnd = (why) => {
      if (why === 1000) counts.closed++;
      else if (ending === "reset" && why === "reset by us") counts.reset++;
      else problems.push(`ended by ${why}`);
      resolve();
    };
  });
}

/** The same with the client of `ws`. */
function visitOfWs(port, number) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, WS);
    socket.on("open", () =>
      socket.send(JSON.stringify({ type: "echo", payload: { n: number, text: "churn" } })),
    );
    socket.on("message", (data) => {
      if (JSON.parse(String(data)).payload.n !== number) problems.push(`${data} for ${number}`);
      counts.answered++;
      socket.close(1000);
    });
    socket.on("error", (error) => problems.push(error.message));
    socket.on("close", (code) => {
      if (code === 1000) counts.closed++;
      else problems.push(`ws closed with ${code}`);
      resolve();
    });
  });
}

/** Visits of all kinds at this rate for so many seconds, at most so many at once; the counts, when the last is over. */
export async function churn(port, perSecond, seconds, most) {
  let last = performance.now();
  let ran = 0;
  let due = 0;
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      // Time in which the process was kept from running does not count: neither is it over, nor is it made up for.
      const passed = Math.min(now - last, 250);
      last = now;
      ran += passed;
      counts.seconds += passed / 1000;
      due += (passed / 1000) * perSecond;
      for (; due >= 1 && underWay < most; due--) begin(port);
      due = Math.min(due, 1);
      if (ran >= seconds * 1000) {
        clearInterval(timer);
        resolve();
      }
    }, 10);
  });
  while (underWay > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  return counts;
}

function begin(port) {
  const number = counts.started++;
  underWay++;
  const kind = number % 10;
  const over = () => void underWay--;
  if (kind === 0) void visitOfWs(port, number).then(over);
  else void visit(port, number, kind % 2 === 0 ? "reset" : "close").then(over);
}

/** What went wrong since this was asked last. */
export function found() {
  return problems.splice(0);
}
