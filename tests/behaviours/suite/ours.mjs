import * as signalr from "hubwire";

export const library = { signalr, messagePack: () => new signalr.MessagePackHubProtocol() };
