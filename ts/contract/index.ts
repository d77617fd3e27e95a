// The entry `@zocket/core/contract`: message definitions without the addon, for a package that server and clients share.
export { bytes } from "./bytes.js";
export { message } from "./message.js";
export type { MessageBuilder } from "../types/builder.js";
export type { BytesLike, BytesOptions, BytesSchema } from "../types/bytes.js";
export type { AnyMessage, IncomingMessage, MessageDef, OutgoingMessage } from "../types/message.js";
export type { AnyRouter, AnyRoutes } from "../types/routes.js";
