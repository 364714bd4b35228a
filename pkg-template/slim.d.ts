/**
 * The package without its WebAssembly module inlined, for pages that stream it or share it with workers.
 *
 * @example
 * import { HubConnectionBuilder, initialize } from "hubwire/slim";
 *
 * await initialize(fetch("/assets/hubwire.wasm"));
 *
 * @packageDocumentation
 */

export * from "./index.js";

/** The module `hubwire/hubwire.wasm`: compiled, as bytes, or as the response to a request for it. */
export type ModuleSource = WebAssembly.Module | BufferSource | Response;

/**
 * Loads the WebAssembly module. Has to be done once, before anything else of the package is used.
 * Rejects with a `HubwireError` when the response's status is not a success.
 */
export declare function initialize(source: ModuleSource | Promise<ModuleSource>): Promise<void>;
