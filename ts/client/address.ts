// Builds the address to connect to, on platforms whose `URL` does little. React Native's has no setters, some of its getters
// throw, it takes any text for a URL, and it appends a slash to paths.
import type { Headers } from "./headers.js";
import { wrongKind } from "./kind.js";

/**
 * The URL as a WebSocket takes it. A path alone takes scheme and host from the page.
 *
 * @throws `TypeError` for a URL that makes no sense.
 */
export function address(url: string | URL): string {
  return absolute(url)
    .replace(/^http/i, "ws")
    .replace(/#[^]*/, "")
    .replace(/^(\w+:\/\/[^/?]+)(?=\?|$)/, "$1/");
}

/** The address with the headers as query parameters, behind those it has. */
export function withQuery(whole: string, headers: Headers): string {
  const query = Object.entries(headers)
    .map((pair) => pair.map(encode).join("="))
    .join("&");
  if (query === "") return whole;
  const separator = !whole.includes("?") ? "?" : whole.endsWith("?") ? "" : "&";
  return whole + separator + query;
}

/** Whether the address leads back to this machine, which no network can cut off. */
export function isLoopback(whole: string): boolean {
  return /^\w+:\/\/(?:[^/?]*@)?(?:(?:[^/?:]+\.)?localhost\.?|127(?:\.\d+){3}|\[::1\])(?:[:/?]|$)/i.test(
    whole,
  );
}

function absolute(url: string | URL): string {
  // Neither is a URL to be resolved: what is no text would become one.
  if (typeof url !== "string" && typeof (url as Partial<URL> | null)?.href !== "string") {
    throw wrongKind("createZocketClient: url", "a string or a URL", url);
  }
  const page = (globalThis as { location?: { href?: string } }).location?.href;
  const text = String(url).trim();
  const isAbsolute = /^[a-z][\w+.-]*:/i.test(text);
  if (!isAbsolute && page === undefined) {
    throw new TypeError(
      "createZocketClient: url: expected a whole URL such as wss://example.com; a path alone works only in a page",
    );
  }
  if (isAbsolute && !isWhole()) return text;
  try {
    return new URL(text, page).href;
  } catch (cause) {
    // The error of `URL` is of another realm under Jest. The text may hold credentials, and is not repeated.
    const message = "createZocketClient: url: expected a URL such as wss://example.com";
    throw new TypeError(message, { cause });
  }
}

/** Whether `URL` leaves a path as it is. It may be missing, too. */
function isWhole(): boolean {
  const path = "ws://host/path";
  return typeof URL === "function" && new URL(path).href === path;
}

/** As an HTML form does. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%20/g, "+");
}
