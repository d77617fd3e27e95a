// The application every peer serves: an echo, and rooms to join and to publish to. Payloads are
// checked with zod on the way in. What a library brings itself (envelope, routing, rooms) is used;
// what it does not bring stands here, so that every peer does the same work.
import { readFileSync } from "node:fs";

import { z } from "zod";

export const schemas = {
  echo: z.object({ n: z.number(), text: z.string() }),
  join: z.object({ room: z.string() }),
  publish: z.object({ n: z.number(), room: z.string(), text: z.string() }),
  ask: z.object({ n: z.number(), text: z.string() }),
};

export const encode = (type, payload) => JSON.stringify({ type, payload });

/** The items of one stream, as large as what asks for them. Their numbers begin so that all have the same length. */
export async function* itemsOf({ text }) {
  for (let n = 0; n < ITEMS; n += 1) yield { n: FIRST_ITEM + n, text };
}
const ITEMS = 1_000;
const FIRST_ITEM = 2_000_000_000;

/**
 * One message of a library that knows no envelope: parsed, routed, checked, handled.
 * `client` has `send(text)`, `join(room)` and `publish(room, text)`.
 */
export function receive(text, client) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return client.send(encode("$error", { code: "BAD_MESSAGE" }));
  }
  const type = message?.type;
  if (typeof type !== "string" || !Object.hasOwn(schemas, type)) {
    return client.send(encode("$error", { code: "NO_ROUTE" }));
  }
  const checked = schemas[type].safeParse(message.payload);
  if (!checked.success) {
    return client.send(encode("$error", { code: "INVALID_PAYLOAD", issues: checked.error.issues }));
  }
  const payload = checked.data;
  if (type === "echo") {
    client.send(encode("echoed", payload));
  } else if (type === "ask") {
    client.send(JSON.stringify({ type: "$reply", id: message.id, payload }));
  } else if (type === "join") {
    client.join(payload.room);
    client.send(encode("joined", payload));
  } else {
    client.publish(payload.room, encode("news", { n: payload.n, text: payload.text }));
  }
}

/** Certificate and key, if the server is to speak TLS. */
export const tls = process.env.TLS_CERT && {
  cert: readFileSync(process.env.TLS_CERT, "utf8"),
  key: readFileSync(process.env.TLS_KEY, "utf8"),
};

/**
 * The line the runner waits for. From then on `SIGUSR2` has the garbage collected, so that resident
 * memory can tell what is kept from what is only not collected yet.
 */
export function listening(port) {
  process.on("SIGUSR2", async () => {
    if (globalThis.Bun) return globalThis.Bun.gc(true);
    const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([
      import("node:v8"),
      import("node:vm"),
    ]);
    setFlagsFromString("--expose-gc");
    runInNewContext("gc")();
  });
  console.log(`listening on 127.0.0.1:${port}`);
}

/** So many rounds of arithmetic. A loop that waits for the clock would cost nothing while another thread has the core. */
export function compute(rounds) {
  let value = rounds;
  for (let n = 0; n < rounds; n++) value = Math.imul(value ^ n, 0x9e3779b1) + (value >>> 15);
  computed = value;
}
/** So that nobody takes the arithmetic away. */
export let computed = 0;
