// The option `tls` and `server.setTls`: what they take, and how they say what is wrong.
import assert from "node:assert/strict";
import { type KeyObject, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import { createServer, zocket, type TlsOptions } from "@zocket/core";

import { Authority, type Identity } from "./_certificates.ts";
import { Client, anything, serve } from "./_support.ts";

const zo = zocket.create({ headers: anything<Record<string, string>>() });
const router = zo.router({ say: zo.message.incoming({ payload: anything<unknown>() }) }, {});
const authority = new Authority();
const good = authority.issue();
const other = authority.issue();
const PASSPHRASE = "correct horse battery staple";

/** What `createServer` throws for a value of `tls`. */
function thrown(tls: unknown): NodeJS.ErrnoException {
  try {
    void createServer(router, zo, { port: 0, tls: tls as TlsOptions }).stop(true);
  } catch (error) {
    assert.ok(error instanceof Error);
    const text = `${error.message} ${error.stack}`;
    for (const secret of [PASSPHRASE, ...good.key.split("\n").slice(1, -2)]) {
      assert.ok(!text.includes(secret), "an error holds a secret");
    }
    return error;
  }
  return assert.fail("nothing was thrown");
}

/** An identity with a key of another kind. */
function identity(type: "rsa" | "ec" | "ed25519", options: object, form = {}): Identity {
  const generate = generateKeyPairSync as unknown as (
    ...given: unknown[]
  ) => Record<"publicKey" | "privateKey", KeyObject>;
  const { publicKey, privateKey } = generate(type, options);
  const key = privateKey.export({ type: "pkcs8", format: "pem", ...form } as never) as string;
  return { cert: authority.sign("localhost", publicKey), key };
}

const P256 = { namedCurve: "P-256" };
const encrypted = (cipher: string, type = "pkcs8") =>
  identity("ec", P256, { type, cipher, passphrase: PASSPHRASE });

describe("the option tls", () => {
  const WRONG: [what: string, tls: unknown, message: RegExp][] = [
    ["no object", "cert", /options\.tls: expected an object with cert and key, got "cert"$/],
    ["a list", [good], /options\.tls: expected an object with cert and key, got an array$/],
    [
      "no certificate",
      { key: good.key },
      /tls\.cert: expected PEM as a string or a Buffer, got undefined$/,
    ],
    ["no key", { cert: good.cert }, /tls\.key: expected PEM .*, got undefined$/],
    ["a number as key", { ...good, key: 1 }, /tls\.key: expected PEM .*, got 1$/],
    [
      "a list of certificates",
      { ...good, cert: [good.cert] },
      /tls\.cert: expected PEM .*, got an array$/,
    ],
    ["a number as passphrase", { ...good, passphrase: 1 }, /tls\.passphrase: expected a string$/],
    [
      "a number as ca",
      { ...good, ca: 1 },
      /tls\.ca: expected PEM .*, or an array of those, got 1$/,
    ],
    [
      "a number in ca",
      { ...good, ca: [authority.cert, 1] },
      /tls\.ca\[1\]: expected PEM .*, got 1$/,
    ],
    [
      "another version",
      { ...good, minVersion: "TLSv1.1" },
      /tls\.minVersion: expected "TLSv1\.2" or "TLSv1\.3", got/,
    ],
    [
      "a text as flag",
      { ...good, requestCert: "yes" },
      /tls\.requestCert: expected true or false, got/,
    ],
    [
      "a number as flag",
      { ...good, rejectUnauthorized: 0 },
      /tls\.rejectUnauthorized: expected true or false, got 0$/,
    ],
    [
      "requestCert without ca",
      { ...good, requestCert: true },
      /tls\.requestCert: expected ca beside it/,
    ],
    [
      "requestCert with an empty ca",
      { ...good, requestCert: true, ca: [] },
      /tls\.requestCert: expected ca beside it/,
    ],
    [
      "a list of names",
      { ...good, sni: [good] },
      /tls\.sni: expected an object of server names.*, got an array$/,
    ],
    [
      "a name without key",
      { ...good, sni: { "a.test": { cert: good.cert } } },
      /tls\.sni\["a\.test"\]\.key: expected PEM/,
    ],
    [
      "an unknown name",
      { ...good, privateKey: "" },
      /tls\.privateKey: unknown option; did you mean key\?$/,
    ],
    ["pfx", { pfx: "" }, /tls\.pfx: unknown option; did you mean cert\?$/],
    [
      "an unknown name beside a server name",
      { ...good, sni: { "a.test": { ...good, ca: "" } } },
      /tls\.sni\["a\.test"\]\.ca: unknown option/,
    ],
    ...["", "*", "*.", "a.*.test", "127.0.0.1", "::1", "a.test.", "a..test", "grün.test"].map(
      (name): [string, unknown, RegExp] => [
        `the server name ${JSON.stringify(name)}`,
        { ...good, sni: { [name]: good } },
        /tls\.sni: expected a server name such as example\.com or \*\.example\.com, got "/,
      ],
    ),
  ];
  for (const [what, tls, message] of WRONG) {
    test(`with ${what} is a TypeError`, () => {
      const error = thrown(tls);
      assert.ok(error instanceof TypeError, String(error));
      assert.match(error.message, message);
      assert.match(error.message, /^createServer: options\.tls/);
    });
  }

  const bad = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  const short = identity("rsa", { modulusLength: 1024 });
  const UNUSABLE: [what: string, tls: TlsOptions, message: string][] = [
    [
      "an empty certificate",
      { ...good, cert: "" },
      "cert: there is no certificate in it; it must be PEM",
    ],
    [
      "a key as certificate",
      { ...good, cert: good.key },
      "cert: there is no certificate in it; it must be PEM",
    ],
    [
      "a broken certificate",
      { ...good, cert: bad },
      "cert: a certificate in it cannot be read; it must be X.509 version 3 in PEM",
    ],
    [
      "a certificate that was cut off",
      { ...good, cert: good.cert.slice(0, 300) },
      "cert: a certificate in it cannot be read; it must be X.509 version 3 in PEM",
    ],
    ["an empty key", { ...good, key: "" }, "key: there is no private key in it; it must be PEM"],
    [
      "a certificate as key",
      { ...good, key: good.cert },
      "key: there is no private key in it; it must be PEM",
    ],
    [
      "a key that was cut off",
      { ...good, key: good.key.slice(0, 100) },
      "key: the private key cannot be read",
    ],
    ["a short RSA key", short, "key: the private key cannot be read, or is of another kind"],
    ["another key", { ...good, key: other.key }, "key: the key and the certificate do not match"],
    [
      "no passphrase",
      encrypted("aes-256-cbc"),
      "passphrase: the key is encrypted, and the passphrase is missing",
    ],
    [
      "a wrong passphrase",
      { ...encrypted("aes-256-cbc"), passphrase: "wrong" },
      "passphrase: the passphrase is wrong",
    ],
    [
      "a key in older encryption",
      { ...encrypted("aes-256-cbc", "sec1"), passphrase: PASSPHRASE },
      "key: the key is encrypted in the older form of PEM",
    ],
    [
      "a key in unsupported encryption",
      { ...encrypted("des-ede3-cbc"), passphrase: PASSPHRASE },
      "key: the key is encrypted with an unsupported algorithm",
    ],
    [
      "a ca without certificate",
      { ...good, ca: "text" },
      "ca: there is no certificate in it; it must be PEM",
    ],
    [
      "a broken one in ca",
      { ...good, ca: [authority.cert, bad] },
      "ca[1]: a certificate in it cannot be read",
    ],
    [
      "a name with another key",
      { ...good, sni: { "a.test": { ...good, key: other.key } } },
      'sni["a.test"].key: the key and the certificate do not match',
    ],
  ];
  for (const [what, tls, message] of UNUSABLE) {
    test(`with ${what} is ETLS`, () => {
      const error = thrown(tls);
      assert.equal(error.code, "ETLS");
      assert.ok(error.message.startsWith(`createServer: options.tls.${message}`), error.message);
    });
  }

  const GOOD: [what: string, tls: TlsOptions][] = [
    ["texts", good],
    ["buffers", { cert: Buffer.from(good.cert), key: new Uint8Array(Buffer.from(good.key)) }],
    [
      "a chain, and text around",
      { ...good, cert: `# mine\n${good.cert}\nissuer\n${authority.cert}` },
    ],
    ["an RSA key", identity("rsa", { modulusLength: 2048 })],
    ["an RSA key in PKCS#1", identity("rsa", { modulusLength: 2048 }, { type: "pkcs1" })],
    ["a P-256 key in SEC 1", identity("ec", P256, { type: "sec1" })],
    ["a P-384 key", identity("ec", { namedCurve: "P-384" })],
    ["an Ed25519 key", identity("ed25519", {})],
    ["a key encrypted with AES-256", { ...encrypted("aes-256-cbc"), passphrase: PASSPHRASE }],
    ["a key encrypted with AES-128", { ...encrypted("aes-128-cbc"), passphrase: PASSPHRASE }],
    ["a passphrase that is not needed", { ...good, passphrase: PASSPHRASE }],
    ["what is undefined", { ...good, ca: undefined, passphrase: undefined, sni: undefined }],
    ["ca alone", { ...good, ca: [authority.cert, Buffer.from(authority.cert)] }],
    [
      "line ends of Windows",
      { cert: good.cert.replaceAll("\n", "\r\n"), key: good.key.replaceAll("\n", "\r\n") },
    ],
  ];
  for (const [what, tls] of GOOD) {
    test(`takes ${what}`, async (t) => {
      const app = serve(t, { options: { tls, hostname: "localhost" } });
      assert.match(app.server.url, /^wss:\/\//);
      const url = `wss://localhost:${app.port}`;
      await (await Client.open(t, url, { ca: authority.cert })).roundTrip();
    });
  }

  test("reads the options once, as they are then", async (t) => {
    let reads = 0;
    const tls = {
      get cert() {
        reads += 1;
        return good.cert;
      },
      key: good.key,
    };
    const app = serve(t, { options: { tls } });
    assert.equal(reads, 1);
    tls.key = "";
    const options = { ca: authority.cert, servername: "localhost" };
    await (await Client.open(t, app.server.url, options)).roundTrip();
  });
});

describe("setTls", () => {
  test("throws what createServer would, and the old material stays", async (t) => {
    const app = serve(t, { options: { tls: good } });
    const wrong: [unknown, object][] = [
      [undefined, { name: "TypeError", message: /^server\.setTls: tls: expected an object/ }],
      [{ cert: good.cert }, { name: "TypeError", message: /^server\.setTls: tls\.key: / }],
      [
        { ...good, requestCert: true },
        { name: "TypeError", message: /^server\.setTls: tls\.requestCert: / },
      ],
      [
        { ...good, hostname: "" },
        { name: "TypeError", message: /^server\.setTls: tls\.hostname: unknown option/ },
      ],
      [
        { ...good, key: other.key },
        {
          code: "ETLS",
          message: "server.setTls: tls.key: the key and the certificate do not match",
        },
      ],
      [{ ...good, cert: "" }, { code: "ETLS" }],
    ];
    for (const [tls, expected] of wrong) {
      assert.throws(() => app.server.setTls(tls as TlsOptions), expected);
    }
    const options = { ca: authority.cert, servername: "localhost" };
    await (await Client.open(t, app.server.url, options)).roundTrip();
  });

  test("is a TypeError on a server without tls", (t) => {
    const app = serve(t);
    assert.match(app.server.url, /^ws:\/\//);
    assert.throws(() => app.server.setTls(good), {
      name: "TypeError",
      message: "server.setTls: the server was created without the option tls",
    });
  });
});
