// Subprotocols: which one is selected, and the headers that a client puts into one.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { z } from "zod";

import { Raw, ask, request } from "./_raw.ts";
import { Client, serve, type Headers } from "./_support.ts";
import { until } from "./_wait.ts";

/** The token that holds these headers. */
const token = (headers: unknown) =>
  `zocket.h.${Buffer.from(JSON.stringify(headers)).toString("base64url")}`;
const offer = (...protocols: string[]) => ({ "Sec-WebSocket-Protocol": protocols.join(", ") });

describe("a subprotocol", () => {
  test("is the first of the server's that the client offers, and none if it offers others", async (t) => {
    const { port } = serve(t, { options: { protocols: ["b", "a"] } });
    const selected = async (...protocols: string[]) =>
      (await ask(t, port, request(offer(...protocols)))).headers["sec-websocket-protocol"];
    assert.equal(await selected("a", "b"), "b");
    assert.equal(await selected("x", "a"), "a");
    assert.equal(await selected("x", "B"), undefined);
    assert.equal(await selected("x", "zocket.1", "b"), "zocket.1");
    const { headers } = await ask(t, port, request());
    assert.equal(headers["sec-websocket-protocol"], undefined);
  });

  test("is told to ws, which gives up where none is selected", async (t) => {
    const { url } = serve(t, { options: { protocols: ["v2.json"] } });
    const client = new Client(t, url);
    await client.close();
    const { WebSocket } = await import("ws");
    const socket = new WebSocket(url, ["v1.json", "v2.json"]);
    t.after(() => socket.terminate());
    await until("the 101", () => socket.readyState === WebSocket.OPEN);
    assert.equal(socket.protocol, "v2.json");
    const other = new WebSocket(url, ["v1.json"]);
    let error = "";
    other.on("error", ({ message }) => (error = message));
    await until("its end", () => other.readyState === WebSocket.CLOSED);
    assert.match(error, /no subprotocol/);
  });

  test("with headers is read, is not answered, and reaches neither schema nor issue", async (t) => {
    const app = serve(t, {
      headers: z.looseObject({ authorization: z.string() }) as never,
    });
    const told = token({ authorization: "geheim", Room: "grüße 🙂" });
    const { status, headers } = await ask(t, app.port, request(offer("zocket.1", told)));
    assert.equal(status, 101);
    assert.equal(headers["sec-websocket-protocol"], "zocket.1");
    const seen = app.connects[0]?.headers as Headers;
    assert.equal(seen["authorization"], "geheim");
    assert.equal(seen["Room"], "grüße 🙂");
    assert.equal(seen["room"], "grüße 🙂");
    assert.equal(seen["sec-websocket-protocol"], undefined);
    assert.ok(!JSON.stringify(seen).includes("zocket.h."));

    const strict = serve(t, { headers: z.strictObject({}) as never });
    const refused = await ask(t, strict.port, request(offer("mqtt")));
    assert.equal(refused.status, 400);
    assert.doesNotMatch(refused.body, /protocol|mqtt/i);
  });

  test("loses against real headers, wins over the query, and holds no cookie", async (t) => {
    const app = serve(t);
    const told = token({
      authorization: "claimed",
      "User-Agent": "claimed",
      Token: "claimed",
      cookie: "claimed",
      "Sec-WebSocket-Protocol": "claimed",
    });
    const query = "token=query&TOKEN=query&user-agent=query&cookie=query&only=query";
    const changes = { ...offer("zocket.1", told), "User-Agent": "real", Authorization: "real" };
    await Raw.open(t, app.port, changes, `GET /?${query} HTTP/1.1`);
    const seen = app.connects[0]?.headers as Headers;
    assert.equal(seen["authorization"], "real");
    assert.equal(seen["user-agent"], "real");
    assert.equal(seen["User-Agent"], "real");
    for (const name of ["token", "Token", "TOKEN"]) assert.equal(seen[name], "claimed", name);
    assert.equal(seen["only"], "query");
    for (const name of ["cookie", "Cookie", "sec-websocket-protocol", "Sec-WebSocket-Protocol"]) {
      assert.equal(seen[name], undefined, name);
    }
  });

  test("of another site's page names what the page may put into a URL, and nothing that a proxy vouches for", async (t) => {
    const app = serve(t);
    const told = token({ authorization: "of the page", "x-user": "admin", own: "1" });
    const changes = {
      ...offer("zocket.1", told),
      Origin: "https://evil.example",
      Authorization: "of the visitor",
      "X-User": "of the proxy",
      Cookie: "of the visitor",
    };
    await Raw.open(t, app.port, changes);
    const seen = app.connects[0]?.headers as Headers;
    assert.equal(seen["authorization"], "of the page");
    assert.equal(seen["own"], "1");
    assert.equal(seen["x-user"], undefined);
    assert.equal(seen["cookie"], undefined);
  });

  test("with headers that cannot be read, twice or without zocket.1 is 400, and says nothing of them", async (t) => {
    const app = serve(t);
    const secret = Buffer.from("geheim").toString("base64url");
    const right = token({ a: "b" });
    const wrong: Record<string, string[]> = {
      "no base64url": ["zocket.1", "zocket.h.!!!"],
      padded: ["zocket.1", "zocket.h.e30="],
      "nothing in it": ["zocket.1", "zocket.h."],
      "not JSON": ["zocket.1", `zocket.h.${secret}`],
      "not UTF-8": ["zocket.1", `zocket.h.${Buffer.of(0x7b, 0xff, 0x7d).toString("base64url")}`],
      "not an object": ["zocket.1", token(["geheim"])],
      "not strings": ["zocket.1", token({ geheim: 1 })],
      "nested objects": ["zocket.1", token({ a: { geheim: "" } })],
      "a second one": ["zocket.1", right, right],
      "no zocket.1": [right],
      "another one than zocket.1": ["mqtt", right],
    };
    for (const [name, protocols] of Object.entries(wrong)) {
      const { status, headers, body } = await ask(t, app.port, request(offer(...protocols)));
      assert.equal(status, 400, name);
      assert.equal(headers["sec-websocket-protocol"], undefined);
      assert.match(body, /`zocket\.h\.`/, name);
      assert.doesNotMatch(body, new RegExp(`geheim|${secret}`), name);
    }
    assert.equal(app.server.metrics().refused.MALFORMED, Object.keys(wrong).length);
    assert.equal(app.connects.length, 0);
    assert.equal(app.errors.length, 0);
  });

  test("of 100 KiB is 431, and the longest that a head holds is read", async (t) => {
    const app = serve(t);
    const long = await ask(
      t,
      app.port,
      request(offer("zocket.1", token({ a: "x".repeat(75_000) }))),
    );
    assert.equal(long.status, 431);
    const value = "x".repeat(12_000);
    await Raw.open(t, app.port, offer("zocket.1", token({ a: value })));
    assert.equal(app.connects[0]?.headers["a"], value);
    const many = Object.fromEntries(Array.from({ length: 1_200 }, (_, n) => [n.toString(36), ""]));
    await Raw.open(t, app.port, offer("zocket.1", token(many)));
    assert.equal(
      Object.keys(app.connects[1]?.headers ?? {}).filter((it) => it in many).length,
      1_200,
    );
  });
});
