// An application as large as asked for, as TypeScript: routes in groups, a handler for each incoming one, a client that uses
// all of it. The same at every run, so that what a compiler counts while it checks it can be compared.

const SCHEMAS = {
  // The least that a schema can cost: its type alone.
  "hand-written": {
    prelude: `import type { StandardSchemaV1 } from "@standard-schema/spec";
function schemaOf<TOutput>(): StandardSchemaV1<TOutput> {
  return {
    "~standard": { version: 1, vendor: "own", validate: (value) => ({ value: value as TOutput }) },
  };
}`,
    headers: "schemaOf<{ authorization: string }>()",
    incoming: "schemaOf<{ id: string; text: string; count: number; tags?: string[] }>()",
    outgoing: "schemaOf<{ id: string; text: string; at: Date; author: { name: string } }>()",
    reply: "schemaOf<{ members: number; names: string[] }>()",
    error: "schemaOf<{ limit: number }>()",
    none: "schemaOf<undefined>()",
  },
  valibot: {
    prelude: 'import * as v from "valibot";',
    headers: "v.object({ authorization: v.string() })",
    incoming:
      "v.object({ id: v.string(), text: v.string(), count: v.number(), tags: v.optional(v.array(v.string())) })",
    outgoing:
      "v.object({ id: v.string(), text: v.string(), at: v.date(), author: v.object({ name: v.string() }) })",
    reply: "v.object({ members: v.number(), names: v.array(v.string()) })",
    error: "v.object({ limit: v.number() })",
    none: "v.undefined()",
  },
  zod: {
    prelude: 'import { z } from "zod";',
    headers: "z.object({ authorization: z.string() })",
    incoming:
      "z.object({ id: z.string(), text: z.string(), count: z.number(), tags: z.array(z.string()).optional() })",
    outgoing:
      "z.object({ id: z.string(), text: z.string(), at: z.date(), author: z.object({ name: z.string() }) })",
    reply: "z.object({ members: z.number(), names: z.array(z.string()) })",
    error: "z.object({ limit: z.number() })",
    none: "z.undefined()",
  },
};

/** What schemas may be made with. */
export const KINDS = Object.keys(SCHEMAS);

/** Of a group, so many messages come in and as many go out, some of them a level deeper. */
const HALF = 10;

/** The source of an application with so many routes; `withLibrary: false` leaves the schemas alone. */
export function application(kind, routes, { withLibrary = true } = {}) {
  const { prelude, headers, incoming, outgoing } = SCHEMAS[kind];
  const groups = Array.from({ length: routes / (2 * HALF) }, (_, group) => `group${group}`);
  const numbers = Array.from({ length: HALF }, (_, number) => number);
  const lines = (make) => numbers.map(make).join("\n");
  if (!withLibrary) {
    const schemas = groups.map(
      (group) => `  ${group}: {
${lines((n) => `    message${n}: ${incoming},\n    onMessage${n}: ${outgoing},`)}
  },`,
    );
    return `${prelude}\nexport const routes = {\n${schemas.join("\n")}\n};\n`;
  }
  const routesOf = groups.map(
    (group) => `  ${group}: {
${lines((n) => `    message${n}: ${n % 2 ? "member" : "zo.message"}.incoming({ payload: ${incoming} }),`)}
    deeper: {
${lines((n) => `      onMessage${n}: zo.message.outgoing({ payload: ${outgoing} }),`)}
    },
  },`,
  );
  const handlersOf = groups.map(
    (group) => `  ${group}: {
${lines(
  (n) => `    message${n}: ({ payload, ctx }) => {
      ctx.rooms.join(payload.id);
      ctx.send.${group}.deeper.onMessage${n}({ id: ctx.userId, text: payload.text, at: new Date(), author: { name: ${n % 2 ? "ctx.role" : "ctx.name"} } }).toRoom(payload.id);
    },`,
)}
  },`,
  );
  const uses = groups.map((group) =>
    lines(
      (n) => `client.send.${group}.message${n}({ id: "", text: "", count: ${n} });
client.on.${group}.deeper.onMessage${n}(({ at, author }) => console.log(at.length, author.name));`,
    ),
  );
  const [first] = groups;
  return `import { createServer, createZocketClient, zocket } from "@zocket/core";
${prelude}

export const zo = zocket.create({
  headers: ${headers},
  onConnect: async (headers) => ({ userId: headers.authorization, name: "" }),
  onDisconnect: (ctx) => console.log(ctx.userId),
});
const member = zo.message.use(async ({ ctx }) => ({ role: ctx.name }));

export const routes = {
${routesOf.join("\n")}
};

export const appRouter = zo.router(routes, {
${handlersOf.join("\n")}
});

export const server = createServer(appRouter, zo);
server.send.${first}.deeper.onMessage0({ id: "", text: "", at: new Date(), author: { name: "" } }).broadcast();
server.publish("lobby", "${first}.deeper.onMessage0", { id: "", text: "", at: new Date(), author: { name: "" } });

export const client = createZocketClient<typeof appRouter>("ws://localhost:3000");
${uses.join("\n")}
`;
}

/** The source of an application with so many calls, each with a reply and two errors; handlers and a client use all of them. */
export function calls(kind, routes) {
  const { prelude, headers, incoming, reply, error, none } = SCHEMAS[kind];
  const groups = Array.from({ length: routes / (2 * HALF) }, (_, group) => `group${group}`);
  const numbers = Array.from({ length: 2 * HALF }, (_, number) => number);
  const inGroups = (make) =>
    groups.map((group) => `  ${group}: {\n${numbers.map(make).join("\n")}\n  },`).join("\n");
  const uses = groups.flatMap((group) =>
    numbers.map(
      (n) => `
client.call.${group}.call${n}({ id: "", text: "", count: ${n} }).then(({ members }) => console.log(members.toFixed()));
void client.call.${group}.call${n}({ id: "", text: "", count: ${n} }, { timeout: ${n} }).safe().then((result) => {
  if (result.ok) console.log(result.data.names.length);
  else if (result.error.code === "FULL${n}") console.log(result.error.data.limit.toFixed());
});`,
    ),
  );
  return `import { createServer, createZocketClient, zocket } from "@zocket/core";
${prelude}

export const zo = zocket.create({
  headers: ${headers},
  onConnect: async (headers) => ({ userId: headers.authorization, name: "" }),
});

export const routes = {
${inGroups(
  (n) => `    call${n}: zo.message.incoming({
      payload: ${incoming},
      reply: ${reply},
      errors: { FULL${n}: ${error}, NOT_FOUND: ${none} },
    }),`,
)}
};

export const appRouter = zo.router(routes, {
${inGroups(
  (n) => `    call${n}: async ({ payload, ctx, fail, signal }) => {
      if (signal.aborted) throw fail("NOT_FOUND");
      if (payload.count > ${n}) throw fail("FULL${n}", { limit: ${n} });
      return { members: payload.count, names: [ctx.userId] };
    },`,
)}
});

export const server = createServer(appRouter, zo);
export const client = createZocketClient<typeof appRouter>("ws://localhost:3000");
${uses.join("")}
`;
}
