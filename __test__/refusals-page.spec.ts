// What a page in a browser sees of a welcome and of a refusal.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import { launch } from "./_browser.ts";
import { GUARDED, LET_IN, token, TURNED_AWAY, watch } from "./_guarded.ts";
import { serve } from "./_support.ts";

describe("a page that offers zocket.1", () => {
  test("sees a welcome, a pong, and a refusal with its code, and 1006 for what is refused before", async (t) => {
    const app = serve(t, GUARDED);
    const pages = createServer((_, response) => {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>page</title>");
    });
    pages.listen(0, "127.0.0.1");
    await once(pages, "listening");
    t.after(() => pages.close());
    const browser = await launch();
    t.after(() => browser.close());
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
    const seen = (...protocols: string[]) =>
      page.evaluate(
        `(${watch.toString()})(${JSON.stringify(app.url)}, ${JSON.stringify(protocols)}, WebSocket)`,
      );
    assert.deepEqual(await seen("zocket.1", token("grüße")), LET_IN);
    assert.deepEqual(await seen("zocket.1", token("no")), TURNED_AWAY);
    const nothing = { messages: [], code: 1006, clean: false };
    assert.deepEqual(await seen("zocket.1", "zocket.h.e31"), { protocol: "", ...nothing });
    // Without the subprotocol nobody can tell a page what happened.
    assert.deepEqual(await seen(), { protocol: "", ...nothing });
    assert.deepEqual(app.server.metrics().refused, { CONNECT: 2, MALFORMED: 1 });
  });
});
