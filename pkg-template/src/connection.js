// A connection to a hub: its state, its settings and its events. What it does while it is started is in `session.js`.
import { HubConnectionState, LogLevel, MessageType } from "./enums.js";
import { errorOf, HubwireError, invalid, notConnected, reasonOf, shown, stopped, throwIfAborted, traced, typed } from "./errors.js";
import { Handlers } from "./handlers.js";
import { hide } from "./hide.js";
import { initialize, loadedEngine } from "./module.js";
import { absolute, time, unknown, warn } from "./options.js";
import { HubStream } from "./stream.js";

const { Disconnected, Connecting, Connected, Disconnecting, Reconnecting } = HubConnectionState;

const invalidState = (message) => new HubwireError(message, { code: "InvalidState" });

/** What applications see of a connection; see `hide` for the rest. */
export class HubConnection {
  /** @internal Made by `HubConnectionBuilder`. */
  constructor(url, options, logger, protocol) {
    hide(this, new Core(this, url, options, logger, protocol));
    /** A copy of the state for reactive proxies, which notice who reads a field and when it is set. */
    this._state = Disconnected;
  }

  get state() {
    // Read first, for reactive proxies; mocks of a connection have no inside.
    const seen = this._state;
    return this._core()?.state ?? seen;
  }

  get connectionId() {
    return this.negotiated?.connectionId ?? null;
  }

  get negotiated() {
    return [Connected, Disconnecting].includes(this.state) ? this._core().negotiated : undefined;
  }

  get baseUrl() {
    return this._core().url;
  }

  set baseUrl(url) {
    this._core().setUrl(url);
  }

  get serverTimeoutInMilliseconds() {
    return this._core().serverTimeoutInMilliseconds;
  }

  set serverTimeoutInMilliseconds(milliseconds) {
    this._core().setTime("serverTimeoutInMilliseconds", milliseconds);
  }

  get keepAliveIntervalInMilliseconds() {
    return this._core().keepAliveIntervalInMilliseconds;
  }

  set keepAliveIntervalInMilliseconds(milliseconds) {
    this._core().setTime("keepAliveIntervalInMilliseconds", milliseconds);
  }

  start() {
    return traced(this._core().start(this));
  }

  stop() {
    return this._core().stop();
  }

  send(methodName, ...args) {
    return this._core().send(methodName, args);
  }

  invoke(methodName, ...args) {
    return this._core().invoke(methodName, args);
  }

  stream(methodName, ...args) {
    return this._core().stream(methodName, args);
  }

  with(options) {
    const core = this._core();
    const signal = options?.signal ?? undefined;
    if (options?.aborted !== undefined || (signal && !signal.addEventListener)) throw invalid("`with` takes an object whose `signal` is an AbortSignal.");
    warn(core.logger, unknown(options, { signal }));
    return {
      send: (methodName, ...args) => core.send(methodName, args, signal),
      invoke: (methodName, ...args) => core.invoke(methodName, args, signal),
      stream: (methodName, ...args) => core.stream(methodName, args, signal),
    };
  }

  on(methodName, newMethod) {
    this._core().handlers.add(methodName, newMethod);
  }

  off(methodName, method) {
    this._core().handlers.remove(methodName, method);
  }

  onclose(callback) {
    return this._core().listen("close", callback);
  }

  onreconnecting(callback) {
    return this._core().listen("reconnecting", callback);
  }

  onreconnected(callback) {
    return this._core().listen("reconnected", callback);
  }

  onstatechange(callback) {
    return this._core().listen("statechange", callback);
  }

  onAuthenticationRefreshed(callback) {
    return this._core().listen("AuthenticationRefreshed", callback);
  }

  onAuthenticationRefreshFailed(callback) {
    return this._core().listen("AuthenticationRefreshFailed", callback);
  }

  refreshAuthentication() {
    return this._core().refresh();
  }

  /** @internal Private in the official client as well; tests of applications bring a loss about by it. */
  serverTimeout() {
    this._core().lose();
  }

  /** @internal As before: where the connection's id was once found. */
  get connection() {
    return { connectionId: this.connectionId ?? undefined, baseUrl: this.baseUrl };
  }
}

/** What a connection consists of, started or not. */
class Core {
  url;
  state = Disconnected;
  handlers = new Handlers();
  serverTimeoutInMilliseconds = 30_000;
  keepAliveIntervalInMilliseconds = 15_000;
  /** The connection as it was started: the object itself, or a proxy around it. */
  self;
  options;
  logger;
  protocol;
  /** The number of the next call. */
  nextId = 0;
  #listeners = {};
  /** From a start to the end that follows; its `session` comes with the engine. */
  #run;

  constructor(self, url, options, logger, protocol) {
    this.self = self;
    this.url = url;
    this.options = options;
    this.logger = logger;
    this.protocol = protocol;
  }

