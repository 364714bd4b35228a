// The package without its WebAssembly module: the application hands it in, see `initialize`.
export * from "./api.js";
export { HubConnectionBuilder } from "./builder.js";
export { initialize } from "./module.js";
