// The WebAssembly module: where it comes from, and when it is loaded.
import { initSync, parseClientToken, parseNegotiateResponse, WasmConnection } from "./generated/bindings.js";
import { HubwireError } from "./errors.js";

let ready = false;
let compiledModule;
let loading;
let embedded;

/** Says where the module comes from when the application gives none. */
export function embed(source) {
  embedded = source;
}

function instantiate(module) {
  if (!ready) {
    initSync({ module });
    compiledModule = module;
    ready = true;
  }
}

const missing = () => {
  const module = embedded ? "" : ' with the module "hubwire/hubwire.wasm"';
  return new HubwireError(`Call initialize()${module} first, and wait for it.`, { code: "NotInitialized" });
};

async function compile(source) {
  const given = await source;
  if (given instanceof WebAssembly.Module) return given;
  if (typeof Response === "function" && given instanceof Response) {
    if (!given.ok) {
      throw new HubwireError(`The WebAssembly module could not be loaded: HTTP status ${given.status}.`, {
        code: "ModuleLoad",
        statusCode: given.status,
      });
    }
    return WebAssembly.compile(await given.arrayBuffer());
  }
  return WebAssembly.compile(given);
}

/** Loads the module, once. */
export function initialize(source) {
  if (ready) return Promise.resolve();
  if (source === undefined && !loading) {
    if (!embedded) return Promise.reject(missing());
    source = embedded();
  }
  loading ??= compile(source)
    .then(instantiate)
    .catch((error) => {
      if (error instanceof HubwireError) throw error;
      const message = `The WebAssembly module could not be loaded: ${error.message}`;
      throw new HubwireError(message, { code: "ModuleLoad", cause: error });
    })
    .finally(() => {
      // After a failure the next call may bring another source.
      loading = undefined;
    });
  return loading;
}

/** The module itself, once it is loaded: for workers. */
export const compiled = () => compiledModule;

/** The exports of the module, once it is loaded. */
export function bindings() {
  if (!ready) throw missing();
  return { parseClientToken, parseNegotiateResponse, WasmConnection };
}
