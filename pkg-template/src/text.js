// Texts. Pages that test runners imitate in Node.js lack the classes for UTF-8: there they are those of Node.js itself.
const named = (name) => globalThis[name] ?? globalThis.process?.getBuiltinModule?.("node:util")[name];

export const textDecoder = (options) => new (named("TextDecoder"))("utf-8", options);
export const textEncoder = () => new (named("TextEncoder"))();

/** A URL for logs and errors: its query may have a token in it, and before the host there may be a password. */
export const withoutQuery = (url) => url.replace(/[?#].*/s, "").replace(/\/\/[^/]*@/, "//");
