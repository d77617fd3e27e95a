// When listeners are called: never before a method has returned, and in the order in which things happened.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { told } from "./_client.ts";
import { clock, connect, Fake } from "./_fake-socket.ts";

/** A class that tells its events while its methods run, as stand-ins in the tests of applications do. */
class Eager extends Fake {
  override send(text: string): void {
    super.send(text);
    this.emit("message", { data: text.replace("message", "onMessage") });
  }
  override close(code = 1005): void {
    super.close(code);
    this.end(code, "", true);
  }
  override addEventListener(type: string, listener: (event: never) => void): void {
    super.addEventListener(type, listener);
    if (type === "close") this.open();
  }
}

describe("no method calls a listener before it returns:", () => {
  /** Connects with the class; what happens is told with what was under way. */
  function listen(WebSocket: typeof Fake, maxQueuedBytes = 1024) {
    const heard: string[] = [];
    let during = "nothing";
    const tell = (what: string) => void heard.push(`${what} during ${during}`);
    const run = <TResult>(name: string, method: () => TResult): TResult => {
      during = name;
      try {
        return method();
      } finally {
        during = "nothing";
      }
    };
    const client = run("createZocketClient", () => {
      return connect({
        WebSocket,
        maxQueuedBytes,
        onOpen: () => tell("open"),
        onClose: ({ code }) => tell(`close ${code}`),
      });
    });
    client.onError(({ code }) => tell(code));
    client.on.chat.onMessage((payload) => tell(payload));
    const close = () => run("close", () => client.close());
    const reconnect = () => run("reconnect", () => client.reconnect());
    const send = (text: string) => run("send", () => client.send.chat.message(text));
    return { heard, client, close, reconnect, send };
  }

  test("send() that does not fit, close() and reconnect()", async () => {
    const { heard, send, reconnect, close } = listen(Fake);
    send("x".repeat(2000));
    assert.deepEqual(heard, []);
    await told();
    Fake.last.open();
    reconnect();
    send("x".repeat(2000));
    assert.deepEqual(heard, ["QUEUE_FULL during nothing", "open during nothing"]);
    await told();
    close();
    assert.deepEqual(heard.slice(2), ["close 1000 during nothing", "QUEUE_FULL during nothing"]);
  });

  test("with a class that calls back while its methods run", async () => {
    const { heard, client, send, reconnect, close } = listen(Eager);
    assert.deepEqual(heard, []);
    await told();
    assert.equal(client.readyState, 1);
    send("hello");
    send("again");
    await told();
    reconnect();
    await told();
    close();
    await told();
    const expected = ["open", "hello", "again", "close 1000", "open", "close 1000"];
    assert.deepEqual(
      heard,
      expected.map((what) => `${what} during nothing`),
    );
    assert.equal(client.readyState, 3);
  });
});

test("what a method caused is told before what the socket says next, even in the same turn", () => {
  const client = connect({ maxQueuedBytes: 0 });
  const heard: string[] = [];
  client.onOpen(() => heard.push("open"));
  client.onClose(({ code }) => heard.push(`close ${code}`));
  client.onError(({ code, route }) => heard.push(`${code} ${route}`));
  client.on.chat.onMessage((payload) => heard.push(payload));
  const socket = Fake.last.open();
  socket.say("chat.onMessage", "1");
  client.reconnect();
  client.send.chat.message("lost");
  socket.say("chat.onMessage", "from the old one");
  Fake.last.open().say("chat.onMessage", "2");
  assert.deepEqual(heard, ["open", "1", "close 1000", "QUEUE_FULL chat.message", "open", "2"]);
});

test("half a million messages that do not fit are told one by one, in order", async () => {
  const client = connect({ maxQueuedBytes: 0 });
  const send = client.send as never as Record<string, () => void>;
  let count = 0;
  let inOrder = true;
  client.onError(({ route }) => {
    inOrder &&= route === `r${count % 10}`;
    count += 1;
  });
  for (let number = 0; number < 500_000; number++) send[`r${number % 10}`]?.();
  assert.equal(count, 0);
  await told();
  assert.deepEqual([count, inOrder], [500_000, true]);
});

test("a listener that causes what it is told of, over and over, lets everything else run", async () => {
  const client = connect({ maxQueuedBytes: 0 });
  let count = 0;
  const stop = client.onError(() => {
    count += 1;
    client.send.chat.message("the queue is full");
  });
  client.send.chat.message("lost");
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(count > 1);
  const before = count;
  stop();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(count, before);
});

test("a message that the WebSocket class throws for waits for the next connection, with those behind it", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  let isBroken = true;
  class Breaking extends Fake {
    override send(text: string): void {
      if (isBroken) throw new Error("broken");
      super.send(text);
    }
  }
  const client = connect({ WebSocket: Breaking });
  for (const text of ["1", "2"]) client.send.chat.message(text);
  Fake.last.open();
  assert.equal(logged.mock.callCount(), 1);
  assert.throws(() => client.send.chat.message("3"), /broken/);
  isBroken = false;
  client.reconnect();
  assert.deepEqual(Fake.last.open().payloads, ["1", "2"]);
});

test("a listener that causes something hears of it after the others have heard what it heard", async () => {
  const client = connect({ maxQueuedBytes: 0 });
  const heard: string[] = [];
  client.onError(({ code }) => heard.push(code));
  client.onClose(() => {
    client.send.chat.message("lost");
    heard.push("first");
  });
  client.onClose(() => heard.push("second"));
  Fake.last.open().end();
  await told();
  assert.deepEqual(heard, ["first", "second", "QUEUE_FULL"]);
});

describe("at each open", () => {
  test("the onOpen listeners' messages go out first, at the first open too", (t) => {
    const tick = clock(t);
    const client = connect({ onOpen: () => client.send.chat.message("join") });
    client.onOpen(() => client.send.chat.message("status"));
    for (let round = 0; round < 3; round++) {
      for (const text of ["typed", "offline"]) client.send.chat.message(text);
      assert.deepEqual(Fake.last.open().payloads, ["join", "status", "typed", "offline"]);
      Fake.last.end();
      tick(10_000);
    }
  });

  test("what a listener sends after an await comes after what waited", async () => {
    const client = connect({
      onOpen: async () => {
        client.send.chat.message("first");
        await told();
        client.send.chat.message("late");
      },
    });
    client.send.chat.message("waited");
    Fake.last.open();
    await told();
    assert.deepEqual(Fake.last.payloads, ["first", "waited", "late"]);
  });

  test("a listener that throws keeps nothing back", (t) => {
    t.mock.method(console, "error", () => {});
    const client = connect({
      onOpen: () => {
        throw new Error("mine");
      },
    });
    client.send.chat.message("waited");
    assert.deepEqual(Fake.last.open().payloads, ["waited"]);
  });

  test("a listener that closes or reconnects leaves what waited to the next connection", async () => {
    for (const leave of ["close", "reconnect"] as const) {
      const client = connect();
      client.send.chat.message("waited");
      const stop = client.onOpen(() => {
        stop();
        client[leave]();
      });
      const first = Fake.last.open();
      if (leave === "close") {
        first.end(1000, "", true);
        client.reconnect();
      }
      assert.deepEqual([first.payloads, Fake.last.open().payloads], [[], ["waited"]]);
    }
  });
});
