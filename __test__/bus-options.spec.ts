// What `redis()` takes, and how it says what is wrong. It connects to nothing here.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { redis, type RedisOptions } from "@zocket/core/bus";

const prefix = "spec";

/** What is thrown for options, which may be wrong. */
function thrown(options: object): string {
  try {
    redis({ prefix, ...options } as unknown as Parameters<typeof redis>[0]);
  } catch (error) {
    assert.ok(error instanceof TypeError);
    return error.message;
  }
  return "nothing";
}

describe("where a Redis is", () => {
  test("is told by exactly one of url, cluster and sentinels", () => {
    const ways = /^redis: options: expected one of url, cluster, sentinels, got /;
    const [url, cluster] = ["redis://a", ["redis://a"]];
    const sentinels = { sentinels: cluster, name: "main" };
    for (const given of [{}, { url, cluster }, { url, ...sentinels }, { cluster, ...sentinels }]) {
      assert.match(thrown(given), ways);
    }
    for (const given of [{ url }, { cluster }, sentinels, { url, cluster: undefined }]) {
      assert.equal(thrown(given), "nothing");
    }
  });

  test("is a list of URLs for a cluster and for sentinels, each of them named if it is wrong", () => {
    for (const way of ["cluster", "sentinels"]) {
      for (const [value, expected] of [
        [[], /expected an array of 1 to 100 URLs, got an array$/],
        ["redis://secret@host", /expected an array of 1 to 100 URLs, got another string$/],
        [Array.from({ length: 101 }, () => "redis://a"), /expected an array of 1 to 100 URLs/],
        [["redis://a", "http://secret@b"], /\[1\]: expected a URL such as redis:\/\/host:/],
        [["redis://a", 1], /\[1\]: expected a URL such as redis:\/\/host:\d+, got number$/],
        [["redis://a/secret"], /\[0\]: expected nothing behind the port but a database number$/],
        [["redis://a", "rediss://b"], /: expected all of them with TLS, or none$/],
      ] as const) {
        const text = thrown({ [way]: value, ...(way === "sentinels" && { name: "main" }) });
        assert.match(text, new RegExp(`^redis: options\\.${way}`));
        assert.match(text, expected);
        assert.doesNotMatch(text, /secret/);
      }
    }
  });

  test("needs the name of the server for sentinels, and for nothing else", () => {
    const sentinels = ["redis://a"];
    for (const name of [undefined, "", 1, null, "a b", "x".repeat(256)]) {
      const expected = /^redis: options\.name: expected what the sentinels call the server, got /;
      assert.match(thrown({ sentinels, ...(name !== undefined && { name }) }), expected);
    }
    for (const where of [{ url: "redis://a" }, { cluster: sentinels }]) {
      const text = thrown({ ...where, name: "main" });
      assert.equal(text, "redis: options.name: belongs to sentinels");
    }
  });

  test("has one user and one password in a cluster", () => {
    const text = thrown({ cluster: ["redis://a:secret@b", "redis://c", "redis://a:other@d"] });
    assert.equal(
      text,
      "redis: options.cluster: expected the same user and password in all of them",
    );
    assert.equal(thrown({ cluster: ["redis://a:secret@b", "redis://c"] }), "nothing");
  });

  test("takes TLS if the URLs have it", () => {
    for (const way of ["cluster", "sentinels"]) {
      const name = way === "sentinels" && { name: "main" };
      const text = thrown({ [way]: ["redis://a"], ...name, tls: {} });
      assert.match(text, /^redis: options\.tls: needs a URL with TLS, such as rediss:/);
      assert.equal(thrown({ [way]: ["rediss://a"], ...name, tls: {} }), "nothing");
    }
  });

  test("has other names in other libraries, which are told", () => {
    for (const [name, ours] of [
      ["rootNodes", "cluster"],
      ["startupNodes", "cluster"],
      ["sentinelRootNodes", "sentinels"],
      ["sentinel", "sentinels"],
      ["masterName", "name"],
    ] as const) {
      const text = `redis: options.${name}: unknown option; did you mean ${ours}?`;
      assert.equal(thrown({ [name]: [] }), text);
    }
  });

  test("is not shown by what redis returns", () => {
    const all: RedisOptions[] = [
      { prefix, cluster: ["redis://user:secret@host"] },
      { prefix, sentinels: ["redis://:secret@host"], name: "main", password: "secret" },
    ];
    for (const options of all) {
      const bus = redis(options as Parameters<typeof redis>[0]);
      assert.equal(JSON.stringify(bus), '{"kind":"redis"}');
    }
  });
});
