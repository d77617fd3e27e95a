// `useCall`: what came of the latest call, and what ends one.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ZocketClient } from "@zocket/core";
import { ZocketProvider, useCall, useZocket } from "@zocket/core/react";
import { StrictMode, useEffect, useLayoutEffect } from "react";
import type { ReactNode } from "react";

import { serve, type AppRouter } from "./_app.ts";
import { aWhile, act, complaintsOf, show, thrownBy, until } from "./_page.tsx";

type Client = ZocketClient<AppRouter>;

function Page({ url, children }: { url: string; children: ReactNode }) {
  return (
    <StrictMode>
      <ZocketProvider<AppRouter> url={url}>{children}</ZocketProvider>
    </StrictMode>
  );
}

/** A component that uses what the test makes of the client, and the latest of what that returned. */
function probe<T>(use: (client: Client) => T) {
  const renders: T[] = [];
  function Probe() {
    renders.push(use(useZocket<AppRouter>().client));
    return null;
  }
  return {
    Probe,
    renders,
    get latest(): T {
      const latest = renders.at(-1);
      assert.ok(latest !== undefined);
      return latest;
    },
  };
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "fulfilled",
    ({ code, name }: { code?: unknown; name: string }) => (typeof code === "string" ? code : name),
  );

describe("useCall", () => {
  test("shows the reply, and returns the promise of it", async (t) => {
    const { url } = serve(t);
    const history = probe((client) => useCall(client.call.chat.history));
    show(t, <Page url={url} children={<history.Probe />} />);
    const { data, error, pending, run, abort } = history.latest;
    assert.deepEqual([data, error, pending], [undefined, undefined, false]);
    const call = act(() => run({ room: "lobby" }));
    assert.equal(history.latest.pending, true);
    const expected = [{ text: "in lobby", at: "1970-01-01T00:00:00.000Z" }];
    assert.deepEqual(await call, expected);
    await until("the reply", () => !history.latest.pending);
    assert.deepEqual(history.latest.data, expected);
    assert.equal(history.latest.run, run);
    assert.equal(history.latest.abort, abort);
  });

  test("shows why it failed, and keeps the reply before; nothing goes unhandled", async (t) => {
    const { url } = serve(t);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    t.after(() => process.off("unhandledRejection", note));
    const history = probe((client) => useCall(client.call.chat.history));
    show(t, <Page url={url} children={<history.Probe />} />);
    act(() => void history.latest.run({ room: "lobby" }));
    await until("the reply", () => history.latest.data);
    act(() => void history.latest.run({ room: "none" }));
    assert.deepEqual([history.latest.pending, history.latest.data?.length], [true, 1]);
    await until("the error", () => history.latest.error);
    const { error, data, pending } = history.latest;
    assert.equal(error?.code, "NO_ROOM");
    assert.deepEqual(error?.code === "NO_ROOM" && error.data, { rooms: ["lobby"] });
    assert.deepEqual([data?.length, pending], [1, false]);
    act(() => void history.latest.run({ room: "lobby" }));
    assert.equal(history.latest.error, undefined);
    await until("the reply", () => !history.latest.pending);
    await aWhile();
    assert.deepEqual(unhandled, []);
  });

  test("lets the latest run win, and aborts the one before", async (t) => {
    const { url, seen } = serve(t);
    const slow = probe((client) => useCall(client.call.chat.slow));
    show(t, <Page url={url} children={<slow.Probe />} />);
    const first = codeOf(act(() => slow.latest.run("first")));
    await until("the handler", () => seen.begun.includes("first"));
    const second = codeOf(act(() => slow.latest.run("second")));
    assert.equal(await first, "ABORTED");
    await until("the abort", () => seen.aborted.includes("first"));
    assert.equal(slow.latest.pending, true);
    const third = codeOf(act(() => slow.latest.run("third", { timeout: 50 })));
    assert.equal(await second, "ABORTED");
    assert.equal(await third, "TIMEOUT");
    await until("its end", () => !slow.latest.pending);
    assert.equal(slow.latest.error?.code, "TIMEOUT");
  });

  test("aborts a call when its component is unmounted, and makes none afterwards", async (t) => {
    const { url, seen, server } = serve(t);
    const slow = probe((client) => useCall(client.call.chat.slow));
    const page = (isThere: boolean) => <Page url={url}>{isThere && <slow.Probe />}</Page>;
    const { rerender } = show(t, page(true));
    const { run, abort } = slow.latest;
    const call = codeOf(act(() => run("gone")));
    await until("the handler", () => seen.begun.length === 1);
    rerender(page(false));
    assert.equal(await call, "ABORTED");
    await until("the abort at the server", () => seen.aborted.length === 1);
    assert.equal(server.clientCount(), 1);
    assert.equal(await codeOf(run("late")), "ABORTED");
    abort();
    await aWhile();
    assert.deepEqual(seen.begun, ["gone"]);
    // Mounted again, it is another component.
    rerender(page(true));
    act(() => void slow.latest.run("again"));
    await until("the handler", () => seen.begun.includes("again"));
  });

  test("ends a call by abort(), which is no error", async (t) => {
    const { url, seen } = serve(t);
    const slow = probe((client) => useCall(client.call.chat.slow));
    show(t, <Page url={url} children={<slow.Probe />} />);
    const call = codeOf(act(() => slow.latest.run("one")));
    await until("the handler", () => seen.begun.length === 1);
    act(() => slow.latest.abort());
    assert.equal(slow.latest.pending, false);
    assert.equal(await call, "ABORTED");
    await until("the abort", () => seen.aborted.length === 1);
    assert.equal(slow.latest.error, undefined);
    // A signal of the application is none either.
    const controller = new AbortController();
    const other = codeOf(act(() => slow.latest.run("two", { signal: controller.signal })));
    act(() => controller.abort());
    assert.equal(await other, "AbortError");
    await until("its end", () => !slow.latest.pending);
    assert.equal(slow.latest.error, undefined);
  });

  test("runs in effects, in Strict Mode too", async (t) => {
    const { url, seen } = serve(t);
    const slow = probe((client) => {
      const layout = useCall(client.call.chat.slow);
      const passive = useCall(client.call.chat.slow);
      useLayoutEffect(() => void layout.run("layout"), [layout.run]);
      useEffect(() => void passive.run("passive"), [passive.run]);
      return [layout, passive] as const;
    });
    show(t, <Page url={url} children={<slow.Probe />} />);
    await until("the calls", () => seen.begun.includes("layout") && seen.begun.includes("passive"));
    await aWhile();
    // The second run of each effect won.
    assert.deepEqual(
      slow.latest.map(({ pending, error }) => [pending, error]),
      [
        [true, undefined],
        [true, undefined],
      ],
    );
  });

  test("settles a pending call with CLOSED when the url changes, and calls the new server", async (t) => {
    const [one, two] = [serve(t), serve(t)];
    const slow = probe((client) => useCall(client.call.chat.slow));
    const { rerender } = show(t, <Page url={one.url} children={<slow.Probe />} />);
    const call = codeOf(act(() => slow.latest.run("one")));
    await until("the handler", () => one.seen.begun.length === 1);
    rerender(<Page url={two.url} children={<slow.Probe />} />);
    assert.equal(await call, "CLOSED");
    await until("its end", () => !slow.latest.pending);
    assert.equal(slow.latest.error?.code, "CLOSED");
    act(() => void slow.latest.run("two"));
    await until("the other handler", () => two.seen.begun.length === 1);
    assert.deepEqual(one.seen.begun, ["one"]);
  });

  test("collects the items of a stream, and begins anew with the next run", async (t) => {
    const { url } = serve(t);
    const count = probe((client) => useCall(client.call.chat.count));
    show(t, <Page url={url} children={<count.Probe />} />);
    assert.deepEqual(count.latest.items, []);
    const total = act(() => count.latest.run({ to: 200 }));
    assert.deepEqual(await total, { total: 200 });
    await until("the end", () => !count.latest.pending);
    const { items, data } = count.latest;
    assert.deepEqual(
      items,
      Array.from({ length: 200 }, (_, at) => at + 1),
    );
    assert.deepEqual(data, { total: 200 });
    assert.ok(count.renders.some(({ items: { length }, pending }) => pending && length > 0));
    act(() => void count.latest.run({ to: 2 }));
    assert.deepEqual([count.latest.items, count.latest.data], [[], { total: 200 }]);
    await until("the end", () => !count.latest.pending);
    assert.deepEqual([count.latest.items, count.latest.data], [[1, 2], { total: 2 }]);
  });

  test("keeps the newest items alone with maxItems", async (t) => {
    const { url } = serve(t);
    const count = probe((client) => useCall(client.call.chat.count, { maxItems: 3 }));
    show(t, <Page url={url} children={<count.Probe />} />);
    await act(() => count.latest.run({ to: 500 }));
    await until("the end", () => !count.latest.pending);
    assert.deepEqual(count.latest.items, [498, 499, 500]);
    assert.ok(count.renders.every(({ items }) => items.length <= 3));
  });

  test("takes a function that makes the call, of the latest render", async (t) => {
    const { url } = serve(t);
    let room = "one";
    const history = probe((client) => useCall(() => client.call.chat.history({ room })));
    const { rerender } = show(t, <Page url={url} children={<history.Probe />} />);
    const { run } = history.latest;
    room = "two";
    rerender(<Page url={url} children={<history.Probe />} />);
    const [reply] = await act(() => run());
    assert.equal(reply?.text, "in two");
  });

  test("throws a TypeError for what is no function, and for a wrong option", (t) => {
    complaintsOf(t);
    const { url } = serve(t);
    const thrown = (use: (client: Client) => unknown) => {
      const { Probe } = probe(use);
      return thrownBy(() => show(t, <Page url={url} children={<Probe />} />));
    };
    const loose = useCall as (call: unknown, options?: unknown) => void;
    assert.match(
      thrown(() => loose(undefined)),
      /^TypeError: useCall: expected a function of client.call, got undefined/,
    );
    assert.match(
      thrown(({ call }) => loose(call.chat.ping, { maxItem: 1 })),
      /maxItem: unknown option; did you mean maxItems/,
    );
    assert.match(
      thrown(({ call }) => loose(call.chat.ping, { maxItems: 0 })),
      /maxItems: expected a number from 1/,
    );
    complaintsOf(t).length = 0;
  });
});
