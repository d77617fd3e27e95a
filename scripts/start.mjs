// `npm start`: from a fresh clone to the running chat of `examples/chat/`. Needs Node and Rust, nothing installed.
import { prepare } from "./prepare.mjs";
import { main, onlyHelp, step } from "./steps.mjs";

const HELP = `Usage: npm start [-- --help]

Installs the npm packages and builds the addon and the TypeScript where they are missing or older than
their sources, then starts the chat of examples/chat and prints its address. Ctrl+C ends it.

Environment:
  PORT          the port of the page (default 3000; 0 takes any free one)
  SOCKETS_PORT  the port of the WebSocket server (default 0: any free one, which the page is told)`;

onlyHelp(HELP);

await main(async () => {
  await prepare();
  // Imported only now: it needs the packages that the line above may have installed.
  const { buildChat } = await import("../examples/chat/build.mjs");
  const server = await step("Bundle the chat", buildChat);
  await import(server);
});
