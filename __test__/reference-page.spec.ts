// The reference page (docs/zocket-create.md) as its readers take it: its example is compiled under `strict` in a project of
// its own, with the package installed, and run; its signature and fragments are held against the types.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { assertCompiled, blocksOf, COMPILERS, Project, readPage } from "./_pages.ts";

const BLOCKS = blocksOf(readPage("docs/zocket-create.md"));
const block = (heading: string): string => {
  const found = BLOCKS.find((it) => it.heading === heading && it.info[0] === "typescript");
  assert.ok(found, `the page has no code under "${heading}"`);
  return found.code;
};

/** What the page takes for granted. */
const GIVEN = `
const users = new Map([["secret", { id: "1", name: "Ada", role: "admin" }]]);
async function validateToken(token: string) {
  const user = users.get(token);
  if (!user) throw new Error("unknown token");
  return user;
}
const database = {
  updateLastSeen: async (userId: string) => console.log("last seen", userId),
};
async function logDisconnection(userId: string, clientId: string) {
  console.log("gone", userId, clientId.length);
}
`;

/** Passes where both types are the same. */
const SAME = `
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <T extends true>(..._: T[]) => {};
`;

/** Serves what \`zo\` says, lets one client in and one not, and exchanges a message. */
const USE = `
import { createServer } from "@zocket/core";
import { WebSocket } from "ws";

const routes = {
  chat: {
    message: zo.message.incoming({ payload: z.object({ text: z.string() }) }),
    onMessage: zo.message.outgoing({ payload: z.object({ from: z.string(), text: z.string() }) }),
  },
};
const router = zo.router(routes, {
  chat: {
    message: ({ payload, ctx }) => {
      ctx.send.chat.onMessage({ from: \`\${ctx.username} the \${ctx.role}\`, text: payload.text }).broadcast();
    },
  },
});
const server = createServer(router, zo, { port: 0, hostname: "127.0.0.1", onError: () => {} });
const stranger = new WebSocket(server.url, { headers: { authorization: "wrong" } });
stranger.on("unexpected-response", (_, response) => {
  console.log("stranger", response.statusCode);
  stranger.terminate();
  const ada = new WebSocket(server.url, { headers: { authorization: "secret" } });
  ada.on("open", () => ada.send('{"type":"chat.message","payload":{"text":"hello"}}'));
  ada.on("message", (text) => {
    console.log("ada", String(text));
    void server.stop();
  });
});
stranger.on("error", () => {});
`;
const RAN = [
  "stranger 403",
  'ada {"type":"chat.onMessage","payload":{"from":"Ada the admin","text":"hello"}}',
  "last seen 1",
];

/** The page's code in the ways it is used. One project has them all, since a compiler's start costs seconds. */
const SOURCES: Record<string, string> = {
  // The extensions make one an ECMAScript module and the other CommonJS.
  "example.mts": `${block("Example")}${GIVEN}${USE}`,
  "example.cts": `${block("Example")}${GIVEN}${USE}`,
  "valibot.mts": `import * as v from "valibot";\n${withValibot()}${GIVEN}${USE}`,
  "types.mts": `${block("Example")}${GIVEN}${SAME}
import type { DisconnectContext, Zocket } from "@zocket/core";

type User = { userId: string; username: string; role: string };
type Schema = z.ZodObject<{ authorization: z.ZodString }>;
same<Same<typeof zo, Zocket<Schema, User>>>();

zocket.create({
  headers: z.object({ authorization: z.string(), count: z.coerce.number() }),
  onConnect: (headers, clientId) => {
    same<Same<typeof headers, { authorization: string; count: number }>>();
    same<Same<typeof clientId, string>>();
    return { userId: headers.authorization };
  },
  onDisconnect: (ctx, clientId) => {
    same<Same<typeof ctx.rooms, ReadonlySet<string>>>();
    same<Same<typeof ctx.userId, string>>();
    same<Same<typeof clientId, string>>();
    const again: DisconnectContext<{ userId: string }> = ctx;
    void again;
  },
});

// Both type parameters may be given, the second one may be left out.
const empty = zocket.create({ headers: z.object({}) });
same<Same<typeof empty, Zocket<z.ZodObject<{}>, {}>>>();
const given = zocket.create<Schema, User>({
  headers: z.object({ authorization: z.string() }),
  onConnect: ({ authorization }) => ({ userId: authorization, username: "", role: "" }),
});
same<Same<typeof given, Zocket<Schema, User>>>();

// @ts-expect-error: \`headers\` is required.
zocket.create({});
`,
  "signature.mts": `
import { zocket, type DisconnectContext, type DisconnectInfo, type AnyRoutes, type ZocketContext, type HasTransformer, type NoTransformer, type Transformer, type UpgradeRequest, type Zocket } from "@zocket/core";
import type { StandardSchemaV1 } from "@standard-schema/spec";
${block("Signature").replace("function create<", "declare function create<")}
// Each can stand for the other.
const ours: typeof create = zocket.create;
const theirs: typeof zocket.create = create;
void [ours, theirs];
`,
  "fragments.mts": `
import { z } from "zod";
import { zocket } from "@zocket/core";
${GIVEN}
const middleware = () => {};
const zo = zocket.create({
  ${asProperty("config.headers (required)")}
  ${asProperty("config.onConnect (optional)")}
  ${asProperty("config.onOpen (optional)")}
  ${asProperty("config.onDisconnect (optional)")}
});
${block("message").replaceAll("{...}", "{ text: z.string() }")}
const routes = { say: zo.message.incoming({ payload: z.string() }) };
const handlers = { say: () => {} };
${block("router")}
console.log("done");
`,
};

function withValibot(): string {
  const from = "z.object({\n    authorization: z.string(),";
  assert.ok(block("Example").includes(from), "the example's schema has changed");
  return block("Example").replace(from, "v.object({\n    authorization: v.string(),");
}

/** The page ends each property of `config` like a statement. */
function asProperty(heading: string): string {
  return block(heading).trim().replace(/;$/, ",");
}

const project = new Project(SOURCES);

describe("the reference page", () => {
  for (const compiler of Object.keys(COMPILERS)) {
    test(`compiles with ${compiler} under strict: example, types told, signature and fragments`, () => {
      assertCompiled(project, compiler);
    });
  }

  const RUNS: [what: string, file: string, printed: string[]][] = [
    ["its example, as an ECMAScript module,", "example.mjs", RAN],
    ["its example, as CommonJS,", "example.cjs", RAN],
    ["its example with a Valibot schema", "valibot.mjs", RAN],
    ["its fragments, put together,", "fragments.mjs", ["done"]],
  ];
  for (const [what, file, printed] of RUNS) {
    test(`${what} does what the page says`, async (t) => {
      const out = await project.run(t, file);
      assert.deepEqual(out.trim().split("\n"), printed);
    });
  }
});
