// Observes one package in Node.js and prints what it saw. Arguments: `official` or the package's entry, the recorder.
import { pathToFileURL } from "node:url";
import WebSocket from "ws";
import { observeAll } from "./index.mjs";

// Node.js has one from version 22 on. This one throws errors that nobody listens to.
globalThis.WebSocket ??= class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.on("error", () => {});
  }
};

// The official client leaves some of its promises to nobody; a browser only complains of that.
process.on("unhandledRejection", () => {});

const [entry, recorder, only] = process.argv.slice(2);
async function ours() {
  const signalr = await import(pathToFileURL(entry));
  return { signalr, messagePack: () => new signalr.MessagePackHubProtocol() };
}
const library = entry === "official" ? (await import("./official.mjs")).library : await ours();
const observed = await observeAll(library, recorder, only);
process.stdout.write(JSON.stringify(observed), () => process.exit(0));
