import { HubConnectionState, LogLevel } from "./enums.js";
import { HubwireError, invalid, typed } from "./errors.js";
import { Handlers } from "./handlers.js";
import { bindings, initialize } from "./module.js";

const NOT_CONNECTED = "Cannot send data if the connection is not in the 'Connected' State.";

export class HubConnection {
  #url;
  #options;
  #logger;
  #handlers;
  #closed = [];
  #serverTimeout = 30_000;
  #keepAliveInterval = 15_000;
  // The start that still loads the WebAssembly module.
  #loading;
  // The connection in the module; a new one for every start.
  #inner;

  /** @internal Made by `HubConnectionBuilder`. */
  constructor(url, options, logger) {
    this.#url = url;
    this.#options = options;
    this.#logger = logger;
    this.#handlers = new Handlers(logger);
  }

  get state() {
    if (this.#loading) return HubConnectionState.Connecting;
    return this.#inner?.state ?? HubConnectionState.Disconnected;
  }

  get connectionId() {
    return this.#inner?.connectionId ?? null;
  }

  get negotiated() {
    return this.#inner?.negotiated;
  }

  get baseUrl() {
    return this.#url;
  }

  set baseUrl(url) {
    if (this.state !== HubConnectionState.Disconnected) {
      throw new HubwireError("The HubConnection must be in the Disconnected state to change the url.", {
        code: "InvalidState",
      });
    }
    if (!url) throw invalid("The HubConnection url must be a valid url.");
    this.#url = url;
  }

  get serverTimeoutInMilliseconds() {
    return this.#serverTimeout;
  }

  set serverTimeoutInMilliseconds(milliseconds) {
    this.#serverTimeout = duration(milliseconds);
  }

  get keepAliveIntervalInMilliseconds() {
    return this.#keepAliveInterval;
  }

  set keepAliveIntervalInMilliseconds(milliseconds) {
    this.#keepAliveInterval = duration(milliseconds);
  }

  async start() {
    if (this.state !== HubConnectionState.Disconnected) {
      throw new HubwireError("Cannot start a HubConnection that is not in the 'Disconnected' state.", {
        code: "InvalidState",
      });
    }
    const url = absolute(this.#url);
    const attempt = {};
    this.#loading = attempt;
    try {
      await initialize();
      if (this.#loading !== attempt) {
        throw new HubwireError("The connection was stopped before the hub handshake could complete.", {
          code: "Stopped",
        });
      }
      this.#inner = new (bindings().WasmConnection)(url, this.#settings(), this.#callbacks());
      this.#loading = undefined;
      await this.#inner.start();
    } catch (error) {
      if (this.#loading === attempt) this.#loading = undefined;
      throw typed(error);
    }
  }

  async stop() {
    this.#loading = undefined;
    try {
      await this.#inner?.stop();
    } catch (error) {
      throw typed(error);
    }
  }

  async send(methodName, ...args) {
    try {
      await this.#connected().send(methodName, args);
    } catch (error) {
      throw typed(error);
    }
  }

  async invoke(methodName, ...args) {
    try {
      return await this.#connected().invoke(methodName, args);
    } catch (error) {
      throw typed(error);
    }
  }

  on(methodName, newMethod) {
    this.#handlers.add(methodName, newMethod);
  }

  off(methodName, method) {
    this.#handlers.remove(methodName, method);
  }

  onclose(callback) {
    if (callback) this.#closed.push(callback);
  }

  #connected() {
    if (this.state !== HubConnectionState.Connected) throw new HubwireError(NOT_CONNECTED, { code: "InvalidState" });
    return this.#inner;
  }

  #settings() {
    return {
      ...this.#options,
      serverTimeoutInMilliseconds: this.#serverTimeout,
      keepAliveIntervalInMilliseconds: this.#keepAliveInterval,
    };
  }

  #callbacks() {
    return {
      invocation: (target, args) => void this.#handlers.call(target, args),
      closed: (error) => this.#notifyClosed(error === undefined ? undefined : typed(error)),
      log: (level, message) => this.#logger.log(level, message),
    };
  }

  #notifyClosed(error) {
    for (const callback of this.#closed) {
      try {
        callback.call(this, error);
      } catch (thrown) {
        this.#logger.log(LogLevel.Error, `An onclose callback called with error '${error}' threw error '${thrown}'.`);
      }
    }
  }
}

function duration(milliseconds) {
  if (!(milliseconds > 0)) throw invalid("A timeout has to be more than 0 milliseconds.");
  return milliseconds;
}

/** A hub's URL as an absolute one; what is relative is meant from the page, or from the worker's script. */
function absolute(url) {
  if (/^https?:\/\//i.test(url)) return url;
  try {
    return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw invalid(`Cannot resolve '${url}'.`);
  }
}
