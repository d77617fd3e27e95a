// The same application with each kind of schema: what is sent, handled and received, and every mistake there is.
import { type } from "arktype";
import { expectTypeOf } from "expect-type";
import * as v from "valibot";
import { z } from "zod";

import { createServer, createZocketClient, zocket, type StandardSchemaV1 } from "@zocket/core";

/** What a client sends of a message, with a default and an optional field, and what the handler gets. */
interface Sent {
  at: string;
  mood?: "good" | "bad" | undefined;
  topic?: string | undefined;
}
interface Handled {
  at: Date;
  mood: "good" | "bad";
  topic?: string | undefined;
}
/** What a server sends, and what the client makes of it. */
type News = { kind: "text"; text: string } | { kind: "event"; at: Date };
type Received = { kind: "text"; text: string } | { kind: "event"; at: string };

declare function schemaOf<TInput, TOutput = TInput>(): StandardSchemaV1<TInput, TOutput>;
const date = (text: string) => new Date(text);

const withZod = zocket.create({ headers: z.object({ token: z.string() }) });
const zod = {
  message: withZod.message.incoming({
    payload: z.object({
      at: z.string().transform(date),
      mood: z.enum(["good", "bad"]).default("good"),
      topic: z.string().optional(),
    }),
  }),
  onNews: withZod.message.outgoing({
    payload: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("text"), text: z.string() }),
      z.object({ kind: z.literal("event"), at: z.date() }),
    ]),
  }),
};
const withValibot = zocket.create({ headers: v.object({ token: v.string() }) });
const valibot = {
  message: withValibot.message.incoming({
    payload: v.object({
      at: v.pipe(v.string(), v.transform(date)),
      mood: v.optional(v.picklist(["good", "bad"]), "good"),
      topic: v.optional(v.string()),
    }),
  }),
  onNews: withValibot.message.outgoing({
    payload: v.variant("kind", [
      v.object({ kind: v.literal("text"), text: v.string() }),
      v.object({ kind: v.literal("event"), at: v.date() }),
    ]),
  }),
};
const withArkType = zocket.create({ headers: type({ token: "string" }) });
const arktype = {
  message: withArkType.message.incoming({
    payload: type({
      at: type("string").pipe(date),
      mood: "'good' | 'bad' = 'good'",
      "topic?": "string | undefined",
    }),
  }),
  onNews: withArkType.message.outgoing({
    payload: type({ kind: "'text'", text: "string" }).or({ kind: "'event'", at: "Date" }),
  }),
};
const withOwn = zocket.create({ headers: schemaOf<{ token: string }>() });
const own = {
  message: withOwn.message.incoming({ payload: schemaOf<Sent, Handled>() }),
  onNews: withOwn.message.outgoing({ payload: schemaOf<unknown, News>() }),
};

// Zod
const zodRouter = withZod.router(zod, {
  message: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Handled>();
    expectTypeOf(ctx.send.onNews).parameters.toEqualTypeOf<[payload: News]>();
    ctx.send.onNews({ kind: "event", at: payload.at }).broadcast();
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text", text: payload.mood });
    // @ts-expect-error wrong payload: what the client gets, not what the server sends
    ctx.send.onNews({ kind: "event", at: "" });
    // @ts-expect-error wrong payload
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text" });
    // @ts-expect-error wrong route
    ctx.rooms.broadcast("lobby", "onNew", { kind: "text", text: "" });
    // @ts-expect-error wrong direction
    ctx.send.message({ at: "" });
    // @ts-expect-error not in the output
    void payload.text;
  },
});
const zodServer = createServer(zodRouter, withZod);
zodServer.publish("lobby", "onNews", { kind: "event", at: new Date() });
// @ts-expect-error wrong payload
zodServer.publish("lobby", "onNews", { kind: "event", at: "" });
// @ts-expect-error wrong direction
zodServer.publish("lobby", "message", { at: "" });
const zodClient = createZocketClient<typeof zodRouter>("ws://localhost:3000");
expectTypeOf(zodClient.send.message).parameters.toEqualTypeOf<[payload: Sent]>();
zodClient.on.onNews((payload) => expectTypeOf(payload).toEqualTypeOf<Received>());
zodClient.send.message({ at: "" });
// @ts-expect-error missing payload
zodClient.send.message();
// @ts-expect-error wrong payload: the output, not the input
zodClient.send.message({ at: new Date() });
// @ts-expect-error wrong route
zodClient.send.mesage({ at: "" });
// @ts-expect-error wrong direction
zodClient.on.message(() => {});

