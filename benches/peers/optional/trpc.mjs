// Calls and streams on tRPC: its adapter for ws, with an echo as mutation and an async generator as subscription.
import { initTRPC } from "@trpc/server";
import { applyWSSHandler } from "@trpc/server/adapters/ws";
import { WebSocketServer } from "ws";

import { itemsOf, listening, schemas } from "../apps/application.mjs";

const trpc = initTRPC.create();
const router = trpc.router({
  ask: trpc.procedure.input(schemas.ask).mutation(({ input }) => input),
  count: trpc.procedure.input(schemas.ask).subscription(({ input }) => itemsOf(input)),
});

const wss = new WebSocketServer({ host: "127.0.0.1", port: 0 });
wss.on("listening", () => listening(wss.address().port));
applyWSSHandler({ wss, router });
