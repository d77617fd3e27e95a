// Parts of a page that React hides and shows again, with all their state.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ZocketProvider, useCall, useConnection, useEvent, useZocket } from "@zocket/core/react";
import * as React from "react";
import { StrictMode, useEffect, useState, type ReactNode } from "react";

import { serve, type AppRouter } from "./_app.ts";
import { aWhile, act, show, until } from "./_page.tsx";

/** React 18 has none. */
const { Activity } = React as unknown as {
  Activity?: (props: { mode: "visible" | "hidden"; children: ReactNode }) => ReactNode;
};
const skip = Activity ? false : "this React has no Activity";

function Part({ isShown, children }: { isShown: boolean; children: ReactNode }) {
  const Hideable = Activity ?? (() => null);
  return <Hideable mode={isShown ? "visible" : "hidden"}>{children}</Hideable>;
}

describe("a part of the page that React hides", { skip }, () => {
  test("closes its provider's connection, and opens it again with the same client", async (t) => {
    const { url, seen, server } = serve(t);
    const clients = new Set<unknown>();
    const answers: string[] = [];
    function Inner() {
      const { client } = useZocket<AppRouter>();
      clients.add(client);
      useEffect(() => {
        // Its provider must be connecting by now.
        void client.call.chat
          .ping()
          .safe()
          .then((it) => answers.push(it.ok ? it.data : it.error.code));
      }, [client]);
      return <p>{useConnection().state}</p>;
    }
    const page = (isShown: boolean) => (
      <Part isShown={isShown}>
        <ZocketProvider<AppRouter> url={url}>
          <Inner />
        </ZocketProvider>
      </Part>
    );
    const { rerender, text } = show(t, page(false));
    await aWhile();
    assert.equal(server.metrics().accepted, 0);
    for (const times of [1, 2, 3]) {
      rerender(page(true));
      await until("open", () => text() === "open");
      assert.equal(seen.connects.length, times);
      await until("the answer", () => answers.length === times);
      rerender(page(false));
      await until("the end", () => seen.disconnects.length === times);
    }
    assert.equal(clients.size, 1);
    assert.deepEqual([...new Set(answers)], ["pong"]);
  });

  test("hears nothing, aborts its call, and goes on when it is shown again", async (t) => {
    const { url, seen, broadcast } = serve(t);
    const heard: string[] = [];
    let run = (_payload: string): Promise<string> => Promise.reject(new Error("not rendered"));
    function Inner() {
      const { client } = useZocket<AppRouter>();
      useEvent(client.on.chat.onMessage, ({ text }) => heard.push(text));
      const slow = useCall(client.call.chat.slow);
      run = slow.run;
      return <i>{slow.pending ? "pending" : (slow.error?.code ?? "idle")}</i>;
    }
    let last = "";
    function Outer() {
      const { client } = useZocket<AppRouter>();
      const [text, setText] = useState("");
      useEvent(client.on.chat.onMessage, (message) => setText(message.text));
      last = text;
      return <b>{useConnection().state}</b>;
    }
    const page = (isShown: boolean) => (
      <StrictMode>
        <ZocketProvider<AppRouter> url={url}>
          <Outer />
          <Part isShown={isShown}>
            <Inner />
          </Part>
        </ZocketProvider>
      </StrictMode>
    );
    const { rerender, text } = show(t, page(true));
    await until("open", () => text() === "openidle");
    const call = act(() => run("one")).then(
      () => "fulfilled",
      ({ code }: { code: string }) => code,
    );
    await until("the handler", () => seen.begun.length === 1);
    rerender(page(false));
    assert.equal(await call, "ABORTED");
    await until("the abort", () => seen.aborted.length === 1);
    broadcast("hidden");
    await until("the message", () => last === "hidden");
    rerender(page(true));
    broadcast("shown");
    await until("the message", () => heard.includes("shown"));
    assert.deepEqual(heard, ["shown"]);
    await until("its state", () => text() === "openidle");
    void act(() => run("two"));
    await until("the handler", () => seen.begun.includes("two"));
    assert.equal(seen.connects.length, 1);
  });
});