// Valibot
const valibotRouter = withValibot.router(valibot, {
  message: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Handled>();
    expectTypeOf(ctx.send.onNews).parameters.toEqualTypeOf<[payload: News]>();
    ctx.send.onNews({ kind: "event", at: payload.at }).broadcast();
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text", text: payload.mood });
    // @ts-expect-error wrong payload: what the client gets, not what the server sends
    ctx.send.onNews({ kind: "event", at: "" });
    // @ts-expect-error wrong payload
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text" });
    // @ts-expect-error wrong route
    ctx.rooms.broadcast("lobby", "onNew", { kind: "text", text: "" });
    // @ts-expect-error wrong direction
    ctx.send.message({ at: "" });
    // @ts-expect-error not in the output
    void payload.text;
  },
});
const valibotServer = createServer(valibotRouter, withValibot);
valibotServer.publish("lobby", "onNews", { kind: "event", at: new Date() });
// @ts-expect-error wrong payload
valibotServer.publish("lobby", "onNews", { kind: "event", at: "" });
// @ts-expect-error wrong direction
valibotServer.publish("lobby", "message", { at: "" });
const valibotClient = createZocketClient<typeof valibotRouter>("ws://localhost:3000");
expectTypeOf(valibotClient.send.message).parameters.toEqualTypeOf<[payload: Sent]>();
valibotClient.on.onNews((payload) => expectTypeOf(payload).toEqualTypeOf<Received>());
valibotClient.send.message({ at: "" });
// @ts-expect-error missing payload
valibotClient.send.message();
// @ts-expect-error wrong payload: the output, not the input
valibotClient.send.message({ at: new Date() });
// @ts-expect-error wrong route
valibotClient.send.mesage({ at: "" });
// @ts-expect-error wrong direction
valibotClient.on.message(() => {});

// ArkType
const arktypeRouter = withArkType.router(arktype, {
  message: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Handled>();
    expectTypeOf(ctx.send.onNews).parameters.toEqualTypeOf<[payload: News]>();
    ctx.send.onNews({ kind: "event", at: payload.at }).broadcast();
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text", text: payload.mood });
    // @ts-expect-error wrong payload: what the client gets, not what the server sends
    ctx.send.onNews({ kind: "event", at: "" });
    // @ts-expect-error wrong payload
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text" });
    // @ts-expect-error wrong route
    ctx.rooms.broadcast("lobby", "onNew", { kind: "text", text: "" });
    // @ts-expect-error wrong direction
    ctx.send.message({ at: "" });
    // @ts-expect-error not in the output
    void payload.text;
  },
});
const arktypeServer = createServer(arktypeRouter, withArkType);
arktypeServer.publish("lobby", "onNews", { kind: "event", at: new Date() });
// @ts-expect-error wrong payload
arktypeServer.publish("lobby", "onNews", { kind: "event", at: "" });
// @ts-expect-error wrong direction
arktypeServer.publish("lobby", "message", { at: "" });
const arktypeClient = createZocketClient<typeof arktypeRouter>("ws://localhost:3000");
expectTypeOf(arktypeClient.send.message).parameters.toEqualTypeOf<
  [payload: { at: string; mood?: "good" | "bad"; topic?: string | undefined }]
>();
arktypeClient.on.onNews((payload) => expectTypeOf(payload).toEqualTypeOf<Received>());
arktypeClient.send.message({ at: "" });
// @ts-expect-error missing payload
arktypeClient.send.message();
// @ts-expect-error wrong payload: the output, not the input
arktypeClient.send.message({ at: new Date() });
// @ts-expect-error wrong route
arktypeClient.send.mesage({ at: "" });
// @ts-expect-error wrong direction
arktypeClient.on.message(() => {});

// Written by hand
const ownRouter = withOwn.router(own, {
  message: ({ payload, ctx }) => {
    expectTypeOf(payload).toEqualTypeOf<Handled>();
    expectTypeOf(ctx.send.onNews).parameters.toEqualTypeOf<[payload: News]>();
    ctx.send.onNews({ kind: "event", at: payload.at }).broadcast();
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text", text: payload.mood });
    // @ts-expect-error wrong payload: what the client gets, not what the server sends
    ctx.send.onNews({ kind: "event", at: "" });
    // @ts-expect-error wrong payload
    ctx.rooms.broadcast("lobby", "onNews", { kind: "text" });
    // @ts-expect-error wrong route
    ctx.rooms.broadcast("lobby", "onNew", { kind: "text", text: "" });
    // @ts-expect-error wrong direction
    ctx.send.message({ at: "" });
    // @ts-expect-error not in the output
    void payload.text;
  },
});
const ownServer = createServer(ownRouter, withOwn);
ownServer.publish("lobby", "onNews", { kind: "event", at: new Date() });
// @ts-expect-error wrong payload
ownServer.publish("lobby", "onNews", { kind: "event", at: "" });
// @ts-expect-error wrong direction
ownServer.publish("lobby", "message", { at: "" });
const ownClient = createZocketClient<typeof ownRouter>("ws://localhost:3000");
expectTypeOf(ownClient.send.message).parameters.toEqualTypeOf<[payload: Sent]>();
ownClient.on.onNews((payload) => expectTypeOf(payload).toEqualTypeOf<Received>());
ownClient.send.message({ at: "" });
// @ts-expect-error missing payload
ownClient.send.message();
// @ts-expect-error wrong payload: the output, not the input
ownClient.send.message({ at: new Date() });
// @ts-expect-error wrong route
ownClient.send.mesage({ at: "" });
// @ts-expect-error wrong direction
ownClient.on.message(() => {});
