// Streams as in the official package: sources that observers subscribe to.

/** Takes items and hands them to its subscribers: what to give `send`, `invoke` or `stream` as an argument. */
export class Subject {
  #observers = new Set();

  next(item) {
    for (const observer of [...this.#observers]) observer.next(item);
  }

  error(error) {
    for (const observer of [...this.#observers]) observer.error?.(error);
  }

  complete() {
    for (const observer of [...this.#observers]) observer.complete?.();
  }

  subscribe(observer) {
    this.#observers.add(observer);
    return { dispose: () => void this.#observers.delete(observer) };
  }
}
