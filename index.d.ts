// The names and types of the package. Each is declared once, in the file of ts/ that has it.
export { createServer } from "./dist/server/index.js";
export { createZocketClient } from "./dist/client/index.js";
export { zocket, zocket as default } from "./dist/zocket.js";
export { ZocketError } from "./dist/zocket-error.js";

// Making messages and routers
export type {
  AllHandlers,
  AnyMessage,
  AnyRouter,
  AnyRoutes,
  AnySender,
  AppRouter,
  BytesLike,
  BytesOptions,
  BytesSchema,
  DisconnectContext,
  DisconnectInfo,
  DisconnectOptions,
  Fail,
  FluentSender,
  HandlerBuilder,
  HandlerFn,
  Handlers,
  IncomingMessage,
  MessageBuilder,
  MessageDef,
  MiddlewareFn,
  OutgoingMessage,
  RoomOperations,
  RouterFunction,
  Sender,
  SendOptions,
  StandardSchemaV1,
  Transformer,
  UpgradeRequest,
  Zocket,
  ZocketContext,
} from "./dist/public.js";

// Serving
export type {
  ErrorCode,
  ErrorInfo,
  PartialError,
  RefusalReason,
  ServerMetrics,
  ServerOptions,
  TlsIdentity,
  TlsOptions,
  ZocketServer,
} from "./dist/public.js";

// The client
export type {
  Call,
  CallError,
  CallErrorCode,
  CallOptions,
  CallResult,
  ClientCall,
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOnce,
  ClientOptions,
  ClientSend,
  ClientState,
  Jsonify,
  MessageIterator,
  OnceOptions,
  StreamCall,
  Subscribe,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./dist/public.js";

// Needed by name where TypeScript writes declarations for what it inferred from the above
export type {
  Added,
  AnyServer,
  BusMetrics,
  Carried,
  HasTransformer,
  Merge,
  Middlewares,
  MiddlewareResult,
  NoRouter,
  NoTransformer,
  OutgoingPayloads,
  PayloadArguments,
  RoutedServer,
  Rooms,
  RouteTable,
  Transformed,
  UntypedSender,
  WorkerMetrics,
} from "./dist/public.js";

// The wire
export type { ErrorPayload, Issue, MessageErrorCode, RefusedPayload } from "./dist/public.js";
