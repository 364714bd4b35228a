// The package with its WebAssembly module inlined: works in every bundler without a plugin.
import { HubConnectionBuilder as Builder } from "./builder.js";
import { embed, initialize as load } from "./module.js";

// Not at the top level: the package has no side effects, so that a bundler can leave out what an application does not
// use of it.
const embedded = () => embed(() => import("./embedded.js"));

export class HubConnectionBuilder extends Builder {
  constructor() {
    super();
    embedded();
  }
}

export function initialize(source) {
  embedded();
  return load(source);
}

export * from "./api.js";
