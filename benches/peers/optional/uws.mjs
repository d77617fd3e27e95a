// The application on uWebSockets.js, with its topics as rooms.
import { createRequire } from "node:module";

import uws from "@trufflesuite/uws-js-unofficial";

import { listening, receive } from "../apps/application.mjs";

// For a Node.js it has no addon for, the package falls back to another implementation, which is no
// peer: then this fails.
const { platform, arch, versions } = process;
const addon = `uws_${platform}_${arch}_${versions.modules}.node`;
createRequire(import.meta.url).resolve(`@trufflesuite/uws-js-unofficial/dist/${addon}`);

const decoder = new TextDecoder();

const app = uws
  .App()
  .ws("/*", {
    maxPayloadLength: 1024 * 1024,
    maxBackpressure: 1024 * 1024,
    open(socket) {
      socket.client = {
        send: (text) => socket.send(text),
        join: (room) => socket.subscribe(room),
        publish: (room, text) => app.publish(room, text),
      };
    },
    message: (socket, message) => receive(decoder.decode(message), socket.client),
  })
  .listen("127.0.0.1", 0, (socket) => listening(uws.us_socket_local_port(socket)));
