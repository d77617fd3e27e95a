// TLS of our own, with clients that nobody here wrote: Node's, openssl's, curl, Python's and a browser's.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { connect as dial, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test, type TestContext } from "node:test";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";

import { chromium } from "playwright-core";

import { Authority } from "./_certificates.ts";
import { Child } from "./_child.ts";
import { Raw, request } from "./_raw.ts";
import { Client, serve, type App } from "./_support.ts";
import { soon, until } from "./_wait.ts";

const authority = new Authority();
const identity = authority.issue("localhost");
const TRUST = { ca: authority.cert, servername: "localhost" };

const has = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;
const withoutOpenssl = has("openssl", "version") ? false : "there is no openssl";
const withoutCurl = has("curl", "--version") ? false : "there is no curl";

const secured = (t: TestContext, options: object = {}) =>
  serve(t, { options: { tls: { ...identity, ...options } } });

/** A handshake of Node's, or its error. */
async function handshake(app: App, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port: app.port, host: "127.0.0.1", ...TRUST, ...options });
  await soon("the TLS handshake", once(socket, "secureConnect"));
  return socket;
}

/** The certificate that a client sees. */
async function seen(app: App, servername?: string): Promise<X509Certificate | undefined> {
  const socket = await handshake(app, { servername: servername ?? "", rejectUnauthorized: false });
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate;
}

/** A folder with these files, for programs that want names of files. */
function folder(t: TestContext, files: Record<string, string>): (name: string) => string {
  const at = mkdtempSync(path.join(tmpdir(), "zocket-tls-"));
  t.after(() => rmSync(at, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(at, name), text);
  return (name) => path.join(at, name);
}

describe("clients of other makers over TLS", () => {
  test("ws talks in both versions, and checks the certificate", async (t) => {
    const app = secured(t);
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const options = { ...TRUST, minVersion: version, maxVersion: version };
      const client = await Client.open(t, app.server.url, options);
      client.say({ version, text: "grüße 🙂" });
      assert.deepEqual(await client.next(), {
        type: "said",
        payload: { version, text: "grüße 🙂" },
      });
      assert.equal((await client.close()).code, 1000);
    }
    await until("onDisconnect", () => app.disconnects.length === 2);
    assert.ok(app.connects.every(({ request: { secure } }) => secure));
    const stranger = new Client(t, app.server.url, { ca: new Authority().cert });
    assert.equal((await stranger.closed).code, 1006);
  });

  test("a message of 16 MiB comes back whole", async (t) => {
    const app = serve(t, {
      options: { tls: identity, maxPayload: 2 ** 25, maxBackpressure: 2 ** 25 },
    });
    const client = await Client.open(t, app.server.url, TRUST);
    const text = "0123456789abcdef".repeat(2 ** 20);
    client.say(text);
    assert.equal((await client.next()).payload, text);
  });

  test("Node's https client gets 426, over one connection", async (t) => {
    const app = secured(t);
    const options = { port: app.port, host: "127.0.0.1", ...TRUST };
    const [response] = (await soon("the answer", once(get(options), "response"))) as [
      IncomingMessage,
    ];
    response.resume();
    assert.equal(response.statusCode, 426);
    assert.equal(app.server.metrics().refused.NOT_UPGRADE, 1);
  });

  const python = process.env["ZOCKET_PYTHON"];
  const withoutPython = python ? false : "ZOCKET_PYTHON names no Python that has websockets";
  test("Python's websockets connects, talks and closes", { skip: withoutPython }, async (t) => {
    const app = secured(t);
    const file = folder(t, { "ca.pem": authority.cert });
    const program = `
import asyncio, json, ssl, websockets

async def main():
    context = ssl.create_default_context(cafile=${JSON.stringify(file("ca.pem"))})
    # Python asks for key identifiers in certificates, which ours do not have.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    async with websockets.connect("${app.server.url}", ssl=context, server_hostname="localhost") as socket:
        await socket.send(json.dumps({"type": "say", "payload": "grüße 🙂"}))
        print(json.loads(await socket.recv())["payload"])
    print(socket.close_code)

asyncio.run(main())
`;
    const child = new Child(t, python ?? "", ["-c", program], { PYTHONIOENCODING: "utf-8" });
    await child.endsWell();
    assert.deepEqual(child.out.trim().split(/\r?\n/), ["grüße 🙂", "1000"]);
  });

  const withoutBrowser = process.env["CHROMIUM"] ? false : "CHROMIUM names no browser";
  test("a page in a browser talks", { skip: withoutBrowser }, async (t) => {
    const app = secured(t);
    const browser = await chromium.launch({
      executablePath: process.env["CHROMIUM"] ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"],
    });
    t.after(() => browser.close());
    const page = await browser.newPage();
    const answer = await page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(url);
          socket.addEventListener("open", () => {
            socket.send(JSON.stringify({ type: "say", payload: "from a page" }));
          });
          socket.addEventListener("message", ({ data }) => resolve(data));
          socket.addEventListener("error", () => reject(new Error("it failed")));
        }),
      `wss://localhost:${app.port}`,
    );
    assert.equal(answer, '{"type":"said","payload":"from a page"}');
  });

  test("curl, over http to this port, is told at once", { skip: withoutCurl }, async (t) => {
    const app = secured(t);
    const url = `http://127.0.0.1:${app.port}/`;
    const child = new Child(t, "curl", ["--silent", "--show-error", "--max-time", "15", url]);
    await child.endsWell();
    assert.match(child.out, /use `wss:\/\/` or `https:\/\/`/);
    assert.equal(app.server.metrics().refused.MALFORMED, 1);
  });
});

