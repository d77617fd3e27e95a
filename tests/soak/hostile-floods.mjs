// The attackers of the scenario "hostile" that send messages: too many, too large, and made to cost as much as they can.
import { frame, Raw } from "./raw.mjs";
import { address, begin, every, flood, problem, resetLater, upgraded } from "./hostile-sockets.mjs";

export { found, leave } from "./hostile-sockets.mjs";

/** Just below `maxPayload`. */
const LARGE = 1024 * 1024 - 64;
/** The most that a `$error` may have, and its envelope. */
const LONGEST_ERROR = 16 * 1024;
/** As many bytes as a socket takes in one go. */
const CHUNK = 64 * 1024;

const text = (value) => frame(1, Buffer.from(value));
const message = (type, payload) => text(JSON.stringify({ type, payload }));
/** So many copies of a frame that they fill a chunk. */
const many = (bytes) => Buffer.concat(Array(Math.ceil(CHUNK / bytes.length)).fill(bytes));
const nested = (depth) => `{"type":"nothing","payload":${"[".repeat(depth)}${"]".repeat(depth)}}`;
let unique = 0;
let server = 0;

/** Text that, written as it is, would clear the screen and forge entries of a log. */
const FORGED = "x\nzocket: INTERNAL: forged\r\u001b[2J\u001b[1A\u0007\u009b2J %o %s %d";

const CHUNKS = {
  unknownRoute: many(text('{"type":"x"}')),
  badJson: many(text("{")),
  nothing: many(message("nothing", 1)),
  forgedRoute: many(text(JSON.stringify({ type: FORGED }))),
  nested: text(nested(LARGE / 2 - 32)),
  behindSlow: Buffer.concat(Array(70).fill(message("behindSlow", "x".repeat(256 * 1024)))),
  never: Buffer.concat(Array(300).fill(message("never", "x".repeat(64 * 1024)))),
  badRooms: many(
    Buffer.concat(
      ["", "x".repeat(4_097), "ü".repeat(2_049)].map((name) => message("join", [name])),
    ),
  ),
  numbers: message("numbers", Array(50_000).fill("x")),
  strict: message(
    "strict",
    Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${n} ${"k".repeat(90)}`, n])),
  ),
};

/** Rooms with the longest names there may be, and then as many as there may be. */
function* rooms() {
  for (let n = 0; n < 10; n++) {
    yield message(
      "join",
      Array.from({ length: 128 }, () => String(unique++).padStart(4_096, "r")),
    );
  }
  for (let n = 0; n < 20; n++) {
    yield message(
      "join",
      Array.from({ length: 100 }, () => String(unique++)),
    );
  }
  const one = many(message("join", ["one more"]));
  for (;;) yield one;
}

/** Joins all of them, as fast as the server takes them. */
function joins() {
  const wanted = rooms();
  return resetLater(
    3_000,
    upgraded((socket) => {
      const go = () => {
        while (!socket.destroyed && socket.write(wanted.next().value));
      };
      socket.on("drain", go);
      go();
    }),
  );
}

/** Sends what has thousands of issues, and looks at what comes. */
function hasIssues(bytes) {
  const raw = new Raw(server, "", address());
  raw.onOpen = () => every(500, raw.socket, () => raw.socket.write(bytes));
  raw.onMessage = (answer) => {
    const { length } = Buffer.from(answer);
    if (length > LONGEST_ERROR) problem(`an answer of ${length} bytes`);
  };
  return resetLater(5_000, raw.socket);
}

const ATTACKS = {
  "unknown routes": { count: 3, attack: () => flood(CHUNKS.unknownRoute) },
  "bad JSON": { count: 3, attack: () => flood(CHUNKS.badJson) },
  "messages without a pause": { count: 3, attack: () => flood(CHUNKS.nothing) },
  "forged routes": { count: 1, attack: () => flood(CHUNKS.forgedRoute) },
  "bad answers not read": {
    count: 1,
    attack: () => flood(CHUNKS.badJson, (socket) => socket.pause()),
  },
  "nested 1 MiB": { count: 1, attack: () => flood(CHUNKS.nested) },
  "long keys, echoed": {
    count: 1,
    attack: () =>
      upgraded((socket) =>
        every(100, socket, () =>
          socket.write(message("mirror", { [`${unique++}${"k".repeat(300_000)}`]: 1 })),
        ),
      ),
  },
  "large ones behind a slow one": {
    count: 3,
    attack: () =>
      resetLater(
        700,
        upgraded((socket) => socket.write(CHUNKS.behindSlow)),
      ),
  },
  "handlers that never end": {
    count: 2,
    attack: () =>
      resetLater(
        2_000,
        upgraded((socket) => socket.write(CHUNKS.never)),
      ),
  },
  rooms: { count: 2, attack: joins },
  "bad room names": { count: 1, attack: () => flood(CHUNKS.badRooms) },
  "thousands of issues": { count: 1, attack: () => hasIssues(CHUNKS.numbers) },
  "thousands of keys": { count: 1, attack: () => hasIssues(CHUNKS.strict) },
};

/** Lets all of them come. */
export function come(port) {
  server = port;
  begin(port, ATTACKS);
}
