// The types of a publisher: the sender of its router, and a transformer where the router has one.
import { zocket } from "@zocket/core";
import { createPublisher, redis, type Publisher, type PublisherOptions } from "@zocket/core/bus";
import { expectTypeOf } from "expect-type";
import superjson from "superjson";
import { z } from "zod";

const bus = redis({ url: "redis://localhost", prefix: "chat" });
const headers = z.object({});
const zo = zocket.create({ headers, transformer: superjson });
const plain = zocket.create({ headers });

const plainRoutes = {
  enter: plain.message.incoming({ payload: z.string() }),
  onText: plain.message.outgoing({ payload: z.string() }),
  file: { onPart: plain.message.outgoing({ payload: plain.bytes() }) },
};
const plainApp = plain.router(plainRoutes, {});
for (const publisher of [
  createPublisher<typeof plainApp>(bus),
  createPublisher<typeof plainRoutes>(bus, {}),
  createPublisher<typeof plainApp>(bus, { onError: (error) => console.log(error) }),
]) {
  publisher.send.onText("hi").toRoom(["a", "b"], { except: "id" });
  publisher.send.file.onPart(new ArrayBuffer(1)).broadcast();
  // @ts-expect-error bytes are no text
  publisher.send.onText(new Uint8Array());
  // @ts-expect-error text is no bytes
  publisher.send.file.onPart("text");
  // @ts-expect-error it is an incoming route
  publisher.send.enter("a");
}

// A router with a transformer requires it.
const routes = {
  onDay: zo.message.outgoing({ payload: z.date() }),
  onPart: zo.message.outgoing({ payload: zo.bytes() }),
};
const app = zo.router(routes, {});
// @ts-expect-error there are no options
createPublisher<typeof app>(bus);
// @ts-expect-error there is no transformer
createPublisher<typeof routes>(bus, {});
// @ts-expect-error it is undefined
createPublisher<typeof app>(bus, { transformer: undefined });
// @ts-expect-error it has no deserialize
createPublisher<typeof app>(bus, { transformer: { serialize: JSON.stringify } });
const options: PublisherOptions = { transformer: superjson };
// @ts-expect-error these options may have none
createPublisher<typeof app>(bus, options);
const publisher = createPublisher<typeof app>(bus, { transformer: superjson });
expectTypeOf(publisher).toEqualTypeOf<Publisher<typeof app>>();
publisher.send.onDay(new Date()).broadcast();
publisher.send.onPart(new Uint8Array()).broadcast();
// @ts-expect-error a text is no Date
publisher.send.onDay("now");

// Without the type of a router nothing can be sent, and the compiler says why.
expectTypeOf(createPublisher(bus).send).toExtend<string>();
// @ts-expect-error the type of the router is missing
createPublisher(bus).send.onText("hi");
