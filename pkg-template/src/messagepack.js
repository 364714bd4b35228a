// The MessagePack hub protocol.
import { bytesOf, readLength } from "./bytes.js";
import { createDecoder } from "./decoder.js";
import { createEncoder } from "./encoder.js";
import { MessageType, TransferFormat } from "./enums.js";
import { checkHeaders, ignore, refuse } from "./message.js";

// What a completion carries.
const ERROR = 1;
const VOID = 2;
const VALUE = 3;

const OPTIONS =
  /^(extensionCodec|context|maxDepth|initialBufferSize|sortKeys|force(Float32|IntegerToFloat)|ignoreUndefined|max(Str|Bin|Array|Map|Ext)Length|useBigInt64)$/;

/** The MessagePack hub protocol. */
export class MessagePackHubProtocol {
  name = "messagepack";
  version = 2;
  transferFormat = TransferFormat.Binary;

  constructor(options) {
    this.options = options ?? {};
    // Functions, since what a `Proxy` hands out of its object may be a `Proxy` again, and slow.
    this.decode = createDecoder(this.options);
    this.encode = createEncoder(this.options);
  }

  /** @internal The names of the options that mean nothing to it. */
  get unknown() {
    return Object.keys(this.options).filter((name) => !OPTIONS.test(name) && this.options[name] != null);
  }

  /** @internal Its options, for the copy of it in a worker. Functions cannot go there, nor what Vue would make of this. */
  get forWorker() {
    const { extensionCodec, context, ...options } = this.options;
    return extensionCodec ? undefined : Object.freeze(options);
  }

  parseMessages(input, logger) {
    const bytes = bytesOf(input);
    if (!bytes) throw new Error("Invalid input for MessagePack hub protocol. Expected an ArrayBuffer.");
    const messages = [];
    let at = 0;
    while (at < bytes.length) {
      const [length, start] = readLength(bytes, at);
      if (!start) throw new Error("Cannot read message size.");
      at = start + length;
      if (at > bytes.length) throw new Error("Incomplete message.");
      if (length === 0) throw new Error("Invalid payload.");
      const message = read(this.decode(bytes, start, at), logger);
      if (message) messages.push(message);
    }
    return messages;
  }

  writeMessage(message) {
    checkHeaders(message.headers || null);
    const elements = list(message);
    // The last of an item's four is its value; an error or result is a fifth.
    return this.encode(elements, message.type === MessageType.StreamItem ? 3 : 4);
  }
}

/** The message that is the elements of an array; undefined when nothing is known of its type. */
function read(elements, logger) {
  if (!Array.isArray(elements) || elements.length === 0) throw new Error("Invalid payload.");
  const [type, headers, invocationId] = elements;
  const need = (count) => {
    // Only messages with headers have three elements and more.
    if (count > 2) checkHeaders(elements.length > 1 ? headers : "");
    if (elements.length < count) refuse(type);
  };
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation: {
      need(5);
      const message = { type, headers, target: elements[3], arguments: elements[4], streamIds: [] };
      if (invocationId) message.invocationId = invocationId;
      return message;
    }
    case MessageType.StreamItem:
      need(4);
      return { type, headers, invocationId, item: elements[3] };
    case MessageType.Completion: {
      need(4);
      const [, , , kind, value] = elements;
      if (kind !== VOID) need(5);
      return {
        type,
        headers,
        invocationId,
        error: kind === ERROR ? value : undefined,
        result: kind === VALUE ? value : undefined,
      };
    }
    case MessageType.CancelInvocation:
      need(3);
      return { type, headers, invocationId };
    case MessageType.Ping:
      return { type };
    case MessageType.Close:
      need(2);
      return { type, error: headers, allowReconnect: invocationId };
    case MessageType.Ack:
    case MessageType.Sequence:
      // An integer of 64 bits may have been read as a BigInt.
      return { type, sequenceId: typeof headers === "bigint" ? Number(headers) : headers };
    default:
      return ignore(type, logger);
  }
}

/** The elements of the array that a message is. */
function list(message) {
  const { type, invocationId, error, result, streamIds } = message;
  // A call that nobody answers has no id; no other message may go without.
  const id = type === MessageType.Invocation ? invocationId || null : invocationId;
  const start = [type, message.headers || {}, id];
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation:
      start.push(message.target, message.arguments);
      if (streamIds) start.push(streamIds);
      return start;
    case MessageType.StreamItem:
      start.push(message.item);
      return start;
    case MessageType.Completion:
      if (error) start.push(ERROR, error);
      else if (result !== undefined) start.push(VALUE, result);
      else start.push(VOID);
      return start;
    case MessageType.CancelInvocation:
      return start;
    case MessageType.Ping:
      return [type];
    case MessageType.Close:
      return message.allowReconnect === undefined ? [type, error] : [type, error, message.allowReconnect];
    case MessageType.Ack:
    case MessageType.Sequence:
      return [type, message.sequenceId];
    default:
      throw new Error("Invalid message type.");
  }
}
