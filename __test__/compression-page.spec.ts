// Compression as a browser negotiates it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { launch } from "./_browser.ts";
import { serve } from "./_support.ts";

let browser: Browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

test("a browser negotiates compression, and talks both ways", async (t) => {
  // A page without an address may not reach this machine.
  const pages = createServer((_, response) => response.end("<!doctype html>"));
  t.after(() => pages.close());
  await once(pages.listen(0, "127.0.0.1"), "listening");
  const { port } = pages.address() as AddressInfo;
  for (const compression of [true, { maxWindowBits: 10 }, false]) {
    const app = serve(t, { options: { compression } });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${port}`);
    const [extensions, same] = await page.evaluate(
      (url) =>
        new Promise<[string, boolean]>((resolve, reject) => {
          const socket = new WebSocket(url);
          const said = JSON.stringify({ type: "say", payload: "grüße 🙂 ".repeat(20_000) });
          socket.onopen = () => socket.send(said);
          socket.onerror = () => reject(new Error("the socket failed"));
          socket.onmessage = ({ data }) =>
            resolve([socket.extensions, data === said.replace("say", "said")]);
        }),
      app.url,
    );
    assert.ok(same);
    assert.match(extensions, compression ? /^permessage-deflate/ : /^$/);
    const { bytesIn, bytesOut } = app.server.metrics();
    const bytes = Buffer.byteLength("grüße 🙂 ".repeat(20_000));
    assert.equal(bytesIn < bytes / 10, compression !== false, `${bytesIn} bytes in`);
    assert.equal(bytesOut < bytes / 10, compression !== false, `${bytesOut} bytes out`);
    await page.close();
  }
});
