// The transformer of payloads: the option of `zocket.create` and of `createZocketClient`.

/**
 * Turns payloads into values that JSON carries, and back. superjson is one. Its functions do not return promises. Server and
 * client must have the same one.
 */
export interface Transformer<TJson = unknown> {
  /** Returns a value that JSON carries. */
  serialize(value: unknown): TJson;
  /** Returns what `serialize` was given. Its argument comes from the other side, which may be hostile. */
  deserialize(json: unknown): unknown;
}

/** Stands for what a transformer returns, if there is none. */
export interface NoTransformer {
  readonly [none]: never;
}

declare const none: unique symbol;

/** Whether there is a transformer, which returns `TJson`. */
export type HasTransformer<TJson> = 0 extends 1 & TJson
  ? true
  : [NoTransformer] extends [TJson]
    ? [TJson] extends [NoTransformer]
      ? false
      : true
    : true;
