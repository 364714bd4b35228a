// UTF-8. The pages that test runners imitate in Node.js lack the classes for it: there they are Node.js's own.
const named = (name) => globalThis[name] ?? globalThis.process?.getBuiltinModule?.("node:util")[name];

export const textDecoder = (options) => new (named("TextDecoder"))("utf-8", options);
export const textEncoder = () => new (named("TextEncoder"))();
