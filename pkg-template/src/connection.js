// A connection to a hub: calls, handlers, streams and events over the WebAssembly module.
import { HubConnectionState, LogLevel, MessageType } from "./enums.js";
import { AbortError, HubwireError, invalid, notConnected, stopped, textOf, typed } from "./errors.js";
import { Handlers } from "./handlers.js";
import { initialize, loadedEngine } from "./module.js";
import { HubStream } from "./stream.js";
import { separate, upload } from "./uploads.js";
import { Wire } from "./wire.js";

const { Disconnected, Connecting, Connected, Disconnecting, Reconnecting } = HubConnectionState;

// What the module tells, in the order of its numbers.
const [UP, LOST, UP_AGAIN, DOWN, REFRESHED] = [0, 1, 2, 3, 4];

const invalidState = (message) => new HubwireError(message, { code: "InvalidState" });

export class HubConnection {
  #url;
  #options;
  #logger;
  #protocol;
  #handlers;
  #listeners = { close: [], reconnecting: [], reconnected: [], state: [], refreshed: [], refreshFailed: [] };
  #state = Disconnected;
  #negotiated;
  #serverTimeout = 30_000;
  #keepAliveInterval = 15_000;
  #nextId = 0;
  // From a start to the end that follows.
  #session;

  /** @internal Made by `HubConnectionBuilder`. */
  constructor(url, options, logger, protocol) {
    this.#url = url;
    this.#options = options;
    this.#logger = logger;
    this.#protocol = protocol;
    this.#handlers = new Handlers(logger);
  }

  get state() {
    return this.#state;
  }

  get connectionId() {
    return this.#negotiated?.connectionId ?? null;
  }

  get negotiated() {
    return this.#negotiated;
  }

  get baseUrl() {
    return this.#url;
  }

