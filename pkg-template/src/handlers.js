// The handlers of a connection, by method.
/** The functions that wait for a hub's calls, by the method's name in any case. */
export class Handlers {
  #byName = new Map();

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

  /** Those of a method, by its name in lower case. */
  of(key) {
    return this.#byName.get(key) ?? [];
  }
}
