// The exact types of what a client receives; `payload-types.spec.ts` shows that JSON really looks so.
import { expectTypeOf } from "expect-type";
import { z } from "zod";

import { createZocketClient, zocket, type Jsonify } from "@zocket/core";

declare const brand: unique symbol;
type Branded = string & { readonly [brand]: "UserId" };
interface Node {
  readonly at: Date;
  left?: Node | undefined;
  children: readonly Node[];
  byName: Record<string, Node>;
}
class Shape {
  kind = "circle" as const;
  area(): number {
    return 1;
  }
}
class Secret {
  toJSON(): undefined {}
}
enum Mood {
  Good,
  Bad = "bad",
}

// What JSON knows stays as it is.
expectTypeOf<Jsonify<string>>().toEqualTypeOf<string>();
expectTypeOf<Jsonify<"a" | 1 | true | null>>().toEqualTypeOf<"a" | 1 | true | null>();
expectTypeOf<Jsonify<Mood>>().toEqualTypeOf<Mood>();
expectTypeOf<Jsonify<Branded>>().toEqualTypeOf<Branded>();
expectTypeOf<Jsonify<{ id: Branded; on?: true }>>().toEqualTypeOf<{ id: Branded; on?: true }>();
expectTypeOf<Jsonify<`a-${number}`>>().toEqualTypeOf<`a-${number}`>();
expectTypeOf<Jsonify<never>>().toBeNever();

// `toJSON` is asked.
expectTypeOf<Jsonify<Date>>().toEqualTypeOf<string>();
expectTypeOf<Jsonify<URL>>().toEqualTypeOf<string>();
expectTypeOf<Jsonify<Buffer>>().toEqualTypeOf<{ type: "Buffer"; data: number[] }>();
expectTypeOf<Jsonify<{ toJSON(): Date }>>().toEqualTypeOf<string>();
expectTypeOf<Jsonify<{ toJSON(key: string): Map<string, Date>[] }>>().toEqualTypeOf<{}[]>();
expectTypeOf<Jsonify<Secret[]>>().toEqualTypeOf<null[]>();
// @ts-expect-error nothing revives it
expectTypeOf<Jsonify<Date>>().toEqualTypeOf<Date>();

// What JSON leaves out
expectTypeOf<Jsonify<() => void>>().toEqualTypeOf<undefined>();
expectTypeOf<Jsonify<symbol>>().toEqualTypeOf<undefined>();
expectTypeOf<Jsonify<typeof Shape>>().toEqualTypeOf<undefined>();
expectTypeOf<Jsonify<void>>().toEqualTypeOf<undefined>();
expectTypeOf<Jsonify<Shape>>().toEqualTypeOf<{ kind: "circle" }>();
expectTypeOf<Jsonify<{ type: typeof Shape; a: 1 }>>().toEqualTypeOf<{ a: 1 }>();
expectTypeOf<Jsonify<{ a: Date | undefined; b?: Date; c: Date }>>().toEqualTypeOf<{
  a?: string;
  b?: string;
  c: string;
}>();
expectTypeOf<Jsonify<{ readonly a: symbol | Date }>>().toEqualTypeOf<{ readonly a?: string }>();

// Arrays and tuples
expectTypeOf<Jsonify<readonly Date[]>>().toEqualTypeOf<readonly string[]>();
expectTypeOf<Jsonify<[]>>().toEqualTypeOf<[]>();
expectTypeOf<Jsonify<[at: Date, ...rest: (bigint | 1)[]]>>().toEqualTypeOf<
  [at: string, ...rest: 1[]]
>();
expectTypeOf<Jsonify<[undefined, symbol, 1?]>>().toEqualTypeOf<[null, null, (1 | null)?]>();
expectTypeOf<Jsonify<unknown[]>>().toEqualTypeOf<unknown[]>();
expectTypeOf<Jsonify<Date[][]>>().toEqualTypeOf<string[][]>();

