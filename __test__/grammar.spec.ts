// The engine checks that a payload is JSON, and JavaScript parses it together with everybody else's: what one takes for
// JSON and the other does not would take their messages along.
import assert from "node:assert/strict";
import { test } from "node:test";

import { listen } from "./_chat.ts";
import { dice } from "./_support.ts";
import { Talker } from "./_talk.ts";

/** What texts are made of that are almost JSON. */
const PIECES = [
  ..."{}[],:\"\\'-0 \t\né😀\u0000\u001f\u007f\u00a0\u2028\ufeff",
  ...'"a" "a": "" {} [] null true fals NaN undefined /**/ "__proto__":'.split(" "),
  ..."12 01 1. .5 +1 -0 1e5 1E+ 1e999".split(" "),
  ...String.raw`\n \x \/ \u0041 \u00zz \u0000 \ud800 \ud83d\ude00 "\ud800"`.split(" "),
];

/** What `JSON.parse` makes of an envelope; `undefined` if it is none. */
function parsed(text: string): { payload: unknown } | undefined {
  try {
    return JSON.parse(text) as { payload: unknown };
  } catch {
    return undefined;
  }
}

for (const seed of [1, 2, 3]) {
  test(`what is almost JSON is handled exactly when JSON.parse takes it, and as it takes it (seed ${seed})`, async (t) => {
    const roll = dice(seed);
    const piece = () => PIECES[roll(PIECES.length)] as string;
    const { url, handled, server } = listen(t);
    const talker = await Talker.meet(t, url);
    const expected: unknown[] = [];
    let bad = 0;
    for (let count = 0; count < 5000; count++) {
      const inner = Array.from({ length: 1 + roll(6) }, piece).join("");
      const quote = roll(2) === 0 ? '"' : "";
      const text = `{"type":"chat.say","payload":${quote}${inner}${quote}}`;
      const envelope = parsed(text);
      if (envelope) expected.push(envelope.payload);
      else bad++;
      talker.raw(roll(2) === 0 ? text : Buffer.from(text));
      if (count % 500 === 499) {
        const replies = await talker.sync();
        assert.equal(replies.length, bad);
        assert.ok(
          replies.every(({ payload }) => (payload as { code: string }).code === "BAD_MESSAGE"),
        );
        assert.deepEqual(handled.drain(), expected.splice(0));
        bad = 0;
      }
    }
    assert.ok((server.metrics().bad["BAD_MESSAGE"] ?? 0) < 5000);
    assert.ok(server.metrics().received - (server.metrics().bad["BAD_MESSAGE"] ?? 0) > 500);
  });
}
