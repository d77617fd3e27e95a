// Clients that come and go: how they are found, and what V8 keeps of them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";

import { PendingCalls } from "../dist/connections/pending-calls.js";
import { hashOf } from "../dist/context/by-id.js";
import { Clients, type Client } from "../dist/context/clients.js";
import { Child } from "./_child.ts";
import { dice } from "./_support.ts";

describe("clients are found by their ids", () => {
  test("whoever else has come and gone, in any order", () => {
    const roll = dice(5);
    const clients = new Clients();
    const open: Client[] = [];
    const gone: string[] = [];
    const free: number[] = [];
    // Many more than there are buckets at first; they all go in the end, and come again.
    for (const most of [3, 200, 5_000, 40, 0, 1_000]) {
      while (open.length !== most) {
        if (open.length < most || roll(10) === 0) {
          const client = clients.add(free.pop() ?? open.length, randomUUID());
          assert.equal(clients.find(client.id), undefined);
          assert.equal(clients.isDeciding(client.id), true);
          clients.open(client);
          open.push(client);
        } else {
          const at = roll(open.length);
          const client = open[at] as Client;
          open[at] = open.at(-1) as Client;
          open.pop();
          clients.end(client);
          free.push(client.handle);
          gone.push(client.id);
        }
      }
      if (most === 0) free.length = 0;
      for (const client of open) assert.equal(clients.find(client.id), client);
      for (const id of gone) assert.equal(clients.find(id), undefined);
      assert.deepEqual([...clients.all()].toSorted(byId), open.toSorted(byId));
    }
  });

  test("also where the first digits are those of their process", () => {
    const clients = new Clients();
    const ids = Array.from({ length: 500 }, () => `0123456789ab${randomUUID().slice(12)}`);
    for (const [handle, id] of ids.entries()) clients.open(clients.add(handle, id));
    for (const [handle, id] of ids.entries()) assert.equal(clients.find(id)?.handle, handle);
    // They are spread over the buckets, or each would be looked for among all.
    assert.ok(new Set(ids.map(hashOf)).size > 490);
  });

  test("and any other text is nobody's", () => {
    const clients = new Clients();
    const client = clients.add(0, randomUUID());
    clients.open(client);
    const end = client.id.slice(-6);
    for (const text of ["", "x", end, `${end}${end}`, "é".repeat(40), client.id.toUpperCase()]) {
      if (text !== client.id) assert.equal(clients.find(text), undefined, text);
    }
  });
});

test("pending calls are listed from the oldest to the newest, and may end in any order", () => {
  const calls = new PendingCalls();
  const [first, second, third] = ["a", "b", "c"].map((id) => calls.begin(id));
  assert.ok(first && second && third);
  const ids = () => [...calls].map(({ clientId }) => clientId).join("");
  assert.equal(ids(), "abc");
  calls.end(second);
  calls.end(second);
  assert.equal(second.isPending, false);
  assert.equal(ids(), "ac");
  calls.end(first);
  assert.equal(ids(), "c");
  calls.begin("d");
  calls.end(third);
  assert.equal(ids(), "d");
  assert.equal(calls.isEmpty, false);
});

test("V8 keeps nothing of clients that have gone, even before it next collects everything", async (t) => {
  // A `Map` or a `Set` in which clients come and go would keep its tables: 100 bytes a client and more.
  const child = Child.node(
    t,
    `import { getHeapSpaceStatistics } from "node:v8";
     import { PendingCalls } from "./dist/connections/pending-calls.js";
     import { Clients } from "./dist/context/clients.js";
     const old = () =>
       getHeapSpaceStatistics().find((space) => space.space_name === "old_space").space_used_size;
     const clients = new Clients();
     const calls = new PendingCalls();
     const id = (number) => "00000000-0000-4000-8000-" + String(number).padStart(12, "0");
     for (let number = 0; number < 60; number++) clients.open(clients.add(number, id(number)));
     // Texts are made before, as V8 keeps tables of those too.
     const ids = Array.from({ length: 1_000 }, (_, number) => id(1_000 + number));
     const come = (id) => {
       const client = clients.add(60, id);
       clients.open(client);
       const call = calls.begin(id);
       clients.end(client);
       calls.end(call);
     };
     const many = () => {
       for (let round = 0; round < 200; round++) ids.forEach(come);
     };
     many();
     gc();
     gc();
     const before = old();
     many();
     console.log(old() - before);`,
    ["--expose-gc"],
  );
  await child.endsWell();
  const grown = Number(child.out);
  assert.ok(grown < 1_000_000, `${grown} bytes`);
});

function byId(one: Client, other: Client): number {
  return one.id < other.id ? -1 : 1;
}
