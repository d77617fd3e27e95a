// The rows of clients and rooms, and of what goes out.
import assert from "node:assert/strict";

import { engine, GIVES_BACK, House, KIB, MIB, text, told, type Case } from "./_bounds.ts";
import type { Raw } from "./_raw.ts";
import { Sharing } from "./_share.ts";
import { until } from "./_wait.ts";

/** A context of 20 KB for each client, and the ids of all. */
const CONTEXTS = `
  state.ids = []; state.gates = [];
  at.connect = (headers, id) => { state.ids.push(id); return { text: Buffer.alloc(20_000, 97).toString() }; };`;

export const CLIENTS: Record<string, Case> = {
  "a connection in the engine": async (t) => {
    // Otherwise V8's own garbage would be 5 MiB of it.
    const house = await House.open(t, {}, ["--max-semi-space-size=1"]);
    const before = (await house.measure()).memory;
    // One crowd takes 9 to 10 MiB, and the later ones up to 2 MiB more: the allocator keeps what is free for some seconds.
    for (let round = 0; round < 3; round++) {
      const crowd = await house.crowd(1_500);
      const more = (await house.measure()).memory - before;
      assert.ok(more < 14 * MIB, `${(more / MIB).toFixed(1)} MiB in round ${round}`);
      await house.leave(crowd);
    }
    await engine("tests/memory.rs", "a_crowd_of_connections_leaves_nothing")(t);
  },

  "a client in JavaScript": async (t) => {
    const house = await House.open(t);
    // Handlers that never end hold nothing of it.
    await house.ask(`${CONTEXTS} at.say = () => new Promise((go) => state.gates.push(go));`);
    await house.comesBack("heap", [5 * MIB, 12 * MIB], async () => {
      const crowd = await house.crowd(300);
      for (const raw of crowd) raw.write(told("say", 1));
      await house.until("all messages", "server.metrics().received === 300");
      return crowd;
    });
  },

  "`onDisconnect` calls under way": async (t) => {
    const house = await House.open(t);
    await house.ask(`${CONTEXTS} at.disconnect = () => new Promise((go) => state.gates.push(go));`);
    await house.comesBack("heap", [5 * MIB, 12 * MIB], async () => house.crowd(300));
    await house.until("all calls", "state.gates.length === 300");
    // stop() waits for all of them, and then there is none left.
    const stopped = house.ask<string>(
      "const end = server.stop(); for (const go of state.gates) go(); await end; return 'stopped';",
    );
    assert.equal(await stopped, "stopped");
  },

  "`onOpen` calls under way": async (t) => {
    const house = await House.open(t, { opens: true });
    await house.ask(`${CONTEXTS} at.open = () => new Promise((go) => state.gates.push(go));`);
    // Their clients are gone, and their `onDisconnect` waits for them.
    await house.comesBack("heap", [5 * MIB, 12 * MIB], async () => {
      const crowd = await house.crowd(300);
      await house.until("all calls", "state.gates.length === 300");
      return crowd;
    });
  },

  "`onError` calls under way": async (t) => {
    const house = await House.open(t, { waits: true });
    await house.ask(
      "at.say = (payload) => { throw new Error('at ' + payload.slice(0, 10_000)); };",
    );
    const before = (await house.measure()).heap;
    const [one] = (await house.crowd(1)) as [Raw];
    for (let at = 0; at < 300; at++) one.write(told("say", text(20_000)));
    await house.until("all calls", "told.length === 300");
    const full = (await house.measure()).heap - before;
    assert.ok(full > 2 * MIB && full < 10 * MIB, `${(full / MIB).toFixed(1)} MiB`);
    await house.ask("for (const go of told.splice(0)) go();");
    await until("all of it to be let go", async () => {
      return (await house.measure()).heap < before + MIB;
    });
  },

  "the numbers of connections": engine(
    "tests/lifecycle.rs",
    "numbers_begin_anew_when_nobody_is_left",
  ),

  "lists of connections to write or to wake": engine(
    "tests/memory.rs",
    "upgrades_that_end_before_an_owner_that_takes_nothing_are_let_go",
  ),

  "names of one client's rooms": async (t) => {
    const house = await House.open(t);
    await house.ask(
      "at.say = (from, ctx) => { for (let at = 0; at < 300; at++) ctx.rooms.join(`${ctx.clientId}${at}`.padEnd(4096, 'r')); };",
    );
    await house.comesBack("heap", [7 * MIB, 14 * MIB], async () => {
      const crowd = await house.crowd(8);
      for (const raw of crowd) raw.write(told("say", 1));
      await house.until("TOO_MANY_ROOMS", "errors.length === 8");
      await house.until("1 MiB of names each", "server.metrics().rooms === 8 * 256");
      return crowd;
    });
    await house.until("no room to be left", "server.metrics().rooms === 0");
    const [one] = (await house.crowd(1)) as [Raw];
    await house.ask(
      "at.say = (from, ctx) => { for (let at = 0; at < 1_100; at++) ctx.rooms.join(`${at}`); };",
    );
    one.write(told("say", 1));
    await house.until("1,000 rooms", "server.metrics().rooms === 1_000");
  },

  "the members of rooms": engine(
    "tests/memory.rs",
    "a_room_name_is_held_once_by_all_io_threads_and_comes_back",
  ),

  "questions about the members of rooms": async (t) => {
    const house = await House.open(t);
    await house.crowd(3);
    const before = (await house.measure()).heap;
    const [answered, refused] = await house.ask<[number, string[]]>(`
      const all = await Promise.allSettled(Array.from({ length: 12_000 }, () => server.members("red")));
      const refused = all.filter(({ status }) => status === "rejected");
      return [12_000 - refused.length, [...new Set(refused.map(({ reason }) => reason.code))]];`);
    assert.deepEqual([answered, refused], [10_016, ["TOO_MANY_QUESTIONS"]]);
    await until("all of it to be let go", async () => {
      return (await house.measure()).heap < before + MIB;
    });
    await engine(
      "tests/members.rs",
      "more_long_answers_than_an_owner_may_leave_open_are_a_fault",
      "questions_that_are_open_when_the_server_stops_keep_nothing_from_ending",
    )(t);
  },

  "keys of payloads": async (t) => {
    const house = await House.open(t);
    await house.ask(
      `at.say = (from, ctx) => {
         for (let at = 0; at < 500; at++) ctx.send.said({ [\`\${from + at}\`.padEnd(64, "k")]: 1 }).to(ctx.clientId);
       };`,
    );
    const before = await house.measure();
    const [one] = (await house.crowd(1)) as [Raw];
    for (let at = 0; at < 60; at++) one.write(told("say", at * 500));
    await house.until("all keys", "server.metrics().sent >= 30_000");
    const full = (await house.measure()).heap - before.heap;
    assert.ok(full < 4 * MIB, `${(full / MIB).toFixed(2)} MiB`);
  },

  "connections by address": async (t) => {
    const house = await House.open(t, { maxConnectionsPerAddress: 3 });
    for (let round = 0; round < 2; round++) {
      const crowd = await house.crowd(3);
      await assert.rejects(house.crowd(1));
      await house.leave(crowd);
    }
    await engine("src/limits/addresses.rs", "a_source_without_a_connection_is_forgotten")(t);
  },

  "addresses that may not upgrade at once": engine(
    "src/limits/address_rate.rs",
    "an_address_is_forgotten_when_its_bucket_is_full",
    "no_more_addresses_are_remembered_than_there_may_be_and_the_others_are_let_through",
  ),

  "the threads that share a server": async (t) => {
    const share = "bounds";
    const stays = await Sharing.start(t, share, "stays");
    const workers = () => stays.ask<number>("return server.metrics().workers.length");
    for (let n = 0; n < 3; n++) {
      const other = await Sharing.start(t, share, "other");
      assert.equal(await workers(), 2);
      await other.worker.terminate();
      await until("it has left", async () => (await workers()) === 1);
    }
  },
  "the plan of a drain": async (t) => {
    const house = await House.open(t);
    const crowd = await house.crowd(30);
    const stopped = house.ask<string>("await server.stop({ drain: 300 }); return 'stopped';");
    const codes = await Promise.all(crowd.map((raw) => raw.closeCode()));
    assert.deepEqual([...new Set(codes)], [1001]);
    for (const { socket } of crowd) socket.destroy();
    assert.equal(await stopped, "stopped");
  },
};

