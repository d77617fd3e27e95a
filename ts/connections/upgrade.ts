// The value of an UPGRADE event, and what `onConnect` gets of it.
import { UPGRADE } from "../border/codes.js";
import { quote } from "../faults/check.js";
import type { Confidential } from "../faults/issues.js";
import type { UpgradeRequest } from "../types/upgrade-request.js";

/** What the engine tells of an upgrade that waits for admission. A list, as those are quicker to parse than objects. */
export type Upgrade = [
  id: string,
  headers: Readonly<Record<string, string>>,
  /** The names of those that are real header fields, with commas between; `null` if all are. See also {@link noteFields}. */
  fields: string | readonly string[] | null,
  origin: string | null,
  url: string,
  /** `null` if it is the whole `url`. */
  path: string | null,
  host: string,
  remoteAddress: string,
  /** The port and more; see {@link UPGRADE}. */
  number: number,
  protocol: string | null,
  clientCertificate: string | null,
];

/** The places in an {@link Upgrade}: taking the list apart by a pattern would cost more than all the rest. */
export const AT = {
  ID: 0,
  HEADERS: 1,
  FIELDS: 2,
  ORIGIN: 3,
  URL: 4,
  PATH: 5,
  HOST: 6,
  REMOTE_ADDRESS: 7,
  NUMBER: 8,
  PROTOCOL: 9,
  CLIENT_CERTIFICATE: 10,
} as const;

const PORT = (1 << UPGRADE.PORT_BITS) - 1;

/** Whether a page of another site asks, that no rule has let in. */
export function isOfOtherSite(upgrade: Upgrade): boolean {
  return (upgrade[AT.NUMBER] & UPGRADE.OTHER_SITE) !== 0;
}

/** Whether headers that may tell of the visitor were left out, as a page of another site asks. */
export function isWithheld(upgrade: Upgrade): boolean {
  return (upgrade[AT.NUMBER] & UPGRADE.WITHHELD) !== 0;
}

/** Notes which headers are real header fields. To be called before the schema sees the headers, because it may change them. */
export function noteFields(upgrade: Upgrade): void {
  upgrade[AT.FIELDS] ??= Object.keys(upgrade[AT.HEADERS]);
}

/** The third argument of `onConnect`: a plain object of its own for each call. */
export function requestOf(upgrade: Upgrade): UpgradeRequest {
  return {
    url: upgrade[AT.URL],
    path: upgrade[AT.PATH] ?? upgrade[AT.URL],
    origin: upgrade[AT.ORIGIN] ?? undefined,
    host: upgrade[AT.HOST],
    remoteAddress: upgrade[AT.REMOTE_ADDRESS],
    remotePort: upgrade[AT.NUMBER] & PORT,
    secure: (upgrade[AT.NUMBER] & UPGRADE.SECURE) !== 0,
    protocol: upgrade[AT.PROTOCOL] ?? undefined,
    clientCertificate: upgrade[AT.CLIENT_CERTIFICATE] ?? undefined,
  };
}

/** The part of it that a client who is refused may not learn, once its fields are {@link noteFields | noted}. */
export function confidentialOf(upgrade: Upgrade): Confidential {
  const fields = upgrade[AT.FIELDS] ?? [];
  return {
    fields: typeof fields === "string" ? fields.split(",") : fields,
    headers: upgrade[AT.HEADERS],
  };
}

/** What to know, and to do, about headers that were left out. It costs hours to find out behind a proxy. */
export function textOfWithheld(upgrade: Upgrade): string {
  const origin = hostOf(upgrade[AT.ORIGIN] ?? "");
  return (
    `a page of ${quote(origin)} asked for a connection to ${quote(upgrade[AT.HOST])}. These hosts differ, so the server ` +
    "withholds the visitor's headers, such as cookie and authorization. If a proxy in front of the server changes the host, " +
    "let it pass the Host header on, or set trustProxy. If pages of this site may connect, list the site in allowedOrigins"
  );
}

/** The host of an origin, or the whole of it where there is none, as of `null`. */
function hostOf(origin: string): string {
  const [, host] = /^[^:]*:\/\/(.+)$/.exec(origin) ?? [];
  return host ?? origin;
}
