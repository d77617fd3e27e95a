// What `npm run valgrind` runs under memcheck: one short life of everything that crosses the border, checked as it goes.
import assert from "node:assert/strict";
import { once } from "node:events";

import { WebSocket } from "ws";

import zocketCore from "../../index.js";

const { createServer, zocket } = zocketCore;

/** A schema by hand: what it takes is what it gives. */
const schema = (accepts) => ({
  "~standard": {
    version: 1,
    vendor: "valgrind",
    validate: (value) => (accepts(value) ? { value } : { issues: [{ message: "not taken" }] }),
  },
});
const any = schema(() => true);

assert.throws(() => zocket.create({}), TypeError);
const zo = zocket.create({
  headers: any,
  onConnect: async ({ name }) => {
    if (name === "nobody") throw new Error("not welcome");
    return { name };
  },
  onDisconnect: ({ rooms }) => void rooms.size,
});
const routes = {
  say: zo.message.incoming({ payload: schema((value) => typeof value !== "number") }),
  fail: zo.message.use(() => ({ added: 1 })).incoming({ payload: any }),
  said: zo.message.outgoing({ payload: any }),
};
assert.throws(() => zo.router(routes, { nothing: () => {} }), TypeError);
const router = zo.router(routes, {
  say: ({ payload, ctx }) => {
    ctx.rooms.join("room");
    ctx.send.said(payload).to(ctx.clientId);
    ctx.send.said({ from: ctx.name, payload }).toRoom(["room", "empty"]);
    ctx.rooms.leave("room");
  },
  fail: () => {
    throw new Error("on purpose");
  },
});
const faults = [];
const start = (options) =>
  createServer(router, zo, {
    port: 0,
    hostname: "127.0.0.1",
    ioThreads: 2,
    onError: (_, { code }) => faults.push(code),
    ...options,
  });
const server = start({ maxConnections: 3 });
assert.throws(() => start({ port: server.port }), { code: "EADDRINUSE" });

const open = async (name) => {
  const socket = new WebSocket(`${server.url}/?name=${name}`);
  await once(socket, "open");
  return socket;
};
const clients = [await open("ada"), await open("ben"), await open("cy")];
await assert.rejects(open("dan"), /503/);
const heard = (socket, wanted) =>
  new Promise((done) => {
    let count = 0;
    socket.on("message", () => {
      if (++count === wanted) done();
    });
  });

const payloads = [null, "grüße 🙂 \u0000\ud800", { deep: [[[{}]]] }, "x".repeat(100_000)];
const [ada, ben, cy] = clients;
// Each comes back twice; then an answer for each wrong one.
const all = heard(ada, payloads.length * 2 + 4);
for (const payload of payloads) ada.send(JSON.stringify({ type: "say", payload }));
for (const text of [
  "no JSON",
  '{"type":"nowhere"}',
  '{"type":"say","payload":1}',
  '{"type":"fail"}',
])
  ada.send(text);
await all;
const news = Promise.all([heard(ben, 1), heard(cy, 1)]);
server.send.said("x".repeat(1000)).broadcast();
server.publish("room", "said", 1);
await news;
assert.ok(server.metrics().received >= 8);

ada.terminate();
ben.close();
await once(ben, "close");
await assert.rejects(open("nobody"), /403/);
await server.stop({ drain: 20 });
const next = start();
await next.stop(true);
assert.deepEqual([...new Set(faults)].sort(), [
  "BAD_MESSAGE",
  "CONNECT",
  "HANDLER_ERROR",
  "INVALID_PAYLOAD",
  "NO_ROUTE",
]);
cy.terminate();
console.log("the server's life is over");
