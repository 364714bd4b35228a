// Reads a frame of the server, and tells the machine and the connection's owner what is in it.
import { LogLevel, MessageType } from "./enums.js";
import { CALL, END, FRAME, ITEM, NO_STREAM, errorOf } from "./machine.js";
import { textDecoder } from "./text.js";

/** `inbox` gets back what is behind the handshake. */
export function readFrame(driver, frame, reader, inbox) {
  const { callbacks, clock, logger, machine } = driver;
  const at = clock.now();
  const isText = typeof frame === "string";
  if (!isText) {
    if (frame?.byteLength === undefined) return driver.malformed();
    frame = new Uint8Array(frame);
  }
  if (!machine.isUp) {
    // The handshake is text in every protocol, and ends with a record separator.
    const end = frame.indexOf(isText ? "\x1e" : 0x1e) + 1 || frame.length;
    const answer = frame.slice(0, end);
    machine.tell(FRAME, at, 0, 0, isText ? answer : textDecoder().decode(answer));
    if (end < frame.length && machine.isUp) inbox.putBack(frame.slice(end));
    return;
  }
  machine.tell(FRAME, at, 0, 0, "");
  let messages;
  try {
    messages = frame.length ? reader.read(frame) : [];
  } catch (error) {
    return driver.malformed(error);
  }
  for (const message of messages) {
    const { type, invocationId, sequenceId } = message;
    const isClose = type === MessageType.Close;
    if (isClose) logger.log(LogLevel.Information, "Close message received from server.");
    const text = isClose ? message.error : invocationId;
    const meaning = machine.message(at, type, text ?? "", sequenceId, message.allowReconnect);
    if (meaning === CALL) callbacks.invocation(message);
    else if (meaning === ITEM) callbacks.item(Number(invocationId), message);
    else if (meaning === END) callbacks.end(Number(invocationId), message);
    else if (meaning === NO_STREAM) callbacks.fail(Number(invocationId), errorOf(["NotAStream", undefined, undefined, "Unexpected message type: 2"]), false);
    else if (meaning >= 0) callbacks.invocation(message, meaning);
    if (!driver.machine) return;
  }
}
