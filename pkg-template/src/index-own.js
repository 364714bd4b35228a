// What describes connections whose WebAssembly module is inlined.
// First: in one bundle the module's text then comes before all code. In the midst of it, it would keep compression from seeing what
// the code before and after it has in common.
import { importWhole } from "./inlined.js";
import { HubConnectionBuilder as Builder } from "./builder.js";
import { embed, initialize as load, INLINED } from "./module.js";

// Not at the top level: the package has no side effects, so that a bundler can leave out what an application does not
// use of it.
const embedded = () => embed(importWhole, INLINED);

export class HubConnectionBuilder extends Builder {
  constructor() {
    super();
    embedded();
  }
}

export function initialize() {
  embedded();
  return load();
}
