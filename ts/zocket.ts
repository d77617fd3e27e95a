// `zocket.create`: the native function with the message builder, the router, and the types that callers see.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import { createZocket } from "./border/native.js";
import { bytes } from "./contract/bytes.js";
import { use } from "./contract/guarded.js";
import { builder } from "./contract/message.js";
import { routerFor } from "./contract/router.js";
import type { DisconnectContext, ZocketContext } from "./types/context.js";
import type { DisconnectInfo } from "./types/disconnect.js";
import type { AnyRoutes } from "./types/routes.js";
import type { UpgradeRequest } from "./types/upgrade-request.js";
import type { HasTransformer, NoTransformer, Transformer } from "./types/transformer.js";
import type { Zocket } from "./types/zocket.js";

/** Makes zocket instances: each is a message builder and a router, for one kind of clients. */
export const zocket: {
  /**
   * Defines who may connect, and what handlers know about each client. Returns the message builder and the router. Nothing
   * listens yet: `createServer` starts the server.
   *
   * Write `onConnect` before `onOpen` and `onDisconnect`, because TypeScript infers the user context in that order.
   *
   * @example
   * ```ts
   * const zo = zocket.create({
   *   headers: z.object({ authorization: z.string() }),
   *   onConnect: async (headers, clientId) => {
   *     const user = await validateToken(headers.authorization);
   *     return { userId: user.id, username: user.name };
   *   },
   *   onDisconnect: async (ctx, clientId) => {
   *     await database.updateLastSeen(ctx.userId);
   *   },
   * });
   * ```
   *
   * @throws `TypeError` if `headers` is not a Standard Schema, a callback is not a function, or `transformer` has no `serialize`
   *   and `deserialize`.
   */
  readonly create: <
    THeadersSchema extends StandardSchemaV1,
    TUserContext = {},
    TJson = NoTransformer,
  >(config: {
    /** The schema that checks the headers of a client: Zod, Valibot, ArkType or any other Standard Schema. */
    headers: THeadersSchema;
    /**
     * Called when a client connects, before the 101. Its result becomes part of `ctx`. If it throws, the server refuses the
     * client with 403, or with the `status` of the error if that is an integer from 400 to 599.
     */
    onConnect?: (
      headers: StandardSchemaV1.InferOutput<THeadersSchema>,
      clientId: string,
      request: UpgradeRequest,
    ) => TUserContext | Promise<TUserContext>;
    /**
     * Called after the 101, before the first message of the client is handled. The place to join rooms, and to send a welcome.
     * Its `ctx` is that of handlers. The routes are not known yet, so `ctx.send` takes any name and any payload. If it fails, or
     * takes longer than `handshakeTimeout`, the server closes the connection with 1011.
     */
    onOpen?: (
      ctx: ZocketContext<TUserContext, AnyRoutes>,
      clientId: string,
    ) => void | Promise<void>;
    /** Called exactly once for each client whose `onConnect` succeeded, when that client is gone. `info` says how it went. */
    onDisconnect?: (
      ctx: DisconnectContext<TUserContext>,
      clientId: string,
      info: DisconnectInfo,
    ) => void | Promise<void>;
    /**
     * Turns payloads into values that JSON carries, and back, on both sides: superjson, for example. Then a `Date`, a `Map`, a
     * `Set` and a bigint arrive as themselves. The client needs the same transformer.
     */
    transformer?: Transformer<TJson> | undefined;
  }) => Zocket<THeadersSchema, TUserContext, HasTransformer<TJson>>;
} = {
  create(config: unknown) {
    const made = createZocket(config, builder([], false), routerFor(undefined), use, bytes);
    const { transformer } = made as { readonly transformer?: Transformer };
    if (transformer === undefined) return made;
    return { ...made, message: builder([], true), router: routerFor(transformer) };
  },
} as never;
