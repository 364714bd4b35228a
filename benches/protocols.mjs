// The hub protocols of the npm package beside the official ones, in one Node process. Argument: the package's folder. Prints
// microseconds a message: the best of many short rounds in which they take turns, since other work disturbs the rest.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { JsonHubProtocol as OfficialJson } from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";

const [folder, rounds = "80"] = process.argv.slice(2);
const load = (file) => import(new URL(file, pathToFileURL(`${resolve(folder)}/`)));
const { JsonHubProtocol, MessagePackHubProtocol } = await load("src/index.js");
const { Wire } = await load("src/wire.js");

const logger = { log() {} };
const small = { type: 1, target: "ReceiveMessage", arguments: ["alice", "hello, how are you today?"] };
const values = [{ Id: 4711, Name: "Contoso", Price: 12.5, Tags: ["a", "b"], At: "2026-11-24T10:30:00Z", Open: true }, -1, null];
const MESSAGES = {
  small,
  object: { ...small, arguments: values },
  "10 kB text": { ...small, arguments: ["x".repeat(10_000)] },
  "10 kB text, not ASCII": { ...small, arguments: ["Grüße, 你好 👋 ".repeat(700)] },
  "64 kB binary": { ...small, arguments: [new Uint8Array(65_536).fill(7)] },
};
const PROTOCOLS = { JSON: [JsonHubProtocol, OfficialJson], MessagePack: [MessagePackHubProtocol, OfficialMessagePack] };

const join = (parts) => (typeof parts[0] === "string" ? parts.join("") : new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part)))).buffer);

/** Microseconds a message. */
function time(body, times, messages) {
  const start = performance.now();
  for (let n = 0; n < times; n += 1) body();
  return ((performance.now() - start) * 1000) / times / messages;
}

/** Runs bodies by turns and prints the best of each. */
function row(name, bodies, messages = 1) {
  const times = Math.max(1, Math.ceil(3 / (time(bodies[1], 200, 1) / 1000)));
  const figures = bodies.map(() => []);
  for (let n = 0; n < Number(rounds); n += 1) {
    // Whatever comes later in a round falls on each by turns.
    for (let k = 0; k < bodies.length; k += 1) {
      const which = (n + k) % bodies.length;
      figures[which].push(time(bodies[which], times, messages));
    }
  }
  const [ours, theirs, wire] = figures.map((times) => (times ? Math.min(...times) : undefined));
  const shown = [ours, theirs, wire].map((figure) => (figure === undefined ? "" : figure.toFixed(3)).padStart(10));
  console.log(`${name.padEnd(46)}${shown.join("")}${(theirs / ours).toFixed(2).padStart(8)}x`);
}

console.log(`${"microseconds a message".padEnd(46)}${["hubwire", "official", "with wire"].map((name) => name.padStart(10)).join("")}`);
for (const [name, [Ours, Theirs]] of Object.entries(PROTOCOLS)) {
  const [ours, theirs] = [new Ours(), new Theirs()];
  for (const [kind, message] of Object.entries(MESSAGES)) {
    if (name === "JSON" && kind === "64 kB binary") continue;
    row(`${name}, write, ${kind}`, [() => ours.writeMessage(message), () => theirs.writeMessage(message)]);
    for (const batch of [1, 16]) {
      const frame = join(new Array(batch).fill(theirs.writeMessage(message)));
      const reader = new Wire(ours, logger).reader();
      const read = [() => ours.parseMessages(frame, logger), () => theirs.parseMessages(frame, logger), () => reader.read(frame)];
      row(`${name}, read, ${kind}, ${batch} in a frame`, read, batch);
    }
  }
}
