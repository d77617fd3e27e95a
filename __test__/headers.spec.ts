// What of the upgrade request reaches the headers schema, and whose page it may come from.
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import { createZocketClient, type ServerOptions } from "@zocket/core";
import { WebSocket } from "ws";
import { z } from "zod";

import { ask, request } from "./_raw.ts";
import { serve, type Headers } from "./_support.ts";
import { until } from "./_wait.ts";

/** The headers onConnect gets for a request. */
async function headersOf(
  t: TestContext,
  changes: Record<string, string | string[] | undefined>,
  target = "/",
  options?: ServerOptions,
): Promise<Headers> {
  const { port, connects } = serve(t, { ...(options && { options }) });
  const { status } = await ask(t, port, request(changes, `GET ${target} HTTP/1.1`));
  assert.equal(status, 101);
  return connects[0]?.headers as Headers;
}

describe("headers", () => {
  test("are the request's, names in lower case, values as they are", async (t) => {
    const headers = await headersOf(t, { "X-MiXed": "VaLue", Authorization: "Bearer a  b" });
    assert.equal(headers["x-mixed"], "VaLue");
    assert.equal(headers["authorization"], "Bearer a  b");
    assert.equal(headers["host"], "localhost");
    assert.equal(headers["upgrade"], "websocket");
    assert.ok(Object.keys(headers).every((name) => name === name.toLowerCase()));
  });

  test("that are repeated are joined with a comma, cookies with a semicolon", async (t) => {
    const headers = await headersOf(t, {
      "X-Many": ["a", "b"],
      "x-MANY": "c",
      Cookie: ["a=1", "b=2; c=3"],
    });
    assert.equal(headers["x-many"], "a, b, c");
    assert.equal(headers["cookie"], "a=1; b=2; c=3");
  });

  test("hold the query parameters too, decoded, as they are spelled and in lower case", async (t) => {
    const headers = await headersOf(
      t,
      {},
      "/p?Authorization=Bearer%20x&A+b=c+d&%C3%89=%F0%9F%99%82&empty=&bare",
    );
    for (const name of ["authorization", "Authorization"]) assert.equal(headers[name], "Bearer x");
    for (const name of ["a b", "A b"]) assert.equal(headers[name], "c d");
    for (const name of ["é", "É"]) assert.equal(headers[name], "🙂");
    assert.equal(headers["empty"], "");
    assert.equal(headers["bare"], "");
  });

  test("that the client names may have capitals in the schema", async (t) => {
    const wanted = z.object({ sessionId: z.string(), userRole: z.string().default("user") });
    const app = serve(t, { headers: wanted });
    const client = createZocketClient(app.url, { WebSocket, headers: { sessionId: "s1" } });
    t.after(() => client.close());
    await until("onConnect", () => app.connects.length === 1);
    assert.deepEqual(app.connects[0]?.headers, { sessionId: "s1", userRole: "user" });
  });

  test("of the query may be as many as a head of 16 KiB holds, and more are refused", async (t) => {
    const many = Array.from({ length: 3000 }, (_, number) => number.toString(36));
    const headers = await headersOf(t, {}, `/?${many.join("&")}&${many[7]}=last`);
    assert.ok(many.every((name, number) => headers[name] === (number === 7 ? "last" : "")));
    const { port, connects } = serve(t);
    const target = `/?${"a=b&".repeat(100_000)}`;
    assert.equal((await ask(t, port, request({}, `GET ${target} HTTP/1.1`))).status, 431);
    assert.equal(connects.length, 0);
  });

  test("of the query: the last of several wins, in lower case whatever the spelling", async (t) => {
    const headers = await headersOf(t, {}, "/?a=1&b=x&A=2&a=3&B=y");
    assert.deepEqual([headers["a"], headers["A"]], ["3", "2"]);
    assert.deepEqual([headers["b"], headers["B"]], ["y", "y"]);
    const session = await headersOf(t, {}, "/?SessionId=1&sessionId=2");
    assert.deepEqual([session["sessionid"], session["sessionId"]], ["2", "2"]);
  });

  test("that are real win over query parameters of their name, under every spelling", async (t) => {
    const target =
      "/?Authorization=forged&authorization=forged&HOST=forged&x-Empty=forged&userID=x";
    const headers = await headersOf(
      t,
      { AUTHORIZATION: "real", "X-Empty": "", UserId: ["a", "b"] },
      target,
    );
    for (const name of ["authorization", "Authorization"]) assert.equal(headers[name], "real");
    for (const name of ["host", "HOST"]) assert.equal(headers[name], "localhost");
    for (const name of ["x-empty", "x-Empty"]) assert.equal(headers[name], "");
    for (const name of ["userid", "userID"]) assert.equal(headers[name], "a, b");
    assert.ok(!Object.values(headers).includes("forged"));
  });

  test("that are long and real are not repeated for each spelling of a query", async (t) => {
    const spellings = Array.from({ length: 256 }, (_, number) =>
      [..."abcdefgh"].map((c, at) => ((number >> at) & 1 ? c.toUpperCase() : c)).join(""),
    );
    const real = "x".repeat(8000);
    const headers = await headersOf(t, { abcdefgh: real }, `/?${spellings.join("=forged&")}`);
    const values = Object.entries(headers).filter(([name]) => name.toLowerCase() === "abcdefgh");
    assert.ok(values.every(([, value]) => value === real));
    assert.ok(values.length > 1 && values.length <= 4, `${values.length}`);
  });

  test("never have a cookie from the query", async (t) => {
    // The last one is the Kelvin sign, whose lower case is a plain `k`.
    for (const name of ["cookie", "Cookie", "COOKIE", "c%6Fokie", "coo%E2%84%AAie"]) {
      for (const Cookie of [undefined, "b=2"]) {
        const headers = await headersOf(t, { Cookie }, `/?${name}=a=1`);
        assert.equal(headers["cookie"], Cookie, name);
        assert.ok(!Object.values(headers).includes("a=1"), name);
      }
    }
  });

  test("named like parts of every object pollute nothing", async (t) => {
    const headers = await headersOf(
      t,
      { Constructor: "a" },
      "/?__PROTO__=b&toString=c&hasOwnProperty=d&Constructor=e",
    );
    assert.equal(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "b");
    assert.equal(headers["constructor"], "a");
    assert.equal(headers["Constructor"], "a");
    assert.equal(headers["tostring"], "c");
    assert.equal(Object.getOwnPropertyDescriptor(headers, "toString")?.value, "c");
    assert.equal(({} as Headers)["b"], undefined);
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
  });

  test("with bytes above ASCII come as Latin-1, as in Node", async (t) => {
    const { port, connects } = serve(t);
    await ask(t, port, Buffer.from(request({ "X-Name": "Zo\xeb" }), "latin1"));
    assert.equal(connects[0]?.headers["x-name"], "Zoë");
    // Each byte is a character, also where the bytes would make sense as UTF-8.
    await ask(t, port, Buffer.from(request({ "X-Name": "Zo\xc3\xab" }), "latin1"));
    assert.equal(connects[1]?.headers["x-name"], "ZoÃ«");
  });
});

