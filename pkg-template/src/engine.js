// What the first connection loads: the bindings of the WebAssembly module, and what makes connections of them.
// First: the driver is then near the worker's script in one bundle, which holds the same code, and compression sees it.
export { Session } from "./session.js";
import { Driver } from "./driver.js";
import { HubwireError } from "./errors.js";
import { initSync } from "./generated/bindings.js";

export { parseClientToken, parseNegotiateResponse } from "./generated/bindings.js";

// By what an object says it is: another window's, or a test runner's, are not instances of the classes here.
const is = (value, name) => Object.prototype.toString.call(value) === `[object ${name}]`;

/** Compiles the module, unless it is compiled, and makes it ready. Gives it back. */
export async function instantiate(source) {
  let given = await source;
  if (is(given, "Response")) {
    const { ok, status } = given;
    if (!ok) {
      const message = `The WebAssembly module could not be loaded: HTTP status ${status}.`;
      throw new HubwireError(message, { code: "ModuleLoad", statusCode: status });
    }
    given = await given.arrayBuffer();
  }
  const module = is(given, "WebAssembly.Module") ? given : await WebAssembly.compile(given);
  initSync({ module });
  return module;
}

/** A connection in the module here; one in a worker is made by `remote.js`. */
export const connect = (...args) => new Driver(...args);
