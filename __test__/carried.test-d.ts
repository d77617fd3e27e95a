// What a client may send: what JSON carries of the schema's input. The rest is a text that the compiler shows.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import { createZocketClient, zocket, type Carried, type ZocketClient } from "@zocket/core";

type NoDate =
  "JSON cannot carry a Date: let the schema take a string, as z.coerce.date() and z.iso.datetime() do";
type NoBigint =
  "JSON cannot carry a bigint: let the schema take a string, as z.coerce.bigint() does";
type NoMap = "JSON cannot carry a Map: let the schema take an array of entries";
type NoSet = "JSON cannot carry a Set: let the schema take an array";
type NoBytes =
  "JSON cannot carry bytes: make zo.bytes() the whole payload, or let the schema take base64 text";
type NoUndefined = "JSON cannot carry undefined in an array";

interface Leaf {
  name: string;
}
interface Tree {
  readonly name: string;
  at?: Date;
  inner: Tree[];
}
type Leaves = Leaf | Leaves[];
type Dates = Date | Dates[];
declare const brand: unique symbol;
type Branded = string & { readonly [brand]: "UserId" };
class Money {
  amount = 1;
  format(): string {
    return "";
  }
}

// What JSON carries stays as it is.
expectTypeOf<Carried<string>>().toEqualTypeOf<string>();
expectTypeOf<Carried<"a" | 1 | true | null | undefined>>().toEqualTypeOf<
  "a" | 1 | true | null | undefined
>();
expectTypeOf<Carried<Branded>>().toEqualTypeOf<Branded>();
expectTypeOf<Carried<{ a?: string; readonly b: (number | null)[] }>>().toEqualTypeOf<{
  a?: string;
  readonly b: (number | null)[];
}>();
expectTypeOf<Carried<Leaf[]>>().toEqualTypeOf<Leaf[]>();
expectTypeOf<Carried<readonly Leaf[]>>().toEqualTypeOf<readonly Leaf[]>();
expectTypeOf<Carried<[string, ...number[]]>>().toEqualTypeOf<[string, ...number[]]>();
expectTypeOf<Carried<Record<string, Leaf>>>().toEqualTypeOf<Record<string, Leaf>>();
expectTypeOf<Carried<unknown>>().toEqualTypeOf<unknown>();
expectTypeOf<Carried<never>>().toBeNever();
expectTypeOf<Carried<{}>>().toEqualTypeOf<{}>();
expectTypeOf<Carried<object>>().toEqualTypeOf<object>();

// What it does not carry becomes a text, wherever it is.
expectTypeOf<Carried<Date>>().toEqualTypeOf<NoDate>();
expectTypeOf<Carried<bigint>>().toEqualTypeOf<NoBigint>();
expectTypeOf<Carried<Map<string, number>>>().toEqualTypeOf<NoMap>();
expectTypeOf<Carried<ReadonlySet<string>>>().toEqualTypeOf<NoSet>();
expectTypeOf<
  Carried<Uint8Array | ArrayBuffer | DataView | Buffer | Blob>
>().toEqualTypeOf<NoBytes>();
expectTypeOf<Carried<symbol>>().toEqualTypeOf<"JSON cannot carry a symbol">();
expectTypeOf<Carried<() => void>>().toEqualTypeOf<"JSON cannot carry a function">();
expectTypeOf<Carried<typeof Money>>().toEqualTypeOf<"JSON cannot carry a function">();
expectTypeOf<Carried<Promise<string>>>().toEqualTypeOf<"JSON cannot carry a promise: await it">();
expectTypeOf<
  Carried<URL>
