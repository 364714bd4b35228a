// What has come from a transport: read frame by frame while there is room for what is in it, and told to the machine.
import { LogLevel, MessageType } from "./enums.js";
import { CALL, END, FRAME, ITEM, NO_STREAM, errorOf } from "./machine.js";
import { textDecoder } from "./text.js";

/** The transport is not read while so many items wait for loops over streams. */
const HELD = 1024;

const SEPARATOR = "\x1e";

export class Reading {
  /** Reads what comes from now on. */
  reader;
  /** What has come of the transport. */
  inbox;
  #driver;
  /** How many items wait, and how many no longer do. */
  #held = 0;
  #taken = 0;
  #isHeld = false;

  constructor(driver) {
    this.#driver = driver;
  }

  /** So many items of streams wait for their consumers. */
  hold(items) {
    this.#held += items;
  }

  /** So many items wait no longer. */
  release(items) {
    this.#held -= items;
    this.#taken += items;
    if (this.#isHeld) this.#driver.later();
  }

  /** Takes what has come, unless too much waits already. Whether there was anything. */
  next(transport) {
    const { machine, clock } = this.#driver;
    if (this.inbox.count === 0) return false;
    if (this.#isHeld || this.#held >= HELD) {
      this.#isHeld = !machine.mayRead(clock.now(), this.#held >= HELD, this.#taken);
      transport[this.#isHeld ? "pause" : "resume"]?.();
      if (this.#isHeld) return false;
    }
    const frame = this.inbox.take();
    if (typeof frame === "function") frame();
    else if (typeof frame === "string") this.#take(frame);
    else if (frame?.byteLength === undefined) this.#driver.malformed();
    else this.#take(new Uint8Array(frame));
    return true;
  }

  #take(frame) {
    const driver = this.#driver;
    const { machine, clock } = driver;
    const at = clock.now();
    if (!machine.isUp) {
      // The handshake is text in every protocol.
      const isText = typeof frame === "string";
      const end = frame.indexOf(isText ? SEPARATOR : SEPARATOR.charCodeAt()) + 1 || frame.length;
      const answer = frame.slice(0, end);
      machine.tell(FRAME, at, 0, 0, isText ? answer : textDecoder().decode(answer));
      if (end < frame.length && machine.isUp) this.inbox.putBack(frame.slice(end));
      return;
    }
    machine.tell(FRAME, at, 0, 0, "");
    if (!frame.length) return;
    let messages;
    try {
      messages = this.reader.read(frame);
    } catch (error) {
      return driver.malformed(error);
    }
    for (const message of messages) {
      this.#handle(at, message);
      if (!driver.machine) return;
    }
  }

  #handle(at, message) {
    const { type, invocationId, sequenceId } = message;
    const { callbacks, logger, machine } = this.#driver;
    const isClose = type === MessageType.Close;
    if (isClose) logger.log(LogLevel.Information, "Close message received from server.");
    const text = isClose ? message.error : invocationId;
    const meaning = machine.message(at, type, text ?? "", sequenceId, message.allowReconnect);
    if (meaning === CALL) callbacks.invocation(message);
    else if (meaning === ITEM) callbacks.item(Number(invocationId), message);
    else if (meaning === END) callbacks.end(Number(invocationId), message);
    else if (meaning === NO_STREAM) callbacks.fail(Number(invocationId), errorOf(["NotAStream", undefined, undefined, "Unexpected message type: 2"]), false);
    else if (meaning >= 0) callbacks.invocation(message, meaning);
  }
}
