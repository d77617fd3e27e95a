// `useEvent` and `useConnection`: who is called, how often, and with what.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  ZocketProvider,
  createZocketReact,
  useConnection,
  useEvent,
  useZocket,
} from "@zocket/core/react";
import { Profiler, StrictMode, startTransition, useEffect, useLayoutEffect, useState } from "react";
import type { ReactNode } from "react";

import { serve, type AppRouter } from "./_app.ts";
import { act, complaintsOf, show, thrownBy, until } from "./_page.tsx";

/** A page that is connected once `open` is among its text. */
function Page({ url, children }: { url: string; children: ReactNode }) {
  return (
    <StrictMode>
      <ZocketProvider<AppRouter> url={url}>
        <State />
        {children}
      </ZocketProvider>
    </StrictMode>
  );
}

function State() {
  return <b>{useConnection().state}</b>;
}

describe("useEvent", () => {
  test("calls the listener of the latest render, and never subscribes again for another one", async (t) => {
    const { url, broadcast } = serve(t);
    const heard: string[] = [];
    const subscribed: unknown[] = [];
    function Listener({ name }: { name: string }) {
      const { client } = useZocket<AppRouter>();
      const [on] = useState(() => (listener: (payload: { text: string }) => void) => {
        const off = client.on.chat.onMessage(listener);
        subscribed.push(listener);
        return off;
      });
      useEvent(on, ({ text }) => heard.push(`${name} ${text}`));
      return null;
    }
    const page = (name: string) => (
      <Page url={url}>
        <Listener name={name} />
      </Page>
    );
    const { rerender, text } = show(t, page("first"));
    await until("open", () => text() === "open");
    const before = subscribed.length;
    broadcast("one");
    await until("the first", () => heard.length === 1);
    for (let n = 0; n < 20; n += 1) rerender(page(`render ${n}`));
    broadcast("two");
    await until("the second", () => heard.length === 2);
    assert.deepEqual(heard, ["first one", "render 19 two"]);
    assert.equal(subscribed.length, before);
  });

  test("brings one message to 1,000 components, in one commit, and none after they are gone", async (t) => {
    const { url, broadcast } = serve(t);
    let commits = 0;
    let calls = 0;
    function Listener() {
      const { client } = useZocket<AppRouter>();
      const [text, setText] = useState("");
      useEvent(client.on.chat.onMessage, (message) => {
        calls += 1;
        setText(message.text);
      });
      return <i>{text}</i>;
    }
    const page = (many: number) => (
      <Page url={url}>
        <Profiler id="listeners" onRender={() => (commits += 1)}>
          {Array.from({ length: many }, (_, key) => (
            <Listener key={key} />
          ))}
        </Profiler>
      </Page>
    );
    const { rerender, text } = show(t, page(1_000));
    await until("open", () => text() === "open");
    commits = 0;
    broadcast("x");
    await until("all of them", () => text() === `open${"x".repeat(1_000)}`);
    assert.deepEqual({ calls, commits }, { calls: 1_000, commits: 1 });
    rerender(page(1));
    calls = 0;
    broadcast("y");
    await until("the one", () => text() === "openy");
    assert.equal(calls, 1);
  });

  test("takes everything of the client that takes a listener", async (t) => {
    const { url, server } = serve(t);
    const seen: unknown[] = [];
    function Listener() {
      const { client } = useZocket<AppRouter>();
      useEvent(client.onOpen, () => seen.push("open"));
      useEvent(client.onState, (state, retryAt) => seen.push(state, typeof retryAt));
      useEvent(client.onClose, ({ code }) => seen.push(code));
      useEvent(client.onError, ({ code }) => seen.push(code));
      useEffect(() => client.send.chat.message({ text: 5 as never }), [client]);
      return null;
    }
    const { text } = show(
      t,
      <ZocketProvider<AppRouter> url={url}>
        <State />
        <Listener />
      </ZocketProvider>,
    );
    await until("the error", () => seen.includes("INVALID_PAYLOAD"));
    await server.stop();
    await until("the end", () => seen.includes("waiting"));
    const expected = ["open", "open", "undefined", "INVALID_PAYLOAD", 1001, "waiting", "number"];
    assert.deepEqual(seen.slice(seen.indexOf("open")), expected);
    await until("its state", () => text() === "waiting");
  });

  test("reports a listener that throws or rejects, and goes on", async (t) => {
    const { url, broadcast } = serve(t);
    const heard: string[] = [];
    function Listener() {
      const { client } = useZocket<AppRouter>();
      useEvent(client.on.chat.onMessage, ({ text }) => {
        heard.push(text);
        throw new Error(`thrown at ${text}`);
      });
      useEvent(client.on.chat.onMessage, async ({ text }) => {
        await Promise.resolve();
        throw new Error(`rejected at ${text}`);
      });
      return null;
    }
    const { text } = show(t, <Page url={url} children={<Listener />} />);
    const complaints = complaintsOf(t);
    await until("open", () => text() === "open");
    broadcast("one");
    broadcast("two");
    await until("the messages", () => heard.length === 2);
    await until("the complaints", () => complaints.length === 4);
    assert.deepEqual(
      complaints
        .splice(0)
        .map((it) => /(thrown|rejected) at \w+/.exec(it)?.[0])
        .toSorted(),
      ["rejected at one", "rejected at two", "thrown at one", "thrown at two"],
    );
  });

  test("throws a TypeError for what is no function", (t) => {
    complaintsOf(t);
    const Wrong = ({ on, listener }: { on?: unknown; listener?: unknown }) => {
      useEvent(on as () => () => void, listener as () => void);
      return null;
    };
    assert.match(
      thrownBy(() => show(t, <Wrong listener={() => {}} />)),
      /^TypeError: useEvent: .*undefined/,
    );
    assert.match(
      thrownBy(() => show(t, <Wrong on={() => () => {}} listener="no" />)),
      /^TypeError: useEvent: .*string/,
    );
    complaintsOf(t).length = 0;
  });
});

