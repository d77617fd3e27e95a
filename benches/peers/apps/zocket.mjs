// The application on this package, as built in the repository, or in the checkout that ZOCKET names.
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { isMainThread, parentPort } from "node:worker_threads";

import { z } from "zod";

import { compute, itemsOf, listening, schemas, tls } from "./application.mjs";

const root = process.env.ZOCKET ?? path.join(import.meta.dirname, "..", "..", "..");
const require = createRequire(import.meta.url);
const { createServer, zocket } = require(path.join(root, "index.js"));

/** What stands between several servers, if there are several. */
const bus = process.env.BUS && busAt(process.env.BUS);
/** Rounds of arithmetic that an echo takes, as a handler that has something to do. */
const work = Number(process.env.WORK ?? 0);

// A schema for headers and an onConnect, as a server with users has them; the others have neither.
const zo = zocket.create({
  headers: z.object({ authorization: z.string() }),
  onConnect({ authorization }) {
    if (authorization === "nobody") throw new Error("unknown user");
    return { user: authorization };
  },
});

const router = zo.router(
  {
    echo: zo.message.incoming({ payload: schemas.echo }),
    echoed: zo.message.outgoing({ payload: schemas.echo }),
    join: zo.message.incoming({ payload: schemas.join }),
    joined: zo.message.outgoing({ payload: schemas.join }),
    publish: zo.message.incoming({ payload: schemas.publish }),
    news: zo.message.outgoing({ payload: schemas.echo }),
    ask: zo.message.incoming({ payload: schemas.ask, reply: schemas.ask }),
    count: zo.message.incoming({ payload: schemas.ask, stream: schemas.ask }),
    // An earlier version has no bytes.
    ...(zo.bytes && {
      blob: zo.message.incoming({ payload: zo.bytes() }),
      back: zo.message.outgoing({ payload: zo.bytes() }),
    }),
  },
  {
    echo({ payload, ctx }) {
      if (work > 0) compute(work);
      ctx.send.echoed(payload).to(ctx.clientId);
    },
    join({ payload, ctx }) {
      ctx.rooms.join(payload.room);
      const tell = () => ctx.send.joined(payload).to(ctx.clientId);
      // Whoever is told so gets what is published anywhere.
      return bus ? server.synced().then(tell) : tell();
    },
    ...(zo.bytes && { blob: ({ payload, ctx }) => ctx.send.back(payload).to(ctx.clientId) }),
    ask: ({ payload }) => payload,
    count: ({ payload }) => itemsOf(payload),
    publish({ payload, ctx }) {
      ctx.send.news({ n: payload.n, text: payload.text }).toRoom(payload.room);
    },
  },
);

const ioThreads = Number(process.env.IO_THREADS ?? 1);
// Only clients that offer compression get it. An earlier version does not know the option.
const own = {
  ...(tls && { tls }),
  ...(!process.env.ZOCKET && { compression: true }),
  ...(bus && { bus }),
  ...(!isMainThread && { share: "bench" }),
};
const common = { ioThreads, maxPayload: 2 ** 21, ...own };
const server = process.env.ATTACHED ? await attached() : onItsOwnPort();
await server.ready?.();
if (isMainThread) listening(server.port);
else parentPort.postMessage(server.port);

function busAt(url) {
  const { nats, redis } = require(path.join(root, "bus.js"));
  const common = { prefix: "bench", required: true };
  return url.startsWith("nats:") ? nats({ ...common, servers: [url] }) : redis({ ...common, url });
}

function onItsOwnPort() {
  return createServer(router, zo, { hostname: "127.0.0.1", port: 0, ...common });
}

async function attached() {
  const web = createHttpServer();
  const server = createServer(router, zo, { server: web, path: "/ws", ...common });
  await once(web.listen(0, "127.0.0.1"), "listening");
  return server;
}
