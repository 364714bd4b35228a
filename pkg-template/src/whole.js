// What the first connection loads where the package brings its WebAssembly module along: in one chunk, as each is a request.
export { unpack } from "./embedded.js";
export * from "./engine.js";
