// The streams that a hub sends: to subscribe to, or to loop over.
import { LogLevel } from "./enums.js";
import { HubwireError, shown } from "./errors.js";
import { hide } from "./hide.js";

/** So many items wait for someone to take them, unless it is a single one. A longer one counts for each 2 KiB of its message. */
const LIMIT = 32_768;
const LENGTH = 2048;

/**
 * What a hub's method streams: items, then the end. Nothing is lost before the first subscriber comes. When the last
 * one has gone, the stream is cancelled. A loop that is slower than the server makes the server wait.
 */
export class HubStream {
  /** `source`: `cancel`; `hold` and `release`, which are told how many items wait in loops; and `hold`, of how many more loops wait for items. */
  constructor(logger, source) {
    hide(this, new Items(logger, source));
  }

  /** @internal An item has come, in a message of this length. */
  item(item, length) {
    this._core().item(item, length);
  }

  /** @internal It has ended, with an error perhaps. */
  end(error) {
    this._core().end(error);
  }

  subscribe(observer) {
    return this._core().subscribe(observer);
  }

  [Symbol.asyncIterator]() {
    return this._core().loop();
  }
}

/** The items of a stream, and who wants them. */
class Items {
  #observers = [];
  /** What nobody has asked for yet: items, each with what it counts for, as in loops. */
  #kept = [];
  /** What the present item counts for, and all that wait. */
  #count;
  #waiting = 0;
  #end;
  #source;
  #logger;

  constructor(logger, source) {
    this.#logger = logger;
    this.#source = source;
  }

  item(item, length) {
    if (this.#end) return;
    this.#count = Math.ceil(length / LENGTH) || 1;
    if (this.#kept) {
      if (!this.#keep(this.#kept, item)) this.#kept = [];
    }
    else for (const observer of [...this.#observers]) this.#tell(() => observer.next(item));
  }

  end(error) {
    if (this.#end) return;
    this.#end = { error };
    for (const observer of this.#observers.splice(0)) this.#tellEnd(observer);
  }

  subscribe(observer) {
    this.#observers.push(observer);
    const kept = this.#kept ?? [];
    this.#kept = undefined;
    for (const [item, count] of kept) {
      this.#count = count;
      this.#waiting -= count;
      // It may be disposed meanwhile.
      if (this.#observers.includes(observer)) this.#tell(() => observer.next(item));
    }
    if (this.#end && this.#observers.includes(observer)) {
      this.#remove(observer);
      this.#tellEnd(observer);
    }
    return {
      dispose: () => {
        if (this.#remove(observer) && this.#observers.length === 0) this.#stop();
      },
    };
  }

  loop() {
    const items = [];
    const waiting = [];
    let end;
    const release = (taken) => {
      for (const [, count] of taken) {
        this.#waiting -= count;
        this.#source.release(count);
      }
    };
    const drop = () => release(items.splice(0));
    const finish = (error) => {
      end ??= { error };
      for (const { resolve, reject } of waiting.splice(0)) {
        this.#source.hold(0, -1);
        if (end.error === undefined) resolve({ done: true, value: undefined });
        else reject(end.error);
        // An error is told once.
        end = {};
      }
    };
    const subscription = this.subscribe({
      next: (value) => {
        const next = waiting.shift();
        if (next) {
          this.#source.hold(0, -1);
          next.resolve({ done: false, value });
        } else if (this.#keep(items, value)) this.#source.hold(this.#count, 0);
        else drop();
      },
      error: finish,
      complete: finish,
    });
    return {
      next: () =>
        new Promise((resolve, reject) => {
          if (items.length > 0) {
            resolve({ done: false, value: items[0][0] });
            return release([items.shift()]);
          }
          waiting.push({ resolve, reject });
          this.#source.hold(0, 1);
          if (end) finish();
        }),
      return: async (value) => {
        drop();
        end = {};
        finish();
        subscription.dispose();
        return { done: true, value };
      },
    };
  }

  #keep(items, item) {
    const count = this.#count;
    if (items.length === 0 || this.#waiting + count <= LIMIT) {
      this.#waiting += count;
      return items.push([item, count]);
    }
    this.#stop();
    this.end(new HubwireError(`More than ${LIMIT} items of a stream, or 64 MiB waited.`, { code: "SlowConsumer" }));
    return 0;
  }

  #stop() {
    if (this.#end) return;
    this.#source.cancel();
  }

  #remove(observer) {
    const at = this.#observers.indexOf(observer);
    if (at >= 0) this.#observers.splice(at, 1);
    return at >= 0;
  }

  #tellEnd(observer) {
    const { error } = this.#end;
    this.#tell(() => (error === undefined ? observer.complete?.() : observer.error?.(error)));
  }

  // What an observer throws affects neither the connection nor the other observers.
  #tell(call) {
    try {
      call();
    } catch (error) {
      this.#logger.log(LogLevel.Error, `Stream callback threw error: ${shown(error?.stack ?? error)}`);
    }
  }
}
