// Between the module, which carries messages, and a hub protocol, which reads and writes them.
import { LogLevel, MessageType, TransferFormat } from "./enums.js";
import { check } from "./message.js";
import { textDecoder } from "./text.js";

/** The largest message that is accepted, as in the module. */
const LIMIT = 32 * 1024 * 1024;

const SEPARATOR = "\x1e";

/** The hub protocol of one connection. */
export class Wire {
  #protocol;
  #logger;
  #logsContent;
  /** Why what was received could not be read. */
  failure;
  /** How long the messages are, on the average, that were read last. */
  messageLength = 0;

  constructor(protocol, logger, logsContent) {
    this.#protocol = protocol;
    this.#logger = logger;
    this.#logsContent = logsContent;
  }

  get isBinary() {
    return this.#protocol.transferFormat === TransferFormat.Binary;
  }

  /** A message as the module sends it. Throws when something in it cannot be written. */
  write(message) {
    const written = this.#protocol.writeMessage(message);
    this.#logContent("Sending", written);
    return written instanceof ArrayBuffer ? new Uint8Array(written) : written;
  }

  /** Messages that the module makes up itself. */
  writeOwn(type, invocationId, error, sequenceId) {
    if (type === MessageType.Ping) return this.write({ type });
    if (type >= MessageType.Ack) return this.write({ type, sequenceId });
    if (type === MessageType.Close) return this.write({ type, error });
    return this.write({ type, invocationId, error });
  }

  #logContent(what, data) {
    if (!this.#logsContent) return;
    const content = typeof data === "string" ? data : [...new Uint8Array(data)].map((byte) => `0x${byte.toString(16)}`).join(" ");
    this.#logger.log(LogLevel.Trace, `${what}: ${content}`);
  }

  join(messages) {
    return this.isBinary ? concat(messages) : messages.join("");
  }

  /** What reads the frames of one socket, which may end anywhere in a message. */
  reader() {
    const cut = this.isBinary ? cutBinary : cutText;
    // Some servers send JSON in binary frames, which may end within a character.
    const decoder = textDecoder({ fatal: true });
    let rest;
    return {
      read: (frame) => {
        try {
          this.#logContent("Received", frame);
          if (!this.isBinary && typeof frame !== "string") {
            frame = decoder.decode(frame, { stream: true });
            // Another protocol, whose end need not be waited for.
            if (!rest && frame && this.#protocol.name === "json" && !/^[{ \t\r\n\x1e]/.test(frame)) {
              throw new Error("A binary frame for a text protocol.");
            }
          }
          let whole;
          [whole, rest] = cut(rest, frame);
          if (rest?.length > LIMIT) throw new Error(`A message of more than ${LIMIT} bytes.`);
          const messages = whole ? this.#protocol.parseMessages(whole, this.#logger) : [];
          messages.forEach(check);
          this.messageLength = frame.length / messages.length;
          return messages;
        } catch (error) {
          this.failure = error;
          throw error;
        }
      },
    };
  }
}

function cutText(rest, frame) {
  const text = rest ? rest + frame : frame;
  const end = text.lastIndexOf(SEPARATOR) + 1;
  return end === text.length ? [text] : [text.slice(0, end), text.slice(end)];
}

function cutBinary(rest, frame) {
  if (typeof frame === "string") throw new Error("A text frame for a binary protocol.");
  const bytes = rest ? concat([rest, frame]) : frame;
  let end = 0;
  for (;;) {
    const next = endOf(bytes, end);
    // Also when the length itself is not whole.
    if (!(next <= bytes.length)) break;
    end = next;
  }
  const { buffer, byteOffset } = bytes;
  const whole = end === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + end);
  return [end > 0 && whole, end < bytes.length ? bytes.subarray(end) : undefined];
}

/** Where the message ends that begins here with its length. */
function endOf(bytes, start) {
  let length = 0;
  for (let n = 0; n < 5; n += 1) {
    const byte = bytes[start + n];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 2 ** (7 * n);
    if (byte < 0x80) {
      if (length > LIMIT) break;
      return start + n + 1 + length;
    }
  }
  throw new Error(`A message of more than ${LIMIT} bytes.`);
}

function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
