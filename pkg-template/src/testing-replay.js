// Stateful reconnect on a mock hub's side: messages are numbered, kept until acknowledged, and sent again on the next socket.
import { MessageType } from "./enums.js";

/** Only these are numbered, from 1 in each direction. */
const isNumbered = ({ type }) => type >= MessageType.Invocation && type <= MessageType.CancelInvocation;

export class Replay {
  #kept = [];
  #sent = 0;
  #next = 1;
  #acknowledged = 0;
  /** The number of the newest message that has come. */
  received = 0;

  sent(message, frame) {
    if (!isNumbered(message)) return;
    this.#sent += 1;
    this.#kept.push({ frame, id: this.#sent });
  }

  acknowledged(id) {
    this.#kept = this.#kept.filter((kept) => kept.id > id);
  }

  /** Takes a message's number. Says whether it has come before. */
  isKnown(message) {
    if (message.type === MessageType.Sequence) this.#next = message.sequenceId;
    if (!isNumbered(message)) return false;
    const id = this.#next;
    this.#next += 1;
    if (id <= this.received) return true;
    this.received = id;
    return false;
  }

  /** Whether something has come that is not acknowledged. Asking acknowledges it. */
  get hasNews() {
    const hasNews = this.received > this.#acknowledged;
    this.#acknowledged = this.received;
    return hasNews;
  }

  /** What goes first over another socket: the number of the first message, and the messages. */
  again() {
    const sequenceId = this.#kept[0]?.id ?? this.#sent + 1;
    return { sequenceId, frames: this.#kept.map(({ frame }) => frame) };
  }
}
