// `zo.bytes`: the schema of a payload that is bytes.
import { bytesIn } from "../bytes.js";
import { isOptions, isSchema, unexpected } from "../faults/check.js";
import type { BytesOptions, BytesSchema } from "../types/bytes.js";
import { refuseUnknown } from "../unknown-options.js";

/** The names that other libraries use for the option. */
const ALIASES = {
  limit: "max",
  maxbytes: "max",
  maxlength: "max",
  maxpayload: "max",
  maxsize: "max",
  size: "max",
};

/**
 * The schema of a payload that is bytes. The payload travels in a binary frame, as it is. Senders may give any `ArrayBuffer`, or
 * any view of one. Receivers get a `Uint8Array` that nobody else has. It is a Standard Schema, so you can also use it alone.
 *
 * @example
 * ```ts
 * const routes = {
 *   upload: zo.message.incoming({ payload: zo.bytes({ max: 1024 * 1024 }) }),
 *   frame: zo.message.outgoing({ payload: zo.bytes() }),
 * };
 * ```
 *
 * @throws `TypeError` if `max` is not a whole number from 0.
 */
export function bytes(options: BytesOptions = {}): BytesSchema {
  if (!isOptions(options)) throw unexpected("zo.bytes: options", "an object { max? }", options);
  refuseUnknown("zo.bytes: options.", options, ["max"], ALIASES);
  const { max = Infinity } = options;
  if (max !== Infinity && !(Number.isSafeInteger(max) && max >= 0)) {
    throw unexpected("zo.bytes: options.max", "a whole number of bytes from 0", max);
  }
  return Object.freeze({
    _kind: "bytes",
    "~standard": Object.freeze({
      version: 1,
      vendor: "zocket",
      validate(value: unknown) {
        // What came in a binary frame is handed on as it is.
        const found = value instanceof Uint8Array ? value : bytesIn(value);
        if (found === undefined) return { issues: [{ message: "expected bytes" }] };
        const { byteLength } = found;
        if (byteLength <= max) return { value: found };
        return { issues: [{ message: `expected at most ${max} bytes, got ${byteLength}` }] };
      },
    }),
  }) as BytesSchema;
}

/** Whether a schema is one of {@link bytes}, also of another copy of this module. */
export function isBytes(schema: unknown): boolean {
  return isSchema(schema) && (schema as Partial<BytesSchema>)._kind === "bytes";
}
