// Behind proxies that nobody here wrote, with the configuration that docs/behind-a-proxy.md shows.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Agent, request as httpsRequest } from "node:https";
import { describe, test, type TestContext } from "node:test";

import type { ServerOptions } from "@zocket/core";
import type { ClientOptions } from "ws";

import { Authority } from "./_certificates.ts";
import { Child } from "./_child.ts";
import { blocksOf, readPage } from "./_pages.ts";
import { freePort } from "./_port.ts";
import { Client, serve, type App } from "./_support.ts";
import { until } from "./_wait.ts";

const { cert, key } = new Authority().issue("app.example");
const PAGE = blocksOf(readPage("docs/behind-a-proxy.md"));

/** Where Debian puts a program, which may not be on the path. */
const find = (name: string) =>
  (process.env["PATH"] ?? "")
    .split(":")
    .concat("/usr/sbin", "/usr/local/sbin")
    .map((folder) => path.join(folder, name))
    .find((file) => existsSync(file));

/** A folder with a certificate, gone after the test. */
function folder(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), "zocket-proxy-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  writeFileSync(path.join(made, "app.example.crt"), cert);
  writeFileSync(path.join(made, "app.example.key"), key);
  writeFileSync(path.join(made, "app.example.pem"), `${cert.trim()}\n${key.trim()}\n`);
  return made;
}

/** The page's configuration, with the ports and the files of this test. */
function configuration(language: string, changes: [string, string][]): string {
  const [block] = PAGE.filter(({ info }) => info[0] === language);
  assert.ok(block);
  return changes.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `the ${language} of the page has no ${from}`);
    return text.replaceAll(from, to);
  }, block.code);
}

interface Proxy {
  name: string;
  program: string | undefined;
  start(t: TestContext, program: string, port: number, upstream: string): Child;
}

const PROXIES: Proxy[] = [
  {
    name: "nginx",
    program: find("nginx"),
    start(t, program, port, upstream) {
      const at = folder(t);
      const site = configuration("nginx", [
        ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
        ["/etc/ssl", at],
        ["server 127.0.0.1:3000", `server ${upstream}`],
      ]);
      const file = path.join(at, "nginx.conf");
      const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((name) => `${name}_temp_path ${at}/${name};`)
        .join(" ");
      writeFileSync(
        file,
        `daemon off; master_process off; pid ${at}/pid; error_log stderr;
         events {} http { access_log off; ${paths} ${site} }`,
      );
      return new Child(t, program, ["-p", at, "-c", file, "-e", "stderr"]);
    },
  },
  {
    name: "haproxy",
    program: find("haproxy"),
    start(t, program, port, upstream) {
      const at = folder(t);
      const file = path.join(at, "haproxy.cfg");
      const text = configuration("haproxy", [
        ["bind :443", `bind 127.0.0.1:${port}`],
        ["/etc/ssl", at],
        ["127.0.0.1:3000", upstream.replace(/^unix:/, "unix@")],
      ]);
      writeFileSync(file, text);
      return new Child(t, program, ["-db", "-f", file]);
    },
  },
];

/** What a request to the proxy gets. */
function get(port: number, agent?: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { port, host: "127.0.0.1", path: "/healthz", rejectUnauthorized: false, agent };
    const asked = httpsRequest(options, (response) => {
      let body = "";
      response.on("data", (text) => (body += String(text)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on("error", reject).end();
  });
}

/** The application behind a proxy, which serves. */
async function behind(
  t: TestContext,
  proxy: Proxy,
  options: ServerOptions = {},
): Promise<App & { proxied: string; proxyPort: number }> {
  const app = serve(t, {
    options: {
      trustProxy: ["loopback"],
      trustedHeaders: ["x-user-id"],
      observe: { health: "/healthz" },
      ...options,
    },
  });
  const port = await freePort();
  const upstream = options.socketPath ? `unix:${options.socketPath}` : `127.0.0.1:${app.port}`;
  const child = proxy.start(t, proxy.program ?? "", port, upstream);
  await until(`${proxy.name} to serve`, async () => {
    const { status } = await get(port).catch(() => ({ status: 0 }));
    assert.equal(child.process.exitCode, null, child.err);
    return status === 200;
  });
  return { ...app, proxied: `wss://127.0.0.1:${port}`, proxyPort: port };
}

for (const proxy of PROXIES) {
  const skip = proxy.program === undefined ? { skip: `there is no ${proxy.name}` } : {};
  describe(`behind ${proxy.name}`, skip, () => {
    const page = (fields: Record<string, string> = {}): ClientOptions => ({
      rejectUnauthorized: false,
      headers: { host: "app.example:8443", ...fields },
    });

    test("a client connects over TLS, and messages go both ways", async (t) => {
      const { proxied, connects } = await behind(t, proxy);
      const client = await Client.open(t, `${proxied}/chat?a=1`, page());
      client.say("x".repeat(100_000));
      assert.equal((await client.next()).payload, "x".repeat(100_000));
      const { remoteAddress, remotePort, secure, host, url } = connects[0]?.request ?? {};
      assert.deepEqual([remoteAddress, remotePort, secure], ["127.0.0.1", 0, true]);
      assert.deepEqual([host, url], ["app.example:8443", "/chat?a=1"]);
      await client.close();
    });

    test("a page of the proxy's own host keeps its cookie, and another one does not", async (t) => {
      const { proxied, connects } = await behind(t, proxy);
      for (const origin of ["https://app.example:8443", "https://app.example"]) {
        await Client.open(t, proxied, { ...page({ cookie: "a=1" }), origin });
      }
      assert.deepEqual(
        connects.map(({ headers }) => headers["cookie"]),
        ["a=1", undefined],
      );
    });

    test("a client can forge nothing", async (t) => {
      const { proxied, connects } = await behind(t, proxy);
      const forged = {
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "evil.example",
        "x-user-id": "admin",
      };
      await Client.open(t, `${proxied}/?x-user-id=admin`, page(forged));
      const [connect] = connects;
      const { remoteAddress, secure, host } = connect?.request ?? {};
      // With one proxy that is believed, and that is on this machine as the client is, the walk goes on to what was forged.
      assert.ok(["127.0.0.1", "6.6.6.6"].includes(remoteAddress ?? ""));
      assert.deepEqual([secure, host], [true, "app.example:8443"]);
      assert.notEqual(connect?.headers["x-user-id"], "admin");
    });

    test("with a number of proxies a client cannot choose its address", async (t) => {
      const { proxied, connects } = await behind(t, proxy, { trustProxy: 1 });
      await Client.open(t, proxied, page({ "x-forwarded-for": "6.6.6.6" }));
      assert.equal(connects[0]?.request.remoteAddress, "127.0.0.1");
    });

    test("probes go through, also many on one connection", async (t) => {
      const { proxyPort, server } = await behind(t, proxy);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      t.after(() => agent.destroy());
      for (let i = 0; i < 20; i += 1) {
        assert.deepEqual(await get(proxyPort, agent), { status: 200, body: "ok" });
      }
      assert.deepEqual(server.metrics().refused, {});
    });

    test("over a Unix-domain socket the client has the address that the proxy names", async (t) => {
      if (process.platform === "win32") return;
      const socketPath = path.join(folder(t), "app.sock");
      const { proxied, connects } = await behind(t, proxy, {
        port: undefined,
        hostname: undefined,
        socketPath,
      });
      const client = await Client.open(t, proxied, page());
      await client.roundTrip();
      assert.equal(connects[0]?.request.remoteAddress, "127.0.0.1");
      assert.equal(connects[0]?.request.secure, true);
    });
  });
}
