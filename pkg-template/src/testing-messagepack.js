// Reads what only a hub receives in MessagePack: a client's hub protocol knows neither the streams of an invocation nor
// stream invocations, since no hub sends either.
import { MessageType, TransferFormat } from "./enums.js";
import { NullLogger } from "./logging.js";

/** Begins an invocation whose only argument is what follows: `[1, {}, nil, "x", [` …. */
const WRAP = [0x95, MessageType.Invocation, 0x80, 0xc0, 0xa1, 0x78, 0x91];

/** The messages in what a client has sent. */
export function readMessages(protocol, data) {
  if (typeof data === "string") return protocol.parseMessages(data, NullLogger.instance);
  // The official protocols take an ArrayBuffer only.
  const parse = (bytes) => protocol.parseMessages(bytes.slice().buffer, NullLogger.instance);
  if (protocol.name !== "messagepack" || protocol.transferFormat !== TransferFormat.Binary) return parse(data);
  const messages = [];
  for (let at = 0; at < data.length; ) {
    const [start, end] = bounds(data, at);
    const [type, headers, invocationId, target, args, streamIds] = elements(parse, data.subarray(start, end));
    const isCall = type === MessageType.Invocation || type === MessageType.StreamInvocation;
    if (isCall) messages.push({ type, headers, invocationId, target, arguments: args, streamIds });
    else messages.push(...parse(data.subarray(at, end)));
    at = end;
  }
  return messages;
}

/** Where a message begins after its length, and where it ends. */
function bounds(data, at) {
  let length = 0;
  for (let width = 0; width < 5; width += 1) {
    const byte = data[at + width];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * width);
    if (byte >= 0x80) continue;
    const start = at + width + 1;
    if (start + length > data.length) break;
    return [start, start + length];
  }
  throw new Error("it is incomplete.");
}

/** The array that a message is, by the protocol's own decoder. */
function elements(parse, message) {
  const length = [];
  let rest = WRAP.length + message.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  const whole = new Uint8Array(length.length + WRAP.length + message.length);
  whole.set(length);
  whole.set(WRAP, length.length);
  whole.set(message, length.length + WRAP.length);
  return parse(whole)[0].arguments[0];
}
