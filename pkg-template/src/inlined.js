// Where the package that brings its WebAssembly module along has it.
export const importEmbedded = () => import("./embedded.js");