describe("requests from other sites, without allowedOrigins", () => {
  const CREDENTIALS = { Cookie: "session=1", Authorization: "Basic secret" };
  const host = { Host: "chat.example:8080" };
  const ELSEWHERE: [what: string, origin: string | string[]][] = [
    ["another host", "http://evil.example:8080"],
    ["another port", "http://chat.example:8081"],
    ["the default port", "http://chat.example"],
    ["a host that starts alike", "http://chat.example:8080.evil.example"],
    ["a subdomain", "http://a.chat.example:8080"],
    ["a host with a dot behind it", "http://chat.example.:8080"],
    ["a user before the host", "http://chat.example:8080@evil.example"],
    ["a path", "http://chat.example:8080/"],
    ["an address", "http://[::1]:8080"],
    ["no port, by https", "https://chat.example"],
    ["an empty one", ""],
    ["two Origin fields, both its own", ["http://chat.example:8080", "http://chat.example:8080"]],
    ["two Origin fields, the last its own", ["http://evil.example", "http://chat.example:8080"]],
    ["null", "null"],
    ["nonsense", "chat.example:8080"],
  ];
  for (const [what, Origin] of ELSEWHERE) {
    test(`(${what}) keep working, but only with what holds nothing of the visitor`, async (t) => {
      const harmless = {
        "User-Agent": "Some/1.0",
        Accept: "*/*",
        "Accept-Language": "de",
        "Sec-Fetch-Site": "cross-site",
      };
      const headers = await headersOf(
        t,
        {
          ...CREDENTIALS,
          ...host,
          Origin,
          ...harmless,
          "X-Forwarded-User": "ada",
          "X-Real-Ip": "1",
        },
        "/?token=own",
      );
      assert.deepEqual(headers, {
        host: host.Host,
        origin: [Origin].flat().join(", "),
        "user-agent": "Some/1.0",
        accept: "*/*",
        "accept-language": "de",
        "sec-fetch-site": "cross-site",
        "sec-websocket-key": headers["sec-websocket-key"],
        "sec-websocket-version": "13",
        token: "own",
      });
    });
  }

  test("cannot replace what a proxy says of the visitor: neither counts", async (t) => {
    const headers = await headersOf(
      t,
      { "X-Forwarded-User": "ada", Origin: "http://evil.example" },
      "/?x-forwarded-user=admin&X-Forwarded-User=admin",
    );
    assert.ok(!Object.keys(headers).some((name) => /x-forwarded-user/i.test(name)));
  });

  test("may still bring an authorization in the query: it is withheld before the merge", async (t) => {
    const Origin = "http://evil.example";
    const headers = await headersOf(t, { ...CREDENTIALS, Origin }, "/?Authorization=own&cookie=a");
    assert.deepEqual([headers["authorization"], headers["Authorization"]], ["own", "own"]);
    assert.ok(!("cookie" in headers));
  });

  test("from the same host and port nothing is withheld", async (t) => {
    for (const [Host, Origin] of [
      ["chat.example:8080", "http://chat.example:8080"],
      ["chat.example", "https://chat.example"],
      ["chat.example", "http://chat.example"],
      ["chat.example:443", "https://chat.example"],
      ["CHAT.example", "http://chat.EXAMPLE"],
      ["[::1]:80", "http://[::1]"],
      ["[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"],
      ["chat.example:80", "http://chat.example"],
      ["chat.example.", "https://chat.example."],
    ] as const) {
      const headers = await headersOf(t, { ...CREDENTIALS, Host, Origin, "X-User": "ada" });
      assert.equal(headers["x-user"], "ada", Origin);
      assert.equal(headers["cookie"], "session=1", Origin);
      assert.equal(headers["authorization"], "Basic secret", Origin);
    }
  });

  test("without an Origin nothing is withheld", async (t) => {
    const headers = await headersOf(t, { ...CREDENTIALS, ...host, "X-User": "ada" });
    assert.equal(headers["x-user"], "ada");
    assert.equal(headers["cookie"], "session=1");
    assert.equal(headers["authorization"], "Basic secret");
  });
});