/** Sends 64 KiB to each client by its id, so many times, and lets the engine follow. */
const send = (route: string, times: number) =>
  `const long = "x".repeat(65_536);
   for (let at = 0; at < ${times}; at++) {
     for (const id of state.ids) server.send.${route}(long).to(id);
     await turn();
   }`;

const BUS: Record<string, Case> = {
  "publications that wait for the bus": engine(
    "src/bus/queue.rs",
    "every_publication_has_one_end_or_waits_and_memory_is_bounded",
    "a_connection_that_answers_nothing_gets_no_more_than_it_may_hold",
    "what_is_held_gets_too_old_and_goes_on_after_a_lost_connection",
  ),
  "what was received from the bus": engine(
    "src/bus/seen.rs",
    "ids_are_kept_for_ten_seconds_and_within_a_bound",
    "rows_are_bounded_and_freed",
  ),
  "what a Redis has pushed": engine(
    "src/bus/redis/pushes.rs",
    "the_queue_is_bounded_and_takes_more_once_it_was_read",
  ),
  "messages of NATS that wait": engine(
    "src/bus/nats/reports.rs",
    "sixteen_megabytes_of_messages_wait_and_further_ones_are_counted",
    "many_small_ones_cost_what_they_hold_and_give_their_memory_back",
  ),
  "what NATS may still refuse": engine(
    "src/bus/nats/progress.rs",
    "a_hundred_asks_are_ahead_of_the_last_mark_at_most",
  ),
  "nodes of a Redis Cluster, and slots that move": async (t) => {
    await engine("src/bus/redis/nodes.rs", "the_nodes_that_are_kept_are_bounded")(t);
    await engine(
      "src/bus/redis/cluster.rs",
      "what_is_for_a_node_that_answers_nothing_waits_past_256_kib",
    )(t);
  },
  "rooms that are read on the bus": engine(
    "src/bus/subscriptions.rs",
    "the_empty_rooms_that_are_read_are_bounded",
    "a_bus_that_confirms_nothing_is_asked_for_a_part_and_gets_the_rest_later",
    "rooms_that_come_and_go_while_the_bus_does_not_answer_cost_nothing",
    "who_waits_while_the_bus_is_away_is_forgotten_in_time",
  ),
  "questions to other processes": engine(
    "src/bus/questions/tests.rs",
    "ids_that_are_held_are_bounded_and_those_of_owners_that_are_gone_are_freed",
  ),
  "questions of other processes": engine(
    "src/bus/answers.rs",
    "answers_that_cannot_leave_are_bounded_and_pass",
    "a_flood_of_questions_of_others_is_bounded_and_passes",
  ),
  "orders for clients of others": engine(
    "src/border/orders.rs",
    "too_many_orders_fail_at_once",
    "those_that_are_gone_hold_up_no_order",
  ),
  "orders from and to other processes": engine(
    "src/bus/orders.rs",
    "a_flood_of_orders_of_others_is_refused_and_passes",
    "an_order_without_an_answer_fails_after_five_seconds",
  ),
  "other processes on the bus": engine(
    "src/bus/processes.rs",
    "the_processes_that_are_known_are_bounded",
    "a_process_is_forgotten_after_five_of_its_own_intervals",
  ),
  "ids of clients, with a bus": engine(
    "src/shard/ids.rs",
    "ids_are_kept_if_somebody_needs_them_and_go",
  ),
};