  set baseUrl(url) {
    if (this.#state !== Disconnected && this.#state !== Reconnecting) {
      throw invalidState("The HubConnection must be in the Disconnected or Reconnecting state to change the url.");
    }
    if (!url) throw invalid("The HubConnection url must be a valid url.");
    this.#session?.inner?.setUrl(absolute(url));
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
    if (this.#state !== Disconnected) {
      throw invalidState("Cannot start a HubConnection that is not in the 'Disconnected' state.");
    }
    const url = absolute(this.#url);
    const session = new Session(new Wire(this.#protocol, this.#logger, this.#options.logMessageContent));
    this.#session = session;
    this.#enter(Connecting);
    this.#log(LogLevel.Debug, "Starting HubConnection.");
    this.#connect(session, url).catch((error) => this.#down(session, typed(error)));
    return session.started.promise;
  }

  async #connect(session, url) {
    const create = await this.#place();
    // It may have been stopped while that was loading.
    if (session !== this.#session) return;
    session.inner = create(url, this.#settings(session), this.#callbacks(session));
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
    if (!session) return;
    if (this.#state !== Disconnecting) {
      this.#enter(Disconnecting);
      this.#log(LogLevel.Debug, "Stopping HubConnection.");
      if (session.inner) session.inner.stop();
      else this.#down(session, stopped());
    }
    await session.ended.promise;
  }

  send(methodName, ...args) {
    return this.#send(methodName, args);
  }

  invoke(methodName, ...args) {
    return this.#invoke(methodName, args);
  }

  stream(methodName, ...args) {
    return this.#stream(methodName, args);
  }

  with({ signal } = {}) {
    return {
      send: (methodName, ...args) => this.#send(methodName, args, signal),
      invoke: (methodName, ...args) => this.#invoke(methodName, args, signal),
      stream: (methodName, ...args) => this.#stream(methodName, args, signal),
    };
  }

  on(methodName, newMethod) {
    this.#handlers.add(methodName, newMethod);
  }

  off(methodName, method) {
    this.#handlers.remove(methodName, method);
  }

  onclose(callback) {
    return this.#listen("close", callback);
  }

  onreconnecting(callback) {
    return this.#listen("reconnecting", callback);
  }

  onreconnected(callback) {
    return this.#listen("reconnected", callback);
  }

  onstatechange(callback) {
    return this.#listen("state", callback);
  }

  onAuthenticationRefreshed(callback) {
    return this.#listen("refreshed", callback);
  }

  onAuthenticationRefreshFailed(callback) {
    return this.#listen("refreshFailed", callback);
  }

  async refreshAuthentication() {
    try {
      return await this.#connected().inner.refresh();
    } catch (error) {
      throw typed(error);
    }
  }

  // Calls

  async #send(name, args, signal) {
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

  #invoke(name, args, signal) {
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

  #stream(name, args, signal) {
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
    if (this.#state !== Connected) throw notConnected();
    return this.#session;
  }

  // What the module tells

  #settings(session) {
    return {
      ...this.#options,
      serverTimeoutInMilliseconds: this.#serverTimeout,
      keepAliveIntervalInMilliseconds: this.#keepAliveInterval,
      protocol: this.#protocol.name,
      binary: session.wire.isBinary,
      protocolOptions: this.#protocol.forWorker,
    };
  }

  // None of these may throw: the module would stay locked.
  #callbacks(session) {
    const { wire, calls } = session;
    return {
      reader: () => wire.reader(),
      failure: (error) => {
        wire.failure = error;
      },
      write: (type, id, error, sequenceId) => wire.writeOwn(type, id, error, sequenceId),
      join: (messages) => wire.join(messages),
      invocation: (message, answer) => {
        if (answer === undefined) this.#handlers.call(message.target, message.arguments, false, this);
        else this.#answer(session, message, answer);
      },
      item: (id, message) => calls.get(id)?.item?.(message.item),
      end: (id, message) => session.take(id)?.end(message),
      fail: (id, error, isClosed) => {
        const call = session.take(id);
        if (!call) return;
        const fail = () => call.fail(typed(error, wire.failure));
        if (!isClosed || !call.isLate) return fail();
        session.late.push(fail);
        this.#tellSoon(session);
      },
      event: (kind, value) => {
        session.events.push([kind, value]);
        this.#tellSoon(session);
      },
      retry: (count, elapsed, reason, retryAfter) => this.#retryDelay(count, elapsed, typed(reason), retryAfter),
    };
  }

  async #answer(session, message, answer) {
    const { target, invocationId } = message;
    const outcome = await this.#handlers.call(target, message.arguments, true, this);
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

  #retryDelay(previousRetryCount, elapsedMilliseconds, retryReason, retryAfterMilliseconds) {
    const giveUp = (error) => {
      const call = `IRetryPolicy.nextRetryDelayInMilliseconds(${previousRetryCount}, ${elapsedMilliseconds})`;
      this.#log(LogLevel.Error, `${call} threw error '${error}'.`);
      return null;
    };
    try {
      const context = { previousRetryCount, elapsedMilliseconds, retryReason, retryAfterMilliseconds };
      const delay = this.#options.reconnectPolicy.nextRetryDelayInMilliseconds(context);
      return typeof delay?.then === "function" ? Promise.resolve(delay).catch(giveUp) : delay;
    } catch (error) {
      return giveUp(error);
    }
  }

  #tellSoon(session) {
    if (session.isTelling) return;
    session.isTelling = true;
    queueMicrotask(() => {
      session.isTelling = false;
      for (const [kind, value] of session.events.splice(0)) this.#tell(session, kind, value);
      for (const fail of session.late.splice(0)) fail();
    });
  }

