import { LogLevel } from "./enums.js";

/** The functions that wait for a hub's calls, by the method's name in any case. */
export class Handlers {
  #byName = new Map();
  #logger;

  constructor(logger) {
    this.#logger = logger;
  }

  add(name, handler) {
    if (!name || !handler) return;
    const key = name.toLowerCase();
    const handlers = this.#byName.get(key) ?? [];
    // A new list each time: a handler may change the list that is being walked.
    if (!handlers.includes(handler)) this.#byName.set(key, [...handlers, handler]);
  }

  remove(name, handler) {
    if (!name) return;
    const key = name.toLowerCase();
    const rest = handler ? (this.#byName.get(key) ?? []).filter((other) => other !== handler) : [];
    if (rest.length > 0) this.#byName.set(key, rest);
    else this.#byName.delete(key);
  }

  /** Calls all handlers of a method in order; one that returns a promise is awaited before the next. */
  async call(name, args) {
    const handlers = this.#byName.get(name.toLowerCase());
    if (!handlers) {
      this.#logger.log(LogLevel.Warning, `No client method with the name '${name}' found.`);
      return;
    }
    for (const handler of handlers) {
      try {
        const result = handler(...args);
        if (typeof result?.then === "function") await result;
      } catch (error) {
        this.#logger.log(LogLevel.Error, `A callback for the method '${name}' threw error '${error}'.`);
      }
    }
  }
}
