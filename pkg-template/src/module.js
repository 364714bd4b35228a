// The WebAssembly module: where it comes from, and when it is loaded.
import { initSync, parseClientToken, parseNegotiateResponse, WasmConnection } from "./generated/bindings.js";
import { HubwireError } from "./errors.js";

let ready = false;
let loading;
let embedded;

/** Says where the bytes come from when the application gives none. */
export function embed(bytes) {
  embedded = bytes;
}

function instantiate(module) {
  if (!ready) {
    initSync({ module });
    ready = true;
  }
}

const missing = () =>
  new HubwireError('Call initialize() with the module "hubwire/hubwire.wasm" first.', { code: "NotInitialized" });

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
    .finally(() => {
      // After a failure the next call may bring another source.
      loading = undefined;
    });
  return loading;
}

/** The module's exports, at once: what can't wait loads the module synchronously. */
export function bindings() {
  if (!ready) {
    if (!embedded) throw missing();
    instantiate(embedded());
  }
  return { parseClientToken, parseNegotiateResponse, WasmConnection };
}