  get #inner() {
    return this.#run?.session?.inner;
  }

  get negotiated() {
    return this.#run?.wasUp ? this.#inner?.negotiated : undefined;
  }

  setUrl(url) {
    if (this.state !== Disconnected && this.state !== Reconnecting) {
      throw invalidState("The HubConnection must be in the Disconnected or Reconnecting state to change the url.");
    }
    if (!url) throw invalid("The HubConnection url must be a valid url.");
    const whole = absolute(url);
    this.#inner?.setUrl(whole);
    this.url = whole;
  }

  setTime(name, milliseconds) {
    this[name] = time(milliseconds, name);
    this.#inner?.setLimits(this.keepAliveIntervalInMilliseconds, this.serverTimeoutInMilliseconds);
  }

  lose() {
    const code = "ServerTimeout";
    this.#inner?.lose?.(errorOf("Server timeout elapsed without receiving a message from the server.", { code }));
  }

  async start(self) {
    if (this.state !== Disconnected) {
      throw invalidState("Cannot start a HubConnection that is not in the 'Disconnected' state.");
    }
    this.self = self;
    const run = { started: withResolvers(), ended: withResolvers() };
    // Those who wait for the end may do so in `stop` as well.
    run.started.promise.catch(() => {});
    this.#run = run;
    this.enter(Connecting);
    this.log(LogLevel.Debug, "Starting HubConnection.");
    this.#connect(run).catch((error) => this.down(run, typed(error)));
    return run.started.promise;
  }

  async #connect(run) {
    const create = await this.#place();
    // It may have been stopped while that was loading.
    if (run !== this.#run) return;
    run.session = new (loadedEngine().Session)(this, run);
    run.session.connect(create);
  }

  /** What makes a connection: in the module here, or in a worker where the application wants one and there are any. */
  async #place() {
    const { worker } = this.options;
    if (worker !== undefined && typeof Worker === "function") return (await import("./remote.js")).remote(worker);
    await initialize();
    return loadedEngine().connect;
  }

  async stop() {
    const run = this.#run;
    // The official client says it in these words.
    const ignore = (what) => this.log(LogLevel.Debug, `Call to ${what} state.`);
    if (!run) return ignore("HubConnection.stop(undefined) ignored because it is already in the disconnected");
    if (this.state === Disconnecting) {
      ignore("HttpConnection.stop(undefined) ignored because the connection is already in the disconnecting");
    } else {
      this.enter(Disconnecting);
      this.log(LogLevel.Debug, "Stopping HubConnection.");
      if (this.#inner) this.#inner.stop();
      else this.down(run, stopped());
    }
    await run.ended.promise;
  }

  async refresh() {
    try {
      return await this.#connected().inner.refresh();
    } catch (error) {
      throw typed(error);
    }
  }

  // Calls

  async send(name, args, signal) {
    await this.#connected().send(name, args, signal);
  }

  invoke(name, args, signal) {
    return new Promise((resolve, reject) => {
      const call = {
        end: ({ error, result }) => (error ? reject(serverError(error)) : resolve(result)),
        fail: reject,
        // The handlers of a connection's end come before those of its calls.
        isLate: true,
      };
      this.#begin(MessageType.Invocation, name, args, call, signal);
    });
  }

  stream(name, args, signal) {
    const session = this.#run?.session;
    let cancel;
    const stream = new HubStream(this.logger, {
      cancel: () => cancel(),
      hold: (items, hungry) => session?.inner?.hold(items, hungry),
      release: (items) => session?.inner?.release(items),
    });
    const call = {
      item: (item, length) => stream.item(item, length),
      end: ({ error }) => stream.end(error ? serverError(error) : undefined),
      fail: (error) => stream.end(error),
    };
    cancel = this.#begin(MessageType.StreamInvocation, name, args, call, signal);
    return stream;
  }

  /** Makes a call whose end is awaited. Errors go to the call. Returns a function that cancels it. */
  #begin(type, name, args, call, signal) {
    try {
      throwIfAborted(signal);
      return this.#connected().begin(type, name, args, call, signal);
    } catch (error) {
      call.fail(error);
      return () => {};
    }
  }

  #connected() {
    if (this.state !== Connected) throw notConnected();
    return this.#run.session;
  }

  /** The end of a start, or of the connection that came of it. */
  down(run, error) {
    if (run !== this.#run) return;
    this.#run = undefined;
    run.session?.close(error);
    const reason = reasonOf(error);
    if (!run.wasUp) {
      if (error?.code !== "Stopped") this.log(LogLevel.Error, `Failed to start the connection: ${shown(error)}`);
      this.log(LogLevel.Debug, `HubConnection failed to start successfully because of error '${shown(error)}'.`);
    }
    this.enter(Disconnected, reason);
    if (run.wasUp) this.call("close", reason);
    else run.started.reject(error);
    run.ended.resolve();
  }

  // Listeners

  listen(event, callback) {
    if (!callback) return () => {};
    const listener = { callback };
    const others = () => this.#listeners[event] ?? [];
    // A new list each time: a callback may change the one that is being walked.
    this.#listeners[event] = [...others(), listener];
    return () => {
      this.#listeners[event] = others().filter((other) => other !== listener);
    };
  }

  enter(state, error) {
    const previousState = this.state;
    this.state = state;
    // One that does not let itself be changed is not reactive either.
    Reflect.set(this.self, "_state", state);
    this.call("statechange", { state, previousState, error, connection: this.self });
  }

  call(event, argument) {
    for (const { callback } of this.#listeners[event] ?? []) {
      try {
        callback.call(this.self, argument);
      } catch (thrown) {
        // Their quotation marks, and what they tell of the argument.
        const called = { close: `error '${argument}'`, reconnecting: `error '${argument}'`, reconnected: `connectionId '${argument};` };
        const given = event in called ? ` called with ${called[event]}` : "";
        this.log(LogLevel.Error, `An on${event} callback${given} threw error '${shown(thrown)}'.`);
      }
    }
  }

  log(level, message) {
    this.logger.log(level, message);
  }
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

const serverError = (message) => new HubwireError(message, { code: "Server" });
