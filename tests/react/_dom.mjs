// Stands in for a browser. React looks for a document when it is loaded, so this is loaded first. A server has none, and
// neither has a test with a browser.
import { JSDOM } from "jsdom";
import { WebSocket } from "ws";

const { window } = new JSDOM("<!doctype html><body></body>", { url: "http://localhost/" });
const { document, HTMLElement, HTMLIFrameElement, MutationObserver, Node, navigator } = window;
const globals = {
  window,
  document,
  HTMLElement,
  HTMLIFrameElement,
  MutationObserver,
  Node,
  navigator,
  // The one of Node, where it has one, behaves otherwise than a browser's.
  WebSocket,
};
const isPage = !/(?:server|vite|guide)\.spec\.mjs$/.test(process.argv[1] ?? "");
// Later versions of Node have a `navigator` that cannot be assigned.
for (const [name, value] of Object.entries(isPage ? globals : {}))
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
