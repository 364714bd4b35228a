// Streams as in the official package: sources that observers subscribe to.
import { hide } from "./hide.js";

/** Takes items and hands them to its subscribers: what to give `send`, `invoke` or `stream` as an argument. */
export class Subject {
  constructor() {
    hide(this, new Set());
  }

  next(item) {
    for (const observer of [...this._core()]) observer.next(item);
  }

  error(error) {
    for (const observer of [...this._core()]) observer.error?.(error);
  }

  complete() {
    for (const observer of [...this._core()]) observer.complete?.();
  }

  subscribe(observer) {
    const observers = this._core();
    observers.add(observer);
    return { dispose: () => void observers.delete(observer) };
  }
}
