// The application on ws. Rooms are sets of sockets, and a publication is encoded once.
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";

import { WebSocketServer } from "ws";

import { listening, receive, tls } from "./application.mjs";

const rooms = new Map();
const asText = { binary: false };

// As it is recommended: no context for each connection. Only clients that offer it get compressed messages.
const perMessageDeflate = { serverNoContextTakeover: true, clientNoContextTakeover: true };
/** Bytes of a message: 0, flags, the length of the name, the name. The answer differs in the name alone, so nothing is copied. */
function blob(message, socket) {
  if (message.readUInt32BE(0) !== 4 || message.toString("latin1", 4, 8) !== "blob") socket.close();
  message.write("back", 4, "latin1");
  socket.send(message);
}

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
  socket.on("message", (message, isBinary) => {
    if (isBinary) blob(message, socket);
    else receive(message.toString(), client);
  });
  socket.on("close", () => {
    for (const room of joined) rooms.get(room).delete(socket);
  });
  socket.on("error", () => {});
});
