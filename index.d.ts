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
} from "./dist/types.js";

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
} from "./dist/types.js";

// Serving
export type {
  ErrorCode,
  ErrorInfo,
  RefusalReason,
  ServerMetrics,
  ServerOptions,
  ZocketServer,
} from "./dist/types.js";

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
} from "./dist/types.js";

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
} from "./dist/types.js";

// The wire
export type { ErrorPayload, Issue, MessageErrorCode } from "./dist/envelope.js";

export namespace zocket {
  /**
   * Creates a Zocket server instance with configuration for headers, connection lifecycle, and context.
   *
   * `onConnect` stands before `onDisconnect`, as TypeScript infers the user context in that order.
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
   * @throws `TypeError` if `headers` is no Standard Schema or a callback is no function.
   */
  function create<THeadersSchema extends StandardSchemaV1, TUserContext = {}>(config: {
    /** Schema for validating client headers: Zod, Valibot, ArkType or any other Standard Schema. */
    headers: THeadersSchema;
    /**
     * Called when a client connects, before the 101; what it returns becomes part of `ctx`, and what it throws refuses the
     * client with 403, or with its own `status` from 400 to 599.
     */
    onConnect?: (
      headers: StandardSchemaV1.InferOutput<THeadersSchema>,
      clientId: string,
    ) => TUserContext | Promise<TUserContext>;
    /** Called exactly once when a client that connected is gone, whatever the reason. */
    onDisconnect?: (ctx: DisconnectContext<TUserContext>, clientId: string) => void | Promise<void>;
  }): Zocket<THeadersSchema, TUserContext>;
}

export default zocket;

/**
 * Starts to listen at once, and returns the server. Defaults: port 3000 on all interfaces.
 *
 * @example
 * ```ts
 * const server = createServer(appRouter, zo, { port: 3000 });
 * server.send.chat.onMessage({ from: "server", text: "I am up" }).broadcast();
 * process.once("SIGTERM", () => server.stop());
 * ```
 *
 * @throws `TypeError` naming a wrong option; `Error` with a `code` such as `EADDRINUSE` if it cannot listen.
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
 * Connects to a server and returns a client typed by its router; also in `@zocket/core/client`, without anything native.
 * It reconnects by itself until it is closed.
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
 * @throws `TypeError` naming a wrong URL or option, or where there is no `WebSocket`.
 */
export function createZocketClient<TRouter extends AnyRouter = NoRouter>(
  url: string | URL,
  options?: ClientOptions<NoInfer<TRouter>>,
): ZocketClient<TRouter>;
