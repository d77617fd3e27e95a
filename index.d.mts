// The same types, for the browser's entry as an ECMAScript module: its code is one, while the code of index.js is CommonJS.
export * from "./index.js";
