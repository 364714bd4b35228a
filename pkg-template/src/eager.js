// The package in one piece, for service workers, which may not use `import()`.
import { HubConnectionBuilder as Builder } from "./builder.js";
import * as module from "./embedded.js";
import * as engine from "./engine.js";
import { embed, initialize as load } from "./module.js";

const embedded = () => embed(async () => module, () => engine);

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
