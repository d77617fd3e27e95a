// Routers nested eight deep, and both ways to type a client by one.
import { expectTypeOf } from "expect-type";

import {
  createServer,
  createZocketClient,
  zocket,
  type ClientOn,
  type ClientSend,
  type StandardSchemaV1,
  type ZocketClient,
} from "@zocket/core";

declare function anything<T>(): StandardSchemaV1<T>;
const zo = zocket.create({ headers: anything<{}>() });
const { incoming, outgoing } = zo.message;

const routes = {
  a: {
    b: {
      c: {
        d: {
          e: {
            f: {
              g: {
                ask: incoming({ payload: anything<{ n: number }>() }),
                onAnswer: outgoing({ payload: anything<{ at: Date }>() }),
              },
              ask: incoming({ payload: anything<string>() }),
            },
          },
        },
        onAnswer: outgoing({ payload: anything<string>() }),
      },
    },
  },
};
const router = zo.router(routes, {
  a: {
    b: {
      c: {
        d: {
          e: {
            f: {
              g: {
                ask: ({ payload, ctx }) => {
                  expectTypeOf(payload).toEqualTypeOf<{ n: number }>();
                  ctx.send.a.b.c.d.e.f.g.onAnswer({ at: new Date() }).broadcast();
                  ctx.send.a.b.c.onAnswer("").toRoom("lobby");
                  ctx.rooms.broadcast("lobby", "a.b.c.d.e.f.g.onAnswer", { at: new Date() });
                  // @ts-expect-error no such route down there
                  ctx.rooms.broadcast("lobby", "a.b.c.d.e.f.onAnswer", { at: new Date() });
                  // @ts-expect-error wrong payload
                  ctx.send.a.b.c.d.e.f.g.onAnswer({ at: "" });
                  // @ts-expect-error wrong direction
                  void ctx.send.a.b.c.d.e.f.g.ask;
                },
              },
              ask: ({ payload }) => expectTypeOf(payload).toEqualTypeOf<string>() && undefined,
            },
          },
        },
      },
    },
  },
});
// @ts-expect-error no such handler down there
zo.router(routes, { a: { b: { c: { d: { e: { f: { g: { onAnswer: () => {} } } } } } } } });
// @ts-expect-error a group is no handler
zo.router(routes, { a: { b: { c: { d: { e: { f: { g: () => {} } } } } } } });

const server = createServer(router, zo);
server.publish("lobby", "a.b.c.d.e.f.g.onAnswer", { at: new Date() });
server.publish("lobby", "a.b.c.d.e.f.g.onAnswer", { at: new Date() }, { except: ["id"] });
// @ts-expect-error ids are text
server.publish("lobby", "a.b.c.d.e.f.g.onAnswer", { at: new Date() }, { except: 7 });
// @ts-expect-error wrong direction
server.publish("lobby", "a.b.c.d.e.f.g.ask", { n: 1 });

const client = createZocketClient<typeof router>("ws://localhost:3000");
client.send.a.b.c.d.e.f.g.ask({ n: 1 });
client.on.a.b.c.d.e.f.g.onAnswer(({ at }) => expectTypeOf(at).toEqualTypeOf<string>());
expectTypeOf<keyof typeof client.on.a.b.c>().toEqualTypeOf<"d" | "onAnswer">();
expectTypeOf<keyof typeof client.send.a.b.c>().toEqualTypeOf<"d">();
// @ts-expect-error missing payload
client.send.a.b.c.d.e.f.g.ask();
// @ts-expect-error wrong direction
client.on.a.b.c.d.e.f.g.ask(() => {});

// By the routes, and by what `zo.router` returned
const byRoutes = createZocketClient<typeof routes>("ws://localhost:3000");
expectTypeOf(byRoutes.send).toEqualTypeOf(client.send);
expectTypeOf(byRoutes.on).toEqualTypeOf(client.on);
expectTypeOf<ClientSend<typeof routes>>().toEqualTypeOf<ClientSend<typeof router>>();
expectTypeOf<ClientOn<typeof routes>>().toEqualTypeOf<ClientOn<typeof router>>();
expectTypeOf(byRoutes.onError).toEqualTypeOf(client.onError);
const eitherWay: ZocketClient<typeof routes> = client;
const andBack: ZocketClient<typeof router> = byRoutes;
void [eitherWay, andBack];