// Objects that are more than their properties
expectTypeOf<Jsonify<ReadonlyMap<string, Date>>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<{ seen: Set<string>; at: RegExp }>>().toEqualTypeOf<{ seen: {}; at: {} }>();
expectTypeOf<Jsonify<Error>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<NodeJS.ErrnoException>["code"]>().toEqualTypeOf<string | undefined>();
expectTypeOf<Jsonify<{ name: string; message: string }>>().toEqualTypeOf<{
  name: string;
  message: string;
}>();
expectTypeOf<Jsonify<ArrayBuffer>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<DataView>>().toEqualTypeOf<{}>();
expectTypeOf<Jsonify<BigInt64Array>>().toEqualTypeOf<{ [index: string]: never }>();
expectTypeOf<Jsonify<Promise<string>>>().toEqualTypeOf<{}>();

// A bigint cannot be sent.
expectTypeOf<Jsonify<bigint>>().toBeNever();
expectTypeOf<Jsonify<{ n: bigint | number }>>().toEqualTypeOf<{ n: number }>();

// Unions, records, recursion
expectTypeOf<Jsonify<Date | { at: Date } | Date[]>>().toEqualTypeOf<
  string | { at: string } | string[]
>();
expectTypeOf<Jsonify<Record<"a" | "b", Date>>>().toEqualTypeOf<{ a: string; b: string }>();
expectTypeOf<Jsonify<Record<string, Date | undefined>>>().toEqualTypeOf<
  Record<string, string | undefined>
>();
expectTypeOf<Jsonify<Record<number, Date>>>().toEqualTypeOf<Record<number, string>>();
expectTypeOf<Jsonify<{ id: 1; [name: string]: unknown }>["id"]>().toEqualTypeOf<1>();
type Received = Jsonify<Node>;
expectTypeOf<Received["at"]>().toEqualTypeOf<string>();
expectTypeOf<NonNullable<Received["left"]>["children"][number]["at"]>().toEqualTypeOf<string>();
expectTypeOf<Received["byName"]>().toEqualTypeOf<Record<string, Received>>();

// Nothing is `any`.
type Anything = ReturnType<typeof JSON.parse>;
expectTypeOf<Jsonify<Anything>>().toEqualTypeOf<unknown>();
expectTypeOf<Jsonify<Anything[]>>().toEqualTypeOf<unknown[]>();
expectTypeOf<Jsonify<{ a: Anything }>>().toEqualTypeOf<{ a?: unknown }>();
expectTypeOf<Jsonify<Record<string, Anything>>>().toEqualTypeOf<Record<string, unknown>>();

// The same on a client
const zo = zocket.create({ headers: z.object({}) });
const routes = {
  onAll: zo.message.outgoing({
    payload: z.object({
      at: z.date(),
      seen: z.map(z.string(), z.date()),
      tags: z.array(z.string().optional()),
      point: z.tuple([z.number(), z.number()]),
      id: z.string().brand<"UserId">(),
      extra: z.record(z.string(), z.date()),
      known: z.unknown(),
      n: z.bigint(),
      by: z.string().optional(),
      mood: z.string().nullable(),
    }),
  }),
  onUnknown: zo.message.outgoing({ payload: z.unknown() }),
  onAny: zo.message.outgoing({ payload: z.any() }),
};
const client = createZocketClient<typeof routes>("ws://localhost:3000");
client.on.onAll((payload) => {
  expectTypeOf(payload).toEqualTypeOf<{
    at: string;
    seen: {};
    tags: (string | null)[];
    point: [number, number];
    id: string & z.$brand<"UserId">;
    extra: Record<string, string>;
    known?: unknown;
    n: never;
    by?: string;
    mood: string | null;
  }>();
});
client.on.onUnknown((payload) => expectTypeOf(payload).toEqualTypeOf<unknown>());
client.on.onAny((payload) => expectTypeOf(payload).toEqualTypeOf<unknown>());
