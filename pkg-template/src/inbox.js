// What has come from a transport and waits to be read: one that cannot be held back goes on, and one has just opened.

/** So many frames, and so many bytes or characters, or two of the longest messages, may wait. */
const WAITING = 65_536;
const WAITING_LENGTH = 64 * 1024 * 1024;

export const lengthOf = (data) => data?.length ?? data?.byteLength ?? 0;

/** Frames, in their order, and what is to be done after them. */
export class Inbox {
  #entries = [];
  #next = 0;
  #length = 0;
  #limit;

  constructor(longestMessage = 0) {
    this.#limit = Math.max(WAITING_LENGTH, 2 * longestMessage);
  }

  get count() {
    return this.#entries.length - this.#next;
  }

  get isOverfull() {
    return this.count > WAITING || this.#length > this.#limit;
  }

  push(entry) {
    this.#entries.push(entry);
    this.#length += lengthOf(entry);
  }

  take() {
    // Not by `shift`, which moves all the others.
    const entry = this.#entries[this.#next];
    this.#entries[this.#next++] = undefined;
    this.#length -= lengthOf(entry);
    if (this.#next === this.#entries.length || this.#next === WAITING) {
      this.#entries.splice(0, this.#next);
      this.#next = 0;
    }
    return entry;
  }

  /** The rest of what was taken last is the next. */
  putBack(rest) {
    this.#entries.splice(this.#next, 0, rest);
    this.#length += lengthOf(rest);
  }
}
