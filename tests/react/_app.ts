// The server that the specs connect to, and what it saw.
import type { TestContext } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { z } from "zod";

/** What happened at a server, in order. */
export interface Seen {
  readonly connects: string[];
  readonly disconnects: string[];
  readonly messages: string[];
  /** The rooms whose slow call was aborted. */
  readonly aborted: string[];
  /** The slow calls that have begun. */
  readonly begun: string[];
}

const nothingSeen = (): Seen => ({
  connects: [],
  disconnects: [],
  messages: [],
  aborted: [],
  begun: [],
});

/** A chat. A token that begins with `bad` is refused. */
export function chat(seen: Seen = nothingSeen()) {
  const zo = zocket.create({
    headers: z.object({ authorization: z.string().default("nobody") }),
    onConnect: ({ authorization }) => {
      if (authorization.startsWith("bad")) {
        throw Object.assign(new Error("expired"), { status: 401 });
      }
      seen.connects.push(authorization);
      return { name: authorization };
    },
    onDisconnect: ({ name }) => void seen.disconnects.push(name),
  });
  const routes = {
    chat: {
      message: zo.message.incoming({ payload: z.object({ text: z.string() }) }),
      onMessage: zo.message.outgoing({ payload: z.object({ from: z.string(), text: z.string() }) }),
      history: zo.message.incoming({
        payload: z.object({ room: z.string() }),
        reply: z.array(z.object({ text: z.string(), at: z.date() })),
        errors: { NO_ROOM: z.object({ rooms: z.array(z.string()) }) },
      }),
      slow: zo.message.incoming({ payload: z.string(), reply: z.string() }),
      ping: zo.message.incoming({ payload: z.undefined(), reply: z.literal("pong") }),
      count: zo.message.incoming({
        payload: z.object({ to: z.number() }),
        stream: z.number(),
        reply: z.object({ total: z.number() }),
      }),
    },
  };
  const app = zo.router(routes, {
    chat: {
      message: ({ payload, ctx }) => {
        seen.messages.push(payload.text);
        ctx.send.chat.onMessage({ from: ctx.name, text: payload.text }).broadcast();
      },
      history: ({ payload, fail }) => {
        if (payload.room === "none") throw fail("NO_ROOM", { rooms: ["lobby"] });
        return [{ text: `in ${payload.room}`, at: new Date(0) }];
      },
      slow: async ({ payload, signal }) => {
        seen.begun.push(payload);
        await new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => resolve());
        });
        seen.aborted.push(payload);
        return payload;
      },
      ping: () => "pong" as const,
      count: async function* ({ payload }) {
        for (let n = 1; n <= payload.to; n += 1) yield n;
        return { total: payload.to };
      },
    },
  });
  return { app, zo, seen };
}

export type AppRouter = ReturnType<typeof chat>["app"];

/** Starts the chat until the test is over. */
export function serve(t: TestContext, port = 0) {
  const { app, zo, seen } = chat();
  const server = createServer(app, zo, { port, hostname: "127.0.0.1", onError: () => {} });
  t.after(() => server.stop(true));
  const broadcast = (text: string) =>
    server.send.chat.onMessage({ from: "server", text }).broadcast();
  return { server, seen, url: server.url, broadcast };
}
