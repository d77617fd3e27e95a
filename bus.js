// The bus, written so that a static lexer sees the names: `import` by name works too.
"use strict";

const { createPublisher, nats, redis } = require("./dist/bus/index.js");

Object.defineProperty(exports, "__esModule", { value: true });
exports.createPublisher = createPublisher;
exports.nats = nats;
exports.redis = redis;
