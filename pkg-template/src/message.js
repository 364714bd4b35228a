// Checks hub messages, alike for every hub protocol.
import { LogLevel, MessageType } from "./enums.js";

const isText = (value) => typeof value === "string" && value !== "";

/** Refuses a message, in the words of the official client. */
export function refuse(type, what = "payload") {
  throw new Error(`Invalid ${what} for ${MessageType[type]} message.`);
}

/** Headers are a map, or absent. */
export function checkHeaders(headers) {
  if (headers !== undefined && typeof headers !== "object") throw new Error("Invalid headers.");
}

/** The hub protocol may get more types of messages, which clients are to ignore. */
export function ignore(type, logger) {
  logger?.log(LogLevel.Information, `Unknown message type '${type}' ignored.`);
}

/** Makes sure of what the connection relies on. Returns whether the type of the message is known. */
export function check(message, logger) {
  const type = message?.type;
  let isValid;
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation: {
      const { invocationId, arguments: values } = message;
      isValid =
        isText(message.target) &&
        (invocationId == null || isText(invocationId)) &&
        (values == null || Array.isArray(values));
      break;
    }
    case MessageType.StreamItem:
      isValid = isText(message.invocationId) && message.item !== undefined;
      break;
    case MessageType.Completion: {
      const { error } = message;
      isValid = isText(message.invocationId) && (!error || (typeof error === "string" && !message.result));
      break;
    }
    case MessageType.CancelInvocation:
      isValid = isText(message.invocationId);
      break;
    case MessageType.Ping:
      return true;
    case MessageType.Close:
      if (message.error && typeof message.error !== "string") refuse(type);
      return true;
    case MessageType.Ack:
    case MessageType.Sequence:
      if (typeof message.sequenceId !== "number") refuse(type, "SequenceId");
      return true;
    default:
      if (typeof type !== "number") throw new Error("Invalid payload.");
      ignore(type, logger);
      return false;
  }
  checkHeaders(message.headers);
  if (!isValid) refuse(type);
  return true;
}
