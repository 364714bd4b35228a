// How much may wait to be sent: in the connection, and on its way to a worker.

/** In bytes or characters. One message may be longer, where nothing else waits. */
const LIMIT = 64 * 1024 * 1024;
/** Each message counts for so much more. */
const OVERHEAD = 256;

const FULL = "More than 64 MiB wait to be sent. Await what `send` returns, which resolves once there is room, or send less at a time.";

/** What waits to be sent. */
export class Backlog {
  amount = 0;

  /** Counts a message, and returns what it counts for. Throws when it is too much. */
  add(data) {
    const weight = OVERHEAD + (data.length ?? data.byteLength);
    if (this.amount > 0 && this.amount + weight > LIMIT) throw Object.assign(new Error(FULL), { code: "SendBufferFull" });
    this.amount += weight;
    return weight;
  }
}
