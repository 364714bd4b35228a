// The handlers of a connection, by method.
import { LogLevel } from "./enums.js";
import { shown } from "./errors.js";

const NO_RESULT = "Client didn't provide a result.";

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

  /**
   * Calls all handlers of a method in order; one that returns a promise is awaited before the next. If the server expects
   * an answer, the invocation has an id, and the last handler decides what is answered: `{ result }` or `{ error }`.
   */
  async call(target, args, invocationId, self) {
    const name = target.toLowerCase();
    const handlers = this.#byName.get(name);
    if (!handlers) this.#log(LogLevel.Warning, `No client method with the name '${name}' found.`);
    let result;
    let thrown;
    let several = false;
    for (const handler of handlers ?? []) {
      try {
        const earlier = result;
        result = handler.apply(self, args);
        // Any promise, whoever made it.
        if (typeof result?.then === "function") result = await result;
        several ||= Boolean(earlier && result);
        thrown = undefined;
      } catch (error) {
        thrown = { error: shown(error) };
        this.#log(LogLevel.Error, `A callback for the method '${name}' threw error '${thrown.error}'.`);
      }
    }
    if (!invocationId) {
      if (result) this.#log(LogLevel.Error, `Result given for '${name}' method but server is not expecting a result.`);
      return undefined;
    }
    if (several) {
      this.#log(LogLevel.Error, `Multiple results provided for '${name}'. Sending error to server.`);
      return { error: "Client provided multiple results." };
    }
    if (thrown) return thrown;
    if (result !== undefined) return { result };
    this.#log(LogLevel.Warning, `No result given for '${name}' method and invocation ID '${invocationId}'.`);
    return { error: NO_RESULT };
  }

  #log(level, message) {
    this.#logger.log(level, message);
  }
}