>().toEqualTypeOf<"JSON cannot carry an object with toJSON(): let the schema take what that returns">();
expectTypeOf<Carried<Money>["format"]>().toEqualTypeOf<"JSON cannot carry a function">();
expectTypeOf<Carried<{ a: { b: readonly [Date, 1] }[]; c?: bigint }>>().toEqualTypeOf<{
  a: { b: readonly [NoDate, 1] }[];
  c?: NoBigint;
}>();
expectTypeOf<Carried<Date | number>>().toEqualTypeOf<NoDate | number>();
expectTypeOf<Carried<(number | undefined)[]>>().toEqualTypeOf<(number | NoUndefined)[]>();
expectTypeOf<Carried<Record<string, Date>>>().toEqualTypeOf<Record<string, NoDate>>();
expectTypeOf<Carried<{ kind: "a"; at: Date } | { kind: "b" }>>().toEqualTypeOf<
  { kind: "a"; at: NoDate } | { kind: "b" }
>();

// Types that contain themselves end.
expectTypeOf<
  NonNullable<Carried<Tree>["inner"][number]["inner"][number]["at"]>
>().toEqualTypeOf<NoDate>();
declare const leaves: Leaves;
const carriedLeaves: Carried<Leaves> = leaves;
void carriedLeaves;
// @ts-expect-error a Date, however deep
const carriedDates: Carried<Dates> = [[new Date()]];
void carriedDates;

const { message, router } = zocket.create({ headers: z.object({}) });
const category = z.object({
  name: z.string(),
  get inner() {
    return z.array(category);
  },
});
const routes = {
  at: message.incoming({ payload: z.date() }),
  map: message.incoming({ payload: z.map(z.string(), z.date()) }),
  set: message.incoming({ payload: z.set(z.string()) }),
  big: message.incoming({ payload: z.bigint() }),
  file: message.incoming({ payload: z.file() }),
  optional: message.incoming({ payload: z.date().optional() }),
  union: message.incoming({ payload: z.union([z.date(), z.number()]) }),
  deep: message.incoming({
    payload: z.object({ list: z.array(z.record(z.string(), z.tuple([z.date()]))) }),
  }),
  coerced: message.incoming({ payload: z.object({ at: z.coerce.date(), n: z.coerce.bigint() }) }),
  transformed: message.incoming({
    payload: z.iso.datetime().transform((text) => new Date(text)),
  }),
  json: message.incoming({ payload: z.json() }),
  category: message.incoming({ payload: category }),
  any: message.incoming({ payload: z.any() }),
};
const app = router(routes, {});
const { send } = createZocketClient<typeof app>("ws://localhost:3000");

expectTypeOf(send.at).parameters.toEqualTypeOf<[payload: NoDate]>();
// @ts-expect-error a Date
send.at(new Date());
// @ts-expect-error a Map
send.map(new Map());
// @ts-expect-error a Set
send.set(new Set());
// @ts-expect-error a bigint
send.big(1n);
// @ts-expect-error a File
send.file(new File([], ""));
// @ts-expect-error a Date
send.optional(new Date());
send.optional();
// @ts-expect-error a Date
send.union(new Date());
send.union(1);
// @ts-expect-error a Date in a tuple in a record in an array in an object
send.deep({ list: [{ a: [new Date()] }] });
send.deep({ list: [] });
send.coerced({ at: new Date(), n: "1" });
send.transformed("2026-01-01T00:00:00Z");
send.json({ a: [1, { b: null }] });
send.category({ name: "", inner: [{ name: "", inner: [] }] });
send.any(new Date());
expectTypeOf(send.any).parameters.toEqualTypeOf<[payload?: unknown]>();

// Without the type of a router the client says what is missing.
const untyped = createZocketClient("ws://localhost:3000");
type Missing =
  "the type of the router is missing: createZocketClient<AppRouter>(url), useZocket<AppRouter>()";
expectTypeOf(untyped.send).toEqualTypeOf<Missing>();
expectTypeOf(untyped.on).toEqualTypeOf<Missing>();
// @ts-expect-error the router's type is missing
untyped.send.at("");
untyped.onOpen(() => untyped.close());
const fromTheLeft: ZocketClient<typeof routes> = createZocketClient("ws://localhost:3000");
void fromTheLeft;
