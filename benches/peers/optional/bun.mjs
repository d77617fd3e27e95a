// The application on Bun's own server, with its topics as rooms. Runs under Bun.
import { listening, receive, tls } from "../apps/application.mjs";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  ...(tls && { tls }),
  fetch(request, bun) {
    return bun.upgrade(request) ? undefined : new Response(null, { status: 426 });
  },
  websocket: {
    open(socket) {
      socket.data = {
        send: (text) => socket.send(text),
        join: (room) => socket.subscribe(room),
        publish: (room, text) => server.publish(room, text),
      };
    },
    message: (socket, message) => receive(message, socket.data),
  },
});
listening(server.port);
