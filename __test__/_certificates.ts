// Certificates for the specs, made when they run, so that none expires.
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIP } from "node:net";

/** A certificate and its key, as PEM. */
export interface Identity {
  cert: string;
  key: string;
}

/** A value in DER (X.690): its tag, its length and its content. */
function der(tag: number, ...content: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content);
  const size = bytes.length.toString(16);
  const long = Buffer.from(size.length % 2 ? `0${size}` : size, "hex");
  const length = bytes.length < 128 ? long : Buffer.concat([Buffer.of(0x80 | long.length), long]);
  return Buffer.concat([Buffer.of(tag), length, bytes]);
}

const sequence = (...items: Uint8Array[]) => der(0x30, ...items);
const octets = (bytes: Uint8Array) => der(0x04, bytes);
/** Object identifiers, encoded. */
const OID = {
  commonName: [0x55, 4, 3],
  alternativeName: [0x55, 0x1d, 0x11],
  basicConstraints: [0x55, 0x1d, 0x13],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  serverAuth: [0x2b, 6, 1, 5, 5, 7, 3, 1],
  clientAuth: [0x2b, 6, 1, 5, 5, 7, 3, 2],
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
};
const oid = (name: keyof typeof OID) => der(0x06, Buffer.from(OID[name]));
const nameOf = (name: string) =>
  sequence(der(0x31, sequence(oid("commonName"), der(0x0c, Buffer.from(name)))));
/** A time as GeneralizedTime. */
const time = (ms: number) =>
  der(0x18, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]|\..*/g, "")}Z`));

const HOUR = 3_600_000;

/** Who issues certificates. */
export class Authority {
  readonly #key: KeyObject;
  readonly #name: string;
  /** Its own certificate. */
  readonly cert: string;

  constructor(name = "the authority") {
    this.#name = name;
    const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = keys.privateKey;
    const isAuthority = sequence(
      oid("basicConstraints"),
      der(0x01, Buffer.of(0xff)),
      octets(sequence(der(0x01, Buffer.of(0xff)))),
    );
    this.cert = this.#certificate(name, keys.publicKey, [isAuthority], HOUR);
  }

  /** A certificate for a server, or a client, of this name or address. */
  issue(name = "localhost", expiresIn = HOUR): Identity {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
      cert: this.sign(name, publicKey, expiresIn),
      key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    };
  }

  /** The same for a key that is there already. */
  sign(name: string, key: KeyObject, expiresIn = HOUR): string {
    const alternative = isIP(name)
      ? der(0x87, Buffer.from(name.split(".").map(Number)))
      : der(0x82, Buffer.from(name));
    const extensions = [
      sequence(oid("alternativeName"), octets(sequence(alternative))),
      sequence(oid("extendedKeyUsage"), octets(sequence(oid("serverAuth"), oid("clientAuth")))),
    ];
    return this.#certificate(name, key, extensions, expiresIn);
  }

  #certificate(name: string, key: KeyObject, extensions: Buffer[], expiresIn: number): string {
    const algorithm = sequence(oid("ecdsaWithSha256"));
    const now = Date.now();
    const content = sequence(
      der(0xa0, der(0x02, Buffer.of(2))),
      der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
      algorithm,
      nameOf(this.#name),
      sequence(time(now - 2 * HOUR), time(now + expiresIn)),
      nameOf(name),
      key.export({ type: "spki", format: "der" }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign("sha256", content, this.#key);
    const bytes = sequence(content, algorithm, der(0x03, Buffer.of(0), signature));
    const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
    return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
  }
}
