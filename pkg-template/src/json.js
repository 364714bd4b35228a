// The JSON hub protocol.
import { TransferFormat } from "./enums.js";
import { check, checkHeaders } from "./message.js";

export const SEPARATOR = "\x1e";

/** The JSON hub protocol. */
export class JsonHubProtocol {
  name = "json";
  version = 2;
  transferFormat = TransferFormat.Text;

  /** @internal Its options, for the copy of it in a worker. */
  get forWorker() {
    return Object.freeze({});
  }

  /** @internal One message, without its end. */
  read(text) {
    return JSON.parse(text);
  }

  parseMessages(input, logger) {
    if (typeof input !== "string") throw new Error("Invalid input for JSON hub protocol. Expected a string.");
    if (input === "") return [];
    if (input[input.length - 1] !== SEPARATOR) throw new Error("Message is incomplete.");
    // A control character cannot stand in JSON's strings, so every one of these ends a message.
    const texts = input.split(SEPARATOR);
    texts.pop();
    const messages = [];
    for (const text of texts) {
      const message = this.read(text);
      if (check(message, logger)) messages.push(message);
    }
    return messages;
  }

  writeMessage(message) {
    checkHeaders(message.headers);
    return JSON.stringify(message) + SEPARATOR;
  }
}
