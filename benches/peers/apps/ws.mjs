// The application on ws. Rooms are sets of sockets, and a publication is encoded once.
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";

import { WebSocketServer } from "ws";

import { listening, receive, tls } from "./application.mjs";

const rooms = new Map();
const asText = { binary: false };

// As it is recommended: no context for each connection. Only clients that offer it get compressed messages.
const perMessageDeflate = { serverNoContextTakeover: true, clientNoContextTakeover: true };
// On a server of Node, as its documentation shows. With a port it would make one itself.
const web = tls ? createHttpsServer(tls) : createHttpServer();
const server = new WebSocketServer({ perMessageDeflate, server: web.listen(0, "127.0.0.1") });
server.on("listening", () => listening(server.address().port));
server.on("connection", (socket) => {
  const joined = new Set();
  const client = {
    send: (text) => socket.send(text),
    join(room) {
      if (!rooms.has(room)) rooms.set(room, new Set());
      rooms.get(room).add(socket);
      joined.add(room);
    },
    publish(room, text) {
      const bytes = Buffer.from(text);
      for (const member of rooms.get(room) ?? []) member.send(bytes, asText);
    },
  };
  socket.on("message", (message) => receive(message.toString(), client));
  socket.on("close", () => {
    for (const room of joined) rooms.get(room).delete(socket);
  });
  socket.on("error", () => {});
});