  #tell(session, kind, value) {
    const error = typed(value, session.wire.failure);
    switch (kind) {
      case UP:
      case UP_AGAIN: {
        this.#negotiated = session.inner.negotiated;
        const { url, transport } = this.#negotiated ?? {};
        this.#log(LogLevel.Information, `Connected to ${url} by ${transport}. The connection's id is ${this.connectionId}.`);
        // The wish to stop may have come in between.
        if (this.#state !== Disconnecting) this.#enter(Connected);
        if (kind === UP) session.started.resolve();
        else this.#call("reconnected", this.connectionId ?? undefined);
        session.wasUp = true;
        break;
      }
      case LOST:
        this.#negotiated = undefined;
        session.stopUploads();
        this.#log(LogLevel.Information, `Connection reconnecting because of error '${error}'.`);
        if (this.#state !== Disconnecting) this.#enter(Reconnecting, error);
        this.#call("reconnecting", error);
        break;
      case DOWN:
        this.#down(session, error);
        break;
      case REFRESHED:
        this.#call("refreshed", { connection: this, newTokenLifetimeInSeconds: value, refreshedAt: new Date() });
        break;
      default:
        this.#call("refreshFailed", { connection: this, error });
    }
  }

  /** The end of a start, or of the connection that came of it. */
  #down(session, error) {
    if (session !== this.#session) return;
    this.#session = undefined;
    this.#negotiated = undefined;
    session.end(error);
    const isStop = error?.code === "Stopped";
    if (!isStop) this.#log(session.wasUp ? LogLevel.Warning : LogLevel.Error, `Disconnected: ${error?.message}`);
    // The official client tells no error when it was asked to stop, or when the server closed without one.
    const reason = isStop || error?.code === "ServerClosed" && !error.message.includes(": ") ? undefined : error;
    this.#enter(Disconnected, reason);
    if (session.wasUp) this.#call("close", reason);
    else session.started.reject(isStop ? stopped() : error);
    session.ended.resolve();
  }

  // Listeners

  #listen(event, callback) {
    if (!callback) return () => {};
    const listener = { callback };
    this.#listeners[event].push(listener);
    return () => {
      this.#listeners[event] = this.#listeners[event].filter((other) => other !== listener);
    };
  }

  #enter(state, error) {
    const previousState = this.#state;
    this.#state = state;
    this.#call("state", { state, previousState, error, connection: this });
  }

  #call(event, argument) {
    for (const { callback } of this.#listeners[event]) {
      try {
        callback.call(this, argument);
      } catch (thrown) {
        this.#log(LogLevel.Error, `A callback for '${event}' threw error '${thrown}'.`);
      }
    }
  }

  #log(level, message) {
    this.#logger.log(level, message);
  }
}

/** What belongs to one start, and to the connection that comes of it. */
class Session {
  /** The connection in the module, once that is loaded; gone with its end. */
  inner;
  wire;
  started = Promise.withResolvers?.() ?? withResolvers();
  ended = Promise.withResolvers?.() ?? withResolvers();
  wasUp = false;
  calls = new Map();
  /** What has happened and is not told yet. */
  events = [];
  /** The ends of calls, to be told after that. */
  late = [];
  isTelling = false;
  #uploads = new Map();

  constructor(wire) {
    this.wire = wire;
    // Those who wait for the end may do so in `stop` as well.
    this.started.promise.catch(() => {});
  }

  /** Uses the module, which may already know that the connection is gone. */
  call(use) {
    try {
      return use();
    } catch (error) {
      throw error?.code === "InvalidState" ? notConnected() : typed(error);
    }
  }

  /** A call that is over. */
  take(id) {
    const call = this.calls.get(id);
    if (!call) return undefined;
    this.calls.delete(id);
    call.release?.();
    for (const upload of call.uploads) this.#stopUpload(upload);
    return call;
  }

  upload(ids, streams) {
    ids.forEach((id, n) => {
      const item = (value) => {
        const message = this.wire.write({ type: MessageType.StreamItem, invocationId: String(id), item: value });
        return this.inner ? this.inner.upload(id, message) : false;
      };
      const end = (error) => {
        this.#uploads.delete(id);
        this.inner?.endUpload(id, error);
      };
      // It may end at once.
      this.#uploads.set(id, () => {});
      const stop = upload(streams[n], { item, end });
      if (this.#uploads.has(id)) this.#uploads.set(id, stop);
    });
  }

  #stopUpload(id) {
    const stop = this.#uploads.get(id);
    this.#uploads.delete(id);
    stop?.();
  }

  /** The server hears of it as well. */
  cancelUploads(ids) {
    for (const id of ids) {
      const isGoingOn = this.#uploads.has(id);
      this.#stopUpload(id);
      if (isGoingOn) this.inner?.endUpload(id, "Stream canceled by client.");
    }
  }

  stopUploads() {
    for (const id of [...this.#uploads.keys()]) this.#stopUpload(id);
  }

  end(error) {
    // None is left, unless it was a worker that failed.
    for (const id of [...this.calls.keys()]) this.take(id).fail(error);
    this.stopUploads();
    this.inner?.free();
    this.inner = undefined;
  }
}

const serverError = (message) => new HubwireError(message, { code: "Server" });

const aborted = ({ reason }) => new AbortError("The call was aborted.", { cause: reason });

function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal);
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
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
