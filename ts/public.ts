// The public types, all in one place. Only index.d.ts reads this file. A file of ts/ that imported it would pull the server's types
// and Node's into a browser's build.
export type { StandardSchemaV1 } from "@standard-schema/spec";
export type { BusMetrics } from "./bus/metrics.js";
export type {
  ClientCall,
  ClientCloseEvent,
  ClientError,
  ClientOn,
  ClientOnce,
  ClientOptions,
  ClientSend,
  ClientState,
  MessageIterator,
  NoRouter,
  OnceOptions,
  Subscribe,
  Unsubscribe,
  WebSocketClass,
  WebSocketLike,
  ZocketClient,
} from "./client/types.js";
export type { ErrorPayload, Issue, MessageErrorCode, RefusedPayload } from "./envelope.js";
export type { ErrorCode, ErrorInfo } from "./faults/codes.js";
export type {
  AnyServer,
  RefusalReason,
  RoutedServer,
  ServerMetrics,
  ServerOptions,
  TlsIdentity,
  TlsOptions,
  WorkerMetrics,
  ZocketServer,
} from "./server/types.js";
export type { MessageBuilder, MiddlewareFn, MiddlewareResult } from "./types/builder.js";
export type { BytesLike, BytesOptions, BytesSchema } from "./types/bytes.js";
export type { Call, CallError, CallOptions, CallResult, Fail, StreamCall } from "./types/call.js";
export type { Carried } from "./types/carried.js";
export type {
  AnySender,
  DisconnectContext,
  FluentSender,
  OutgoingPayloads,
  RoomOperations,
  Rooms,
  Sender,
  SendOptions,
  UntypedSender,
  ZocketContext,
} from "./types/context.js";
export type { DisconnectInfo, DisconnectOptions } from "./types/disconnect.js";
export type { PartialError } from "./types/partial.js";
export type { HandlerBuilder } from "./types/guarded.js";
export type { Jsonify } from "./types/json.js";
export type {
  AnyMessage,
  IncomingMessage,
  MessageDef,
  Middlewares,
  OutgoingMessage,
} from "./types/message.js";
export type { AllHandlers, AppRouter, HandlerFn, Handlers } from "./types/router.js";
export type { AnyRouter, AnyRoutes, RouteTable } from "./types/routes.js";
export type { Added, Merge, PayloadArguments } from "./types/shape.js";
export type { Transformed } from "./types/transformed.js";
export type { HasTransformer, NoTransformer, Transformer } from "./types/transformer.js";
export type { UpgradeRequest } from "./types/upgrade-request.js";
export type { RouterFunction, Zocket } from "./types/zocket.js";
export type { CallErrorCode } from "./zocket-error.js";
