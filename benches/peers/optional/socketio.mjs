// The application on Socket.IO, over WebSocket alone: its own envelope, routing and rooms. With an ADAPTER it is one of several.
import { createServer } from "node:http";
import { Server } from "socket.io";

import { listening, schemas } from "../apps/application.mjs";

const { ADAPTER, BUS } = process.env;
const http = createServer();
const adapter = ADAPTER && (await adapterTo(BUS));
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  ...(adapter && { adapter }),
});

io.on("connection", (socket) => {
  /** Calls the handler with what the schema made of the payload. */
  const on = (type, handle) => {
    socket.on(type, (payload, answer) => {
      const checked = schemas[type].safeParse(payload);
      if (checked.success) handle(checked.data, answer);
      else socket.emit("$error", { code: "INVALID_PAYLOAD", issues: checked.error.issues });
    });
  };
  on("echo", (payload) => socket.emit("echoed", payload));
  on("ask", (payload, answer) => answer(payload));
  on("join", (payload) => {
    socket.join(payload.room);
    socket.emit("joined", payload);
  });
  on("publish", ({ n, room, text }) => io.to(room).emit("news", { n, text }));
});

http.listen(0, "127.0.0.1", () => listening(http.address().port));

/** An adapter on ioredis, made as its documentation shows. */
async function adapterTo(url) {
  const { Redis } = await import("ioredis");
  const { createAdapter } = await import(`@socket.io/${ADAPTER}`);
  const client = new Redis(url);
  return ADAPTER === "redis-adapter"
    ? createAdapter(client, client.duplicate())
    : createAdapter(client);
}
