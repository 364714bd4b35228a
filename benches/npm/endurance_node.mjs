// The part of the endurance tests that runs in Node.js, in a process of its own: arguments are the client, the package's
// folder, the server's origin, and how many starts and messages. Prints one line of JSON. Needs --expose-gc.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import WebSocket from "ws";
import { entry } from "./package.mjs";
import { ENDURANCE } from "./pages.mjs";

const [which, folder, origin, starts, messages] = process.argv.slice(2);
const require = createRequire(import.meta.url);
// Node.js has one from version 22 on.
globalThis.WebSocket ??= WebSocket;
const client = which === "official"
  ? { ...require("@microsoft/signalr"), ...require("@microsoft/signalr-protocol-msgpack") }
  : await import(pathToFileURL(await entry(folder, ["node", "import"])));
new Function("client", "MessagePackHubProtocol", "how", ENDURANCE)(client, client.MessagePackHubProtocol, (builder) => builder);

const path = `${origin}/hub`;
const counts = async () => {
  for (let n = 0; n < 3; n += 1) {
    globalThis.gc();
    // What waits for a finalizer runs between collections.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, external, resources: process.getActiveResourcesInfo().length };
};
await cycles(path, Number(starts));
const before = await counts();
await cycles(path, Number(starts));
const between = await counts();
await cycles(path, Number(starts));
const after = await counts();
const heard = await numbers(path, "json", Number(messages));
console.log(JSON.stringify({ before, between, after, heard }));
process.exit(0);
