// The names of the package, written so that a static lexer sees them: `import` by name works too.
"use strict";

const { createServer, createZocketClient, zocket } = require("./dist/index.js");

exports.createServer = createServer;
exports.createZocketClient = createZocketClient;
exports.zocket = zocket;
