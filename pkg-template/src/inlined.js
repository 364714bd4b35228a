// Where the package that brings its WebAssembly module along has it, with the engine.
export const importWhole = () => import("./whole.js");
