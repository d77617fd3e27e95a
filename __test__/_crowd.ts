// Run by crowd.spec.ts as a process of its own: many clients made of `ws`, which join one room, count what they get and
// check that each gets 0, 1, 2 and so on. Prints one line of JSON for each stage.
import { WebSocket } from "ws";

const [url = "", clients = "", messages = ""] = process.argv.slice(2);
const total = Number(clients);
const expected = Number(messages);

const next = Array.from({ length: total }, () => 0);
let joined = 0;
let complete = 0;
const problems: string[] = [];

function print(stage: string): void {
  console.log(JSON.stringify({ stage, joined, complete, problems: problems.slice(0, 10) }));
}

function receive(client: number, type: string, payload: unknown): void {
  if (type === "onJoined") {
    if (++joined === total) print("joined");
    return;
  }
  const { number } = payload as { number: number };
  if (type !== "onTick" || number !== next[client]) {
    problems.push(`client ${client} got ${type} ${number} instead of ${next[client]}`);
  }
  next[client] = number + 1;
  if (number + 1 === expected && ++complete === total) print("complete");
}

for (let client = 0; client < total; client++) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.on("open", () => socket.send('{"type":"join"}'));
  socket.on("message", (data) => {
    const { type, payload } = JSON.parse(String(data)) as { type: string; payload: unknown };
    receive(client, type, payload);
  });
  socket.on("error", (error) => problems.push(`client ${client}: ${error.message}`));
  socket.on("close", (code) => {
    if (code !== 1001) problems.push(`client ${client} closed with ${code}`);
    if (--joined === 0) print("closed");
  });
}
