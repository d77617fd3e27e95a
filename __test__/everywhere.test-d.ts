// The types of what concerns the clients of all processes.
import { createServer, zocket, type PartialError } from "@zocket/core";
import { createPublisher, redis } from "@zocket/core/bus";
import { expectTypeOf } from "expect-type";
import { z } from "zod";

const bus = redis({ url: "redis://localhost", prefix: "chat" });
const zo = zocket.create({ headers: z.object({}) });
const app = zo.router({ onText: zo.message.outgoing({ payload: z.string() }) }, {});
const server = createServer(app, zo, { bus });

expectTypeOf(server.clientCount()).toEqualTypeOf<number>();
expectTypeOf(server.clientCount({})).toEqualTypeOf<number>();
expectTypeOf(server.clientCount({ everywhere: false })).toEqualTypeOf<number>();
expectTypeOf(server.clientCount({ everywhere: true })).toEqualTypeOf<Promise<number>>();
// @ts-expect-error there is no such option
void server.clientCount({ everywere: true });

const publisher = createPublisher<typeof app>(bus);
expectTypeOf(publisher.members).toEqualTypeOf<(roomId: string) => Promise<string[]>>();
expectTypeOf(publisher.roomSize("a")).toEqualTypeOf<Promise<number>>();
expectTypeOf(publisher.join("id", ["a", "b"] as const)).toEqualTypeOf<Promise<void>>();
expectTypeOf(publisher.leave(["id"], "a")).toEqualTypeOf<Promise<void>>();
expectTypeOf(publisher.disconnect(["id"], { code: 4000, reason: "bye" })).toEqualTypeOf<
  Promise<void>
>();
// @ts-expect-error an id is a text
void publisher.join(1, "a");
// @ts-expect-error a publisher has no clients of its own
void publisher.clientCount();

const error = {} as PartialError<string[]>;
expectTypeOf(error.code).toEqualTypeOf<"PARTIAL">();
expectTypeOf(error.partial).toEqualTypeOf<string[]>();
expectTypeOf(error).toExtend<Error>();
