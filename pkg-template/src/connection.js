// A connection to a hub: calls, handlers, streams and events over the WebAssembly module.
import { HubConnectionState, LogLevel, MessageType } from "./enums.js";
import { AbortError, errorOf, HubwireError, invalid, notConnected, shown, stopped, textOf, typed } from "./errors.js";
import { Handlers } from "./handlers.js";
import { hide } from "./hide.js";
import { initialize, loadedEngine } from "./module.js";
import { absolute, texts, time } from "./options.js";
import { Session } from "./session.js";
import { HubStream } from "./stream.js";
import { separate } from "./uploads.js";
import { Wire } from "./wire.js";

const { Disconnected, Connecting, Connected, Disconnecting, Reconnecting } = HubConnectionState;

// What the module tells, in the order of its numbers.
const [UP, LOST, UP_AGAIN, DOWN, REFRESHED] = [0, 1, 2, 3, 4];

const FREEZE =
  "The page is being frozen, this will likely lead to the connection being closed and messages being lost. For more information see the docs at https://learn.microsoft.com/aspnet/core/signalr/javascript-client#bsleep";

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
    return this._core().start(this);
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

/** What a connection consists of. */
class Core {
  url;
  state = Disconnected;
  handlers;
  serverTimeoutInMilliseconds = 30_000;
  keepAliveIntervalInMilliseconds = 15_000;
  /** The connection as it was started: the object itself, or a proxy around it. */
  #self;
  #options;
  #logger;
  #protocol;
  #listeners = {};
  #nextId = 0;
  // From a start to the end that follows.
  #session;

  constructor(self, url, options, logger, protocol) {
    this.#self = self;
    this.url = url;
    this.#options = options;
    this.#logger = logger;
    this.#protocol = protocol;
    this.handlers = new Handlers(logger);
  }

  get negotiated() {
    return this.#session?.wasUp ? this.#session.inner?.negotiated : undefined;
  }

  setUrl(url) {
    if (this.state !== Disconnected && this.state !== Reconnecting) {
      throw invalidState("The HubConnection must be in the Disconnected or Reconnecting state to change the url.");
    }
    if (!url) throw invalid("The HubConnection url must be a valid url.");
    const whole = absolute(url);
    this.#session?.inner?.setUrl(whole);
    this.url = whole;
  }

  setTime(name, milliseconds) {
    this[name] = time(milliseconds, name);
    this.#session?.inner?.setLimits(this.keepAliveIntervalInMilliseconds, this.serverTimeoutInMilliseconds);
  }

  lose() {
    const code = "ServerTimeout";
    this.#session?.inner?.lose?.(errorOf("Server timeout elapsed without receiving a message from the server.", { code }));
  }

  async start(self) {
    if (this.state !== Disconnected) {
      throw invalidState("Cannot start a HubConnection that is not in the 'Disconnected' state.");
    }
    this.#self = self;
    const session = new Session(new Wire(this.#protocol, this.#logger, this.#options.logMessageContent));
    this.#session = session;
    this.#enter(Connecting);
    this.#log(LogLevel.Debug, "Starting HubConnection.");
    this.#connect(session).catch((error) => this.#down(session, typed(error)));
    return session.started.promise;
  }

  async #connect(session) {
    const create = await this.#place();
    // It may have been stopped while that was loading.
    if (session !== this.#session) return;
    session.inner = create(this.url, this.#settings(session), this.#callbacks(session));
    session.inner.start();
  }

  /** What makes a connection: in the module here, or in a worker where the application wants one and there are any. */
  async #place() {
    const { worker } = this.#options;
    if (worker !== undefined && typeof Worker === "function") return (await import("./remote.js")).remote(worker);
    await initialize();
    return loadedEngine().connect;
  }

  async stop() {
    const session = this.#session;
    // The official client says it in these words.
    const ignore = (what) => this.#log(LogLevel.Debug, `Call to ${what} state.`);
    if (!session) return ignore("HubConnection.stop(undefined) ignored because it is already in the disconnected");
    if (this.state === Disconnecting) {
      ignore("HttpConnection.stop(undefined) ignored because the connection is already in the disconnecting");
    } else {
      this.#enter(Disconnecting);
      this.#log(LogLevel.Debug, "Stopping HubConnection.");
      if (session.inner) session.inner.stop();
      else this.#down(session, stopped());
    }
    await session.ended.promise;
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
    const session = this.#connected();
    throwIfAborted(signal);
    const [message, ids, streams] = this.#write(session, MessageType.Invocation, name, args, false);
    const room = session.call(() => session.inner.send(ids[0] ?? 0, message, streams.length));
    session.upload(ids, streams);
    if (streams.length > 0) signal?.addEventListener("abort", () => session.cancelUploads(ids), { once: true });
    await room?.catch((error) => {
      throw typed(error);
    });
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
    const session = this.#session;
    let cancel;
    const stream = new HubStream(this.#logger, {
      cancel: () => cancel(),
      hold: () => session?.inner?.hold(),
      release: (items) => session?.inner?.release(items),
    });
    const call = {
      item: (item) => stream.item(item),
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
      const session = this.#connected();
      const [message, [id, ...uploads], streams] = this.#write(session, type, name, args, true);
      session.call(() => session.inner.invoke(id, message, type === MessageType.StreamInvocation, streams.length));
      const cancel = () => {
        if (session.take(id)) session.inner?.cancel(id);
      };
      if (signal) {
        const abort = () => {
          cancel();
          call.fail(aborted(signal));
        };
        signal.addEventListener("abort", abort);
        call.release = () => signal.removeEventListener("abort", abort);
      }
      call.uploads = uploads;
      session.calls.set(id, call);
      session.upload(uploads, streams);
      return cancel;
    } catch (error) {
      call.fail(error);
      return () => {};
    }
  }

  /** A call as its message, the numbers it takes, and the streams that follow it. */
  #write(session, type, target, args, isWaitedFor) {
    const [plain, streams] = separate(args);
    const ids = Array.from({ length: streams.length + (isWaitedFor ? 1 : 0) }, (_, n) => this.#nextId + n);
    const streamIds = ids.slice(isWaitedFor ? 1 : 0).map(String);
    const message = session.wire.write({
      type,
      target,
      arguments: plain,
      ...(isWaitedFor && { invocationId: String(ids[0]) }),
      ...(streamIds.length > 0 && { streamIds }),
    });
    this.#nextId += ids.length;
    return [message, ids, streams];
  }

  #connected() {
    if (this.state !== Connected) throw notConnected();
    return this.#session;
  }

