// Turns values of clients and of user code into text for the log: one line, without characters that a terminal obeys.
import { dirname } from "node:path";
import { inspect, types } from "node:util";

import { isObject } from "./check.js";
import { ClientFault } from "./client-fault.js";

/** Most characters of one text, such as a message, and of the whole that is shown of one value. */
const MAX_TEXT = 512;
const MAX_WHOLE = 4_096;
/** Most frames of a stack, and how many of it are looked at; most causes of an error, which are errors in their turn. */
const MAX_FRAMES = 5;
const MAX_LINES = 32;
const MAX_CAUSES = 2;
/** Most issues, most steps of the path of each, and most characters of a step and of a message. */
const MAX_ISSUES = 3;
const MAX_PATH = 8;
const MAX_STEP = 64;
const MAX_MESSAGE = 160;

/** The folder that all files of this package are in. */
const PACKAGE = dirname(__dirname);

/** Control characters, line separators, marks that change the direction of text or are not seen, lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A text on one line and not too long, with what a terminal or a log reader might obey escaped. */
export function escaped(text: string, most = MAX_TEXT): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(UNSAFE, (mark) => NAMED[mark] ?? coded(mark.codePointAt(0) ?? 0));
}

function coded(code: number): string {
  const digits = code.toString(16);
  return code > 0xffff ? `\\u{${digits}}` : `\\u${digits.padStart(4, "0")}`;
}

/** A thrown value on one line. Of the issues of headers it shows only the paths, because messages may repeat a password. Never throws. */
export function shown(thrown: unknown, hidesMessages = false): string {
  try {
    const text = isObject(thrown) ? ClientFault.text(thrown) : undefined;
    const whole =
      text === undefined
        ? valueText(thrown)
        : escaped(text) + issuesText(thrown as ClientFault, hidesMessages);
    return whole.length > MAX_WHOLE ? `${whole.slice(0, MAX_WHOLE)}…` : whole;
  } catch {
    return "(the value cannot be shown)";
  }
}

function valueText(value: unknown): string {
  if (types.isNativeError(value)) return errorText(value, MAX_CAUSES);
  const options = { depth: 1, maxArrayLength: 8, maxStringLength: MAX_TEXT, breakLength: Infinity };
  return escaped(inspect(value, { ...options, compact: true }));
}

/** Name, message, code and stack of an error, and what caused it. */
function errorText(error: Error, causes: number): string {
  const { name, message, stack, cause, code } = error as NodeJS.ErrnoException;
  const title = message === "" ? String(name) : `${name}: ${message}`;
  let text = escaped(title);
  // Libraries often put it into the message.
  if (typeof code === "string" && !text.includes(code)) text += ` [${escaped(code, MAX_STEP)}]`;
  for (const frame of framesOf(String(stack), String(message))) text += ` | ${escaped(frame)}`;
  if (cause === undefined) return text;
  if (types.isNativeError(cause) && causes > 0) {
    return `${text} | caused by ${errorText(cause, causes - 1)}`;
  }
  return `${text} | caused by ${types.isNativeError(cause) ? escaped(String(cause)) : valueText(cause)}`;
}

/**
 * The first frames of a stack, without those of this package if there are others. The message, which stands before them, may
 * look like more of them.
 */
function framesOf(stack: string, message: string): string[] {
  const start = stack.indexOf(message);
  const frames = [];
  let at = start < 0 ? 0 : start + message.length;
  while (frames.length < MAX_LINES && (at = stack.indexOf("\n", at) + 1) > 0) {
    const line = stack.slice(at, at + MAX_TEXT);
    const frame = /^ +(at .*)/.exec(line)?.[1];
    if (frame !== undefined) frames.push(frame);
  }
  const others = frames.filter((frame) => !frame.includes(PACKAGE));
  return (others.length > 0 ? others : frames).slice(0, MAX_FRAMES);
}

/** The first issues of an error, as `: path: message; path: message; …`, whatever they do when they are looked at. */
export function issuesText(
  { issues }: { readonly issues?: readonly unknown[] },
  hidesMessages = false,
): string {
  if (issues === undefined) return "";
  let text = "";
  try {
    for (let at = 0; at < MAX_ISSUES && at < issues.length; at += 1) {
      text += (at === 0 ? ": " : "; ") + issueText(issues[at], hidesMessages);
    }
    const more = issues.length - MAX_ISSUES;
    if (more > 0) text += `; and ${more} more`;
  } catch {
    // The issues so far have to do.
  }
  return text;
}

function issueText(issue: unknown, hidesMessage: boolean): string {
  const { message, path } = issue as { readonly message?: unknown; readonly path?: unknown };
  const steps = [];
  if (Array.isArray(path)) {
    for (let at = 0; at < MAX_PATH && at < path.length; at += 1) {
      const step: unknown = path[at];
      const key = isObject(step) ? (step as { readonly key?: unknown }).key : step;
      steps.push(escaped(String(key), MAX_STEP));
    }
  }
  if (hidesMessage) return steps.join(".") || "not valid";
  const said = escaped(String(message), MAX_MESSAGE);
  return steps.length > 0 ? `${steps.join(".")}: ${said}` : said;
}
