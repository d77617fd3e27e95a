// Who may connect from a browser, and with what: pages of the server's own host and port, of another port, of another site, in
// a sandbox, and a program that is none, each against the rules of docs/connection.md. What the browser sends is recorded on the
// way: a rule that withholds something is only shown to hold where it was there.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect as dial, type AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";

import type { BrowserContext, Frame, Page } from "playwright-core";

import { launchTolerant } from "./_browser.ts";
import { Client, serve, type App, type Headers } from "./_support.ts";
import { until } from "./_wait.ts";

/** What a visitor's browser holds for our host. */
const SET_COOKIES = [
  "lax=1; HttpOnly; SameSite=Lax",
  "none=1; HttpOnly; SameSite=None; Secure",
  "strict=1; HttpOnly; SameSite=Strict",
];
const LOGIN = "ada:secret";
const BASIC = `Basic ${btoa(LOGIN)}`;
type Credentials = Record<"cookie" | "authorization", string | undefined>;
/** The most it sends along, and what even another site gets it to send. */
const EVERYTHING = { cookie: "lax=1; none=1; strict=1", authorization: BASIC };
const FOR_STRANGERS = { cookie: "none=1", authorization: BASIC };
const NOTHING = { cookie: undefined, authorization: undefined };
/** An origin that no page here has. */
const OTHER = "http://other.example";