  // What the module tells

  #settings(session) {
    const { headers } = this.#options;
    const { serverTimeoutInMilliseconds, keepAliveIntervalInMilliseconds } = this;
    return {
      ...this.#options,
      ...(headers && { headers: texts(headers) }),
      serverTimeoutInMilliseconds,
      keepAliveIntervalInMilliseconds,
      protocol: this.#protocol.name,
      binary: session.wire.isBinary,
      protocolOptions: this.#protocol.forWorker,
    };
  }

  // None of these may throw.
  #callbacks(session) {
    const { wire, calls } = session;
    const fail = (id, error, isClosed) => {
      const call = session.take(id);
      if (!call) return;
      const tell = () => call.fail(isClosed ? canceled(typed(error, wire.failure)) : typed(error, wire.failure));
      if (!isClosed || !call.isLate) return tell();
      session.late.push(tell);
      this.#tellSoon(session);
    };
    return {
      reader: () => wire.reader(),
      failure: (error) => {
        wire.failure = error;
      },
      write: (type, id, error, sequenceId) => wire.writeOwn(type, id, error, sequenceId),
      join: (messages) => wire.join(messages),
      invocation: (message, answer) => {
        if (answer === undefined) this.handlers.call(message.target, message.arguments, undefined, this.#self);
        else this.#answer(session, message, answer).catch((error) => this.#log(LogLevel.Error, `Invoke client method threw error: ${shown(error)}`));
      },
      lost: (error) => {
        for (const id of [...calls.keys()]) fail(id, error, true);
      },
      item: (id, message) => calls.get(id)?.item?.(message.item),
      end: (id, message) => session.take(id)?.end(message),
      fail,
      event: (kind, value) => {
        session.events.push([kind, value]);
        this.#tellSoon(session);
      },
      retry: (count, elapsed, reason, retryAfter) => this.#retryDelay(count, elapsed, typed(reason), retryAfter),
    };
  }

  async #answer(session, message, answer) {
    const { target, invocationId } = message;
    const outcome = await this.handlers.call(target, message.arguments, invocationId, this.#self);
    if (!session.inner) return;
    const type = MessageType.Completion;
    let written;
    try {
      written = session.wire.write({ type, invocationId, ...outcome });
    } catch (error) {
      written = session.wire.write({ type, invocationId, error: textOf(error) });
    }
    session.inner.answer(answer, written);
  }

  #retryDelay(previousRetryCount, elapsedMilliseconds, reason, retryAfterMilliseconds) {
    const call = `IRetryPolicy.nextRetryDelayInMilliseconds(${previousRetryCount}, ${elapsedMilliseconds})`;
    const giveUp = (error) => {
      this.#log(LogLevel.Error, `${call} threw error '${shown(error)}'.`);
      return null;
    };
    const check = (delay) => {
      if (typeof delay === "number" && !Number.isNaN(delay)) return Math.max(delay, 0);
      if (delay !== null) this.#log(LogLevel.Error, `${call} gave '${shown(delay)}', which is not a time.`);
      return null;
    };
    try {
      const retryReason =
        reasonOf(reason) ?? errorOf("Attempting to reconnect due to a unknown error.", { code: reason?.code ?? "Transport" });
      const context = { previousRetryCount, elapsedMilliseconds, retryReason, retryAfterMilliseconds };
      const delay = this.#options.reconnectPolicy.nextRetryDelayInMilliseconds(context);
      // Any promise, whoever made it.
      return typeof delay?.then === "function" ? Promise.resolve(delay).then(check).catch(giveUp) : check(delay);
    } catch (error) {
      return giveUp(error);
    }
  }

  #tellSoon(session) {
    if (session.isTelling) return;
    session.isTelling = true;
    // Not by queueMicrotask, which is a fake in Jest's fake timers.
    Promise.resolve().then(() => {
      session.isTelling = false;
      for (const [kind, value] of session.events.splice(0)) this.#tell(session, kind, value);
      for (const fail of session.late.splice(0)) fail();
    });
  }

  #tell(session, kind, value) {
    const error = typed(value, session.wire.failure);
    switch (kind) {
      case UP:
        session.wasUp = true;
        this.#watch(session);
        // The wish to stop may have come in between.
        if (this.state !== Disconnecting) this.#enter(Connected);
        this.#log(LogLevel.Debug, "HubConnection connected successfully.");
        session.started.resolve();
        break;
      case UP_AGAIN:
        if (this.state !== Disconnecting) this.#enter(Connected);
        this.#log(LogLevel.Information, "HubConnection reconnected successfully.");
        this.#call("reconnected", this.negotiated?.connectionId);
        break;
      case LOST: {
        const reason = reasonOf(error);
        session.stopUploads();
        this.#log(LogLevel.Information, `Connection reconnecting${reason ? ` because of error '${reason}'` : ""}.`);
        if (this.state !== Disconnecting) this.#enter(Reconnecting, reason);
        this.#call("reconnecting", reason);
        break;
      }
      case DOWN:
        this.#down(session, error);
        break;
      case REFRESHED: {
        const newTokenLifetimeInSeconds = value;
        this.#call("AuthenticationRefreshed", { connection: this.#self, newTokenLifetimeInSeconds, refreshedAt: new Date() });
        break;
      }
      default:
        this.#call("AuthenticationRefreshFailed", { connection: this.#self, error });
    }
  }

  /** Says it when the browser freezes the page while the session lasts. */
  #watch(session) {
    const page = globalThis.document;
    const freeze = () => this.#log(LogLevel.Warning, FREEZE);
    page?.addEventListener?.("freeze", freeze);
    session.ended.promise.then(() => page?.removeEventListener?.("freeze", freeze));
  }

  /** The end of a start, or of the connection that came of it. */
  #down(session, error) {
    if (session !== this.#session) return;
    this.#session = undefined;
    session.end(canceled(error));
    const reason = reasonOf(error);
    if (!session.wasUp) {
      this.#log(LogLevel.Debug, `HubConnection failed to start successfully because of error '${shown(error)}'.`);
    }
    this.#enter(Disconnected, reason);
    if (session.wasUp) this.#call("close", reason);
    else session.started.reject(error);
    session.ended.resolve();
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

  #enter(state, error) {
    const previousState = this.state;
    this.state = state;
    // One that does not let itself be changed is not reactive either.
    Reflect.set(this.#self, "_state", state);
    this.#call("statechange", { state, previousState, error, connection: this.#self });
  }

  #call(event, argument) {
    for (const { callback } of this.#listeners[event] ?? []) {
      try {
        callback.call(this.#self, argument);
      } catch (thrown) {
        // Their quotation marks, and what they tell of the argument.
        const called = { close: `error '${argument}'`, reconnecting: `error '${argument}'`, reconnected: `connectionId '${argument};` };
        const given = event in called ? ` called with ${called[event]}` : "";
        this.#log(LogLevel.Error, `An on${event} callback${given} threw error '${shown(thrown)}'.`);
      }
    }
  }

  #log(level, message) {
    this.#logger.log(level, message);
  }
}

// The official client tells no error when it was asked to stop, or when the server closed without one.
const hasNoReason = (error) =>
  !error || error.code === "Stopped" || (error.code === "ServerClosed" && !error.message.includes(": "));

const reasonOf = (error) => (hasNoReason(error) ? undefined : typed(error));

/** Why a call ended with its connection. */
const canceled = (error) =>
  hasNoReason(error)
    ? errorOf("Invocation canceled due to the underlying connection being closed.", { code: error?.code ?? "Transport" })
    : error;

const serverError = (message) => new HubwireError(message, { code: "Server" });

const aborted = ({ reason }) => new AbortError("The call was aborted.", { cause: reason });

function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal);
}
