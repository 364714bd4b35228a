/**
 * The package in one piece, for service workers, in which `import()` is not allowed.
 *
 * @packageDocumentation
 */

export * from "./index.js";
