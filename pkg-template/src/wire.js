// Between a connection, which carries messages, and a hub protocol, which reads and writes them.
import { bytesOf, readLength } from "./bytes.js";
import { concat } from "./concat.js";
import { MessageType, TransferFormat } from "./enums.js";
import { LIMIT, RAISE } from "./http.js";
import { SEPARATOR } from "./json.js";
import { check } from "./message.js";

/** So many pieces of a text wait side by side. */
const PIECES = 1024;

/** The hub protocol of one connection. Nothing in it is private, so that it works behind a `Proxy`. */
export class Wire {
  /** How long the messages are, on the average, that were read last. */
  messageLength = 0;

  /** `longest`: the longest message that is accepted, in bytes or in units of a text. */
  constructor(protocol, logger, longest = LIMIT) {
    this.protocol = protocol;
    this.logger = logger;
    this.longest = longest;
    /** Why what was received could not be read. */
    this.failure = undefined;
  }

  get isBinary() {
    return this.protocol.transferFormat === TransferFormat.Binary;
  }

  /** A message as the connection sends it. Throws when something in it cannot be written. */
  write(message) {
    const { protocol, isBinary } = this;
    let written = protocol.writeMessage(message);
    if (typeof written !== "string") {
      written = bytesOf(written);
      if (written && !isBinary) written = textOf(written);
    }
    // An empty one is what some protocols make of a message that they do not have.
    if (written === undefined || (typeof written === "string") === isBinary) {
      throw new Error(`The hub protocol '${protocol.name}' has not written what its transfer format is.`);
    }
    return written;
  }

  /** Messages that the connection makes up itself. */
  writeOwn(type, invocationId, error, sequenceId) {
    if (type === MessageType.Ping) return this.write({ type });
    if (type >= MessageType.Ack) return this.write({ type, sequenceId });
    if (type === MessageType.Close) return this.write({ type, error });
    return this.write({ type, invocationId, error });
  }

  join(messages) {
    return this.isBinary ? concat(messages) : messages.join("");
  }

  /** What reads the frames of one socket, which may end anywhere in a message. */
  reader() {
    const { protocol, logger, longest } = this;
    const limit = (length) => {
      if (length > longest) throw new Error(`A message of more than ${longest} bytes${RAISE}.`);
    };
    // Others have framing of their own, and get frames as they come.
    let cut = (frame) => frame;
    if (protocol.name === "json") cut = cutText(limit, longest);
    if (protocol.name === "messagepack") cut = cutBinary(limit);
    return {
      read: (frame) => {
        try {
          if (typeof frame !== "string") frame = bytesOf(frame);
          const whole = frame.length > 0 ? cut(frame) : frame;
          if (!whole.length) return [];
          const messages = protocol.parseMessages(typeof whole === "string" ? whole : bufferOf(whole), logger);
          for (const message of messages) check(message);
          this.messageLength = whole.length / (messages.length || 1);
          return messages;
        } catch (error) {
          this.failure = error;
          throw error;
        }
      },
    };
  }
}

/** A text of UTF-8. Throws when it is something else. */
function textOf(bytes) {
  if (typeof TextDecoder === "function") return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""));
}

/** Exactly these bytes, without a copy if it can be. */
function bufferOf({ buffer, byteOffset, byteLength }) {
  return byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
}

/** Bytes that wait for more. Each is copied a few times at most, however many the pieces are. */
class Rest {
  bytes = new Uint8Array();
  length = 0;

  add(more) {
    const { bytes, length } = this;
    this.length += more.length;
    if (this.length > bytes.length) {
      this.bytes = new Uint8Array(Math.max(length * 2, this.length));
      this.bytes.set(bytes);
    }
    this.bytes.set(more, length);
  }

  take() {
    const whole = this.bytes.subarray(0, this.length);
    this.bytes = new Uint8Array();
    this.length = 0;
    return whole;
  }
}

/** Cuts binary messages, which begin with their lengths: returns those that are whole, and keeps the rest. */
function cutBinary(limit) {
  const rest = new Rest();
  // How long the first message of the rest is, once that is known.
  let wanted = 0;
  return (frame) => {
    if (typeof frame === "string") throw new Error("A text frame for a binary protocol.");
    let bytes = frame;
    if (rest.length > 0) {
      rest.add(frame);
      if (rest.length < wanted) return [];
      bytes = rest.take();
    }
    for (let end = 0; ; end += wanted) {
      const [length, start] = readLength(bytes, end);
      limit(length);
      wanted = start && start + length - end;
      if (end + wanted <= bytes.length) continue;
      if (end < bytes.length) rest.add(bytes.subarray(end));
      return end < bytes.length ? bytes.subarray(0, end) : bytes;
    }
  };
}

/** Cuts texts that end with separators, and that some servers send in binary frames. */
function cutText(limit, longest) {
  const rest = new Rest();
  let pieces = [];
  let small = 0;
  let length = 0;

  function text(frame) {
    // Nearly all are whole.
    if (pieces.length === 0 && frame.length <= longest && frame.endsWith(SEPARATOR)) return frame;
    const end = frame.lastIndexOf(SEPARATOR) + 1;
    let whole = "";
    if (end > 0) {
      whole = pieces.join("") + frame.slice(0, end);
      if (whole.length > longest) whole.split(SEPARATOR).forEach((message) => limit(message.length));
      pieces = [];
      small = 0;
      length = 0;
    }
    if (end < frame.length) {
      pieces.push(frame.slice(end));
      length += frame.length - end;
      limit(length);
      small += 1;
      // Frames of a few characters would take much more room than those.
      if (small === PIECES) {
        pieces.push(pieces.splice(-PIECES).join(""));
        small = 0;
      }
    }
    return whole;
  }

  return (frame) => {
    if (typeof frame === "string") return text(rest.length > 0 ? textOf(rest.take()) + frame : frame);
    // Another protocol, whose end need not be waited for.
    if (length + rest.length === 0 && !/[{ \t\r\n\x1e]/.test(String.fromCharCode(frame[0]))) {
      throw new Error("A binary frame for a text protocol.");
    }
    // No character has this byte within it.
    const end = frame.lastIndexOf(0x1e) + 1;
    rest.add(end > 0 ? frame.subarray(0, end) : frame);
    limit(rest.length);
    if (end === 0) return "";
    const whole = textOf(rest.take());
    if (end < frame.length) rest.add(frame.subarray(end));
    return text(whole);
  };
}
