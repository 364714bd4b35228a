// The engine of connections, which comes with the first of them: where it and its WebAssembly module are loaded from.
import { HubwireError } from "./errors.js";

// Not imported at once: what only describes a connection should not wait for it, and a bundler may put it elsewhere.
let importEngine = () => import("./engine.js");
let importEmbedded;

let engine;
let compiledModule;
let loading;

/** Says where the module comes from when the application gives none; and the engine, where `import()` will not do. */
export function embed(embedded, own) {
  if (own || !importEmbedded) importEmbedded = embedded;
  if (own) importEngine = own;
}

const missing = () => {
  const module = importEmbedded ? "" : ' with the module "hubwire/hubwire.wasm"';
  return new HubwireError(`Call initialize()${module} first, and wait for it.`, { code: "NotInitialized" });
};

async function load(source) {
  try {
    // Both at once: the second may be a file as well.
    const [loaded, given] = await Promise.all([
      importEngine(),
      source ?? importEmbedded().then(({ unpack }) => unpack()),
    ]);
    compiledModule = await loaded.instantiate(given);
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
  if (source === undefined && !loading && !importEmbedded) throw missing();
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
