// The package in one piece, for service workers, which may not use `import()`.
import { HubConnectionBuilder as Builder } from "./builder.js";
import { EAGER, embed, initialize as load } from "./module.js";
import * as whole from "./whole.js";

const embedded = () => embed(() => whole, EAGER);

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

export * from "./api.js";
