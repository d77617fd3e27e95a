// The names of the package, written so that a static lexer sees them: `import` by name works too.
"use strict";

const { ZocketError, createServer, createZocketClient, zocket } = require("./dist/index.js");

// So that `import zocket from "@zocket/core"`, compiled to CommonJS, is `zocket`.
Object.defineProperty(exports, "__esModule", { value: true });
exports.ZocketError = ZocketError;
exports.createServer = createServer;
exports.createZocketClient = createZocketClient;
exports.default = zocket;
exports.zocket = zocket;
