// Checks the messages that a hub protocol has read.
import { MessageType } from "./enums.js";

const isText = (value) => typeof value === "string" && value !== "";

function need(condition, what) {
  if (!condition) throw new Error(`Invalid payload: ${what}.`);
}

/** Makes sure of what the module and the connection rely on. Unknown types are let through, to be ignored. */
export function check(message) {
  const { type, invocationId, target, error } = message ?? {};
  need(typeof type === "number", "'type' is not a number");
  switch (type) {
    case MessageType.Invocation:
    case MessageType.StreamInvocation:
      need(isText(target), "'target' is not a text");
      need(message.arguments == null || Array.isArray(message.arguments), "'arguments' is not an array");
      need(invocationId == null || isText(invocationId), "'invocationId' is not a text");
      break;
    case MessageType.StreamItem:
      need(isText(invocationId), "'invocationId' is not a text");
      need(message.item !== undefined, "'item' is missing");
      break;
    case MessageType.Completion:
      need(isText(invocationId), "'invocationId' is not a text");
      need(!error || typeof error === "string", "'error' is not a text");
      need(!(error && message.result), "it has both 'error' and 'result'");
      break;
    case MessageType.CancelInvocation:
      need(isText(invocationId), "'invocationId' is not a text");
      break;
    case MessageType.Close:
      need(!error || typeof error === "string", "'error' is not a text");
      break;
    case MessageType.Ack:
    case MessageType.Sequence:
      need(typeof message.sequenceId === "number", "'sequenceId' is not a number");
      break;
  }
}
