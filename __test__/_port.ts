// Ports that nobody listens on.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below the ports that systems give to everybody who wants any, for connections too: nobody else gets one of these in passing. */
const [FIRST, END] = [15_000, 32_000];

/** A port of this machine that is free, and stays so until somebody asks for exactly this one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
