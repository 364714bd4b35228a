// The package with its WebAssembly module inlined: works in every bundler without a plugin.
// Stars alone, which esbuild follows without this file: where it splits, an application would otherwise load at once all that
// `api.js` and the engine have in common.
export * from "./index-own.js";
export * from "./api.js";
