// The package without its WebAssembly module: the application hands it in.
import { embed, initialize as load, SLIM } from "./module.js";

export function initialize(source) {
  embed(() => import("./engine.js"), SLIM);
  return load(source);
}

export * from "./api.js";
export { HubConnectionBuilder } from "./builder.js";
