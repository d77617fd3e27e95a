// `createServer`, with the types that callers see. Its declaration imports only types of ours, so that no types of Node are needed.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { startNative } from "../border/native.js";
import type { AppRouter } from "../types/router.js";
import type { AnyRoutes } from "../types/routes.js";
import type { Zocket } from "../types/zocket.js";
import { serve } from "./serve.js";
import type { ServerOptions, ZocketServer } from "./types.js";

/**
 * Starts a server, which listens at once. By default it listens on port 3000 of all interfaces.
 *
 * @example
 * ```ts
 * const server = createServer(appRouter, zo, { port: 3000 });
 * server.send.chat.onMessage({ from: "server", text: "I am up" }).broadcast();
 * process.once("SIGTERM", () => server.stop());
 * ```
 *
 * @throws `TypeError` that names a wrong option. `Error` with a `code` such as `EADDRINUSE` if it cannot listen.
 */
export function createServer<
  TRoutes extends AnyRoutes,
  THeadersSchema extends StandardSchemaV1,
  TUserContext,
  TTransformed,
>(
  appRouter: AppRouter<TRoutes, TUserContext>,
  zo: Zocket<THeadersSchema, TUserContext, TTransformed>,
  options?: ServerOptions,
): ZocketServer<TRoutes> {
  return serve(startNative, appRouter, zo, options) as ZocketServer<never> as ZocketServer<TRoutes>;
}
