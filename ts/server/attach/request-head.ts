// The bytes of a request that Node has read already: the engine reads it once more, by its own rules.
import type { IncomingMessage } from "node:http";

const UPGRADE = "upgrade";
const PROTOCOL = "websocket";

/** A head that is refused as malformed. */
const MALFORMED = "\0\r\n\r\n";

/** The head of the request. */
export function headOf(request: IncomingMessage): Buffer {
  const { method = "GET", url = "", httpVersion, rawHeaders } = request;
  let isSound = mayBeInHead(method) && mayBeInHead(url);
  let head = `${method} ${url} HTTP/${httpVersion}`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    const value = rawHeaders[at + 1]!;
    isSound &&= mayBeInHead(name) && mayBeInHead(value);
    head += `\r\n${name}: ${value}`;
  }
  if (!isSound) return Buffer.from(MALFORMED, "latin1");
  // Node has read the bytes as Latin-1.
  return Buffer.from(`${head}\r\n\r\n`, "latin1");
}

/**
 * Whether a text may be a part of a head: Latin-1 without control characters, but for tabs. Node read others only with
 * `insecureHTTPParser`, or somebody has put them in since. A pattern for all of them, joined, would take longer.
 */
function mayBeInHead(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code > 0xff) return false;
  }
  return true;
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
