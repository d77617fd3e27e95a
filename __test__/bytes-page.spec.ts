// Payloads that are bytes in a browser, with the package's client: both ways, in calls, and as a page has them.
import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";

import { createServer, type createZocketClient } from "@zocket/core";
import type { Browser } from "playwright-core";

import { launch, serveClient, type Site } from "./_browser.ts";
import { anything, Queue, zo } from "./_talk.ts";

/** What the script in the page sees. */
declare const zocket: { createZocketClient: typeof createZocketClient };

const { incoming, outgoing } = zo.message;
const routes = {
  put: incoming({ payload: zo.bytes() }),
  echo: incoming({ payload: zo.bytes(), reply: zo.bytes() }),
  parts: incoming({ payload: anything, stream: zo.bytes(), reply: zo.bytes() }),
  text: incoming({ payload: anything, reply: anything }),
  onPart: outgoing({ payload: zo.bytes() }),
};

let browser: Browser;
let site: Site;
before(async () => {
  site = await serveClient();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  site?.pages.close();
});

/** A server that keeps what it gets, and a page with the client. */
async function meet(t: TestContext) {
  const got = new Queue<Uint8Array>("bytes");
  const app = zo.router(routes, {
    put: ({ payload }) => got.push(payload),
    echo: ({ payload }) => payload,
    parts: async function* ({ payload }) {
      for (let n = 0; n < (payload as number); n += 1) yield new Uint8Array(n).fill(n);
      return Uint8Array.of(7);
    },
    text: ({ payload }) => payload,
  });
  const server = createServer(app, zo, { port: 0, maxPayload: 2 << 20 });
  t.after(() => server.stop(true));
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(site.origin);
  return { server, got, page };
}

test("a page sends bytes, hears them and calls with them, up to a MiB", async (t) => {
  const { server, got, page } = await meet(t);
  const lengths = [0, 1, 125, 126, 65_536, 1 << 20];
  const found = page.evaluate(
    async ([url, lengths]) => {
      const client = zocket.createZocketClient<typeof routes>(url);
      const heard: Uint8Array[] = [];
      let wake = () => {};
      client.on.onPart((part) => {
        heard.push(part);
        wake();
      });
      const same = (left: Uint8Array, right: Uint8Array) =>
        left.length === right.length && left.every((byte, at) => byte === right[at]);
      const wrong: string[] = [];
      for (const length of lengths) {
        const sent = new Uint8Array(length).map((_, at) => (at * 31) ^ (at >> 8));
        const next = new Promise<void>((resolve) => (wake = resolve));
        client.send.put(sent);
        await next;
        const part = heard.pop();
        if (!part || !same(part, sent)) wrong.push(`heard ${length}`);
        const back = await client.call.echo(sent);
        if (!same(back, sent)) wrong.push(`called ${length}`);
        if (Object.getPrototypeOf(back) !== Uint8Array.prototype) wrong.push("another class");
        if (back.byteOffset !== 0 || back.buffer.byteLength !== length) wrong.push("more memory");
      }
      client.close();
      return wrong;
    },
    [server.url, lengths] as const,
  );
  for (const length of lengths) {
    const payload = await got.next();
    assert.equal(payload.length, length);
    server.send.onPart(payload).broadcast();
  }
  assert.deepEqual(await found, []);
});

test("a page sends what it has: buffers, views, and the bytes of a file", async (t) => {
  const { server, page } = await meet(t);
  const found = await page.evaluate(async (url) => {
    const client = zocket.createZocketClient<typeof routes>(url);
    const memory = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer;
    const file = new File(["grüße"], "a.txt");
    const given = [
      memory,
      new Uint8Array(memory, 2, 3),
      new Uint16Array(memory, 2, 2),
      new DataView(memory, 7),
      await file.arrayBuffer(),
      new TextEncoder().encode('{"type":"text"}'),
    ];
    const back = [];
    for (const bytes of given) back.push([...(await client.call.echo(bytes))]);
    client.close();
    return back;
  }, server.url);
  assert.deepEqual(found, [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [2, 3, 4],
    [2, 3, 4, 5],
    [7],
    [...Buffer.from("grüße")],
    [...Buffer.from('{"type":"text"}')],
  ]);
});

test("a page loops over a stream of bytes, and learns that a route takes JSON", async (t) => {
  const { server, page } = await meet(t);
  const found = await page.evaluate(async (url) => {
    const client = zocket.createZocketClient<typeof routes>(url);
    const call = client.call.parts(200);
    let count = 0;
    for await (const part of call) {
      if (part.length !== count || part.some((byte) => byte !== count)) return "a wrong item";
      count += 1;
    }
    const end = [...(await call)];
    const wrong = await client.call.text(Uint8Array.of(1)).safe();
    const still = await client.call.text("still here");
    client.close();
    return [count, end, wrong.ok ? "taken" : wrong.error.code, still];
  }, server.url);
  assert.deepEqual(found, [200, [7], "BAD_MESSAGE", "still here"]);
});