const credentialsOf = (headers: Partial<Credentials>): Credentials => ({
  cookie: headers.cookie?.split("; ").toSorted().join("; "),
  authorization: headers.authorization,
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;

describe("from a browser", () => {
  let context: BrowserContext;
  let page: Page;
  let front: Server;
  let neighbour: Server;
  /** Who the front passes upgrades on to. */
  let app: App;
  /** The headers of the upgrades as the browser sent them. */
  const sent: Partial<Credentials>[] = [];

  /** In front of the application, as a proxy that serves its pages at the same address: passes every byte of an upgrade on. */
  function startFront(): Server {
    const server = createServer((request, response) => {
      response.setHeader("content-type", "text/html");
      response.setHeader("set-cookie", SET_COOKIES);
      if (!request.headers.authorization) {
        response.statusCode = 401;
        response.setHeader("www-authenticate", 'Basic realm="chat"');
      }
      response.end("<!doctype html><title>own</title>");
    });
    server.on("upgrade", ({ url, headers, rawHeaders }, socket) => {
      sent.push(headers);
      const lines = rawHeaders.map((text, index) =>
        index % 2 === 0 ? `${text}: ` : `${text}\r\n`,
      );
      const behind = dial(app.port, "127.0.0.1");
      lines.push("X-User: ada\r\n");
      behind.write(Buffer.from(`GET ${url} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"));
      behind.pipe(socket).pipe(behind);
      for (const end of [behind, socket]) end.on("error", () => end.destroy());
    });
    return server.listen(0, "127.0.0.1");
  }

  before(async () => {
    front = startFront();
    neighbour = createServer((_, response) => {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>other</title>");
    }).listen(0, "127.0.0.1");
    await Promise.all([once(front, "listening"), once(neighbour, "listening")]);
    context = await launchTolerant();
    page = await context.newPage();
    // The visitor has logged in.
    await page.goto(`http://${LOGIN}@127.0.0.1:${portOf(front)}/`);
  });

  after(async () => {
    await context?.close();
    front?.close();
    neighbour?.close();
  });

  beforeEach(() => {
    sent.length = 0;
  });

  const origins = {
    /** The server's own host and port. */
    own: () => `http://127.0.0.1:${portOf(front)}`,
    /** What browsers call the same site, but another origin. */
    neighbour: () => `http://127.0.0.1:${portOf(neighbour)}`,
    /** Another site. */
    elsewhere: () => `http://localhost:${portOf(neighbour)}`,
    /** A frame of the server's own page that is not to be trusted. */
    sandbox: () => "null",
  };
  type Place = keyof typeof origins;

  /** Opens a page there; its scripts run in what this resolves to. */
  async function visit(place: Place): Promise<Frame> {
    await page.goto(`${origins[place === "sandbox" ? "own" : place]()}/`);
    if (place !== "sandbox") return page.mainFrame();
    await page.setContent('<iframe sandbox="allow-scripts" srcdoc="<title>in</title>"></iframe>');
    await until("the frame", () => page.frames().length === 2);
    const frame = page.frames()[1] as Frame;
    await frame.waitForLoadState();
    return frame;
  }

  /** Connects as any script of a page there can; resolves to whether it was let in. */
  async function connectFrom(place: Place, query = "") {
    const frame = await visit(place);
    return frame.evaluate(
      (url) =>
        new Promise<"open" | number>((done) => {
          const socket = new WebSocket(url);
          socket.addEventListener("open", () => done("open"));
          socket.addEventListener("close", ({ code }) => done(code));
        }),
      `${origins.own().replace("http:", "ws:")}/${query}`,
    );
  }

  /** What `onConnect` was told of the only client. That the server withheld something, `onError` hears once. */
  function told(withheld: "something" | "nothing" = "nothing"): Headers {
    assert.deepEqual(
      app.errors.map(({ code }) => code),
      withheld === "nothing" ? [] : ["ORIGIN"],
    );
    assert.equal(app.connects.length, 1);
    return app.connects[0]?.headers ?? {};
  }

  /** Nobody was let in, nothing but `onError` heard of it, and that each time. */
  async function assertRefused(times: number): Promise<void> {
    await until("the reports", () => app.errors.length >= times);
    assert.deepEqual(
      app.errors.map(({ code }) => code),
      Array.from({ length: times }, () => "ORIGIN"),
    );
    assert.equal(app.connects.length, 0);
    assert.deepEqual(app.server.metrics().refused, { ORIGIN: times });
  }

  /** Who connects, what the browser sends, and what of it arrives where no origins are named. */
  const PLACES: [what: string, place: Place, sends: Credentials, arrives: Credentials][] = [
    ["the server's own host and port", "own", EVERYTHING, EVERYTHING],
    ["another port of its host", "neighbour", EVERYTHING, NOTHING],
    ["another site", "elsewhere", FOR_STRANGERS, NOTHING],
    ["a sandbox in its own page", "sandbox", FOR_STRANGERS, NOTHING],
  ];

  for (const [what, place, sends, arrives] of PLACES) {
    describe(`a page of ${what}`, () => {
      test("without allowedOrigins gets in, with what is its own to send", async (t) => {
        app = serve(t);
        assert.equal(await connectFrom(place), "open");
        assert.deepEqual(sent.map(credentialsOf), [sends]);
        const headers = told(place === "own" ? "nothing" : "something");
        assert.deepEqual(credentialsOf(headers), arrives);
        assert.equal(headers["origin"], origins[place]());
        assert.equal(headers["host"], `127.0.0.1:${portOf(front)}`);
        assert.ok(headers["user-agent"] && headers["accept-language"]);
        // What the front says of the visitor is for its own pages.
        assert.equal(headers["x-user"], place === "own" ? "ada" : undefined);
      });

      test("may say anything in the query but a cookie or what the browser says", async (t) => {
        app = serve(t);
        const query =
          "?authorization=own&cookie=forged&origin=forged&host=forged&X-Any=1&x-user=forged";
        assert.equal(await connectFrom(place, query), "open");
        const headers = told(place === "own" ? "nothing" : "something");
        const authorization = arrives.authorization ?? "own";
        assert.deepEqual(credentialsOf(headers), { ...arrives, authorization });
        assert.deepEqual([headers["x-any"], headers["origin"]], ["1", origins[place]()]);
        assert.equal(headers["x-user"], place === "own" ? "ada" : undefined);
        assert.equal(headers["host"], `127.0.0.1:${portOf(front)}`);
      });

      test("is refused when it is not in allowedOrigins, whatever it brings", async (t) => {
        const near = place === "sandbox" ? "https://null" : `${origins[place]()}0`;
        app = serve(t, { options: { allowedOrigins: [OTHER, near] } });
        const query = `?origin=${encodeURIComponent(OTHER)}&authorization=own`;
        assert.equal(await connectFrom(place, query), 1006);
        await assertRefused(1);
        // The browser did send them: the server alone keeps them from being used.
        assert.deepEqual(sent.map(credentialsOf), [sends]);
      });

      test("gets in when it is in allowedOrigins, with all that the browser sends", async (t) => {
        app = serve(t, { options: { allowedOrigins: [OTHER, origins[place]()] } });
        assert.equal(await connectFrom(place), "open");
        assert.deepEqual(credentialsOf(told()), sends);
      });

      test("is let in or not by what a function says of its origin", async (t) => {
        const asked: string[] = [];
        let answer = false;
        const allowedOrigins = (origin: string) => {
          asked.push(origin);
          return answer;
        };
        app = serve(t, { options: { allowedOrigins } });
        assert.equal(await connectFrom(place), 1006);
        await assertRefused(1);
        answer = true;
        app.errors.length = 0;
        assert.equal(await connectFrom(place), "open");
        assert.deepEqual(credentialsOf(told()), sends);
        assert.deepEqual(asked, [origins[place](), origins[place]()]);
      });
    });
  }

  test("a program is no page: without an Origin it gets in with what it has, whatever the rule", async (t) => {
    for (const options of [{}, { allowedOrigins: [OTHER] }, { allowedOrigins: () => false }]) {
      app = serve(t, { options });
      await Client.open(t, app.url, { headers: EVERYTHING });
      assert.deepEqual(credentialsOf(told()), EVERYTHING);
    }
  });
});
