// Keeps the inside of the public classes away from proxies around them.

/**
 * Gives an object its `_core`, which is asked for by a call: what a proxy's `get` hands out is then a function, which Vue's
 * `reactive` and other deep proxies leave alone. Private fields would not be found through a proxy, and what stood in a plain
 * field would come out wrapped as well. Nor is it listed: not for deep walks, clones and comparisons.
 */
export function hide(object, core) {
  Object.defineProperty(object, "_core", { value: () => core, configurable: true, writable: true });
}
