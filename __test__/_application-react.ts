// The hooks for React as an application uses them. Like _application.ts, it is read by the language service, never run.
import { createElement, type ReactNode } from "react";
import { z } from "zod";

import { message } from "@zocket/core/contract";
import {
  ZocketProvider,
  createZocketReact,
  useCall,
  useConnection,
  useEvent,
  useZocket,
} from "@zocket/core/react";

import type { appRouter } from "./_application.ts";

type App = typeof appRouter;

const calls = {
  join: message.incoming({
    payload: z.object({ room: z.string() }),
    reply: z.object({ members: z.number(), since: z.date() }),
    errors: { ROOM_FULL: z.object({ limit: z.number() }) },
  }),
  ask: message.incoming({
    payload: z.string(),
    stream: z.object({ word: z.string() }),
    reply: z.object({ tokens: z.number() }),
  }),
};

export function Chat(): ReactNode {
  const { client, useEvent: listen } = useZocket<App>();
  listen(client.on.chat.onMessage, ({ text, at }) => console.log(text, at));
  useEvent(client.onError, ({ code, message: why }) => console.log(code, why));
  useEvent(client.onState, (state, retryAt) => console.log(state, retryAt));
  const { state, retryAt, reconnect } = useConnection();
  return createElement("button", { onClick: reconnect }, state, retryAt);
}

export function Caller(): ReactNode {
  const { client } = useZocket<typeof calls>();
  const { data, error, pending, run, abort } = useCall(client.call.join);
  const { items, data: end, run: ask } = useCall(client.call.ask, { maxItems: 5 });
  const limit = error?.code === "ROOM_FULL" ? error.data.limit : undefined;
  const words = items.map(({ word }) => word);
  const onClick = async () => {
    const result = await run({ room: "lobby" }, { timeout: 5 }).safe();
    if (result.ok) console.log(result.data.since, await ask("why?"));
    abort();
  };
  const text = [data?.members, limit, pending, end?.tokens].join();
  return createElement("button", { onClick }, text, words);
}

const react = createZocketReact<App>();

export const page = [
  createElement(ZocketProvider<App>, {
    url: "ws://localhost",
    headers: async () => ({ authorization: "token" }),
    onClose: ({ code, refused }) => console.log(code, refused?.status),
  }),
  createElement(react.ZocketProvider, { url: "ws://localhost" }, createElement(Chat)),
];
