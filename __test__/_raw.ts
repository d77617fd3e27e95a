// Requests and frames that no well-behaved client sends.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";

import { type Headers, type Message } from "./_support.ts";
import { until } from "./_wait.ts";

export interface Answer {
  status: number;
  headers: Headers;
  body: string;
}

const FIELDS: Record<string, string> = {
  Host: "localhost",
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version": "13",
};

/** An upgrade request with some fields replaced, repeated (an array) or left out (`undefined`). */
export function request(
  changes: Record<string, string | string[] | undefined> = {},
  line = "GET / HTTP/1.1",
): string {
  const fields = Object.entries({ ...FIELDS, ...changes }).flatMap(([name, values]) =>
    [values ?? []].flat().map((value) => `${name}: ${value}\r\n`),
  );
  return `${line}\r\n${fields.join("")}\r\n`;
}

/** A masked frame, as clients send them. */
export function frame(payload: string | Uint8Array, opcode = 1, final = true): Buffer {
  const bytes = Buffer.from(payload as string);
  const mask = randomBytes(4);
  const length =
    bytes.length < 126
      ? Buffer.of(0x80 | bytes.length)
      : Buffer.of(0x80 | 126, bytes.length >> 8, bytes.length & 0xff);
  assert.ok(bytes.length < 65_536, "longer frames are not needed here");
  const masked: Uint8Array = bytes.map((byte, index) => byte ^ (mask[index % 4] as number));
  return Buffer.concat([Buffer.of((final ? 0x80 : 0) | opcode), length, mask, masked]);
}

/** A message in a masked frame. */
export const said = (payload: unknown) => frame(JSON.stringify({ type: "say", payload }));

/** A TCP connection that says exactly what it is told, and keeps every byte it gets. */
export class Raw {
  readonly socket: Socket;
  /** Resolves when the connection is over in both directions. */
  readonly ended: Promise<void>;
  #bytes = Buffer.alloc(0);
  #over = false;

  constructor(t: TestContext, port: number, ...first: (string | Uint8Array)[]) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes: Buffer) => (this.#bytes = Buffer.concat([this.#bytes, bytes])));
    this.socket.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.#over = true;
        resolve();
      });
    });
    for (const bytes of first) this.socket.write(bytes);
    t.after(() => this.socket.destroy());
  }

  /** One whose upgrade was answered with 101. */
  static async open(
    t: TestContext,
    port: number,
    ...args: Parameters<typeof request>
  ): Promise<Raw> {
    const raw = new Raw(t, port, request(...args));
    assert.equal((await raw.answer()).status, 101);
    return raw;
  }

  write(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  get text(): string {
    return this.#bytes.toString("latin1");
  }

  /** The HTTP answer, once all of it is there. */
  async answer(): Promise<Answer> {
    let answer: Answer | undefined;
    await until("an HTTP answer", () => (answer = this.#parse()) ?? this.#over);
    assert.ok(answer, `the connection ended after ${JSON.stringify(this.text)}`);
    return answer;
  }

  #parse(): Answer | undefined {
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [line = "", ...fields] = this.text.slice(0, end).split("\r\n");
    const headers = Object.fromEntries(
      fields.map((field) => {
        const colon = field.indexOf(":");
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
    );
    const body = this.#bytes.subarray(end + 4);
    const length = Number(headers["content-length"] ?? 0);
    if (body.length < length) return undefined;
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    return { status, headers, body: body.subarray(0, length).toString() };
  }

  /** The frames after the 101 so far. */
  frames(): { opcode: number; payload: Buffer }[] {
    const found = [];
    let at = this.#bytes.indexOf("\r\n\r\n") + 4;
    while (at + 2 <= this.#bytes.length) {
      let length = (this.#bytes[at + 1] as number) & 0x7f;
      let start = at + 2;
      if (length > 125) {
        const size = length === 126 ? 2 : 8;
        if (start + size > this.#bytes.length) break;
        length =
          size === 2 ? this.#bytes.readUInt16BE(start) : Number(this.#bytes.readBigUInt64BE(start));
        start += size;
      }
      if (start + length > this.#bytes.length) break;
      const opcode = (this.#bytes[at] as number) & 0x0f;
      found.push({ opcode, payload: this.#bytes.subarray(start, start + length) });
      at = start + length;
    }
    return found;
  }

  messages(): Message[] {
    return this.frames()
      .filter(({ opcode }) => opcode === 1)
      .map(({ payload }) => JSON.parse(payload.toString()) as Message);
  }

  /** The code of the close frame, once it is there; 1006 when the connection ended without one. */
  async closeCode(): Promise<number> {
    const frameOf = () => this.frames().find(({ opcode }) => opcode === 8);
    await until("a close frame", () => frameOf() ?? this.#over);
    return frameOf()?.payload.readUInt16BE() ?? 1006;
  }
}

/** What the server answers to these bytes. */
export const ask = (t: TestContext, port: number, ...bytes: (string | Uint8Array)[]) =>
  new Raw(t, port, ...bytes).answer();
