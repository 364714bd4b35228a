// The JSON hub protocol.
import { TransferFormat } from "./enums.js";

const SEPARATOR = "\x1e";

/** The JSON hub protocol. */
export class JsonHubProtocol {
  name = "json";
  version = 2;
  transferFormat = TransferFormat.Text;

  /** @internal Its options, for the copy of it in a worker. */
  get forWorker() {
    return {};
  }

  parseMessages(input) {
    if (typeof input !== "string") throw new Error("Invalid input for JSON hub protocol. Expected a string.");
    if (input === "") return [];
    if (!input.endsWith(SEPARATOR)) throw new Error("Message is incomplete.");
    // A control character cannot stand in JSON's strings, so every one of these ends a message.
    return input.slice(0, -1).split(SEPARATOR).map((text) => JSON.parse(text));
  }

  writeMessage(message) {
    return JSON.stringify(message) + SEPARATOR;
  }
}
