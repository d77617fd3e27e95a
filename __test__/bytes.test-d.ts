// The types of payloads that are bytes.
import {
  createServer,
  createZocketClient,
  zocket,
  type BytesLike,
  type BytesSchema,
} from "@zocket/core";
import { bytes, message } from "@zocket/core/contract";
import { expectTypeOf } from "expect-type";
import { z } from "zod";

const zo = zocket.create({ headers: z.object({}) });
const routes = {
  put: zo.message.incoming({ payload: zo.bytes({ max: 1 }), reply: zo.bytes() }),
  parts: zo.message.incoming({ payload: z.string(), stream: zo.bytes(), reply: z.number() }),
  shared: message.incoming({ payload: bytes() }),
  notOurs: zo.message.incoming({ payload: z.instanceof(Uint8Array) }),
  inside: zo.message.incoming({ payload: z.object({ file: z.instanceof(Uint8Array) }) }),
  onPart: zo.message.outgoing({ payload: zo.bytes() }),
};
type Own = Uint8Array<ArrayBuffer>;

expectTypeOf(zo.bytes()).toEqualTypeOf<BytesSchema>();
expectTypeOf(message.bytes({ max: 1 })).toEqualTypeOf<BytesSchema>();
expectTypeOf(message.withTransformer().bytes).toEqualTypeOf(bytes);
// @ts-expect-error an option that does not exist
message.bytes({ size: 1 });
expectTypeOf<ArrayBuffer | SharedArrayBuffer | DataView | Float32Array>().toExtend<BytesLike>();

const app = zo.router(routes, {
  put: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Own>();
    ctx.send.onPart(payload).broadcast();
    ctx.send.onPart(payload.buffer).to(ctx.clientId);
    ctx.rooms.broadcast("room", "onPart", new Float32Array(1));
    // @ts-expect-error bytes are no text
    ctx.send.onPart("text");
    // @ts-expect-error the payload is not optional
    ctx.send.onPart();
    return new DataView(payload.buffer);
  },
  parts: async function* () {
    yield new ArrayBuffer(1);
    yield Buffer.from("a");
    return 1;
  },
  shared: ({ payload }) => {
    expectTypeOf(payload).toEqualTypeOf<Own>();
  },
});
zo.router(routes, {
  // @ts-expect-error the reply is bytes
  put: () => "text",
});

const server = createServer(app, zo);
server.send.onPart(new Uint8Array()).broadcast();
server.publish("room", "onPart", new Uint16Array());

const client = createZocketClient<typeof app>("ws://localhost");
client.send.put(new Uint8Array());
client.send.put(new ArrayBuffer(1));
client.send.put(new SharedArrayBuffer(1));
client.send.shared(new BigInt64Array());
// @ts-expect-error bytes are no list of numbers
client.send.put([1, 2]);
// @ts-expect-error the payload is not optional
client.send.put();
expectTypeOf(client.call.put).returns.resolves.toEqualTypeOf<Own>();
for await (const part of client.call.parts("x")) expectTypeOf(part).toEqualTypeOf<Own>();
client.on.onPart((part) => expectTypeOf(part).toEqualTypeOf<Own>());
expectTypeOf(client.once.onPart()).resolves.toEqualTypeOf<Own>();

// The data of an error is JSON.
// @ts-expect-error so `zo.bytes()` is none of its schemas
zo.message.incoming({ payload: z.string(), errors: { NO: zo.bytes() } });

// Other schemas for bytes are JSON, which cannot carry them.
// @ts-expect-error JSON cannot carry bytes
client.send.notOurs(new Uint8Array());
// @ts-expect-error JSON cannot carry bytes
client.send.inside({ file: new Uint8Array() });

// @ts-expect-error `max` is a number
zo.bytes({ max: "1" });
// @ts-expect-error there is no such option
zo.bytes({ min: 1 });
