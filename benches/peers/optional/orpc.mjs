// Calls and streams on oRPC: its handler for ws, with an echo and an async generator.
import { os } from "@orpc/server";
import { RPCHandler } from "@orpc/server/ws";
import { WebSocketServer } from "ws";

import { itemsOf, listening, schemas } from "../apps/application.mjs";

const handler = new RPCHandler({
  ask: os.input(schemas.ask).handler(({ input }) => input),
  count: os.input(schemas.ask).handler(({ input }) => itemsOf(input)),
});

const wss = new WebSocketServer({ host: "127.0.0.1", port: 0 });
wss.on("listening", () => listening(wss.address().port));
wss.on("connection", (socket) => handler.upgrade(socket));
