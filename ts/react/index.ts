"use client";
// The hooks for React. They stand on the client alone. The line above tells frameworks with server components that these run in the page.
export { createZocketReact, type ZocketReact } from "./create.js";
export { useCall } from "./use-call.js";
export { useConnection } from "./use-connection.js";
export { useEvent } from "./use-event.js";
export { useZocket } from "./use-zocket.js";
export { ZocketProvider } from "./provider.js";
export type {
  CallHook,
  CallHookOptions,
  ConnectionHook,
  StreamHook,
  TransformerProp,
  ZocketHook,
  ZocketProviderProps,
} from "./types.js";
