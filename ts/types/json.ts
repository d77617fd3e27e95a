// What JSON makes of a value's type: the truth about what a client receives.
import type { Simplify } from "./shape.js";

type NotJson = undefined | void | symbol | ((...args: never) => unknown);

/**
 * What `JSON.parse(JSON.stringify(value))` gives: `toJSON` is asked (so a Date is a string), functions, symbols and
 * `undefined` vanish, a `Map` or `Set` is `{}`, and a bigint is `never`, as it cannot be sent.
 */
export type Jsonify<TValue> = 0 extends 1 & TValue
  ? unknown
  : unknown extends TValue
    ? unknown
    : TValue extends { toJSON(...args: never): infer TJson }
      ? Jsonify<TJson>
      : TValue extends string | number | boolean | null
        ? TValue
        : TValue extends NotJson
          ? undefined
          : TValue extends bigint
            ? never
            : TValue extends readonly unknown[]
              ? { [TIndex in keyof TValue]: JsonElement<TValue[TIndex]> }
              : TValue extends ArrayBufferView
                ? { [index: string]: number }
                : TValue extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | RegExp
                  ? {}
                  : JsonObject<TValue>;

/** In an array, what JSON does not know becomes `null`. */
type JsonElement<TValue> = unknown extends TValue
  ? unknown
  : Jsonify<Exclude<TValue, NotJson>> | ([Extract<TValue, NotJson>] extends [never] ? never : null);

type JsonObject<TValue> = Simplify<
  {
    [TKey in keyof TValue as Presence<TKey, TValue[TKey]> extends "always" ? TKey : never]: Jsonify<
      TValue[TKey]
    >;
  } & {
    [
      TKey in keyof TValue as Presence<TKey, TValue[TKey]> extends "sometimes" ? TKey : never
    ]?: Jsonify<Exclude<TValue[TKey], NotJson>>;
  }
>;

/** Whether a property survives. */
type Presence<TKey, TValue> = TKey extends symbol
  ? "never"
  : [TValue] extends [never]
    ? "always"
    : unknown extends TValue
      ? "sometimes"
      : [TValue] extends [NotJson]
        ? "never"
        : [Extract<TValue, NotJson>] extends [never]
          ? "always"
          : "sometimes";
