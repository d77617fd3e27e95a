// The example of the reference page (docs/zocket-create.md) as a whole program: its server, and a client that sends one
// message and gets one back. Start it, after `npm run build`, with
//   node examples/reference-page/main.mts                                       (Node 22.18 or later)
//   npx esbuild examples/reference-page/main.mts | node --input-type=module     (Node 20)
import { createServer, createZocketClient, zocket } from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

// What the reference page takes for granted.
const users = new Map([["secret-of-ada", { id: "1", name: "Ada", role: "admin" }]]);
async function validateToken(token: string) {
  const user = users.get(token);
  // `onConnect` that throws refuses the upgrade: with 403, or the error's own `status`.
  if (!user) throw Object.assign(new Error("unknown token"), { status: 401 });
  return user;
}
const database = {
  updateLastSeen: async (userId: string) => console.log(`server: user ${userId} was here`),
};

const zo = zocket.create({
  headers: z.object({
    authorization: z.string(),
  }),
  onConnect: async (headers, clientId) => {
    const user = await validateToken(headers.authorization);
    console.log(`server: ${user.name} is ${clientId}`);
    return {
      userId: user.id,
      username: user.name,
      role: user.role,
    };
  },
  onDisconnect: async (ctx, clientId) => {
    await database.updateLastSeen(ctx.userId);
    console.log(`server: ${clientId} is gone`);
  },
});

const routes = {
  chat: {
    message: zo.message.incoming({ payload: z.object({ text: z.string().max(500) }) }),
    onMessage: zo.message.outgoing({ payload: z.object({ from: z.string(), text: z.string() }) }),
  },
};

const appRouter = zo.router(routes, {
  chat: {
    message: ({ payload, ctx }) => {
      ctx.send.chat.onMessage({ from: ctx.username, text: payload.text }).broadcast();
    },
  },
});

const server = createServer(appRouter, zo, { port: 0 });

const client = createZocketClient<typeof appRouter>(server.url, {
  headers: { authorization: "secret-of-ada" },
  // Browsers and Node 22 have a WebSocket of their own; Node 20 has none.
  WebSocket,
});
client.on.chat.onMessage(async ({ from, text }) => {
  console.log(`client: ${from} says ${text}`);
  client.close();
  await server.stop();
});
client.send.chat.message({ text: "hello" });
