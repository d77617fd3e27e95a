// The same echo on `ws`, to be held beside ours: the same compression, the same limit for messages, and none for their fragments,
// of which group 9 sends more than `ws` takes by default.
//
// Start it with `node tests/conformance/ws-echo.mjs 9001`; it runs until it is killed.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
  maxPayload: 32 * 1024 * 1024,
  maxFragments: 0,
});
server.on("listening", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
  // A client that breaks the protocol: `ws` closes by itself.
  socket.on("error", () => {});
  socket.on("message", (message, binary) => socket.send(message, { binary }));
});
