// The public types, and those that the run time shares with them. Types only; the files in types/ hold one idea each.
export type { StandardSchemaV1 } from "@standard-schema/spec";
export type { MessageBuilder, MiddlewareFn, MiddlewareResult } from "./types/builder.js";
export type {
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOptions,
  ClientSend,
  NoRouter,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./types/client.js";
export type {
  AnySender,
  DisconnectContext,
  FluentSender,
  OutgoingPayloads,
  RoomOperations,
  Rooms,
  Sender,
  UntypedSender,
  ZocketContext,
} from "./types/context.js";
export type { Carried } from "./types/carried.js";
export type { Jsonify } from "./types/json.js";
export type {
  AnyMessage,
  Direction,
  IncomingMessage,
  MessageDef,
  Middlewares,
  OutgoingMessage,
} from "./types/message.js";
export type { AppRouter, HandlerFn, Handlers } from "./types/router.js";
export type { AnyRouter, AnyRoutes, IncomingRoute, RoutesOf, RouteTable } from "./types/routes.js";
export type { Added, Merge, PayloadArguments } from "./types/shape.js";
export type {
  AnyServer,
  ErrorCode,
  ErrorInfo,
  RefusalReason,
  RoutedServer,
  ServerMetrics,
  ServerOptions,
  ZocketServer,
} from "./types/server.js";
export type { Zocket } from "./types/zocket.js";
