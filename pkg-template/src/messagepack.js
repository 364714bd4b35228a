// The MessagePack hub protocol.
import { Decoder } from "./decoder.js";
import { Encoder } from "./encoder.js";
import { LogLevel, MessageType, TransferFormat } from "./enums.js";

// What a completion carries.
const [ERROR, VOID, VALUE] = [1, 2, 3];

/** The widest length that a message begins with. */
const ROOM = 5;

/** The MessagePack hub protocol. */
export class MessagePackHubProtocol {
  name = "messagepack";
  version = 2;
  transferFormat = TransferFormat.Binary;
  #options;
  #encoder;

  constructor(options = {}) {
    this.#options = options;
    this.#encoder = new Encoder(options);
  }

  /** @internal Its options, for the copy of it in a worker. Functions cannot go there. */
  get forWorker() {
    const { extensionCodec, context, ...options } = this.#options;
    return extensionCodec ? undefined : options;
  }

  parseMessages(input, logger) {
    if (!(input instanceof ArrayBuffer || ArrayBuffer.isView(input))) {
      throw new Error("Invalid input for MessagePack hub protocol. Expected an ArrayBuffer.");
    }
    const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : input;
    const decoder = new Decoder(bytes, this.#options);
    const messages = [];
    let at = 0;
    while (at < bytes.length) {
      const [length, width] = readLength(bytes, at);
      at += width;
      if (at + length > bytes.length) throw new Error("Incomplete message.");
      const message = read(decoder.decode(at, at + length));
      if (message) messages.push(message);
      else logger?.log(LogLevel.Information, "A message of an unknown type was ignored.");
      at += length;
    }
    return messages;
  }

  writeMessage(message) {
    const encoder = this.#encoder;
    encoder.begin(ROOM);
    const elements = list(message);
    encoder.array(elements.length);
    for (const element of elements) encoder.value(element, 2);
    // The length comes first and is known last.
    const prefix = [];
    let rest = encoder.length - ROOM;
    do {
      prefix.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
      rest >>>= 7;
    } while (rest > 0);
    const start = ROOM - prefix.length;
    encoder.put(start, prefix);
    return encoder.written(start).slice().buffer;
  }
}

function readLength(bytes, at) {
  let length = 0;
  for (let width = 0; width < ROOM; width += 1) {
    const byte = bytes[at + width];
    if (byte === undefined) throw new Error("Cannot read message size.");
    length += (byte & 0x7f) * 2 ** (7 * width);
    if (byte < 0x80) return [length, width + 1];
  }
  throw new Error("Messages bigger than 2GB are not supported.");
}

/** The message that is the elements of an array; undefined when nothing is known of its type. */
function read(elements) {
  if (!Array.isArray(elements) || elements.length === 0) throw new Error("Invalid payload.");
  const need = (count) => {
    if (elements.length < count) throw new Error("Invalid payload: too few elements.");
  };
  const type = elements[0];
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation: {
      need(5);
      const [, headers, invocationId, target, args] = elements;
      return { type, headers, target, arguments: args, streamIds: [], ...(invocationId && { invocationId }) };
    }
    case MessageType.StreamItem: {
      need(4);
      const [, headers, invocationId, item] = elements;
      return { type, headers, invocationId, item };
    }
    case MessageType.Completion: {
      need(4);
      const [, headers, invocationId, kind, value] = elements;
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
      return { type, headers: elements[1], invocationId: elements[2] };
    case MessageType.Ping:
      return { type };
    case MessageType.Close:
      need(2);
      return { type, error: elements[1], allowReconnect: elements[2] };
    case MessageType.Ack:
    case MessageType.Sequence:
      need(2);
      return { type, sequenceId: Number(elements[1]) };
    default:
      return undefined;
  }
}

/** The elements of the array that a message is. */
function list({ type, headers = {}, invocationId = null, target, streamIds, item, error, result, sequenceId, ...rest }) {
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation:
      return [type, headers, invocationId, target, rest.arguments, ...(streamIds ? [streamIds] : [])];
    case MessageType.StreamItem:
      return [type, headers, invocationId, item];
    case MessageType.Completion:
      if (error) return [type, headers, invocationId, ERROR, error];
      if (result !== undefined) return [type, headers, invocationId, VALUE, result];
      return [type, headers, invocationId, VOID];
    case MessageType.CancelInvocation:
      return [type, headers, invocationId];
    case MessageType.Ping:
      return [type];
    case MessageType.Close:
      return [type, error ?? null, rest.allowReconnect ?? false];
    case MessageType.Ack:
    case MessageType.Sequence:
      return [type, sequenceId];
    default:
      throw new Error("Invalid message type.");
  }
}
