// The type of what a client may send: the part of a schema's input that JSON can carry. Other parts become a text that says so, and
// compilers show that text in their errors.

/** The types that JSON carries as they are. Interfaces are not among them: their properties are checked one by one. */
type Json = Plain | undefined | readonly JsonItem[] | { readonly [name: string]: Json };

/** The same in an array, where JSON has no `undefined`. */
type JsonItem = Plain | readonly JsonItem[] | { readonly [name: string]: Json };

type Plain = string | number | boolean | null;

/**
 * The type that a client may send for `TValue`. It has a text in the place of each part that JSON cannot carry: a `Date`, a
 * bigint, a `Map`, a `Set`, bytes, a function. This holds at any depth.
 *
 * @example
 * ```ts
 * type Sent = Carried<{ name: string; at: Date }>; // { name: string; at: "JSON cannot carry a Date: …" }
 * ```
 */
export type Carried<TValue> = unknown extends TValue
  ? unknown
  : TValue extends Json | void
    ? TValue
    : TValue extends bigint
      ? "JSON cannot carry a bigint: let the schema take a string, as z.coerce.bigint() does"
      : TValue extends symbol
        ? "JSON cannot carry a symbol"
        : TValue extends ((...args: never) => unknown) | (abstract new (...args: never) => unknown)
          ? "JSON cannot carry a function"
          : TValue extends readonly (infer TItem)[]
            ? CarriedList<TValue, TItem>
            : CarriedObject<TValue>;

/** Lists and tuples. `Item[]` is looked at when it is needed, unlike a mapped type, so that lists of themselves end. */
type CarriedList<TValue, TItem> = TItem[] extends TValue
  ? TValue extends unknown[]
    ? CarriedItem<TItem>[]
    : readonly CarriedItem<TItem>[]
  : { [TIndex in keyof TValue]: CarriedItem<TValue[TIndex]> };

type CarriedItem<TValue> = unknown extends TValue
  ? unknown
  : | Carried<Exclude<TValue, undefined>>
    | (undefined extends TValue ? "JSON cannot carry undefined in an array" : never);

type CarriedObject<TValue> = TValue extends Date
  ? "JSON cannot carry a Date: let the schema take a string, as z.coerce.date() and z.iso.datetime() do"
  : TValue extends ReadonlyMap<unknown, unknown>
    ? "JSON cannot carry a Map: let the schema take an array of entries"
    : TValue extends ReadonlySet<unknown>
      ? "JSON cannot carry a Set: let the schema take an array"
      : TValue extends ArrayBufferLike | ArrayBufferView | File
        ? "JSON cannot carry bytes: make zo.bytes() the whole payload, or let the schema take base64 text"
        : TValue extends RegExp
          ? "JSON cannot carry a RegExp: let the schema take its source"
          : TValue extends PromiseLike<unknown>
            ? "JSON cannot carry a promise: await it"
            : TValue extends { toJSON(...args: never): infer TJson }
              ? TJson extends TValue
                ? TValue
                : "JSON cannot carry an object with toJSON(): let the schema take what that returns"
              : [keyof TValue] extends [never]
                ? TValue
                : {
                    [TKey in keyof TValue]: TKey extends symbol
                      ? TValue[TKey]
                      : Carried<TValue[TKey]>;
                  };

/** A `Blob` or a `File`, by its members. Their types are not declared everywhere. */
interface File {
  readonly size: number;
  readonly type: string;
  arrayBuffer(): PromiseLike<ArrayBufferLike>;
}
