// A mock hub for front-end tests: a SignalR server in memory, without a socket, a port or a timer.
import { Core } from "./testing-core.js";
import { httpClientOf } from "./testing-http.js";
import { install } from "./testing-install.js";
import { route } from "./testing-route.js";
import { socketOf } from "./testing-socket.js";

/** Says on the console what of the options has no effect. */
function warn(options, ...known) {
  for (const name of Object.keys(options ?? {})) {
    if (!known.includes(name)) console.warn(`hubwire/testing: the option '${name}' is not known, and has no effect.`);
  }
}

export class MockHub {
  #core;
  #options;

  constructor(options) {
    warn(options, "protocols", "transports", "statefulReconnect");
    this.#core = new Core(options);
  }

  get calls() {
    return this.#core.calls;
  }

  get connections() {
    return [...this.#core.connections];
  }

  method(name, handler) {
    if (typeof name !== "string" || name === "") throw new TypeError("A method needs a name.");
    if (typeof handler !== "function") throw new TypeError(`The handler of the method '${name}' is not a function.`);
    // The case of a name does not count, as in a hub.
    this.#core.methods.set(name.toLowerCase(), { name, handler });
    return this;
  }

  options() {
    this.#options ??= { httpClient: httpClientOf(this.#core), WebSocket: socketOf(this.#core) };
    return { ...this.#options };
  }

  install(url, target = globalThis) {
    return install(this.#core, url, target);
  }

  route(page, url) {
    return route(this.#core, page, url);
  }

  connected() {
    return this.#core.whenConnected();
  }

  received(name) {
    return this.#core.whenCalled(name);
  }

  // Not async: a call that cannot go anywhere throws at once, whether its promise is awaited or not.
  send(name, ...args) {
    const connections = this.#core.anyConnection();
    return Promise.all(connections.map((connection) => connection.send(name, ...args))).then(() => {});
  }

  invoke(name, ...args) {
    const connections = this.#core.anyConnection();
    if (connections.length > 1) {
      throw new Error(`The mock hub has ${connections.length} connections: call 'invoke' of one of hub.connections.`);
    }
    return connections[0].invoke(name, ...args);
  }

  drop() {
    for (const connection of this.#core.anyConnection()) connection.drop();
  }

  close(options) {
    warn(options, "error", "allowReconnect");
    for (const connection of this.#core.anyConnection()) connection.close(options);
  }

  stall() {
    for (const connection of this.#core.anyConnection()) connection.stall();
  }

  refuse(status, options) {
    warn(options, "times", "when", "headers", "body");
    return this.#core.refuse(status, options);
  }
}