describe("openssl", { skip: withoutOpenssl }, () => {
  /** What `openssl s_client` says. */
  async function client(
    t: TestContext,
    app: App,
    args: string[],
    ...lines: string[]
  ): Promise<string> {
    const address = ["s_client", "-connect", `127.0.0.1:${app.port}`];
    const child = new Child(t, "openssl", [...address, ...args]);
    for (const line of lines) child.tell(line);
    child.process.stdin?.end();
    await soon("its end", child.exit);
    return child.out + child.err;
  }

  test("is refused with versions before 1.2", async (t) => {
    const app = secured(t);
    for (const version of ["-tls1", "-tls1_1"]) {
      const said = await client(t, app, [version, "-cipher", "DEFAULT@SECLEVEL=0"]);
      assert.match(
        said,
        /alert (protocol version|handshake failure)|unsupported protocol|no protocols available/,
      );
    }
    assert.match(await client(t, app, ["-tls1_2"]), /Protocol *: TLSv1\.2/);
    assert.match(await client(t, app, ["-tls1_3"]), /TLSv1\.3/);
    const strict = secured(t, { minVersion: "TLSv1.3" });
    assert.match(await client(t, strict, ["-tls1_2"]), /alert protocol version/);
    assert.match(await client(t, strict, ["-tls1_3"]), /TLSv1\.3/);
  });

  test("cannot negotiate anew", async (t) => {
    const app = secured(t);
    const child = new Child(t, "openssl", [
      "s_client",
      "-tls1_2",
      "-connect",
      `127.0.0.1:${app.port}`,
    ]);
    await child.printed(/Verify return code/);
    child.tell("R");
    await until("an answer", () => /no renegotiation|RENEGOTIATING/.test(child.out + child.err));
    child.process.stdin?.end();
    await soon("its end", child.exit);
    assert.doesNotMatch(child.out + child.err, /renegotiation succeeded/);
    // Everybody else is served.
    await (await Client.open(t, app.server.url, TRUST)).roundTrip();
  });

  test("sees forward secrecy and ALPN", async (t) => {
    const app = secured(t);
    const said = await client(t, app, ["-tls1_2", "-alpn", "h2,http/1.1"]);
    assert.match(said, /ALPN protocol: http\/1\.1/);
    assert.match(said, /Cipher *: ECDHE-ECDSA-/);
    for (const cipher of ["AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"]) {
      const refused = await client(t, app, ["-tls1_2", "-cipher", `${cipher}@SECLEVEL=0`]);
      assert.match(refused, /handshake failure|no cipher/i, cipher);
    }
  });
});

describe("server names", () => {
  test("choose the certificate; the rest get the first one", async (t) => {
    const names = {
      "one.test": authority.issue("one.test"),
      "*.two.test": authority.issue("*.two.test"),
    };
    const app = secured(t, { sni: names });
    const expected: [name: string | undefined, certificate: string][] = [
      ["one.test", "one.test"],
      ["ONE.test", "one.test"],
      ["a.two.test", "*.two.test"],
      ["a.b.two.test", "localhost"],
      ["two.test", "localhost"],
      ["three.test", "localhost"],
      [undefined, "localhost"],
    ];
    for (const [name, certificate] of expected) {
      assert.equal((await seen(app, name))?.subject, `CN=${certificate}`, name ?? "no name");
    }
  });
});

