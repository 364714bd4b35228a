// The time of a connection: its clock, its timer, and what wakes a page up.

/** The longest time that `setTimeout` takes. */
export const LONGEST_TIMER = 2 ** 31 - 1;

export class Clock {
  #timer;
  #timerAt = Infinity;
  /** The deadline that was met last without the timer. */
  #met;
  #notBefore = 0;

  now() {
    return Math.max(performance.now(), this.#notBefore);
  }

  /** Whether this deadline is over, said once: timers of a hidden page are late by up to a minute. */
  meets(deadline) {
    if (deadline > this.now() || deadline === this.#met) return false;
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
      // It may come a fraction early, and in tests it may be a fake where the clock is none: it is due because it has run.
      if (delay <= LONGEST_TIMER) this.#notBefore = deadline;
      due();
    }, Math.min(delay, LONGEST_TIMER));
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Calls `wake` when the network or the page is back. Returns what ends that. */
export function onWake(wake) {
  const page = globalThis.document;
  const woken = (event) => {
    if (event.type !== "visibilitychange" || page.visibilityState === "visible") wake();
  };
  const places = [
    [globalThis, "online"],
    [page, "visibilitychange"],
    [page, "resume"],
  ].filter(([place]) => typeof place?.addEventListener === "function");
  for (const [place, name] of places) place.addEventListener(name, woken);
  return () => {
    for (const [place, name] of places) place.removeEventListener(name, woken);
  };
}
