// A WebSocket that leads to a mock hub in the same program.
import { later, requestOf } from "./testing-core.js";
import { MockConnection } from "./testing-connection.js";

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

/** What a client has given to a socket, as a hub protocol reads it: a text, or bytes. */
export const received = (data) => {
  if (typeof data === "string") return data;
  // A copy: as over a wire, and it may be of another realm.
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice() : new Uint8Array(data).slice();
};

/**
 * Connects a transport that has opened to the hub. Undefined when the hub does not know the session, or it is over. `link` is what
 * {@link MockConnection} sends by.
 */
export function attach(core, request, link) {
  const session = core.session(request);
  if (!session || session.isOver) return undefined;
  if (session.connection?.isOpen) session.connection.resume(link);
  else session.connection = new MockConnection(core, session, link, request);
  return session.connection;
}

/** A connection that waits for its next socket is over when that is refused. */
export function refuseSession(core, request) {
  core.known(request)?.connection?.lost({ forGood: true });
}

export class MockWebSocket {
  binaryType = "blob";
  bufferedAmount = 0;
  extensions = "";
  protocol = "";
  readyState = CONNECTING;
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  #listeners = new Map();
  #realm;
  #connection;

  /** The headers are what Node.js and the package `ws` take, in their own places. */
  constructor(core, realm, url, protocols, options) {
    this.#realm = realm;
    this.url = String(url).replace(/^http/, "ws");
    const headers = options?.headers ?? protocols?.headers;
    const request = requestOf("WebSockets", this.url, headers);
    later(() => this.#open(core, request));
  }

  get CONNECTING() {
    return CONNECTING;
  }

  get OPEN() {
    return OPEN;
  }

  get CLOSING() {
    return CLOSING;
  }

  get CLOSED() {
    return CLOSED;
  }

  #open(core, request) {
    if (this.readyState !== CONNECTING) return;
    if (core.refusal(request)) {
      refuseSession(core, request);
      this.#fail();
      return;
    }
    this.#connection = attach(core, request, {
      send: (frame) => later(() => this.#message(frame)),
      close: () => later(() => this.#closed(1000, true)),
      drop: () => later(() => this.#fail()),
    });
    if (!this.#connection) {
      this.#fail();
      return;
    }
    this.readyState = OPEN;
    this.#emit("open");
  }

  #message(frame) {
    if (this.readyState !== OPEN) return;
    // Of the realm in which the client looks at it.
    const data = typeof frame === "string" ? frame : new this.#realm.Uint8Array(frame).buffer;
    this.#emit("message", { data });
  }

  #fail() {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.#emit("error");
    this.#emit("close", { code: 1006, reason: "", wasClean: false });
  }

  #closed(code, wasClean, reason = "") {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.#emit("close", { code, reason, wasClean });
  }

  send(data) {
    if (this.readyState === CONNECTING) throw new Error("The WebSocket is still in the CONNECTING state.");
    if (this.readyState !== OPEN) return;
    const copy = received(data);
    later(() => this.#connection.receive(copy));
  }

  close(code = 1005, reason = "") {
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    later(() => {
      this.#connection?.lost();
      this.#closed(code, true, reason);
    });
  }

  addEventListener(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
  }

  removeEventListener(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }

  // Not an EventTarget: jsdom's takes no events but its own, and Node.js 20 has no CloseEvent.
  #emit(type, details) {
    const event = { type, target: this, currentTarget: this, ...details };
    for (const listener of [this[`on${type}`], ...(this.#listeners.get(type) ?? [])]) {
      try {
        if (typeof listener === "function") listener.call(this, event);
        else listener?.handleEvent?.(event);
      } catch (error) {
        // Reported as by a real one: it does not keep the others from running.
        later(() => {
          throw error;
        });
      }
    }
  }
}

const STATES = { CONNECTING, OPEN, CLOSING, CLOSED };

/** A class that can stand for `WebSocket`, each of whose sockets leads to the hub. */
export function socketOf(core) {
  return Object.assign(
    class extends MockWebSocket {
      constructor(url, protocols, options) {
        super(core, globalThis, url, protocols, options);
      }
    },
    STATES,
  );
}

/** A class that stands for the `WebSocket` of a realm: `coreOf` says which URLs lead to a hub. */
export function socketFor(coreOf, realm) {
  const { WebSocket } = realm;
  const construct = (target, [url, protocols, options], newTarget) => {
    const address = new URL(url, realm.location?.href).href;
    const core = coreOf(address);
    if (core) return new MockWebSocket(core, realm, address, protocols, options);
    if (!WebSocket) throw new Error(`There is no WebSocket here, and no mock hub for ${address}.`);
    return Reflect.construct(target, options === undefined ? [url, protocols] : [url, protocols, options], newTarget);
  };
  return new Proxy(WebSocket ?? Object.assign(class {}, STATES), { construct });
}
