// The bytes of a request that Node has read already: the engine reads it once more, by its own rules.
import type { IncomingMessage } from "node:http";

/** What no part of a head holds: Node read such bytes only with `insecureHTTPParser`, or somebody has put them in since. */
const WRONG = /[^\t\x20-\xff]/;

const UPGRADE = "upgrade";
const PROTOCOL = "websocket";

/** A head that is refused as malformed. */
const MALFORMED = "\0\r\n\r\n";

/** The head of the request. */
export function headOf(request: IncomingMessage): Buffer {
  const { method = "GET", url = "", httpVersion, rawHeaders } = request;
  const isWrong = WRONG.test(method) || WRONG.test(url) || WRONG.test(rawHeaders.join(""));
  if (isWrong) return Buffer.from(MALFORMED, "latin1");
  let head = `${method} ${url} HTTP/${httpVersion}`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    head += `\r\n${rawHeaders[at]}: ${rawHeaders[at + 1]}`;
  }
  // Node has read the bytes as Latin-1.
  return Buffer.from(`${head}\r\n\r\n`, "latin1");
}

/** The path of a request, without the query. */
export function pathOf({ url = "" }: IncomingMessage): string {
  const query = url.indexOf("?");
  const target = query < 0 ? url : url.slice(0, query);
  if (target.startsWith("/")) return target;
  // As proxies send it.
  const [, path] = /^(?:https?|wss?):\/\/[^/]*(.*)$/is.exec(target) ?? [];
  return path === "" ? "/" : (path ?? target);
}

/** Whether a request asks for the protocol that is spoken here. Node parses `headers` when they are first read, which is not needed. */
export function isForWebSocket({ rawHeaders }: IncomingMessage): boolean {
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length !== UPGRADE.length || name.toLowerCase() !== UPGRADE) continue;
    const value = rawHeaders[at + 1]!;
    if (value === PROTOCOL) return true;
    if (value.split(",").some((it) => it.trim().toLowerCase() === PROTOCOL)) return true;
  }
  return false;
}