describe("certificates of clients", () => {
  const clients = new Authority("clients");
  const friend = clients.issue("friend");
  const stranger = authority.issue("stranger");
  const expired = clients.issue("expired", -60_000);

  const connects = async (t: TestContext, app: App, options: object) => {
    const client = new Client(t, app.server.url, { ...TRUST, ...options });
    await until(
      "an end or a beginning",
      () => client.socket.readyState !== client.socket.CONNECTING,
    );
    const isOpen = client.socket.readyState === client.socket.OPEN;
    return isOpen ? app.connects.at(-1)?.request.clientCertificate : "refused";
  };

  test("are required with requestCert, and shown", async (t) => {
    const app = secured(t, { requestCert: true, ca: [clients.cert] });
    assert.equal(await connects(t, app, friend), friend.cert);
    for (const options of [{}, stranger, expired]) {
      assert.equal(await connects(t, app, options), "refused");
    }
    assert.equal(app.connects.length, 1);
  });

  test("are shown only if verified where unknown ones are let in", async (t) => {
    const app = secured(t, { requestCert: true, rejectUnauthorized: false, ca: clients.cert });
    assert.equal(await connects(t, app, friend), friend.cert);
    for (const options of [{}, stranger, expired]) {
      assert.equal(await connects(t, app, options), undefined);
    }
    assert.equal(app.connects.length, 4);
  });

  test("are not shown of another site, unless allowedOrigins admits it", async (t) => {
    const tls = { ...identity, requestCert: true, ca: clients.cert };
    const open = serve(t, { options: { tls } });
    assert.equal(await connects(t, open, { ...friend, origin: "https://evil.test" }), undefined);
    assert.deepEqual(
      open.errors.map(({ code }) => code),
      ["ORIGIN"],
      "the owner is told once",
    );
    const own = `https://127.0.0.1:${open.port}`;
    assert.equal(await connects(t, open, { ...friend, origin: own }), friend.cert);
    const listed = serve(t, { options: { tls, allowedOrigins: ["https://good.test"] } });
    assert.equal(
      await connects(t, listed, { ...friend, origin: "https://good.test" }),
      friend.cert,
    );
  });

  test("are proved anew on each connection: no session is resumed", async (t) => {
    const app = secured(t, { requestCert: true, ca: clients.cert });
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const first = await handshake(app, { ...friend, maxVersion });
      first.write(request());
      // A ticket would come ahead of it.
      await soon("an answer", once(first, "data"));
      const session = first.getSession();
      first.destroy();
      const again = await handshake(app, { ...friend, maxVersion, ...(session && { session }) });
      assert.ok(!again.isSessionReused(), maxVersion);
      again.destroy();
    }
  });

  test("are not asked for without requestCert", async (t) => {
    const app = secured(t, { ca: clients.cert });
    assert.equal(await connects(t, app, friend), undefined);
    assert.equal(app.connects.length, 1);
  });
});

describe("setTls", () => {
  test("changes what new handshakes see, and nothing for open connections", async (t) => {
    const app = secured(t);
    const client = await Client.open(t, app.server.url, TRUST);
    const renewed = authority.issue("localhost");
    app.server.setTls(renewed);
    const fingerprint = new X509Certificate(renewed.cert).fingerprint256;
    assert.equal((await seen(app))?.fingerprint256, fingerprint);
    await client.roundTrip();
    assert.throws(() => app.server.setTls({ ...renewed, key: identity.key }), { code: "ETLS" });
    assert.equal((await seen(app))?.fingerprint256, fingerprint);
    // The whole object is replaced.
    app.server.setTls({ ...renewed, minVersion: "TLSv1.3" });
    await assert.rejects(handshake(app, { maxVersion: "TLSv1.2" }));
    await client.roundTrip();
  });

  test("ends the resumption of sessions from before", async (t) => {
    const app = secured(t);
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      app.server.setTls(identity);
      const first = connect({ port: app.port, host: "127.0.0.1", ...TRUST, maxVersion });
      const [session] = (await soon("a session", once(first, "session"))) as [Buffer];
      first.destroy();
      const again = await handshake(app, { maxVersion, session });
      assert.ok(again.isSessionReused(), maxVersion);
      again.destroy();
      app.server.setTls(identity);
      const anew = await handshake(app, { maxVersion, session });
      assert.ok(!anew.isSessionReused(), maxVersion);
      anew.destroy();
    }
  });

  test("may come during a thousand handshakes", async (t) => {
    const app = secured(t);
    const identities = [identity, authority.issue(), authority.issue()];
    let done = 0;
    const shake = async () => {
      while (done < 1_000) {
        done += 1;
        (await handshake(app)).destroy();
      }
    };
    const shakes = Promise.all(Array.from({ length: 8 }, shake));
    let renewed = 0;
    const timer = setInterval(() => {
      app.server.setTls(identities[renewed % 3] as (typeof identities)[0]);
      renewed += 1;
    }, 5);
    try {
      await soon("all handshakes", shakes);
    } finally {
      clearInterval(timer);
    }
    assert.ok(renewed > 5, String(renewed));
    assert.deepEqual(app.server.metrics().refused, {});
  });
});

