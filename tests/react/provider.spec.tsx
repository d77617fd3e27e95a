// The provider's one client: when it connects, when it is closed, and which props count.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createServer, zocket } from "@zocket/core";
import { ZocketProvider, useConnection, useEvent, useZocket } from "@zocket/core/react";
import { StrictMode, Suspense, useEffect, useLayoutEffect, useState } from "react";
import type { ReactNode } from "react";
import { z } from "zod";

import { serve, type AppRouter } from "./_app.ts";
import { aWhile, complaintsOf, show, thrownBy, until } from "./_page.tsx";

const QUICK = { minReconnectionDelay: 10, maxReconnectionDelay: 20 };

/** Shows the state, and connects anew when it is clicked. */
function State() {
  const { state, reconnect } = useConnection();
  return <button onClick={reconnect}>{state}</button>;
}

/** Shows what it heard. */
function Heard() {
  const { client } = useZocket<AppRouter>();
  const [heard, setHeard] = useState<readonly string[]>([]);
  useEvent(client.on.chat.onMessage, ({ text }) => setHeard((before) => [...before, text]));
  return <p>{heard.join()}</p>;
}

const refusals = ({ metrics }: { metrics(): { refused: Record<string, number> } }) =>
  Object.values(metrics().refused).reduce((sum, n) => sum + n, 0);

