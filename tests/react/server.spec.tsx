// A page that is rendered on a server, where there is no document.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { describe, test } from "node:test";

import * as hooks from "@zocket/core/react";
import { renderToPipeableStream, renderToString } from "react-dom/server";

import { serve } from "./_app.ts";
import { Rendered } from "./_rendered.tsx";

test("import and require give the same names, which work the same", () => {
  const required = createRequire(import.meta.url)("@zocket/core/react") as typeof hooks;
  const names = (module: object) =>
    Object.keys(module)
      .filter((name) => name !== "__esModule")
      .toSorted();
  assert.deepEqual(names(required), names(hooks));
  assert.equal(names(hooks).length, 6);
  const { ZocketProvider, useConnection } = required;
  const State = () => <b>{useConnection().state}</b>;
  const html = renderToString(
    <ZocketProvider url="ws://localhost">
      <State />
    </ZocketProvider>,
  );
  assert.equal(html, "<b>connecting</b>");
});

describe("a page that a server renders", () => {
  test("is connecting, and opens nothing", async (t) => {
    assert.equal(typeof document, "undefined");
    const { url, server } = serve(t);
    const { error } = console;
    const complaints: unknown[] = [];
    console.error = (...parts: unknown[]) => void complaints.push(parts);
    t.after(() => {
      console.error = error;
    });
    const html = renderToString(<Rendered url={url} />);
    assert.equal(html, "<main><b>connecting</b><i>0</i><u>idle</u></main>");
    let streamed = "";
    const sink = new Writable({
      write(chunk, _encoding, done) {
        streamed += String(chunk);
        done();
      },
    });
    const { pipe } = renderToPipeableStream(<Rendered url={url} />);
    pipe(sink);
    await finished(sink);
    assert.equal(streamed, html);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(server.metrics().accepted, 0);
    assert.deepEqual(complaints, []);
  });

  test("needs no WebSocket, and its url may be a path", () => {
    const { WebSocket } = globalThis as { WebSocket?: unknown };
    Object.assign(globalThis, { WebSocket: undefined });
    try {
      for (const autoConnect of [true, undefined]) {
        const html = renderToString(<Rendered url="/socket" autoConnect={autoConnect} />);
        assert.match(html, /<b>connecting<\/b>/);
      }
      assert.match(
        renderToString(<Rendered url="/socket" autoConnect={false} />),
        /<b>closed<\/b>/,
      );
    } finally {
      Object.assign(globalThis, { WebSocket });
    }
  });

  test("says what is wrong with its props there already", () => {
    assert.throws(() => renderToString(<Rendered url="ws://x" callTimeout={-1} />), /callTimeout/);
  });
});
