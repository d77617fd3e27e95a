// The frameworks, and what the checks have to know of each. docs/existing-server.md has a program for each, under its name.

/**
 * @typedef {object} Framework
 * @property {string} name of the program in the documentation, without `.mts`
 * @property {string} [module] whose version is printed; without it, it is Node's own
 * @property {string} [httpServer] the program's HTTP server
 * @property {string} [end] closes the framework, and its HTTP server with it; without it, that is all there is to close
 * @property {string[]} [files] more files of the documentation that belong to it
 * @property {string} [fixtures] the folder of fixtures that it needs beside them
 * @property {string} [build] what is to be run first: a script of a package, and its arguments
 * @property {boolean} [tls]
 * @property {boolean} [listens] whether it listens for upgrades too, and leaves those of other paths without an answer
 * @property {boolean} [hmr] whether it has connections of its own, and watches files, as Vite's dev server
 */

/** Closes the HTTP server. */
export const CLOSE = "new Promise((resolve) => httpServer.close(resolve))";

/** @type {Framework[]} */
export const FRAMEWORKS = [
  { name: "http" },
  { name: "https", tls: true },
  { name: "http2", tls: true },
  { name: "express", module: "express" },
  { name: "fastify", module: "fastify", httpServer: "web.server", end: "web.close()" },
  { name: "koa", module: "koa" },
  { name: "hono", module: "@hono/node-server" },
  { name: "nest", module: "@nestjs/core", httpServer: "nest.getHttpServer()", end: "nest.close()" },
  {
    name: "next",
    module: "next",
    end: `Promise.all([${CLOSE}, web.close()])`,
    files: ["next.config.ts", "app/news/route.ts"],
    fixtures: "next",
    listens: true,
    build: ["next/dist/bin/next", "build"],
  },
  {
    name: "vite",
    module: "vite",
    end: `Promise.all([${CLOSE}, vite.close()])`,
    fixtures: "vite",
    listens: true,
    hmr: true,
  },
];
