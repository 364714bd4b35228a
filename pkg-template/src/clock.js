// The time of a connection: its clock, its timer, and what wakes a page up.

/** The longest time that `setTimeout` takes. */
export const LONGEST_TIMER = 2 ** 31 - 1;

export class Clock {
  #timer;
  #timerAt = Infinity;
  /** The deadline that was met last without the timer. */
  #met;
  #notBefore = 0;

  /** The time when it was asked for last. To ask again takes a page longer than most of what it does with a message. */
  last = 0;

  now() {
    this.last = Math.max(performance.now(), this.#notBefore);
    return this.last;
  }

  /** Whether this deadline is over, said once: timers of a hidden page are late by up to a minute. */
  meets(deadline) {
    if (deadline > this.last || deadline === this.#met) return false;
    this.#met = deadline;
    return true;
  }

  /** Calls `due` at the deadline, or earlier: that costs less than a new timer for each message. */
  wait(deadline, due) {
    if (deadline >= this.#timerAt) return;
    this.stop();
    this.#timerAt = deadline;
    const delay = Math.max(deadline - this.now(), 0);
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      // It may come a fraction early, and in tests the timer may be a fake while the clock is real: it is due because it has run.
      if (delay <= LONGEST_TIMER) this.#notBefore = deadline;
      due();
    }, Math.min(delay, LONGEST_TIMER));
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Those that are told when the network or the page is back. */
let wakes;

/** Has `wake` called when the network or the page is back. Returns what ends that. */
export function onWake(wake) {
  // The listeners stay for the connections to come: to have a page's visibility observed, and no longer, costs more than a message.
  if (!wakes) {
    wakes = new Set();
    const page = globalThis.document;
    const woken = ({ type }) => {
      if (type === "visibilitychange" && page.visibilityState !== "visible") return;
      for (const told of wakes) told();
    };
    globalThis.addEventListener?.("online", woken);
    for (const name of ["visibilitychange", "resume"]) page?.addEventListener?.(name, woken);
  }
  wakes.add(wake);
  return () => wakes.delete(wake);
}