describe("faults", () => {
  test("a TLS handshake that stalls is out of time, and holds a pending place until then", async (t) => {
    const app = serve(t, { options: { tls: identity, handshakeTimeout: 300 } });
    const silent = new Raw(t, app.port);
    const half = new Raw(t, app.port, Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3));
    await soon("the ends", Promise.all([silent.ended, half.ended]));
    assert.deepEqual(app.server.metrics().refused, { TIMEOUT: 2 });
    assert.equal(silent.text + half.text, "");
  });

  test("plain HTTP gets a plain 400 that names the scheme", async (t) => {
    const app = secured(t);
    const raw = new Raw(t, app.port, request());
    const answer = await raw.answer();
    assert.equal(answer.status, 400);
    assert.match(answer.body, /this port speaks TLS: use `wss:\/\/`/);
    await soon("the end", raw.ended);
    assert.deepEqual(app.server.metrics().refused, { MALFORMED: 1 });
  });

  test("garbage, and TLS on a plain port, are counted as malformed", async (t) => {
    const app = secured(t);
    for (const bytes of [Buffer.alloc(64), Buffer.from("\x16\x03\x01\xff\xff\x01", "latin1")]) {
      await soon("the end", new Raw(t, app.port, bytes).ended);
    }
    assert.deepEqual(app.server.metrics().refused, { MALFORMED: 2 });
    const plain = serve(t);
    await assert.rejects(handshake(plain));
    assert.deepEqual(plain.server.metrics().refused, { MALFORMED: 1 });
  });

  test("records that were changed or cut short end that connection alone", async (t) => {
    const app = secured(t);
    const client = await Client.open(t, app.server.url, TRUST);
    // Between the two a proxy that changes, or cuts, what goes to the server after the 101.
    for (const fault of ["change", "cut"] as const) {
      const { server, port } = await proxy(t, app.port, fault);
      const victim = await Client.open(t, `wss://127.0.0.1:${port}`, TRUST);
      server.spoil();
      victim.say("lost");
      assert.equal((await soon("its end", victim.closed)).code, 1006);
    }
    await until("onDisconnect", () => app.disconnects.length === 2);
    assert.equal(app.messages.length, 0);
    await client.roundTrip();
  });

  test("a client that does not read is a slow one, and every message is counted", async (t) => {
    const app = serve(t, {
      options: { tls: identity, maxBackpressure: 256 * 1024, slowClient: "drop" },
    });
    const client = await Client.open(t, app.server.url, TRUST);
    client.socket.pause();
    const text = "x".repeat(10_000);
    await until("messages to be dropped", () => {
      for (let count = 0; count < 10; count += 1) app.shout(text);
      const { sent, written, queued, dropped, buffered } = app.server.metrics();
      assert.equal(sent, written + queued + dropped);
      assert.ok(buffered < 1.1 * 256 * 1024 + 2 * text.length, String(buffered));
      return dropped > 100;
    });
    client.socket.resume();
    await until("nothing to wait", () => app.server.metrics().queued === 0);
    const { written } = app.server.metrics();
    await until("all of it", () => client.received.length === written);
  });

  test("a server stops with TLS clients in every state", async (t) => {
    const app = secured(t);
    const open = await Client.open(t, app.server.url, TRUST);
    const silent = new Raw(t, app.port);
    const half = new Raw(t, app.port, Buffer.of(22, 3, 1));
    const done = await handshake(app);
    done.on("error", () => {});
    await soon("the end of the server", app.server.stop());
    assert.equal((await open.closed).code, 1001);
    await soon("their ends", Promise.all([silent.ended, half.ended]));
    done.destroy();
    assert.equal(app.disconnects.length, 1);
  });
});

/** Passes bytes on to a port. Once told, it changes or cuts what goes there. */
async function proxy(t: TestContext, to: number, fault: "change" | "cut") {
  let spoils = false;
  const server = createServer((socket) => {
    const behind = dial(to, "127.0.0.1");
    behind.pipe(socket);
    socket.on("data", (bytes: Buffer) => {
      if (!spoils) return void behind.write(bytes);
      if (fault === "cut") return void behind.end(bytes.subarray(0, bytes.length - 5));
      bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
      behind.write(bytes);
    });
    for (const end of [socket, behind]) end.on("error", () => end.destroy());
    behind.on("close", () => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { port, server: Object.assign(server, { spoil: () => (spoils = true) }) };
}
