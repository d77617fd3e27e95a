// What has to be true of a server on each framework: the lives of a program, which end in different orders.
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import path from "node:path";

import { Program } from "./program.mjs";

/** Runs all lives; resolves to what there is to say of them. */
export async function check(project, framework) {
  const lives = [stopsFirst, closesFirst];
  if (framework.end) lives.push(endsFirst);
  const told = await Promise.all(lives.map((life) => live(project, framework, life)));
  return told.join("; ");
}

async function live(project, framework, life) {
  const program = new Program(project, framework);
  try {
    await program.start();
    const told = await life(program, framework, path.join(project, framework.name));
    await program.ends();
    return told;
  } catch (error) {
    error.message += `\n${life.name} of ${framework.name}; it printed:\n${program.printed}`;
    throw error;
  } finally {
    await program.kill();
  }
}

/** The server stops, and the HTTP server goes on. */
async function stopsFirst(program, framework, folder) {
  // Next.js listens for upgrades from the first request on.
  const other = await leavesOtherPaths(program, framework, folder);
  await servesPages(program);
  const clients = await talk(program);
  await servesPages(program);
  if (framework.name === "next") await publishesFromRoutes(program, clients);
  const hosts = await answersEverywhere(program);
  if (framework.name === "http2") assert.match(await program.requestByHttp2("/"), /a page/);

  const ends = clients.map((client) => client.closed());
  await program.tell("stop");
  assert.deepEqual(await Promise.all(ends), [1001, 1001, 1001]);
  await servesPages(program);
  if (!framework.listens) assert.notEqual(await program.refused("/ws"), 101);
  await program.tell("end");
  return `${other}; reached at ${hosts.join(" and ")}`;
}

/** The HTTP server closes while clients are connected. The server needs no stop then: it has nothing left to do. */
async function closesFirst(program, framework) {
  const told = await outlive(program, "close");
  // Watching files keeps a program alive.
  if (framework.hmr) await program.tell("end");
  return told;
}

/** The same with what the framework has for closing itself. */
const endsFirst = (program) => outlive(program, "end");

/** Clients outlive the HTTP server, which does not wait for them. */
async function outlive(program, command) {
  await servesPages(program);
  const clients = await talk(program);
  const ms = await program.tell(command);
  await assert.rejects(program.request("/"));
  await converse(clients);
  for (const client of clients) client.close();
  for (const client of clients) await client.closed();
  return `${command} took ${ms} ms`;
}

async function servesPages(program, host) {
  const { status, text } = await program.request("/", { host });
  assert.equal(status, 200, text);
  assert.match(text, /a page/);
}

/** Opens three connections; two of them enter the room and hear each other. */
async function talk(program, host) {
  const clients = [];
  for (let count = 0; count < 3; count += 1) clients.push(await program.open("/ws", { host }));
  const [first, second] = clients;
  second.say("I am here");
  assert.deepEqual(await second.next(), { type: "onSaid", payload: "I am here" });
  first.say("me too");
  for (const client of [first, second]) {
    assert.deepEqual(await client.next(), { type: "onSaid", payload: "me too" });
  }
  await converse(clients);
  return clients;
}

/** Those in the room get a message, a long one too, and the third client does not. */
async function converse([first, second, third]) {
  for (const payload of ["hello", "x".repeat(300_000)]) {
    first.say(payload);
    for (const client of [first, second])
      assert.deepEqual(await client.next(), { type: "onSaid", payload });
  }
  assert.equal(third.isSilent, true);
}

/** Other paths are 404, or the framework's. */
async function leavesOtherPaths(program, { hmr }, folder) {
  if (!hmr) {
    const status = await program.refused("/other");
    assert.equal(status, 404);
    return `other paths ${status}`;
  }
  const socket = await program.open("/", { protocols: ["vite-hmr"] });
  assert.equal((await socket.next()).type, "connected");
  await changed(path.join(folder, "index.html"), async () => {
    let update;
    do update = await socket.next();
    while (update.type !== "full-reload");
  });
  socket.close();
  await socket.closed();
  return "HMR works beside it";
}

/** Changes a file again and again until that is noticed: whoever watches it may only have begun to. */
async function changed(file, noticed) {
  const timer = setInterval(() => appendFileSync(file, "<!-- changed -->"), 500);
  try {
    await noticed();
  } finally {
    clearInterval(timer);
  }
}

/** A framework may have an HTTP server for each address of the machine's own name. */
async function answersEverywhere(program) {
  const hosts = [];
  for (const host of ["127.0.0.1", "[::1]"]) {
    const answer = await program.request("/", { host }).catch(() => undefined);
    if (!answer) continue;
    hosts.push(host);
    const client = await program.open("/ws", { host });
    client.say(host);
    assert.equal((await client.next()).payload, host);
    client.close();
    await client.closed();
  }
  assert.ok(hosts.length > 0);
  return hosts;
}

/** A route handler of Next.js reaches the server of the custom server. */
async function publishesFromRoutes(program, [first, second, third]) {
  const { text } = await program.request("/news", { method: "POST", body: "news" });
  assert.equal(text, "sent");
  for (const client of [first, second])
    assert.deepEqual(await client.next(), { type: "onSaid", payload: "news" });
  assert.equal(third.isSilent, true);
}
