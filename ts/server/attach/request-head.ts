// The bytes of a request that Node has read already: the engine reads it once more, by its own rules.
import type { IncomingMessage } from "node:http";

/** What no part of a head holds: Node read such bytes only with `insecureHTTPParser`, or somebody has put them in since. */
const WRONG = /[^\t\x20-\xff]/;

/** A head that is refused as malformed. */
const MALFORMED = "\0\r\n\r\n";

/** The head of the request. */
export function headOf(request: IncomingMessage): Buffer {
  const { method = "GET", url = "", httpVersion, rawHeaders } = request;
  let head = `${method} ${url} HTTP/${httpVersion}`;
  let isWrong = WRONG.test(head);
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const field = `${rawHeaders[at]}: ${rawHeaders[at + 1]}`;
    isWrong ||= WRONG.test(field);
    head += `\r\n${field}`;
  }
  // Node has read the bytes as Latin-1.
  return Buffer.from(isWrong ? MALFORMED : `${head}\r\n\r\n`, "latin1");
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

/** Whether a request asks for the protocol that is spoken here. */
export function isForWebSocket({ headers }: IncomingMessage): boolean {
  if (headers.upgrade === "websocket") return true;
  const protocols = String(headers.upgrade ?? "").split(",");
  return protocols.some((it) => it.trim().toLowerCase() === "websocket");
}
