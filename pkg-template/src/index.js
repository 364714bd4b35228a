// The package with its WebAssembly module inlined: works in every bundler without a plugin.
import embedded from "./generated/embedded.js";
import { embed } from "./module.js";

embed(() => Uint8Array.from(atob(embedded), (character) => character.charCodeAt(0)));

export * from "./api.js";
export { initialize } from "./module.js";
