// The npm package beside the official client in Node.js, with a socket that is faked in the process: what the clients
// themselves cost. Arguments: the package's folder, rounds. All take turns; the best round counts, as nothing but
// disturbance can make one slower.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Figures } from "./npm/figures.mjs";
import { entry } from "./npm/package.mjs";
import { PAYLOADS, PROTOCOLS } from "./npm/server.mjs";

const [folder, rounds = "10"] = process.argv.slice(2);
if (!folder) throw new Error("usage: node.mjs FOLDER [ROUNDS]");
const require = createRequire(import.meta.url);
const signalr = require("@microsoft/signalr");
const CLIENTS = {
  official: { ...signalr, ...require("@microsoft/signalr-protocol-msgpack") },
  hubwire: await import(pathToFileURL(await entry(folder, ["node", "import"]))),
};
const RECORD_SEPARATOR = "\x1e";

/** Frames as a socket would give them: texts, or buffers of their own. */
const toFrame = (bytes, binary) => (binary ? bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) : bytes.toString());

/** A WebSocket whose server is in it: it answers the handshake, and every invocation. */
class FakeSocket extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  static last;
  binaryType = "blob";
  bufferedAmount = 0;
  protocol = "";
  extensions = "";
  readyState = FakeSocket.CONNECTING;
  #protocol;

  constructor(url) {
    super();
    this.url = url;
    FakeSocket.last = this;
    queueMicrotask(() => {
      this.readyState = FakeSocket.OPEN;
      this.#tell("open", new Event("open"));
    });
  }

  #tell(name, event) {
    this[`on${name}`]?.(event);
    this.dispatchEvent(event);
  }

  receive(data) {
    this.#tell("message", new MessageEvent("message", { data }));
  }

  send(data) {
    const bytes = typeof data === "string" ? data : Buffer.from(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
    if (!this.#protocol) {
      const { protocol } = JSON.parse(bytes.toString().split(RECORD_SEPARATOR)[0]);
      this.#protocol = protocol;
      const answer = toFrame(Buffer.from(`{}${RECORD_SEPARATOR}`), protocol === "messagepack");
      queueMicrotask(() => this.receive(answer));
      return;
    }
    const { read, completion } = PROTOCOLS[this.#protocol];
    for (const { type, invocationId, arguments: args } of read(bytes)) {
      if (type !== 1 || invocationId === undefined) continue;
      const answer = toFrame(completion(invocationId, args[0] + args[1]), this.#protocol === "messagepack");
      queueMicrotask(() => this.receive(answer));
    }
  }

  close() {
    this.readyState = FakeSocket.CLOSED;
    queueMicrotask(() => this.#tell("close", new CloseEvent("close", { code: 1000, wasClean: true })));
  }
}
/** Node.js 20 has none. */
globalThis.CloseEvent ??= class extends Event {
  constructor(name, { code, wasClean }) {
    super(name);
    Object.assign(this, { code, wasClean, reason: "" });
  }
};
globalThis.WebSocket = FakeSocket;

async function connect(name, protocol) {
  const client = CLIENTS[name];
  const options = { skipNegotiation: true, transport: client.HttpTransportType.WebSockets };
  // The official client would take the package ws.
  if (name === "official") options.WebSocket = FakeSocket;
  const builder = new client.HubConnectionBuilder().withUrl("http://127.0.0.1/hub", options).configureLogging(client.LogLevel.None);
  if (protocol === "messagepack") builder.withHubProtocol(new client.MessagePackHubProtocol());
  const connection = builder.build();
  await connection.start();
  return { connection, socket: FakeSocket.last };
}

/** The CPU time of this process in microseconds, which is the same however much else the machine does. */
const clock = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};
const microseconds = (start, count) => (clock() - start) / count;

async function receive({ connection, socket }, protocol, payload, batch, count) {
  let heard = 0;
  connection.on("Message", (user, text) => { heard += user.length + text.length > 0 ? 1 : 0; });
  const message = PROTOCOLS[protocol].invocation("Message", PAYLOADS[payload]);
  const frame = toFrame(Buffer.concat(Array.from({ length: batch }, () => message)), protocol === "messagepack");
  const start = clock();
  for (let sent = 0; sent < count; sent += batch) {
    socket.receive(frame);
    // As after every task of a socket.
    await undefined;
  }
  // A client may have kept some for another turn.
  while (heard < count) await new Promise(setImmediate);
  const took = microseconds(start, count);
  connection.off("Message");
  return took;
}

async function invoke({ connection }, atOnce, count) {
  let next = 0;
  const work = async () => {
    for (let n = next++; n < count; n = next++) if ((await connection.invoke("Add", n, 1)) !== n + 1) throw new Error("wrong sum");
  };
  const start = clock();
  await Promise.all(Array.from({ length: atOnce }, work));
  return microseconds(start, count);
}

const figures = new Figures(Object.keys(CLIENTS));
for (const protocol of ["json", "messagepack"]) {
  const connections = {};
  for (const name of Object.keys(CLIENTS)) connections[name] = await connect(name, protocol);
  // The first rounds are for the compilers.
  for (let round = -2; round < Number(rounds); round += 1) {
    for (const name of figures.turns(round + 2)) {
      const note = (row, figure) => round >= 0 && figures.note(`${protocol}: ${row}`, name, figure);
      for (const [payload, count] of [["small", 64_000], ["10 kB", 6_400]]) {
        for (const batch of [1, 16]) {
          const row = `received message, ${payload}, ${batch === 1 ? "one by one" : `${batch} to a frame`}, us`;
          note(row, await receive(connections[name], protocol, payload, batch, count));
        }
      }
      for (const atOnce of [1, 64]) note(`invoke, ${atOnce} in flight, us`, await invoke(connections[name], atOnce, 20_000));
    }
  }
  for (const { connection } of Object.values(connections)) await connection.stop();
}
figures.print("Node.js, the socket faked in the process");
process.exit(0);
