import type {
  AnyRouter,
  AnyRoutes,
  AppRouter,
  ClientOptions,
  DisconnectContext,
  NoRouter,
  ServerOptions,
  StandardSchemaV1,
  Zocket,
  ZocketClient,
  ZocketServer,
} from "./dist/public.js";

// Making messages and routers
export type {
  AnyMessage,
  AnyRouter,
  AnyRoutes,
  AnySender,
  AppRouter,
  DisconnectContext,
  FluentSender,
  HandlerFn,
  Handlers,
  IncomingMessage,
  MessageBuilder,
  MessageDef,
  MiddlewareFn,
  OutgoingMessage,
  RoomOperations,
  Sender,
  StandardSchemaV1,
  Zocket,
  ZocketContext,
} from "./dist/public.js";

// Serving
export type {
  ErrorCode,
  ErrorInfo,
  RefusalReason,
  ServerMetrics,
  ServerOptions,
  ZocketServer,
} from "./dist/public.js";

// The client
export type {
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOptions,
  ClientSend,
  Jsonify,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./dist/public.js";

// Needed by name where TypeScript writes declarations for what it inferred from the above
export type {
  Added,
  AnyServer,
  Carried,
  Merge,
  Middlewares,
  MiddlewareResult,
  NoRouter,
  OutgoingPayloads,
  PayloadArguments,
  RoutedServer,
  Rooms,
  RouteTable,
  UntypedSender,
} from "./dist/public.js";

// The wire
export type { ErrorPayload, Issue, MessageErrorCode } from "./dist/public.js";

export namespace zocket {
  /**
   * Defines who may connect, and what handlers know about each client. Returns the message builder and the router. Nothing
   * listens yet: `createServer` starts the server.
   *
   * Write `onConnect` before `onDisconnect`, because TypeScript infers the user context in that order.
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
   * @throws `TypeError` if `headers` is not a Standard Schema or a callback is not a function.
   */
  function create<THeadersSchema extends StandardSchemaV1, TUserContext = {}>(config: {
    /** The schema that checks the headers of a client: Zod, Valibot, ArkType or any other Standard Schema. */
    headers: THeadersSchema;
    /**
     * Called when a client connects, before the 101. Its result becomes part of `ctx`. If it throws, the server refuses the
     * client with 403, or with the `status` of the error if that is an integer from 400 to 599.
     */
    onConnect?: (
      headers: StandardSchemaV1.InferOutput<THeadersSchema>,
      clientId: string,
    ) => TUserContext | Promise<TUserContext>;
    /** Called exactly once for each client whose `onConnect` succeeded, when that client is gone. */
    onDisconnect?: (ctx: DisconnectContext<TUserContext>, clientId: string) => void | Promise<void>;
  }): Zocket<THeadersSchema, TUserContext>;
}

export default zocket;

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
>(
  appRouter: AppRouter<TRoutes, TUserContext>,
  zo: Zocket<THeadersSchema, TUserContext>,
  options?: ServerOptions,
): ZocketServer<TRoutes>;

/**
 * Connects to a server and returns a client that is typed by the server's router. The client reconnects by itself until you
 * close it. `@zocket/core/client` exports the same function, without anything native.
 *
 * @example
 * ```ts
 * const client = createZocketClient<AppRouter>("ws://localhost:3000", {
 *   headers: { authorization: token },
 * });
 * client.on.chat.onMessage(({ text }) => console.log(text));
 * client.send.chat.message({ text: "Hello" });
 * ```
 *
 * @throws `TypeError` that names a wrong URL or option, or if there is no `WebSocket`.
 */
export function createZocketClient<TRouter extends AnyRouter = NoRouter>(
  url: string | URL,
  options?: ClientOptions<NoInfer<TRouter>>,
): ZocketClient<TRouter>;
