// Small helpers that shape object types, so that hovers show plain objects.

/** The same type with its properties written out. */
export type Simplify<TObject> = { [TKey in keyof TObject]: TObject[TKey] } & {};

/** The properties that have a name of their own, so not those that an index signature allows. */
export type Named<TObject> = {
  [
    TKey in keyof TObject as string extends TKey
      ? never
      : number extends TKey
        ? never
        : symbol extends TKey
          ? never
          : TKey
  ]: TObject[TKey];
};

type OptionalKeys<TObject> = {
  [TKey in keyof TObject]-?: {} extends Pick<TObject, TKey> ? TKey : never;
}[keyof TObject];

/** The type of `{ ...base, ...over }`. An optional property of `TOver` may also keep the type that it has in `TBase`. */
export type Merge<TBase, TOver> = TBase extends unknown
  ? TOver extends unknown
    ? Simplify<
        Omit<TBase, keyof TOver> &
          Omit<TOver, OptionalKeys<TOver> & keyof TBase> & {
            [TKey in OptionalKeys<TOver> & keyof TBase]:
              TBase[TKey] | Exclude<TOver[TKey], undefined>;
          }
      >
    : never
  : never;

/**
 * The properties that the result of a callback adds to a context. For `void` it is nothing. If the result may be `undefined`, its properties
 * are optional. For `any`, all properties are `unknown`.
 */
export type Added<TResult> = unknown extends TResult
  ? Record<string, unknown>
  : [TResult] extends [object]
    ? TResult
    : [Extract<TResult, object>] extends [never]
      ? {}
      : Partial<Extract<TResult, object>>;

/** The same type, with `unknown` for `any`. */
export type Known<TValue> = unknown extends TValue ? unknown : TValue;

/** The arguments of a function that takes one payload. The payload is optional if it may be `undefined`. */
export type PayloadArguments<TPayload> = unknown extends TPayload
  ? [payload?: unknown]
  : undefined extends TPayload
    ? [payload?: TPayload]
    : [payload: TPayload];
