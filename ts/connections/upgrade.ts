// The value of an UPGRADE event, and what `onConnect` gets of it.
import { quote } from "../faults/check.js";
import type { UpgradeRequest } from "../types/upgrade-request.js";

/** What the engine tells of an upgrade that waits for admission. */
export interface Upgrade {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The names of those that are real header fields, with commas between. */
  readonly fields: string;
  /** Whether a page of another site asks, that no rule has let in. */
  readonly otherSite: boolean;
  readonly origin: string | null;
  /** Whether headers that may tell of the visitor were left out, as a page of another site asks. */
  readonly withheld?: true;
  /** What else `onConnect` is told. */
  readonly request: readonly [
    url: string,
    path: string,
    host: string,
    remoteAddress: string,
    remotePort: number,
    secure: boolean,
    protocol: string | null,
    clientCertificate: string | null,
  ];
}

/** The third argument of `onConnect`: a plain object of its own for each call. */
export function requestOf({ origin, request }: Upgrade): UpgradeRequest {
  // By number: iterating over the list would cost more than all the rest.
  return {
    url: request[0],
    path: request[1],
    origin: origin ?? undefined,
    host: request[2],
    remoteAddress: request[3],
    remotePort: request[4],
    secure: request[5],
    protocol: request[6] ?? undefined,
    clientCertificate: request[7] ?? undefined,
  };
}

/** What to know, and to do, about headers that were left out. It costs hours to find out behind a proxy. */
export function textOfWithheld({ origin, request }: Upgrade): string {
  return (
    `a page of ${quote(hostOf(origin ?? ""))} asked for a connection to ${quote(request[2])}. These hosts differ, so the server ` +
    "withholds the visitor's headers, such as cookie and authorization. If a proxy in front of the server changes the host, " +
    "let it pass the Host header on, or set trustProxy. If pages of this site may connect, list the site in allowedOrigins"
  );
}

/** The host of an origin, or the whole of it where there is none, as of `null`. */
function hostOf(origin: string): string {
  const [, host] = /^[^:]*:\/\/(.+)$/.exec(origin) ?? [];
  return host ?? origin;
}
