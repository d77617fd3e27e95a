// The application on Socket.IO, over WebSocket alone: its own envelope, routing and rooms.
import { createServer } from "node:http";
import { Server } from "socket.io";

import { listening, schemas } from "../apps/application.mjs";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });

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