describe("a listener that sets state while rendering is concurrent", () => {
  test("loses nothing, and no commit shows two states", async (t) => {
    const { url, broadcast } = serve(t);
    const torn: string[] = [];
    let begin = (_value: number): void => {};
    function Slow({ n, heard }: { n: number; heard: number }) {
      const end = performance.now() + 1;
      while (performance.now() < end);
      return (
        <i data-heard={heard} data-n={n}>
          .
        </i>
      );
    }
    function Counter() {
      const { client } = useZocket<AppRouter>();
      const [heard, setHeard] = useState(0);
      const [n, setN] = useState(0);
      begin = (value) => startTransition(() => setN(value));
      useEvent(client.on.chat.onMessage, () => setHeard((before) => before + 1));
      useLayoutEffect(() => {
        const shown = [...document.querySelectorAll("i")].map(
          ({ dataset }) => `${dataset["heard"]} ${dataset["n"]}`,
        );
        if (new Set(shown).size > 1) torn.push(shown.join());
      });
      const slows = Array.from({ length: 30 }, (_, key) => <Slow key={key} n={n} heard={heard} />);
      return (
        <>
          <u>{`${heard} ${n}`}</u>
          {slows}
        </>
      );
    }
    const { text } = show(t, <Page url={url} children={<Counter />} />);
    await until("open", () => text().startsWith("open"));
    for (let n = 1; n <= 10; n += 1) {
      begin(n);
      await new Promise((resolve) => setTimeout(resolve, 10));
      for (let times = 0; times < 5; times += 1) broadcast("x");
    }
    await until("all of them", () => text().startsWith("open50 10"));
    assert.deepEqual(torn, []);
  });
});

describe("useConnection", () => {
  test("shows the same state in every component of a commit while rendering is concurrent", async (t) => {
    const { url, server } = serve(t);
    const torn: string[] = [];
    let begin = (_value: number): void => {};
    let reconnect = (): void => {};
    /** Takes its time, so that React lets events in between two of them. */
    function Slow({ n }: { n: number }) {
      const { state } = useConnection();
      const end = performance.now() + 1;
      while (performance.now() < end);
      return <i data-state={state}>{n}</i>;
    }
    function Slows() {
      const [n, setN] = useState(0);
      ({ reconnect } = useConnection());
      begin = (value) => startTransition(() => setN(value));
      useLayoutEffect(() => {
        const states = [...document.querySelectorAll("i")].map((it) => it.dataset["state"]);
        if (new Set(states).size > 1) torn.push(states.join());
      });
      return Array.from({ length: 40 }, (_, key) => <Slow key={key} n={n} />);
    }
    const { text } = show(t, <Page url={url} children={<Slows />} />);
    await until("open", () => text().startsWith("open"));
    for (let n = 1; n <= 8; n += 1) {
      begin(n);
      // While it is rendered.
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (n === 4) void server.stop(true);
      else reconnect();
    }
    await until("the last one", () => /^(?:waiting|connecting)8{40}$/.test(text()));
    assert.deepEqual(torn, []);
  });

  test("tells when the next attempt comes, and is the same object until something changes", async (t) => {
    const { url, server } = serve(t);
    const seen = new Set<unknown>();
    let latest: ReturnType<typeof useConnection> | undefined;
    function Watch({ n }: { n: number }) {
      latest = useConnection();
      seen.add(latest);
      return <p>{n}</p>;
    }
    const page = (n: number) => (
      <ZocketProvider<AppRouter>
        url={url}
        minReconnectionDelay={60_000}
        maxReconnectionDelay={60_000}
      >
        <Watch n={n} />
      </ZocketProvider>
    );
    const { rerender } = show(t, page(0));
    assert.deepEqual([latest?.state, latest?.retryAt], ["connecting", undefined]);
    await until("open", () => latest?.state === "open");
    const before = seen.size;
    for (let n = 1; n < 10; n += 1) rerender(page(n));
    assert.equal(seen.size, before);
    await server.stop(true);
    await until("waiting", () => latest?.state === "waiting");
    const wait = (latest?.retryAt ?? 0) - Date.now();
    assert.ok(wait > 20_000 && wait <= 60_000, String(wait));
    act(() => latest?.reconnect());
    await until(
      "the next attempt",
      () => latest?.state === "connecting" || latest?.retryAt !== undefined,
    );
  });
});

test("createZocketReact returns the same functions each time", () => {
  const [one, two] = [createZocketReact<AppRouter>(), createZocketReact<AppRouter>()];
  assert.deepEqual(one, two);
  assert.deepEqual(one, {
    ZocketProvider,
    useZocket,
    useEvent,
    useConnection,
    useCall: one.useCall,
  });
});
