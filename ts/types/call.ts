// Calls: messages that their handler answers. What a handler gets and returns, and what a client is told.
import type { StandardSchemaV1 } from "@standard-schema/spec";

import type { CallErrorCode, ZocketError } from "../zocket-error.js";
import type { Accepted, Delivered } from "./bytes.js";
import type { ErrorSchemas, IncomingMessage } from "./message.js";
import type { KeyOf } from "./routes.js";
import type { PayloadArguments } from "./shape.js";
import type { IsTransformed, Received } from "./transformed.js";

/** The type of the global `AbortSignal`, where there is one. */
export type Signal = typeof globalThis extends {
  readonly AbortSignal: { readonly prototype: infer TSignal };
}
  ? TSignal
  : { readonly aborted: boolean; readonly reason: unknown };

/** What a handler returns for a `reply` and a `stream`: nothing, the reply, or a generator of the items. */
export type HandlerResult<TReply, TStream> = TStream extends StandardSchemaV1
  ? Items<StandardSchemaV1.InferInput<TStream>, Returned<TReply>>
  : TReply extends StandardSchemaV1
    ? Later<StandardSchemaV1.InferInput<TReply>>
    : void | Promise<void>;

/** A value, or a promise of it. A compiler that had only `PromiseLike` to compare with would look at each `then` of each handler. */
type Later<TValue> = TValue | Promise<TValue> | PromiseLike<TValue>;

type Items<TItem, TReturned> =
  AsyncGenerator<TItem, TReturned, void> | Generator<TItem, TReturned, void>;

type Returned<TReply> = TReply extends StandardSchemaV1
  ? StandardSchemaV1.InferInput<TReply>
  : void;

/**
 * Makes an error to throw: `throw fail("ROOM_FULL", { limit: 50 })`. It takes the codes of the message's `errors` alone, each with
 * its data.
 */
export type Fail<TErrors> = <TCode extends keyof TErrors & string>(
  code: TCode,
  ...data: PayloadArguments<FailData<TErrors>[TCode]>
) => ZocketError<TCode, FailData<TErrors>[TCode]>;

// Looked up by the code. To work it out for a code that is still inferred would cost each call of `fail` several times as much.
type FailData<TErrors> = { [TCode in keyof TErrors]: Input<TErrors[TCode]> };

type Input<TSchema> = TSchema extends {
  readonly "~standard": { readonly types?: { readonly input: infer TInput } | undefined };
}
  ? TInput
  : never;

/** The errors that a call rejects with: the declared ones with their data, and those of the library. */
export type CallError<TErrors, TTransformed = false> =
  | {
      [TCode in keyof TErrors]: ZocketError<TCode & string, Data<TErrors[TCode], TTransformed>>;
    }[keyof TErrors]
  | ZocketError<CallErrorCode, undefined>;

type Data<TSchema, TTransformed> = TSchema extends {
  readonly "~standard": { readonly types?: { readonly output: infer TOutput } | undefined };
}
  ? Received<TOutput, TTransformed>
  : never;

/** What `safe()` resolves to. */
export type CallResult<TReply, TError> =
  | {
      /** Whether the call has a reply. Test it before you read `data` or `error`. */
      readonly ok: true;
      /** The reply. */
      readonly data: TReply;
    }
  | {
      /** Whether the call has a reply. Test it before you read `data` or `error`. */
      readonly ok: false;
      /** Why the call failed. */
      readonly error: TError;
    };

/** A call that is under way: a promise of its reply. */
export interface Call<TReply, TError> extends Promise<TReply> {
  /** A promise of the reply or of the error. It never rejects. */
  safe(): Promise<CallResult<TReply, TError>>;
}

/** A call with a stream: a promise of its reply, and an iterable of its items. Only one iterator can be taken. */
export interface StreamCall<TItem, TReply, TError>
  extends Call<TReply, TError>, AsyncIterable<TItem> {}

/** Options of one call. */
export interface CallOptions {
  /**
   * The time in ms until the call rejects with `TIMEOUT`, from 0; 0 is no limit. For a stream it counts from the last item.
   * @default the client's `callTimeout`
   */
  readonly timeout?: number | undefined;
  /** Aborts the call. The promise then rejects with the reason of the signal. */
  readonly signal?: Signal | undefined;
}

/** The calls among the incoming routes as functions. */
export type CallsAt<TRoute, TUnroutable> =
  TRoute extends IncomingMessage<infer TSchema, unknown, infer TReply, infer TStream, infer TErrors>
    ? CallFunction<TSchema, TReply, TStream, TErrors, IsTransformed<TRoute>>
    : {
        readonly [
          TKey in keyof TRoute as Exclude<CallKey<TKey, TRoute[TKey]>, TUnroutable>
        ]: CallsAt<TRoute[TKey], TUnroutable>;
      };

type CallFunction<TSchema extends StandardSchemaV1, TReply, TStream, TErrors, TTransformed> = (
  ...args: CallArguments<Accepted<TSchema, TTransformed>>
) => CallOf<TReply, TStream, Declared<TErrors>, TTransformed>;

type CallOf<TReply, TStream, TErrors, TTransformed> = TStream extends StandardSchemaV1
  ? StreamCall<
      Answer<TStream, TTransformed>,
      Answer<TReply, TTransformed>,
      CallError<TErrors, TTransformed>
    >
  : Call<Answer<TReply, TTransformed>, CallError<TErrors, TTransformed>>;

/** The payload, which may be left out if it may be `undefined`, and the options. */
type CallArguments<TPayload> = undefined extends TPayload
  ? [payload?: TPayload, options?: CallOptions]
  : [payload: TPayload, options?: CallOptions];

/** What a client gets of what a schema returns. */
type Answer<TSchema, TTransformed> = TSchema extends StandardSchemaV1
  ? Delivered<TSchema, TTransformed>
  : undefined;

/** The declared errors, `{}` for none. */
export type Declared<TErrors> = TErrors extends ErrorSchemas ? TErrors : {};

/** `TKey` if there is a call under it. */
type CallKey<TKey, TRoute> = true extends HasCall<TRoute> ? KeyOf<TKey, TRoute, "in"> : never;

type HasCall<TRoute> = TRoute extends { readonly _direction: "in" }
  ? TRoute extends { readonly _answer?: readonly [undefined, undefined, unknown] }
    ? false
    : true
  : TRoute extends { readonly _direction: "out" }
    ? false
    : string extends keyof TRoute
      ? true
      : { [TKey in keyof TRoute]: HasCall<TRoute[TKey]> }[keyof TRoute];

/** `TKey` if there is a message under it that a client can send without waiting: one without a `stream`. */
export type SendKey<TKey, TRoute> =
  true extends HasSend<TRoute> ? KeyOf<TKey, TRoute, "in"> : never;

type HasSend<TRoute> = TRoute extends { readonly _direction: "in" }
  ? TRoute extends { readonly _answer?: readonly [unknown, undefined, unknown] }
    ? true
    : false
  : TRoute extends { readonly _direction: "out" }
    ? false
    : string extends keyof TRoute
      ? true
      : { [TKey in keyof TRoute]: HasSend<TRoute[TKey]> }[keyof TRoute];
