// TLS to a Redis, with an authority of the tests' own.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";

import { begin, textsOf, type MoreOptions } from "./_bus.ts";
import { Authority } from "./_certificates.ts";
import { freePort } from "./_port.ts";
import { needsRedis, Redis } from "./_redis.ts";
import { flagsOf, folder } from "./_redis-fleet.ts";
import { Client } from "./_support.ts";
import { until } from "./_wait.ts";

/** A Redis with TLS. Returns the URL, with the name that its certificate has. */
async function secure(
  t: TestContext,
  authority: Authority,
  { clients = "no", flags = [] }: { clients?: "yes" | "no"; flags?: string[] } = {},
): Promise<string> {
  const files = await folder(t);
  const { cert, key } = authority.issue("localhost");
  const write = async (name: string, text: string) => {
    const file = path.join(files, name);
    await writeFile(file, text);
    return file;
  };
  const port = await freePort();
  const settings = flagsOf({
    "tls-port": String(port),
    "tls-auth-clients": clients,
    "tls-cert-file": await write("cert", cert),
    "tls-key-file": await write("key", key),
    "tls-ca-cert-file": await write("ca", authority.cert),
  });
  await Redis.start(t, [...settings, ...flags]);
  return `rediss://localhost:${port}`;
}

/** What is told of a bus that cannot be reached. */
async function reason(t: TestContext, url: string, more: MoreOptions): Promise<string> {
  const app = begin(t, url, {}, more);
  await until("the report", () => textsOf(app).length > 0);
  return textsOf(app)[0] as string;
}

describe("a Redis with TLS", needsRedis, () => {
  test("carries messages with an authority of our own, a user and a password", async (t) => {
    const authority = new Authority();
    const user = "user app on >app-secret resetchannels &spec:* +@all";
    const url = await secure(t, authority, { flags: ["--user", ...user.split(" ").slice(1)] });
    const tls = { ca: authority.cert };
    const inUrl = url.replace("//", "//app:app-secret@");
    const one = begin(t, inUrl, {}, { tls });
    const two = begin(t, url, {}, { tls, username: "app", password: "app-secret" });
    await Promise.all([one.server.ready(), two.server.ready()]);
    const there = await Client.open(t, two.url);
    one.shout("hello");
    await until("the broadcast", () => there.received.some(({ payload }) => payload === "hello"));
    assert.deepEqual([one.errors, two.errors], [[], []]);
  });

  test("asks for a certificate of ours, and tells if there is none or a wrong one", async (t) => {
    const [authority, other] = [new Authority(), new Authority("another")];
    const url = await secure(t, authority, { clients: "yes" });
    const ca = authority.cert;
    const app = begin(t, url, {}, { tls: { ca, ...authority.issue("client") } });
    await app.server.ready();
    for (const tls of [{ ca }, { ca, ...other.issue("client") }]) {
      assert.match(await reason(t, url, { tls }), /localhost:\d+ is away.*(ertificate|UnknownCA)/);
    }
  });

  test("whose authority we do not believe is told as a matter of certificates", async (t) => {
    const url = await secure(t, new Authority());
    const other = new Authority("another").cert;
    for (const more of [{ tls: { ca: other } }, {}]) {
      assert.match(await reason(t, url, more), /is away.*(ertificate|UnknownIssuer)/);
    }
  });

  test("whose certificate has another name is told as a matter of certificates", async (t) => {
    const authority = new Authority();
    const url = await secure(t, authority);
    const byAddress = url.replace("localhost", "127.0.0.1");
    const text = await reason(t, byAddress, { tls: { ca: authority.cert } });
    assert.match(text, /127\.0\.0\.1:\d+ is away.*ertificate/);
  });

  test("that gets a wrong password tells that it is the password", async (t) => {
    const authority = new Authority();
    const url = await secure(t, authority, { flags: ["--requirepass", "right"] });
    const tls = { ca: authority.cert };
    const text = await reason(t, url, { tls, password: "very-wrong" });
    assert.match(text, /does not accept the user name or the password/);
    assert.doesNotMatch(text, /very-wrong/);
  });
});
