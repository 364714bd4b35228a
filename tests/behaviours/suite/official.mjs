import * as signalr from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

export const library = { signalr, messagePack: () => new MessagePackHubProtocol() };
