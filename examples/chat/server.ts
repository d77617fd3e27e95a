// The page's side of the chat: node:http serves three files, and tells the page where the WebSocket server listens.
// Start it with `npm start`. PORT (default 3000) is the page's port, SOCKETS_PORT (default: any free one) the sockets'.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";

import { sockets } from "./chat.ts";

// Bundled into examples/chat/built/, so the page's sources are one folder up.
const file = (name: string) => readFileSync(path.join(import.meta.dirname, name), "utf8");

const html = { type: "text/html", text: file("../page/index.html") };
html.text = html.text.replace("{{sockets-port}}", String(sockets.port));
const files = new Map([
  ["/", html],
  ["/style.css", { type: "text/css", text: file("../page/style.css") }],
  ["/page.js", { type: "text/javascript", text: file("page.js") }],
]);

const page = createServer((request, response) => {
  const found = files.get((request.url ?? "/").split("?", 1)[0] ?? "/");
  if (!found || (request.method !== "GET" && request.method !== "HEAD")) {
    response.writeHead(found ? 405 : 404, { "content-type": "text/plain; charset=utf-8" });
    response.end(found ? "Method not allowed\n" : "Not found\n");
    return;
  }
  response.writeHead(200, {
    "content-type": `${found.type}; charset=utf-8`,
    "cache-control": "no-cache",
    // The page needs its own two files and the sockets, and nothing else from anywhere.
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src data:",
      "connect-src ws: wss:",
      "base-uri 'none'",
      "form-action 'none'",
    ].join("; "),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : found.text);
});

page.once("error", (error) => {
  console.error(`The page cannot be served: ${error.message}. PORT sets another port.`);
  process.exitCode = 1;
  void sockets.stop(true);
});
page.listen(Number(process.env["PORT"] ?? 3000), () => {
  const { port } = page.address() as AddressInfo;
  console.log(`\nChat: http://localhost:${port}  (sockets: ${sockets.url})  Ctrl+C ends it.`);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    page.close();
    page.closeAllConnections();
    void sockets.stop();
  });
}
