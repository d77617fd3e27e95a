// What the specs over a message's way in share.
import { type TestContext } from "node:test";

import { createServer, type ServerOptions } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";

import {
  anything,
  incoming,
  outgoing,
  Queue,
  serve,
  syncHandlers,
  syncRoutes,
  zo,
} from "./_talk.ts";

/** A server with one route `chat.say`, whose handler keeps what it gets. */
export function listen(
  t: TestContext,
  payload: StandardSchemaV1 = anything,
  options: ServerOptions = {},
) {
  const handled = new Queue<unknown>("the handler");
  const routes = {
    ...syncRoutes,
    chat: {
      say: incoming({ payload }),
      mute: incoming({ payload: anything }),
      onSaid: outgoing({ payload: anything }),
    },
  };
  const app = zo.router(routes, {
    ...syncHandlers,
    chat: { say: ({ payload }) => handled.push(payload) },
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError, ...options }));
  return { ...started, url: started.server.url, handled };
}

/** What a test has a handler or a middleware do. */
type Step = (step: { payload: unknown }) => unknown;

/** A server whose `chat.say` does what the test wants to go wrong. */
export function listenTo(t: TestContext, handler: Step, middleware: Step = () => {}) {
  const builder = zo.message.use(middleware as (step: { payload: unknown }) => void);
  const routes = { ...syncRoutes, chat: { say: builder.incoming({ payload: anything }) } };
  const app = zo.router(routes, {
    ...syncHandlers,
    chat: { say: handler as (step: { payload: unknown }) => void },
  });
  const started = serve(t, (onError) => createServer(app, zo, { port: 0, onError }));
  return { ...started, url: started.server.url };
}
