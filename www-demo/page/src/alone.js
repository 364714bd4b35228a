// One client in a worker of its own, where nothing else is loaded. The build puts a client in the place of "client".
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "client";

const RECORD_SEPARATOR = "\x1e";
// As many messages as the socket brings before the client gets another turn; counts of messages are multiples of it.
const AT_ONCE = 100;

const builder = (url, options = {}) => new HubConnectionBuilder().withUrl(url, options).configureLogging(LogLevel.None);

/** Connects, from nothing. */
async function start(hub) {
  const connection = builder(hub).build();
  for (const event of ["Clock", "Metrics", "Presence"]) connection.on(event, () => {});
  await connection.start();
  // The page stops its clock at this.
  postMessage({ connected: true });
  await connection.stop();
  postMessage({ done: true });
}

/** A WebSocket with no network: it shakes hands, and then brings what it is told to. */
class Socket {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  static last;
  readyState = 0;
  bufferedAmount = 0;
  extensions = "";
  protocol = "";
  #listeners = new Map();

  constructor(url) {
    this.url = String(url);
    Socket.last = this;
    setTimeout(() => {
      this.readyState = 1;
      this.tell(new Event("open"));
    });
  }

  // Called without a dispatch, whose cost is not the client's.
  addEventListener(type, listener) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  removeEventListener(type, listener) {
    this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((known) => known !== listener));
  }

  tell(event) {
    this[`on${event.type}`]?.(event);
    for (const listener of this.#listeners.get(event.type) ?? []) (listener.handleEvent ?? listener).call(listener, event);
  }

  send(text) {
    if (String(text).includes('"protocol"')) {
      setTimeout(() => this.tell(new MessageEvent("message", { data: `{}${RECORD_SEPARATOR}` })));
    }
  }

  close(code = 1000, reason = "") {
    this.readyState = 3;
    setTimeout(() => this.tell(new CloseEvent("close", { code, reason, wasClean: true })));
  }
}

/** How long the thread is busy with one received message, in milliseconds: in the least disturbed of some rounds. */
async function receive({ messages, rounds }) {
  globalThis.WebSocket = Socket;
  const connection = builder("http://nowhere.invalid/hub", { skipNegotiation: true, transport: HttpTransportType.WebSockets }).build();
  let heard = 0;
  let enough;
  connection.on("ReceiveMessage", () => {
    heard += 1;
    if (heard % AT_ONCE === 0) enough();
  });
  await connection.start();
  const invocation = { type: 1, target: "ReceiveMessage", arguments: ["alice", "The negotiate endpoint is up."] };
  const event = new MessageEvent("message", { data: JSON.stringify(invocation) + RECORD_SEPARATOR });
  let took = Infinity;
  // The first round also warms up.
  for (let round = 0; round < rounds; round += 1) {
    const started = performance.now();
    for (let left = messages; left > 0; left -= AT_ONCE) {
      const all = new Promise((resolve) => (enough = resolve));
      for (let next = 0; next < AT_ONCE; next += 1) Socket.last.tell(event);
      await all;
    }
    took = Math.min(took, (performance.now() - started) / messages);
  }
  postMessage({ done: true, took });
}

addEventListener("message", ({ data }) => {
  const work = data.hub ? start(data.hub) : receive(data);
  work.catch((error) => postMessage({ done: true, error: error.message }));
});
