// Where clients reach a server.

/** Where clients reach a server: as `ZocketServer` has it. */
export interface Place {
  readonly port: number;
  readonly hostname: string;
  readonly url: string;
}

/** A server that only others know how to reach. */
export const NOWHERE: Place = { port: 0, hostname: "", url: "" };

/** A server of an address. */
export const placeOf = (hostname: string, port: number, secure: boolean): Place => ({
  port,
  hostname,
  url: `${schemeOf(secure)}://${hostOf(hostname)}:${port}`,
});

/** A server of a Unix-domain socket. */
export const placeOfPath = (path: string, secure: boolean): Place => ({
  ...NOWHERE,
  url: `${schemeOf(secure)}+unix:${path}`,
});

export const schemeOf = (secure: boolean) => (secure ? "wss" : "ws");

/** The host of the URL that reaches an address. */
export function hostOf(address: string): string {
  if (address === "0.0.0.0" || address === "::") return "localhost";
  return address.includes(":") ? `[${address}]` : address;
}