describe("allowedOrigins", () => {
  const allowedOrigins = ["https://a.example", "http://b.example:8080"];
  const CREDENTIALS = { Cookie: "session=1", Authorization: "Basic secret" };

  test("as a list lets exactly these in, with their credentials", async (t) => {
    for (const Origin of allowedOrigins) {
      const fields = { ...CREDENTIALS, Origin, "X-User": "ada" };
      const headers = await headersOf(t, fields, "/", { allowedOrigins });
      assert.equal(headers["x-user"], "ada");
      assert.equal(headers["cookie"], "session=1");
      assert.equal(headers["authorization"], "Basic secret");
    }
  });

  test("as a list refuses others with 403, before onConnect, and tells onError", async (t) => {
    const app = serve(t, { options: { allowedOrigins } });
    const others = [
      "http://a.example",
      "https://a.example:8443",
      "https://a.example.evil",
      "https://x.a.example",
      "null",
      // The server's own site is no exception.
      "http://localhost",
    ];
    for (const Origin of others) {
      assert.equal((await ask(t, app.port, request({ Origin }))).status, 403, Origin);
    }
    await until("the reports", () => app.errors.length === others.length);
    assert.ok(app.errors.every(({ code }) => code === "ORIGIN"));
    assert.equal(app.connects.length, 0);
    assert.deepEqual(app.server.metrics().refused, { ORIGIN: others.length });
  });

  test("as a list takes each kind of origin that clients send", async (t) => {
    const kinds = [
      "null",
      "http://localhost:3000",
      "https://xn--bcher-kva.example",
      "http://[::1]:8080",
      "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
      "moz-extension://6ef3b1a2-0000-4000-8000-000000000000",
      "capacitor://localhost",
      "file://",
      "app://.",
      "https://example.com:80",
      "app://Example:443",
    ];
    const app = serve(t, { options: { allowedOrigins: kinds } });
    for (const Origin of kinds) {
      assert.equal((await ask(t, app.port, request({ Origin }))).status, 101, Origin);
    }
  });

  test("lets requests without an Origin in", async (t) => {
    const never = () => assert.fail("there is no origin to ask about");
    for (const rule of [allowedOrigins, [], never]) {
      const headers = await headersOf(t, CREDENTIALS, "/", { allowedOrigins: rule });
      assert.equal(headers["cookie"], "session=1");
    }
  });

  test("as a function is asked with the origin's string", async (t) => {
    const asked: unknown[][] = [];
    const app = serve(t, {
      options: {
        allowedOrigins: (...args: [string]) => {
          asked.push(args);
          return args[0] === "https://a.example";
        },
      },
    });
    const good = request({ ...CREDENTIALS, Origin: "https://a.example" });
    assert.equal((await ask(t, app.port, good)).status, 101);
    assert.equal((await ask(t, app.port, request({ Origin: "null" }))).status, 403);
    assert.deepEqual(
      asked.map(([origin]) => origin),
      ["https://a.example", "null"],
    );
    assert.equal(app.connects[0]?.headers["cookie"], "session=1");
    assert.equal(app.connects.length, 1);
    assert.deepEqual(app.server.metrics().refused, { ORIGIN: 1 });
  });

  test("as a function that throws refuses with 403 and tells onError what it threw", async (t) => {
    const thrown = { secret: "no Error" };
    const app = serve(t, {
      options: {
        allowedOrigins: () => {
          throw thrown;
        },
      },
    });
    const { status, body } = await ask(t, app.port, request({ Origin: "https://a.example" }));
    assert.equal(status, 403);
    assert.doesNotMatch(body, /secret/);
    assert.equal(app.errors.length, 1);
    assert.deepEqual([app.errors[0]?.error, app.errors[0]?.code], [thrown, "ORIGIN"]);
    assert.equal(app.errors[0]?.error, thrown);
    assert.equal(app.connects.length, 0);
  });
});
