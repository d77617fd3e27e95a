// The attackers of the scenario "hostile" that abuse sockets: half requests, lying frames, silence, and too many of all.
import { frame, request } from "./raw.mjs";
import { bare, begin, every, flood, later, resetLater, upgraded } from "./hostile-sockets.mjs";

export { found, leave } from "./hostile-sockets.mjs";

/** Where half requests come from: the address alone that sends them is to suffer. */
const CROWDED = "127.0.0.2";
/** The default of `maxPayload`. */
const MAX_PAYLOAD = 1024 * 1024;
const FRAGMENT = 64 * 1024;

/** The head of a frame that announces so many bytes; its mask changes nothing. */
function head(first, length) {
  const bytes = Buffer.alloc(14);
  bytes[0] = first;
  bytes[1] = 0xff;
  bytes.writeBigUInt64BE(length, 2);
  return bytes;
}

const LIES = [BigInt(MAX_PAYLOAD), 2n ** 40n, 2n ** 63n - 1n, 2n ** 64n - 1n];
const PINGS = Buffer.concat(Array(500).fill(frame(9, Buffer.alloc(125, 7))));
const CLOSES = Buffer.concat(Array(5_000).fill(frame(8, Buffer.from([0x03, 0xe8]))));
const JOIN = frame(1, Buffer.from('{"type":"join","payload":["news"]}'));
const MESSAGE = frame(1, Buffer.from('{"type":"nothing","payload":1}'));
let turn = 0;

const lies = () =>
  upgraded((socket) => {
    socket.write(head(0x81, LIES[turn++ % LIES.length]));
    socket.write("no more");
  });

/** All that one message may have but for its end, which never comes. */
const fragments = () =>
  upgraded((socket) => {
    const part = frame(0, Buffer.alloc(FRAGMENT, 0x78)).subarray(1);
    for (let n = 0; n < MAX_PAYLOAD / FRAGMENT; n++) {
      socket.write(Buffer.of(n === 0 ? 0x02 : 0x00));
      socket.write(part);
    }
  });

const neverReads = () =>
  upgraded((socket) => {
    socket.pause();
    socket.write(JOIN);
  });

/** Sends one byte at a time. */
function drips(socket, bytes) {
  let at = 0;
  every(50, socket, () => {
    socket.write(bytes.subarray(at, at + 1));
    at = (at + 1) % bytes.length;
  });
  return socket;
}

const dripsMessages = () => upgraded((socket) => drips(socket, MESSAGE));
const dripsARequest = () => drips(bare(""), Buffer.from(request()));

/** Comes, and is gone again: before its request, amid it, after it, or after a message. */
function storm() {
  const ways = ["", request().slice(0, 60), request()];
  const way = ways[turn++ % 4];
  if (way !== undefined) return resetLater(turn % 20, bare(way));
  return upgraded((socket) => {
    socket.write(MESSAGE);
    later(turn % 20, () => socket.resetAndDestroy());
  });
}

/** Says half a request, or nothing, and stays. */
const half = () => bare(turn++ % 2 === 0 ? "" : request().slice(0, 60), CROWDED);
const refused = () => bare(turn++ % 2 === 0 ? request("?kind=refused") : "POST / HTTP/1.1\r\n\r\n");

const ATTACKS = {
  "refused, but they stay": { count: 100, attack: refused },
  "lying lengths": { count: 40, attack: () => resetLater(5_000, lies()) },
  "fragments without an end": { count: 30, attack: () => resetLater(3_000, fragments()) },
  "never reading": { count: 8, attack: neverReads },
  "pings without a pause": { count: 2, attack: () => flood(PINGS) },
  "pings, and no pong is read": {
    count: 1,
    attack: () => flood(PINGS, (socket) => socket.pause()),
  },
  "close frames without an end": { count: 3, attack: () => flood(CLOSES) },
  "messages byte by byte": { count: 20, attack: dripsMessages },
  "requests byte by byte": { count: 20, attack: dripsARequest },
  "come and gone": { count: 10, attack: storm, pause: 20 },
};

/** Lets all of them come, and then so many with half requests, for whom the others would have to wait. */
export function come(port, halves) {
  begin(port, ATTACKS);
  const crowd = { count: halves, attack: half, pause: 1_000 };
  later(3_000, () => begin(port, { "half requests": crowd }));
}
