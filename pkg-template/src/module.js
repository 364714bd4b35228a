// The engine of connections, which comes with the first of them: where it and its WebAssembly module are loaded from.
import { HubwireError } from "./errors.js";

/** The entries of the package, by how much they bring along. One page may have several. */
export const SLIM = 1;
export const INLINED = 2;
export const EAGER = 3;

// Not imported at once: what only describes a connection should not wait for it.
let importEngine;
let entry = 0;
let engine;
let compiledModule;
let loading;

/** Says where the engine comes from, with `unpack` for the module where the entry brings that. */
export function embed(importer, from) {
  if (from <= entry) return;
  importEngine = importer;
  entry = from;
}

const missing = () => {
  const module = entry > SLIM ? "" : ' with the module "hubwire/hubwire.wasm"';
  return new HubwireError(`Call initialize()${module} first, and wait for it.`, { code: "NotInitialized" });
};

async function load(source) {
  try {
    // Both at once: the second may be a file as well.
    const [loaded, given] = await Promise.all([importEngine(), source]);
    compiledModule = await loaded.instantiate(given ?? loaded.unpack());
    engine = loaded;
  } catch (error) {
    // Not by its class: there may be two copies of that.
    if (error?.code === "ModuleLoad") throw error;
    const text = `${error?.message ?? error}`;
    // The engine's own text says `unsafe-eval`, which allows far more than it needs.
    const hint = /unsafe-eval/.test(text) ? " Add 'wasm-unsafe-eval' to `script-src` of the Content Security Policy." : "";
    const message = `The WebAssembly module could not be loaded: ${text}${hint}`;
    throw new HubwireError(message, { code: "ModuleLoad", cause: error });
  } finally {
    // After a failure the next call may bring another source.
    loading = undefined;
  }
}

/** Loads the engine and its module, once. */
export async function initialize(source) {
  if (engine) return;
  if (source === undefined && !loading && entry <= SLIM) throw missing();
  loading ??= load(source);
  await loading;
}

/** The module itself, once it is loaded: for workers. */
export const compiled = () => compiledModule;

/** The exports of the engine, once it is loaded. */
export function loadedEngine() {
  if (!engine) throw missing();
  return engine;
}