export const WAY_OUT: Record<string, Case> = {
  ...BUS,
  "commands that are not handed over": async (t) => {
    const house = await House.open(t, { slowClient: "drop" });
    await house.ask(
      `const held = () => process.memoryUsage().arrayBuffers;
       state.long = "é".repeat(4_000);
       at.say = (payload, ctx) => {
         const before = held();
         state.most = 0;
         for (let at = 0; at < 2_000; at++) {
           ctx.send.said(state.long).to(ctx.clientId);
           state.most = Math.max(state.most, held() - before);
         }
       };`,
    );
    const [one] = (await house.crowd(1)) as [Raw];
    one.write(told("say", 1));
    await house.until("all of it", "server.metrics().sent === 2_000");
    const most = await house.ask<number>("return state.most;");
    assert.ok(most < MIB, `${most / KIB} KiB`);
  },

  "the mailbox of an I/O thread": async (t) => {
    const house = await House.open(t, { slowClient: "drop", maxBackpressure: 64 * KIB });
    await house.ask(
      `state.long = "x".repeat(65_536);
       const rss = () => process.memoryUsage.rss();
       at.say = (payload, ctx) => {
         gc();
         const before = rss();
         state.most = 0;
         for (let at = 0; at < 2_000; at++) {
           ctx.send.said(state.long).to(ctx.clientId);
           if (at % 16 === 0) state.most = Math.max(state.most, rss() - before);
         }
       };`,
    );
    const [one] = (await house.crowd(1)) as [Raw];
    one.socket.pause();
    one.write(told("say", 1));
    await house.until("all of it", "server.metrics().sent === 2_000");
    const most = await house.ask<number>("return state.most;");
    // 125 MiB were handed over in one go.
    assert.ok(most < 48 * MIB, `${(most / MIB).toFixed(1)} MiB`);
    await engine(
      "src/border/mailbox.rs",
      "the_owner_waits_at_the_bound_however_short_the_commands_are",
    )(t);
  },

  "memory of commands that were applied": engine(
    "src/border/buffers.rs",
    "what_is_kept_is_bounded",
  ),

  "bytes that are encrypted and wait for the socket": engine(
    "tests/tls.rs",
    "what_waits_for_a_slow_client_is_bounded_and_counted",
  ),

  "what compresses and inflates messages": engine(
    "src/shard/compressor.rs",
    "what_is_kept_for_the_next_message_is_bounded",
  ),

  "the outbox of a client": async (t) => {
    const house = await House.open(t, { slowClient: "drop", maxBackpressure: 4 * MIB });
    await house.ask(CONTEXTS);
    await house.comesBack("memory", [24 * MIB, 64 * MIB], async () => {
      const crowd = await house.crowd(8);
      for (const { socket } of crowd) socket.pause();
      await house.ask(send("said", 250));
      await house.until("some to be dropped", "server.metrics().dropped > 0");
      return crowd;
    });
    await house.until("nothing to be queued", "server.metrics().queued === 0");
  },

  "what all clients make the engine hold": async (t) => {
    const house = await House.open(t, { maxBufferedBytes: 24 * MIB, maxBackpressure: 16 * MIB });
    await house.ask(CONTEXTS);
    const before = await house.measure();
    const crowd = await house.crowd(8);
    for (const { socket } of crowd) socket.pause();
    const most = await house.ask<number>(
      `const watch = setInterval(() => { state.most = Math.max(state.most ?? 0, server.metrics().buffered); }, 1);
       ${send("said", 250)}
       clearInterval(watch);
       return state.most;`,
    );
    assert.ok(most > 8 * MIB && most < 28 * MIB, `${(most / MIB).toFixed(1)} MiB`);
    await house.leave(crowd);
    await house.until("nothing to be buffered", "server.metrics().buffered < 65_536");
    await until("the memory to come back", async () => {
      return !GIVES_BACK || (await house.measure()).memory < before.memory + 6 * MIB;
    });
  },

  'the newest message of a route with `"latest"`': async (t) => {
    const house = await House.open(t);
    await house.ask(CONTEXTS);
    const crowd = await house.crowd(8);
    for (const { socket } of crowd) socket.pause();
    await house.ask(send("newest", 250));
    await house.until("the older ones to be dropped", "server.metrics().dropped > 0");
    const queued = await house.ask<number>("return server.metrics().queued;");
    assert.ok(queued >= 8 && queued <= 8 * 2, `${queued} are queued`);
    await house.leave(crowd);
    await house.until("nothing to be queued", "server.metrics().queued === 0");
    assert.deepEqual(await house.ask("return errors;"), []);
  },
};
