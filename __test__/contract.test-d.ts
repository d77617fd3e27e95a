// Types of message definitions that are made without a server, in the middle of a router.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import { createZocketClient, zocket } from "@zocket/core";
import { message } from "@zocket/core/contract";

const routes = {
  chat: {
    message: message.incoming({ payload: z.object({ text: z.string() }) }),
    onMessage: message.outgoing({
      payload: z.object({ text: z.string() }),
      slowClient: "latest",
    }),
  },
};

const zo = zocket.create({
  headers: z.object({ authorization: z.string() }),
  onConnect: () => ({ userId: "1" }),
});

const app = zo.router(routes, {
  chat: {
    message: ({ payload, ctx }) => {
      expectTypeOf(payload).toEqualTypeOf<{ text: string }>();
      expectTypeOf(ctx.userId).toEqualTypeOf<string>();
      ctx.send.chat.onMessage(payload).broadcast();
      // @ts-expect-error the payload has no text
      ctx.send.chat.onMessage({}).broadcast();
    },
  },
});

// @ts-expect-error outgoing messages have no handler
zo.router(routes, { chat: { onMessage: () => {} } });

for (const client of [
  createZocketClient<typeof app>("ws://localhost"),
  createZocketClient<typeof routes>("ws://localhost"),
]) {
  client.send.chat.message({ text: "hello" });
  // @ts-expect-error a number is no text
  client.send.chat.message({ text: 1 });
  client.on.chat.onMessage((payload) => {
    expectTypeOf(payload).toEqualTypeOf<{ text: string }>();
  });
}

// @ts-expect-error middlewares belong to a server
void message.use;
