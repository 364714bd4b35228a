// What a connection does from its start to its end: its calls, its uploads, what it has to tell. Loaded with the engine.
import { HubConnectionState, LogLevel, MessageType } from "./enums.js";
import { dispatch } from "./dispatch.js";
import { aborted, errorOf, notConnected, reasonOf, shown, textOf, throwIfAborted, typed } from "./errors.js";
import { texts } from "./options.js";
import { separate, upload } from "./uploads.js";
import { Wire } from "./wire.js";

const { Connected, Disconnecting, Reconnecting } = HubConnectionState;

// What the driver tells, in its numbers.
const UP = 0;
const LOST = 1;
const UP_AGAIN = 2;
const DOWN = 3;
const REFRESHED = 4;

const FREEZE =
  "The page is being frozen, this will likely lead to the connection being closed and messages being lost. For more information see the docs at https://learn.microsoft.com/aspnet/core/signalr/javascript-client#bsleep";

/** What comes of one start. */
export class Session {
  /** The driver, here or in a worker; gone with its end. */
  inner;
  #core;
  #run;
  #wire;
  #calls = new Map();
  /** What has happened and is not told yet. */
  #events = [];
  /** The ends of calls, to be told after that. */
  #late = [];
  #isTelling = false;
  #uploads = new Map();

  /** `run`: the promises `started` and `ended` of the start, and `wasUp`. */
  constructor(core, run) {
    this.#core = core;
    this.#run = run;
    this.#wire = new Wire(core.protocol, core.logger, core.options.maximumReceiveMessageSize);
  }

  connect(create) {
    const { url, options, protocol, serverTimeoutInMilliseconds, keepAliveIntervalInMilliseconds } = this.#core;
    const { headers } = options;
    const settings = {
      ...options,
      ...(headers && { headers: texts(headers) }),
      serverTimeoutInMilliseconds,
      keepAliveIntervalInMilliseconds,
      protocol: protocol.name,
      binary: this.#wire.isBinary,
      protocolOptions: protocol.forWorker,
    };
    this.inner = create(url, settings, this);
    this.inner.start();
  }

  // Calls

  async send(name, args, signal) {
    throwIfAborted(signal);
    const [message, ids, streams] = this.#write(MessageType.Invocation, name, args, false);
    const room = this.#use(() => this.inner.send(ids[0] ?? 0, message, streams.length));
    this.#upload(ids, streams);
    if (streams.length > 0) signal?.addEventListener("abort", () => this.#cancelUploads(ids), { once: true });
    await room?.catch((error) => {
      this.#cancelUploads(ids);
      throw typed(error);
    });
  }

  /** Makes a call whose end is awaited. Returns a function that cancels it. */
  begin(type, name, args, call, signal) {
    const [message, [id, ...uploads], streams] = this.#write(type, name, args, true);
    this.#use(() => this.inner.invoke(id, message, type === MessageType.StreamInvocation, streams.length));
    const cancel = () => {
      if (this.#take(id)) this.inner?.cancel(id);
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
    this.#calls.set(id, call);
    this.#upload(uploads, streams);
    return cancel;
  }

  /** The driver may already know that the connection is gone. */
  #use(call) {
    try {
      return call();
    } catch (error) {
      throw error?.code === "InvalidState" ? notConnected() : typed(error);
    }
  }

  /** A call as its message, the numbers it takes, and the streams that follow it. */
  #write(type, target, args, isWaitedFor) {
    const core = this.#core;
    const [plain, streams] = separate(args);
    const ids = [];
    while (ids.length < streams.length + (isWaitedFor ? 1 : 0)) ids.push(core.nextId + ids.length);
    const message = { type, target, arguments: plain };
    if (isWaitedFor) message.invocationId = String(ids[0]);
    if (streams.length > 0) message.streamIds = ids.slice(isWaitedFor ? 1 : 0).map(String);
    const written = this.#wire.write(message);
    core.nextId += ids.length;
    return [written, ids, streams];
  }

  /** A call that is over. */
  #take(id) {
    const call = this.#calls.get(id);
    if (!call) return undefined;
    this.#calls.delete(id);
    call.release?.();
    for (const upload of call.uploads) this.#stopUpload(upload);
    return call;
  }

