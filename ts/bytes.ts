// Bytes, as applications give them and as binary messages carry them. Shared with the browser.

/** Bytes as an application may give them: an `ArrayBuffer`, or a view of one. */
export type BytesLike = ArrayBufferView | ArrayBufferLike;

/** The first byte of a message that carries bytes. JSON never starts with it. */
export const BINARY = 0;
/** The flag of such a message with an `id`. */
export const WITH_ID = 1;

/** The bytes of a value, of any realm and without a copy; `undefined` for anything else. Throws if they are detached. */
export function bytesIn(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(value))
    ? new Uint8Array(value as ArrayBufferLike)
    : undefined;
}
