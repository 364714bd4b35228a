// The package with its WebAssembly module inlined: works in every bundler without a plugin.
import { embedded } from "./generated/embedded.js";
import { embed } from "./module.js";

// Compressed before it became text: a server's compression can't make up for the latter.
embed(() => {
  const compressed = new Blob([Uint8Array.from(atob(embedded), (character) => character.charCodeAt(0))]);
  return new Response(compressed.stream().pipeThrough(new DecompressionStream("deflate")));
});

export * from "./api.js";
export { initialize } from "./module.js";
