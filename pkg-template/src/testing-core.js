// What a mock hub is scripted to do, what it has received, and who is connected to it.
import { JsonHubProtocol } from "./json.js";
import { MessagePackHubProtocol } from "./messagepack.js";

/**
 * Runs a function after what is running now, in the order of the calls. Neither `queueMicrotask` nor a timer: test runners
 * replace both with fakes.
 */
export const later = (act) => Promise.resolve().then(act);

const lowerCased = (headers) =>
  Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]));

/** A request of a client, as tests see it. */
export function requestOf(transport, url, headers) {
  const names = lowerCased(headers);
  const { searchParams } = new URL(url);
  const [, bearer] = /^Bearer (.+)$/i.exec(names.authorization ?? "") ?? [];
  // A browser's WebSocket takes no headers: its token stands in the URL.
  return { transport, url, headers: names, accessToken: bearer ?? searchParams.get("access_token") ?? undefined };
}

export class Core {
  methods = new Map();
  calls = [];
  /** Those that have shaken hands and have not ended, oldest first. */
  connections = [];
  /** What was negotiated, by connection token; what is over as well, whose client may still ask. */
  sessions = new Map();
  protocols;
  #transports;
  #statefulReconnect;
  #refusals = new Set();
  #untaken = [];
  #waitingForCalls = [];
  #waitingForConnections = [];
  #count = 0;

  constructor({ protocols, transports = ["WebSockets", "LongPolling"], statefulReconnect = false } = {}) {
    this.protocols = protocols ?? [new JsonHubProtocol(), new MessagePackHubProtocol()];
    this.#transports = transports;
    this.#statefulReconnect = statefulReconnect;
  }

  refuse(status = 503, { times = Infinity, when = () => true, headers = {}, body = "" } = {}) {
    if (status !== 0 && !(status >= 300 && status <= 599)) {
      throw new RangeError(`The mock hub cannot refuse with the status ${status}: 0, or 300 to 599.`);
    }
    const refusal = { status, times, when, headers, body };
    this.#refusals.add(refusal);
    return () => void this.#refusals.delete(refusal);
  }

  /** The answer to a request that a test has the hub refuse. The newest refusal decides. */
  refusal(request) {
    const refusal = [...this.#refusals].reverse().find(({ when }) => when(request));
    if (!refusal) return undefined;
    refusal.times -= 1;
    if (refusal.times <= 0) this.#refusals.delete(refusal);
    return { status: refusal.status, headers: refusal.headers, body: refusal.body };
  }

  /** Begins a connection: what the client is told, and what is known of it. */
  negotiate(request) {
    const { searchParams } = new URL(request.url);
    const connectionId = this.#nextId();
    const useStatefulReconnect = this.#statefulReconnect && searchParams.get("useStatefulReconnect") === "true";
    const connectionToken = `token-of-${connectionId}`;
    this.sessions.set(connectionToken, { connectionId, connectionToken, request, useStatefulReconnect });
    return {
      negotiateVersion: 1,
      connectionId,
      connectionToken,
      availableTransports: this.#transports.map((transport) => ({ transport, transferFormats: ["Text", "Binary"] })),
      ...(useStatefulReconnect && { useStatefulReconnect }),
    };
  }

  /** The session that a request names; undefined when there is none. */
  known({ url }) {
    return this.sessions.get(new URL(url).searchParams.get("id"));
  }

  /** The session that a transport's first request belongs to: another one without negotiation. */
  session(request) {
    const isNegotiated = new URL(request.url).searchParams.has("id");
    return isNegotiated ? this.known(request) : { connectionId: this.#nextId(), request };
  }

  #nextId() {
    this.#count += 1;
    return `mock-${this.#count}`;
  }

  connected(connection) {
    this.connections.push(connection);
    for (const resolve of this.#waitingForConnections.splice(0)) resolve(connection);
  }

  ended(connection) {
    this.connections = this.connections.filter((other) => other !== connection);
  }

  whenConnected() {
    const newest = this.connections.at(-1);
    return newest ? Promise.resolve(newest) : new Promise((resolve) => this.#waitingForConnections.push(resolve));
  }

  /** The open connections, of which there has to be one: what a test sends to nobody is a mistake in it. */
  anyConnection() {
    if (this.connections.length === 0) {
      throw new Error("No client is connected to the mock hub. Wait for one first: await hub.connected().");
    }
    return [...this.connections];
  }

  called(call) {
    this.calls.push(call);
    const name = call.method.toLowerCase();
    const index = this.#waitingForCalls.findIndex((waiting) => waiting.name === name);
    if (index < 0) this.#untaken.push(call);
    else this.#waitingForCalls.splice(index, 1)[0].resolve(call.arguments);
  }

  whenCalled(method) {
    const name = method.toLowerCase();
    const index = this.#untaken.findIndex((call) => call.method.toLowerCase() === name);
    if (index >= 0) return Promise.resolve(this.#untaken.splice(index, 1)[0].arguments);
    return new Promise((resolve) => this.#waitingForCalls.push({ name, resolve }));
  }

  methodNames() {
    return [...this.methods.values()].map(({ name }) => name);
  }
}