  #upload(ids, streams) {
    ids.forEach((id, n) => {
      const item = (value) => {
        const message = this.#wire.write({ type: MessageType.StreamItem, invocationId: String(id), item: value });
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
    return stop;
  }

  /** The server hears of it as well. */
  #cancelUploads(ids) {
    for (const id of ids) if (this.#stopUpload(id)) this.inner?.endUpload(id, "Stream canceled by client.");
  }

  #stopUploads() {
    for (const id of [...this.#uploads.keys()]) this.#stopUpload(id);
  }

  close(error) {
    // None is left, unless it was a worker that failed.
    for (const id of [...this.#calls.keys()]) this.#take(id).fail(canceled(error));
    this.#stopUploads();
    this.inner?.free();
    this.inner = undefined;
  }

  // What the driver asks for and tells. None of these may throw.

  reader() {
    return this.#wire.reader();
  }

  /** What a hub protocol in a worker has thrown. */
  failure(error) {
    this.#wire.failure = error;
  }

  write(...message) {
    return this.#wire.writeOwn(...message);
  }

  join(messages) {
    return this.#wire.join(messages);
  }

  /** The server calls a method, and wants an answer where that has a number. */
  invocation(message, answer) {
    if (answer === undefined) this.#dispatch(message);
    else this.#answer(message, answer).catch((error) => this.#core.log(LogLevel.Error, `Invoke client method threw error: ${shown(error)}`));
  }

  #dispatch(message) {
    const { handlers, logger, self } = this.#core;
    return dispatch(handlers, logger, self, message);
  }

  async #answer(message, answer) {
    const outcome = await this.#dispatch(message);
    if (!this.inner) return;
    const completion = { type: MessageType.Completion, invocationId: message.invocationId };
    let written;
    try {
      written = this.#wire.write({ ...completion, ...outcome });
    } catch (error) {
      written = this.#wire.write({ ...completion, error: textOf(error) });
    }
    this.inner.answer(answer, written);
  }

  /** An item has come; the driver in a worker says how long its message was. */
  item(id, message, length = this.#wire.messageLength) {
    this.#calls.get(id)?.item?.(message.item, length);
  }

  /** A call has ended as the server says. */
  end(id, message) {
    this.#take(id)?.end(message);
  }

  /** A call has failed, with its connection perhaps. */
  fail(id, error, isClosed) {
    const call = this.#take(id);
    if (!call) return;
    const reason = typed(error, this.#wire.failure);
    const tell = () => call.fail(isClosed ? canceled(reason) : reason);
    if (!isClosed || !call.isLate) return tell();
    this.#late.push(tell);
    this.#tellSoon();
  }

  lost(error) {
    for (const id of [...this.#calls.keys()]) this.fail(id, error, true);
  }

  event(kind, value) {
    this.#events.push([kind, value]);
    this.#tellSoon();
  }

  // At once where the policy answers at once: what follows from it is told in its order.
  retry(previousRetryCount, elapsedMilliseconds, reason, retryAfterMilliseconds) {
    const giveUp = (what) => {
      const call = `IRetryPolicy.nextRetryDelayInMilliseconds(${previousRetryCount}, ${elapsedMilliseconds})`;
      this.#core.log(LogLevel.Error, `${call} ${what}`);
      return null;
    };
    const refuse = (error) => giveUp(`threw error '${shown(error)}'.`);
    const check = (delay) => {
      if (typeof delay === "number" && !Number.isNaN(delay)) return Math.max(delay, 0);
      return delay === null ? null : giveUp(`gave '${shown(delay)}', which is not a time.`);
    };
    // As soon as it is certain that another attempt may come, and before the log tells of that.
    const isLost = previousRetryCount === 0 && this.#run.wasUp;
    try {
      const retryReason =
        reasonOf(reason) ?? errorOf("Attempting to reconnect due to a unknown error.", { code: reason?.code ?? "Transport" });
      const context = { previousRetryCount, elapsedMilliseconds, retryReason, retryAfterMilliseconds };
      const delay = this.#core.options.reconnectPolicy.nextRetryDelayInMilliseconds(context);
      // Any promise, whatever library made it.
      const isPromise = typeof delay?.then === "function";
      const answer = isPromise ? Promise.resolve(delay).then(check).catch(refuse) : check(delay);
      if (isLost && answer !== null) this.event(LOST, reason);
      return answer;
    } catch (error) {
      return refuse(error);
    }
  }

  #tellSoon() {
    if (this.#isTelling) return;
    this.#isTelling = true;
    // Not by queueMicrotask, which is a fake in Jest's fake timers.
    Promise.resolve().then(() => {
      this.#isTelling = false;
      for (const [kind, value] of this.#events.splice(0)) this.#tell(kind, value);
      for (const fail of this.#late.splice(0)) fail();
    });
  }

  #tell(kind, value) {
    const core = this.#core;
    const run = this.#run;
    const error = typed(value, this.#wire.failure);
    // The wish to stop may have come in between.
    const enter = (state, reason) => core.state !== Disconnecting && core.enter(state, reason);
    switch (kind) {
      case UP:
        run.wasUp = true;
        this.#watch();
        enter(Connected);
        core.log(LogLevel.Debug, "HubConnection connected successfully.");
        run.started.resolve();
        break;
      case UP_AGAIN:
        enter(Connected);
        core.log(LogLevel.Information, "HubConnection reconnected successfully.");
        core.call("reconnected", core.negotiated?.connectionId);
        break;
      case LOST: {
        // Told when the policy was asked.
        if (core.state === Reconnecting) break;
        const reason = reasonOf(error);
        this.#stopUploads();
        core.log(LogLevel.Information, `Connection reconnecting${reason ? ` because of error '${reason}'` : ""}.`);
        enter(Reconnecting, reason);
        core.call("reconnecting", reason);
        break;
      }
      case DOWN:
        core.down(run, error);
        break;
      case REFRESHED: {
        const newTokenLifetimeInSeconds = value;
        core.call("AuthenticationRefreshed", { connection: core.self, newTokenLifetimeInSeconds, refreshedAt: new Date() });
        break;
      }
      default:
        core.call("AuthenticationRefreshFailed", { connection: core.self, error });
    }
  }

  /** Says it when the browser freezes the page while the session lasts. */
  #watch() {
    const page = globalThis.document;
    const freeze = () => this.#core.log(LogLevel.Warning, FREEZE);
    page?.addEventListener?.("freeze", freeze);
    this.#run.ended.promise.then(() => page?.removeEventListener?.("freeze", freeze));
  }
}

/** Why a call ended with its connection. */
const canceled = (error) =>
  reasonOf(error) ?? errorOf("Invocation canceled due to the underlying connection being closed.", { code: error?.code ?? "Transport" });
