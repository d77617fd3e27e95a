// The type of a value after JSON, which is what a client receives.
import type { Simplify } from "./shape.js";

/** Types that `JSON.stringify` leaves out of objects, and turns into `null` in arrays. */
type NotJson =
  | undefined
  | void
  | symbol
  | ((...args: never) => unknown)
  | (abstract new (...args: never) => unknown);

/** Objects whose JSON differs from their properties. */
type Exotic = ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | RegExp | Error | BufferSource;

type BufferSource = ArrayBufferLike | ArrayBufferView;

/**
 * The type of `JSON.parse(JSON.stringify(value))`, which is what a listener on the client gets.
 *
 * - An object with `toJSON` becomes what that returns, so a Date is a string.
 * - In objects, JSON leaves out symbols, functions and `undefined`. A property that may be one of them is optional. In arrays
 *   they become `null`.
 * - A Map, a Set and a RegExp become `{}`. A bigint is `never`, because sending it throws.
 * - `any` and `unknown` are `unknown`. Text and numbers keep their literals and brands.
 *
 * The type cannot show that NaN and the infinities become `null`, nor that JSON leaves out the getters of a class.
 *
 * @example
 * ```ts
 * type Sent = { at: Date; by?: string; tags: Set<string>; format(): string };
 * type Received = Jsonify<Sent>; // { at: string; by?: string; tags: {} }
 * ```
 */
export type Jsonify<TValue> = unknown extends TValue
  ? unknown
  : TValue extends string | number | boolean | null
    ? TValue
    : TValue extends NotJson
      ? undefined
      : TValue extends bigint
        ? never
        : TValue extends { toJSON(...args: never): infer TJson }
          ? Jsonify<TJson>
          : TValue extends readonly unknown[]
            ? { [TIndex in keyof TValue]: JsonElement<Jsonify<TValue[TIndex]>> }
            : TValue extends Exotic
              ? JsonExotic<TValue>
              : JsonObject<TValue>;

/** In an array, what JSON does not know becomes `null`. */
type JsonElement<TJson> = unknown extends TJson ? unknown : TJson extends undefined ? null : TJson;

type JsonExotic<TValue> = TValue extends {
  readonly BYTES_PER_ELEMENT: number;
  readonly [index: number]: infer TItem;
}
  ? { [index: string]: Jsonify<TItem> }
  : TValue extends Error
    ? JsonError<TValue>
    : {};

/** The properties of an error are not enumerable. An object that only looks like one, `{ name, message }`, is an ordinary object. */
type JsonError<TValue> = "stack" extends keyof TValue
  ? JsonObject<Omit<TValue, "name" | "message" | "stack" | "cause">>
  : JsonObject<TValue>;

// Most objects have nothing to leave out, and one mapped type is a third of the work.
type JsonObject<TValue> =
  Gaps<TValue> extends never
    ? { [TKey in keyof TValue]: Jsonify<TValue[TKey]> }
    : Simplify<
        {
          [
            TKey in keyof TValue as Presence<TValue[TKey]> extends "always"
              ? Exclude<TKey, symbol>
              : never
          ]: Jsonify<TValue[TKey]>;
        } & {
          [
            TKey in keyof TValue as Presence<TValue[TKey]> extends "sometimes"
              ? Exclude<TKey, symbol>
              : never
          ]?: Jsonify<Exclude<TValue[TKey], NotJson>>;
        }
      >;

/** Something for an object of which JSON leaves out properties, or may leave them out. */
type Gaps<TValue> =
  Extract<keyof TValue, symbol> | { [TKey in keyof TValue]-?: Gap<TValue[TKey]> }[keyof TValue];

/** `never` for what JSON always has. Most properties are text or numbers, so these come first. */
type Gap<TValue> = unknown extends TValue
  ? true
  : [TValue] extends [string | number | boolean | null]
    ? never
    : [Extract<TValue, NotJson>] extends [never]
      ? never
      : true;

/** Whether a property survives. It is asked of its type as sent, so that recursive types end. */
type Presence<TValue> = [TValue] extends [never]
  ? "always"
  : unknown extends TValue
    ? "sometimes"
    : [TValue] extends [NotJson]
      ? "never"
      : [Extract<TValue, NotJson>] extends [never]
        ? "always"
        : "sometimes";
