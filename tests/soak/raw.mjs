// A WebSocket client on a bare socket: cheap enough for fifteen thousand of them, and able to misbehave.
import { connect } from "node:net";

// A fixed key has a fixed answer (RFC 6455, 1.3).
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK = [0x37, 0xfa, 0x21, 0x3d];
const NOTHING = Buffer.alloc(0);

/** The upgrade request; `query` goes to the headers schema. */
export const request = (query = "") =>
  `GET /${query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`;

/** A frame as clients send it. */
export function frame(opcode, payload) {
  const { length } = payload;
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.allocUnsafe(head + 4 + length);
  bytes[0] = 0x80 | opcode;
  bytes[1] = 0x80 | (head === 2 ? length : head === 4 ? 126 : 127);
  if (head === 4) bytes.writeUInt16BE(length, 2);
  if (head === 10) bytes.writeBigUInt64BE(BigInt(length), 2);
  for (let i = 0; i < 4; i++) bytes[head + i] = MASK[i];
  for (let i = 0; i < length; i++) bytes[head + 4 + i] = payload[i] ^ MASK[i & 3];
  return bytes;
}

/** Loopback has many addresses on Linux, each with ports of its own for connections. */
const sources = process.platform === "linux" ? 8 : 1;
let turn = 0;
const source = () => `127.0.0.${1 + (turn++ % sources)}`;

/** Where to connect to and, where there is a choice, from which address. */
export const endpoint = (port, from = source()) => ({
  host: "127.0.0.1",
  port,
  noDelay: true,
  ...(sources > 1 && { localAddress: from }),
});

/** One client. Its callbacks may be replaced at any time. */
export class Raw {
  #rest = NOTHING;
  #isOpen = false;
  #isClosing = false;
  /** The upgrade was answered with 101. */
  onOpen = () => {};
  /** A message came: its text. */
  onMessage = () => {};
  /** It is over: the close frame's code, the status that refused it, or what else ended it. */
  onEnd = () => {};
  /** Why it is over. */
  ending = "end of stream";
  /** Whether it answers pings. */
  mute = false;

  constructor(port, query, from) {
    this.socket = connect(endpoint(port, from));
    this.socket.write(request(query));
    this.socket.on("data", (bytes) => this.#read(bytes));
    this.socket.on("error", (error) => {
      // After a close frame it does not matter how the socket ends.
      if (typeof this.ending !== "number") this.ending = error.code ?? error.message;
    });
    this.socket.on("close", () => this.onEnd(this.ending));
  }

  /** Opens one; rejects when it is refused. */
  static open(port, query, from) {
    return new Promise((resolve, reject) => {
      const raw = new Raw(port, query, from);
      raw.onOpen = () => resolve(raw);
      raw.onEnd = (ending) => reject(new Error(`not opened: ${ending}`));
    });
  }

  say(type, payload) {
    this.socket.write(frame(1, Buffer.from(JSON.stringify({ type, payload }))));
  }

  /** Starts the closing handshake; the server's answer, and then the end of the stream, ends it. */
  close() {
    this.#isClosing = true;
    this.socket.write(frame(8, Buffer.from([0x03, 0xe8])));
  }

  /** Ends it with a reset. */
  reset() {
    this.ending = "reset by us";
    this.socket.resetAndDestroy();
  }

  #read(bytes) {
    let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    if (!this.#isOpen) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) {
        this.#rest = data;
        return;
      }
      const head = data.toString("latin1", 0, end);
      if (!head.startsWith("HTTP/1.1 101 ") || !head.includes(ACCEPT)) {
        this.ending = head.split("\r\n", 1)[0];
        this.socket.destroy();
        return;
      }
      data = data.subarray(end + 4);
      this.#isOpen = true;
      this.onOpen();
    }
    this.#rest = this.#readFrames(data);
  }

  /** Takes the whole frames; what is left of the last. */
  #readFrames(data) {
    for (;;) {
      if (data.length < 2) return data;
      const short = data[1];
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (data.length < head) return data;
      const length =
        head === 2 ? short : head === 4 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2));
      if (data.length < head + length) return data;
      this.#take(data[0], data.subarray(head, head + length));
      data = data.subarray(head + length);
    }
  }

  #take(first, payload) {
    if (first === 0x81) this.onMessage(payload.toString());
    else if (first === 0x89) {
      if (!this.mute) this.socket.write(frame(10, payload));
    } else if (first === 0x88) {
      this.ending = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      if (!this.#isClosing) this.socket.write(frame(8, payload.subarray(0, 2)));
      this.socket.end();
    } else this.onMessage(`unexpected frame ${first}`);
  }
}
