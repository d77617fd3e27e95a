// What the specs over a message's way out share.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import { createServer, type ServerOptions, type ZocketContext } from "@zocket/core";

import {
  anything,
  incoming,
  outgoing,
  serve,
  syncHandlers,
  syncRoutes,
  Talker,
  zo,
} from "./_talk.ts";

export const routes = {
  ...syncRoutes,
  go: incoming({ payload: anything }),
  onSaid: outgoing({ payload: anything }),
  onLatest: outgoing({ payload: anything, slowClient: "latest" }),
  deep: {
    er: {
      onSaid: outgoing({ payload: anything }),
      still: { go: incoming({ payload: anything }), onSaid: outgoing({ payload: anything }) },
    },
  },
};
/** The type of `ctx` in the handlers here. */
export type Ctx = ZocketContext<{}, typeof routes>;

/** A server whose `go` lets the test do something with the context of the client that said it. */
export function listen(t: TestContext, options: ServerOptions = {}) {
  const contexts = new Map<string, Ctx>();
  const app = zo.router(routes, {
    ...syncHandlers,
    go: ({ ctx }) => void contexts.set(ctx.clientId, ctx),
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError, ...options }));
  const { url } = started.server;
  /** A client and a context of it that outlived its handler. */
  const meet = async (...rooms: string[]) => {
    const talker = await Talker.open(t, url);
    talker.say("go");
    assert.deepEqual(await talker.sync(), []);
    const ctx = contexts.get(talker.id) as Ctx;
    for (const room of rooms) ctx.rooms.join(room);
    return { talker, ctx, id: talker.id };
  };
  return { ...started, url, meet };
}

/** What each client got so far, as the payloads alone. */
export async function payloads(...clients: { talker: Talker }[]): Promise<unknown[][]> {
  const all: unknown[][] = [];
  for (const { talker } of clients) {
    all.push((await talker.sync()).map(({ payload }) => payload));
  }
  return all;
}