describe("a provider", () => {
  for (const Mode of [StrictMode, "div" as const]) {
    const mode = typeof Mode === "string" ? "without Strict Mode" : "in Strict Mode";

    test(`${mode} opens exactly one connection, and closes it when it is unmounted`, async (t) => {
      const { url, server, seen } = serve(t);
      const { unmount, text } = show(
        t,
        <Mode>
          <ZocketProvider<AppRouter> url={url}>
            <State />
          </ZocketProvider>
        </Mode>,
      );
      await until("open", () => text() === "open");
      await aWhile();
      assert.equal(server.metrics().accepted, 1);
      assert.equal(seen.connects.length, 1);
      unmount();
      await until("the end", () => seen.disconnects.length === 1);
      await aWhile();
      assert.equal(server.metrics().accepted, 1);
    });

    test(`${mode} connects anew when it is mounted again, one connection at a time`, async (t) => {
      const { url, server, seen } = serve(t);
      const page = (isThere: boolean) => (
        <Mode>
          {isThere && (
            <ZocketProvider<AppRouter> url={url}>
              <State />
              <Heard />
            </ZocketProvider>
          )}
        </Mode>
      );
      const { rerender, text } = show(t, page(true));
      for (const times of [1, 2, 3]) {
        await until("open", () => text() === "open");
        assert.equal(server.clientCount(), 1);
        rerender(page(false));
        await until("the end", () => seen.disconnects.length === times);
        rerender(page(true));
      }
      await until("open", () => text() === "open");
      server.send.chat.onMessage({ from: "", text: "hello" }).broadcast();
      await until("the message", () => text() === "openhello");
      assert.equal(seen.connects.length, 4);
    });

    test(`${mode} gives children a client that takes calls and messages in their first effects`, async (t) => {
      const { url, seen } = serve(t);
      function Early() {
        const { client } = useZocket<AppRouter>();
        const [answers, setAnswers] = useState(0);
        const ask = (): void => {
          void client.call.chat
            .ping()
            .safe()
            .then(({ ok }) => ok && setAnswers((n) => n + 1));
        };
        useLayoutEffect(ask, [client]);
        useEffect(() => {
          ask();
          client.send.chat.message({ text: "early" });
        }, [client]);
        return <p>{answers}</p>;
      }
      const { text } = show(
        t,
        <Mode>
          <ZocketProvider<AppRouter> url={url}>
            <Early />
          </ZocketProvider>
        </Mode>,
      );
      const times = typeof Mode === "string" ? 1 : 2;
      await until("the answers", () => text() === String(2 * times));
      assert.equal(seen.messages.length, times);
    });
  }

  test("opens one connection around a component that suspends at first", async (t) => {
    const { url, server } = serve(t);
    let arrive = (): void => {};
    let hasArrived = false;
    const arrival = new Promise<void>((resolve) => {
      arrive = () => {
        hasArrived = true;
        resolve();
      };
    });
    function Late() {
      // eslint-disable-next-line -- what React catches to suspend
      if (!hasArrived) throw arrival;
      return <State />;
    }
    const { text } = show(
      t,
      <StrictMode>
        <Suspense fallback="loading">
          <ZocketProvider<AppRouter> url={url}>
            <Late />
          </ZocketProvider>
        </Suspense>
      </StrictMode>,
    );
    await aWhile();
    assert.equal(text(), "loading");
    assert.equal(server.metrics().accepted, 0);
    arrive();
    await until("open", () => text() === "open");
    await aWhile();
    assert.equal(server.metrics().accepted, 1);
  });

  test("with another url leaves the old server, settles its calls, and listens at the new one", async (t) => {
    const [one, two] = [serve(t), serve(t)];
    const ends: string[] = [];
    const clients = new Set<unknown>();
    function Caller() {
      const { client } = useZocket<AppRouter>();
      clients.add(client);
      useEffect(() => {
        void client.call.chat.slow("lobby").catch(({ code }: { code: string }) => ends.push(code));
      }, [client]);
      return null;
    }
    const page = (url: string | URL) => (
      <ZocketProvider<AppRouter> url={url}>
        <Caller />
        <Heard />
      </ZocketProvider>
    );
    const { rerender, text } = show(t, page(one.url));
    await until("the call", () => one.seen.begun.length === 1);
    rerender(page(two.url));
    await until("the end of the call", () => ends.length === 1);
    assert.deepEqual(ends, ["CLOSED"]);
    await until("the end at the old server", () => one.seen.disconnects.length === 1);
    await until("the abort", () => one.seen.aborted.length === 1);
    await until("the call at the new server", () => two.seen.begun.length === 1);
    one.broadcast("old");
    two.broadcast("new");
    await until("the message", () => text() === "new");
    assert.equal(clients.size, 2);
    // A URL object is new at each render.
    for (let times = 0; times < 3; times += 1) rerender(page(new URL(two.url)));
    await aWhile();
    assert.equal(one.server.clientCount(), 0);
    assert.equal(two.server.clientCount(), 1);
    assert.equal(clients.size, 3);
  });

  test("uses changed headers and callbacks from the next attempt on, and keeps its connection", async (t) => {
    const { url, server, seen } = serve(t);
    const events: string[] = [];
    const clients = new Set<unknown>();
    function Watch() {
      clients.add(useZocket<AppRouter>().client);
      return <State />;
    }
    const page = (
      name: string,
      headers: { authorization: string } | (() => { authorization: string }),
    ) => (
      <ZocketProvider<AppRouter>
        url={url}
        headers={headers}
        onOpen={() => events.push(`${name} open`)}
        onClose={({ code }) => events.push(`${name} ${code}`)}
      >
        <Watch />
      </ZocketProvider>
    );
    const { rerender, text, click } = show(t, page("first", { authorization: "ada" }));
    await until("open", () => text() === "open");
    rerender(page("second", { authorization: "ben" }));
    await aWhile();
    assert.deepEqual(seen.connects, ["ada"]);
    click();
    await until("Ben", () => seen.connects.length === 2);
    await until("open", () => text() === "open" && server.clientCount() === 1);
    rerender(page("third", () => ({ authorization: "cy" })));
    click();
    await until("Cy", () => seen.connects.length === 3);
    await until("its opening", () => events.includes("third open"));
    assert.deepEqual(seen.connects, ["ada", "ben", "cy"]);
    assert.deepEqual(events, [
      "first open",
      "second 1000",
      "second open",
      "third 1000",
      "third open",
    ]);
    assert.equal(clients.size, 1);
  });

  test("gets a fresh token when the old one has expired while it was mounted", async (t) => {
    const { url, server, seen } = serve(t);
    let token = "ada";
    const { text } = show(
      t,
      <ZocketProvider<AppRouter>
        url={url}
        headers={async () => ({ authorization: token })}
        onClose={({ refused }) => {
          if (refused?.status === 401) token = "ada again";
        }}
        {...QUICK}
      >
        <State />
      </ZocketProvider>,
    );
    await until("open", () => text() === "open");
    token = "bad";
    await server.stop(true);
    const again = serve(t, Number(new URL(url).port));
    await until("open again", () => again.seen.connects.length === 1);
    await until("open", () => text() === "open");
    assert.deepEqual(seen.connects, ["ada"]);
    assert.deepEqual(again.seen.connects, ["ada again"]);
    assert.equal(refusals(again.server), 1);
  });

  test("does not try headers again that the server has refused, until there are others", async (t) => {
    const { url, server, seen } = serve(t);
    const page = (authorization: string) => (
      <ZocketProvider<AppRouter> url={url} headers={{ authorization }} {...QUICK}>
        <State />
      </ZocketProvider>
    );
    const { rerender, text, click } = show(t, page("bad"));
    await until("closed", () => text() === "closed");
    await aWhile();
    assert.equal(refusals(server), 1);
    rerender(page("good"));
    click();
    await until("open", () => text() === "open");
    assert.deepEqual(seen.connects, ["good"]);
  });

  test("asks shouldReconnect of the latest render", async (t) => {
    const { url, server } = serve(t);
    const asked: string[] = [];
    const page = (name: string, may: boolean) => (
      <ZocketProvider<AppRouter>
        url={url}
        {...QUICK}
        shouldReconnect={() => {
          asked.push(name);
          return may;
        }}
      >
        <State />
      </ZocketProvider>
    );
    const { rerender, text } = show(t, page("first", true));
    await until("open", () => text() === "open");
    rerender(page("second", false));
    await server.stop(true);
    await until("closed", () => text() === "closed");
    assert.deepEqual(asked, ["second"]);
  });

  test("with autoConnect={false} connects at the first reconnect(), and closes in the end", async (t) => {
    const { url, server, seen } = serve(t);
    const { text, unmount, click } = show(
      t,
      <StrictMode>
        <ZocketProvider<AppRouter> url={url} autoConnect={false}>
          <State />
        </ZocketProvider>
      </StrictMode>,
    );
    assert.equal(text(), "closed");
    await aWhile();
    assert.equal(server.metrics().accepted, 0);
    click();
    await until("open", () => text() === "open");
    unmount();
    await until("the end", () => seen.disconnects.length === 1);
  });

  test("gives the transformer to its client", async (t) => {
    const transformer = {
      serialize: (value: unknown) => (value instanceof Date ? { at: value.getTime() } : value),
      deserialize: (json: unknown) => new Date((json as { at: number }).at),
    };
    const zo = zocket.create({ headers: z.object({}), transformer });
    const app = zo.router({ onDate: zo.message.outgoing({ payload: z.date() }) }, {});
    const server = createServer(app, zo, { port: 0, hostname: "127.0.0.1" });
    t.after(() => server.stop(true));
    const heard: Date[] = [];
    function Dates() {
      const { client } = useZocket<typeof app>();
      useEvent(client.on.onDate, (date) => heard.push(date));
      return <State />;
    }
    const { text } = show(
      t,
      <ZocketProvider<typeof app> url={server.url} transformer={transformer}>
        <Dates />
      </ZocketProvider>,
    );
    await until("open", () => text() === "open");
    server.send.onDate(new Date(5)).broadcast();
    await until("the date", () => heard.length === 1);
    assert.deepEqual(heard, [new Date(5)]);
  });

  test("inside another one gives its own client", async (t) => {
    const [one, two] = [serve(t), serve(t)];
    const { text } = show(
      t,
      <ZocketProvider<AppRouter> url={one.url}>
        <Heard />
        <ZocketProvider<AppRouter> url={two.url}>
          <Heard />
          <State />
        </ZocketProvider>
      </ZocketProvider>,
    );
    await until("both", () => one.seen.connects.length + two.seen.connects.length === 2);
    await until("open", () => text() === "open");
    two.broadcast("two");
    await until("the message", () => text() === "twoopen");
  });

  test("throws a TypeError that names a wrong prop or url", (t) => {
    const complaints = complaintsOf(t);
    const Loose = ZocketProvider as (props: object) => ReactNode;
    const thrown = (props: object) => thrownBy(() => show(t, <Loose {...props} />));
    assert.match(thrown({}), /^TypeError: createZocketClient: url: expected a string or a URL/);
    assert.match(
      thrown({ url: "ws://localhost", retries: 2 }),
      /retries: unknown option; did you mean maxRetries/,
    );
    assert.match(
      thrown({ url: "ws://localhost", headers: new Map() }),
      /headers: expected a plain object/,
    );
    assert.match(
      thrown({ url: "ws://localhost", autoConnect: "no" }),
      /autoConnect: expected true or false/,
    );
    assert.match(
      thrown({ url: "ws://localhost", callTimeout: -1 }),
      /callTimeout: expected a number/,
    );
    // What React says of errors that it catches.
    complaints.length = 0;
  });

  for (const [name, Hook] of Object.entries({ useZocket, useConnection })) {
    test(`is what ${name} asks for if there is none`, (t) => {
      const complaints = complaintsOf(t);
      function Lonely() {
        Hook();
        return null;
      }
      const expected = `Error: ${name}: there is no ZocketProvider around this component`;
      assert.equal(
        thrownBy(() => show(t, <Lonely />)),
        expected,
      );
      complaints.length = 0;
    });
  }
});
