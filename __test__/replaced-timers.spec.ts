// A test runner may replace Node's timers for a while. A server in the same process serves its clients all the same.
import { test } from "node:test";

import { attached } from "./_attached.ts";
import { Raw, request, said } from "./_raw.ts";
import { serve } from "./_support.ts";
import { until } from "./_wait.ts";

const ASK = request({}, "GET /ws HTTP/1.1");

test("clients of an HTTP server connect while the timers are replaced, and afterwards", async (t) => {
  const { app, port } = await attached(t);
  t.mock.timers.enable({ apis: ["setImmediate"] });
  new Raw(t, port, ASK, said("hello"));
  await until("the message of the first", () => app.messages.length === 1);
  t.mock.timers.reset();
  new Raw(t, port, ASK, said("hello"));
  await until("the message of the second", () => app.messages.length === 2);
});

test("messages that wait for the next turn go on while the timers are replaced", async (t) => {
  const spin = () => {
    const end = performance.now() + 4;
    while (performance.now() < end);
  };
  const { messages, port } = serve(t, { say: spin });
  t.mock.timers.enable({ apis: ["setImmediate"] });
  new Raw(t, port, ASK, ...Array.from({ length: 30 }, (_, n) => said(n)));
  await until("the messages", () => messages.length === 30);
});
