// A page takes over what a server rendered.
import assert from "node:assert/strict";
import { test } from "node:test";

import { StrictMode } from "react";
import { renderToString } from "react-dom/server";

import { serve } from "./_app.ts";
import { Rendered } from "./_rendered.tsx";
import { complaintsOf, show, until } from "./_page.tsx";

for (const autoConnect of [true, false]) {
  test(`a page takes over what a server rendered without a warning, autoConnect={${autoConnect}}`, async (t) => {
    const { url, server, broadcast } = serve(t);
    const page = (
      <StrictMode>
        <Rendered url={url} autoConnect={autoConnect} />
      </StrictMode>
    );
    const complaints = complaintsOf(t);
    const container = document.body.appendChild(document.createElement("div"));
    container.innerHTML = renderToString(page);
    const [main] = container.children;
    const first = container.innerHTML;
    assert.match(first, autoConnect ? /<b>connecting</ : /<b>closed</);
    const { text } = show(t, page, { container, hydrate: true });
    assert.equal(container.children[0], main);
    assert.deepEqual(complaints, []);
    if (!autoConnect) return;
    await until("open", () => text() === "open0idle");
    broadcast("hello");
    await until("the message", () => text() === "open1idle");
    assert.equal(server.metrics().accepted, 1);
    assert.equal(container.children[0], main);
  });
}
