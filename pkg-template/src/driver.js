// What the machine in the module asks for, done with JavaScript's means: requests, sockets, timers, promises. It decides
// nothing.
import { Backlog } from "./backlog.js";
import { HttpTransportType, LogLevel, MessageType, TransferFormat } from "./enums.js";
import { Machine } from "./generated/bindings.js";
import { shown } from "./errors.js";
import { DefaultHttpClient, isNode, requestHeaders } from "./http.js";
import { textDecoder, withoutQuery } from "./text.js";
import { LongPollingTransport, ServerSentEventsTransport, WebSocketTransport, within } from "./transports.js";

/** What the machine wants, in the order of its numbers. */
const [TOKEN, REFRESH_TOKEN, NEGOTIATE, REFRESH, OPEN, CLOSE, CONNECTED, RESUMED, LOST, ASK, RECONNECTING, REFRESHED, NOT_REFRESHED] =
  Array(13).keys();

/**
 * What the machine is told, in the order of its numbers. Four have failed: negotiate, a refresh, opening the transport, the
 * open transport.
 */
const [START, STOP, TIMEOUT, WAKE, OPENED, MALFORMED, OVERFLOW, RETRY, FRAME, ANSWERED, CANCEL, END_UPLOAD, LIMITS, NEGOTIATING, REFRESHING, OPENING, TRANSPORT, START_LOST] =
  Array(18).keys();

/** What a token is for, and what a message is, as the machine numbers it. */
const [TO_CONNECT, TO_REFRESH, TO_RENEW] = [0, 1, 2];
const [SEND, INVOKE, STREAM, UPLOAD, ANSWER] = [0, 1, 2, 3, 4];

/** What a message means, as the machine numbers it; what is not negative is a call that awaits an answer. */
const [CALL, END, ITEM, NO_STREAM] = [-2, -3, -4, -5];

/** What the owner is told, in the order of `session.js`. */
const Told = { Up: 0, Reconnecting: 1, UpAgain: 2, Down: 3, Refreshed: 4, NotRefreshed: 5 };

/** The transport is not read while so many items wait for loops over streams. */
const HELD = 1024;
/** So many frames, and so many bytes or characters, or two of the longest messages, may wait for that. */
const WAITING = 65_536;
const WAITING_LENGTH = 64 * 1024 * 1024;

/** A transport of the application may close for so long. */
const CLOSE_TIMEOUT = 5000;

const LONGEST_TIMER = 2 ** 31 - 1;
const SEPARATOR = "\x1e";

const { WebSockets, ServerSentEvents, LongPolling } = HttpTransportType;

const ignore = () => {};

/** A time limit as HTTP clients take it: 0 is without one. */
const limitOf = ({ timeout = 100_000 }) => (timeout <= LONGEST_TIMER ? timeout : 0);
const lengthOf = (data) => data?.length ?? data?.byteLength ?? 0;

/** The text of an error of the machine, which tells it in parts. */
const textOf = ([, , , ...parts]) => parts.join("");

/** An error of the machine. */
function errorOf(told) {
  const [code, statusCode, innerErrors] = told;
  const inner = ([errorType, transport, ...own]) => Object.assign(new Error(own.join("")), { errorType: errorType || undefined, transport: transport || undefined });
  return Object.assign(
    new Error(textOf(told)),
    { code },
    statusCode !== undefined && { statusCode },
    innerErrors && { innerErrors: innerErrors.map(inner) },
  );
}

const notConnected = () => errorOf(["InvalidState", undefined, undefined, "The connection has ended."]);

/** What a start is told that is stopped: applications look for these texts of the official client's. */
const STOPPED = {
  negotiating: "The connection was stopped during negotiation.",
  opening: "Failed to start the HttpConnection before stop() was called.",
  shaking: "The connection was stopped before the hub handshake could complete.",
};

const UNSENDABLE = "Error: The access token has a character that a header cannot carry, such as a line end.";

/** The errors behind which there is one of the platform's, or of the application's. */
const NETWORK = ["Negotiate", "NoTransport", "AccessToken", "Timeout"];

/** One connection, from its start to its end. */
export class Driver {
  /** What was agreed on with the server. */
  negotiated;
  /** Counts what was given up: what comes of that later is not for the machine. */
  #round = 0;
  #abort = new AbortController();
  /** The transport that is being opened, or is open. */
  #transport;
  #isOpen = false;
  #isSending = false;
  /** The text for a start that is stopped now. */
  #stopped = STOPPED.negotiating;
  /** How many of the transports that this attempt has skipped are in the log. */
  #logged = 0;
  /** While a transport closes, the machine is asked for nothing. */
  #isClosing = false;
  #isTurning = false;
  #turnsAgain = false;
  #isQueued = false;
  #timer;
  #timerAt = Infinity;
  /** The deadline that was met last without the timer. */
  #handled;
  #notBefore = 0;
  /** Frames that wait, of a transport that cannot be held back or has just opened, and which is the next. */
  #inbox = [];
  #next = 0;
  #inboxLength = 0;
  #waitingLength;
  /** How many items wait, and how many no longer do. */
  #held = 0;
  #taken = 0;
  #isHeld = false;
  #reader;
  /** Those who wait until there is room. */
  #waiting = [];
  /** Those whose messages the transport has not taken yet. */
  #unsent = new Set();
  #backlog = new Backlog();
  #refreshes = [];
  /** The token that is being fetched in place of a rejected one. */
  #renewal;
  /** What the machine was told of as a text. */
  #failure;

  constructor(url, settings, callbacks) {
    this.settings = settings;
    this.callbacks = callbacks;
    this.logger = settings.logger ?? { log: ignore };
    this.httpClient = settings.httpClient ?? new DefaultHttpClient(this.logger, settings.maximumReceiveMessageSize);
    this.#waitingLength = Math.max(WAITING_LENGTH, 2 * (settings.maximumReceiveMessageSize ?? 0));
    const custom = typeof settings.transport === "object";
    const { accessTokenFactory, reconnects, retriesFirstConnect, skipNegotiation, binary } = settings;
    const hasStreams = settings.EventSource || typeof ReadableStream === "function";
    const available =
      (settings.WebSocket || typeof WebSocket === "function" || isNode() ? WebSockets : 0) |
      (hasStreams ? ServerSentEvents : 0) |
      LongPolling;
    const numbers = [
      (!custom && settings.transport) || WebSockets | ServerSentEvents | LongPolling,
      available,
      custom,
      skipNegotiation,
      accessTokenFactory !== undefined,
      reconnects,
      retriesFirstConnect,
      binary,
      settings.timeout ?? 100_000,
      settings.serverTimeoutInMilliseconds,
      settings.keepAliveIntervalInMilliseconds,
      settings.refreshLeadInMilliseconds ?? -1,
      settings.statefulBufferSize ?? 0,
    ];
    this.url = url;
    try {
      this.machine = new Machine(url, Float64Array.from(numbers, (number) => Number(number ?? 0)), settings.protocol, {
        // Written when they are sent: the application's hub protocol may use the connection, and the machine cannot be used now.
        writeOwn: (...own) => ({ own }),
      });
    } catch (error) {
      throw errorOf(error);
    }
    this.#listen();
  }

  start() {
    this.#tell(START);
    this.#turn();
  }

  /** Starts as after the loss of a connection that was up, in a worker that is gone, and after attempts to get it back. */
  startLost(error, failed, elapsed) {
    this.#failure = error;
    this.#tell(START_LOST, failed, elapsed, error.message);
    this.#turn();
  }

  stop() {
    this.#tell(STOP);
    this.#later();
  }

  setUrl(url) {
    const error = this.machine?.setUrl(url);
    if (error) throw errorOf(error);
    this.url = url;
  }

  /** Other limits hold for silence, from the next message on. */
  setLimits(keepAliveInterval, serverTimeout) {
    this.#tell(LIMITS, keepAliveInterval, serverTimeout);
  }

  /** Gives the transport up, as if it had failed. */
  lose(error) {
    if (!this.#isOpen) return;
    this.#drop(true);
    this.#fail(TRANSPORT, error);
    this.#turn();
  }

  /** Resolves once the transport has taken the message, and there is room for another. */
  send(id, message, uploads) {
    return new Promise((resolve, reject) => {
      const done = (error) => {
        this.#unsent.delete(reject);
        if (error) reject(error);
        else this.#whenRoom(resolve, reject);
      };
      this.#call(SEND, id, message, uploads, done);
      this.#unsent.add(reject);
    });
  }

  invoke(id, message, streams, uploads) {
    this.#call(streams ? STREAM : INVOKE, id, message, uploads, (error) => {
      if (!error || !this.machine) return;
      this.#tell(CANCEL, id);
      this.callbacks.fail(id, error, false);
    });
  }

  #call(kind, id, data, uploads, done) {
    if (!this.#give(kind, id, { data, done }, uploads)) throw notConnected();
    this.#later();
  }

  cancel(id) {
    this.#tell(CANCEL, id);
    this.#later();
  }

  /** An item of a stream waits for its consumer, or several do. */
  hold(items = 1) {
    this.#held += items;
  }

  /** So many items wait no longer. */
  release(items) {
    this.#held -= items;
    this.#taken += items;
    if (this.#isHeld) this.#later();
  }

  /** Sends an item: `false` when it is no longer wanted, a promise when the next one has to wait. */
  upload(id, data) {
    // Without an item the rest would be wrong.
    const done = (error) => error && this.endUpload(id, "Stream canceled by client.");
    if (!this.#give(UPLOAD, id, { data, done })) return false;
    this.#later();
    return this.machine.isFull ? new Promise((resolve, reject) => this.#whenRoom(resolve, reject)) : undefined;
  }

  endUpload(id, error) {
    this.#tell(END_UPLOAD, id, typeof error === "string", error);
    this.#later();
  }

  answer(number, data) {
    try {
      this.#give(ANSWER, number, { data });
    } catch (error) {
      // A server that calls, and does not take the answers.
      this.lose(error);
    }
    this.#later();
  }

  refresh() {
    return new Promise((resolve, reject) => {
      if (!this.machine) throw notConnected();
      const error = this.machine.refresh(this.#now());
      if (error) throw errorOf(error);
      this.#refreshes.push({ resolve, reject });
      this.#later();
    });
  }

  /** The end, whatever is going on. */
  free() {
    if (!this.machine) return;
    const { machine } = this;
    this.machine = undefined;
    try {
      machine.free();
    } catch {
      // It has failed in the midst of something.
    }
    clearTimeout(this.#timer);
    this.#unlisten();
    this.#giveUp();
    this.#drop(false);
    this.#loseRoom();
    for (const { reject } of this.#refreshes.splice(0)) reject(notConnected());
  }

  #tell(input, number, other, text) {
    this.machine?.tell(input, this.#now(), number, other, text ?? "");
  }

  #give(kind, id, message, uploads) {
    const weight = this.#backlog.add(message.data);
    const isTaken = this.machine?.send(kind, id, message, lengthOf(message.data), uploads);
    if (isTaken) message.weight = weight;
    else this.#backlog.amount -= weight;
    return isTaken;
  }

  // What is to be done

  /** Soon: what is written at the same time goes out together. */
  #later() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    // Not by queueMicrotask, which is a fake in Jest's fake timers.
    Promise.resolve().then(() => {
      this.#isQueued = false;
      this.#turn();
    });
  }

  #turn() {
    // What is done may lead here again; what is sent may, in a socket of the application's.
    this.#turnsAgain = true;
    if (this.#isTurning) return;
    this.#isTurning = true;
    try {
      while (this.#turnsAgain) {
        while (this.machine && !this.#isClosing) {
          const effect = this.machine.poll();
          if (effect) this.#perform(...effect);
          else if (!this.#read()) break;
        }
        this.#turnsAgain = false;
        if (this.machine && !this.#isClosing) this.#transmit();
      }
    } catch (error) {
      // There is no going on, but nobody is left waiting.
      this.free();
      this.callbacks.event(Told.Down, error);
    }
    this.#isTurning = false;
    if (this.machine && !this.#isClosing) this.#transmit();
    // What was sent may have led to the end.
    if (!this.machine) return;
    if (this.#waiting.length > 0 && !this.machine.isFull) for (const { resolve } of this.#waiting.splice(0)) resolve();
    this.#schedule();
  }

  #perform(effect, ...details) {
    const { callbacks } = this;
    switch (effect) {
      case TOKEN:
        this.#fetchToken(TO_CONNECT);
        break;
      case REFRESH_TOKEN:
        this.#fetchToken(TO_REFRESH);
        break;
      case NEGOTIATE:
        this.#failure = undefined;
        this.#stopped = STOPPED.negotiating;
        this.#negotiate(...details);
        break;
      case REFRESH:
        this.#refresh(...details);
        break;
      case OPEN:
        this.#stopped = STOPPED.opening;
        this.#logSkipped(details[2]);
        this.#open(...details);
        break;
      case CLOSE:
        this.#close(Boolean(details[0]));
        break;
      case CONNECTED: {
        const [again, transport, url, statefulReconnect, connectionId, negotiateVersion] = details;
        this.negotiated = { transport, url, statefulReconnect: Boolean(statefulReconnect), ...(connectionId !== undefined && { connectionId, negotiateVersion }) };
        this.#log(LogLevel.Debug, "Server handshake complete.");
        callbacks.event(again ? Told.UpAgain : Told.Up);
        break;
      }
      case RESUMED:
        this.#log(LogLevel.Debug, "The connection goes on with a new transport.");
        break;
      case LOST:
        this.#logLost(details[0]);
        this.negotiated = undefined;
        this.#loseRoom();
        callbacks.lost(this.#told(details[0]));
        break;
      case ASK:
        this.#ask(...details);
        break;
      case RECONNECTING:
        callbacks.event(Told.Reconnecting, this.#told(details[0]));
        break;
      case REFRESHED:
        for (const { resolve } of this.#refreshes.splice(0)) resolve(details[0]);
        callbacks.event(Told.Refreshed, details[0]);
        break;
      case NOT_REFRESHED: {
        const error = this.#told(details[0]);
        for (const { reject } of this.#refreshes.splice(0)) reject(error);
        callbacks.event(Told.NotRefreshed, error);
        break;
      }
      // The end.
      default: {
        const error = this.#told(details[0]);
        if (error.code === "RetriesExhausted") this.#log(LogLevel.Information, `${error.message} Connection disconnecting.`);
        this.free();
        callbacks.event(Told.Down, error);
      }
    }
  }

  /** What came of something that was not given up meanwhile. */
  async #step(work, done, failed) {
    const round = this.#round;
    let settle;
    try {
      const result = await work();
      settle = () => done(result);
    } catch (error) {
      settle = () => failed(error);
    }
    if (round !== this.#round || !this.machine) return;
    settle();
    this.#turn();
  }

  #fail(what, error) {
    this.#failure = error;
    const { statusCode, closeCode } = error ?? {};
    const text = what === NEGOTIATING || what === REFRESHING ? error : (error?.message ?? error ?? "");
    this.#tell(what, Number(statusCode) || 0, Number(closeCode) || 0, shown(text));
  }

  #fetchToken(purpose) {
    const provide = async () => this.settings.accessTokenFactory();
    const round = this.#round;
    const done = (token, failed) => {
      if (!this.machine || (purpose === TO_CONNECT && round !== this.#round)) return;
      this.machine.token(this.#now(), Date.now(), purpose, token || undefined, failed);
      this.#turn();
    };
    provide().then(
      (token) => done(token, false),
      (error) => {
        this.#failure = error;
        done(undefined, true);
      },
    );
  }

  /** The caller's headers, and the token. Credentials among them are for the hub's own server only. */
  #headers(url, token, more) {
    const isOwn = new URL(url).origin === new URL(this.url).origin;
    const own = Object.entries(this.settings.headers ?? {}).filter(([name]) => isOwn || !/^(authorization|cookie)$/i.test(name));
    return requestHeaders({ ...Object.fromEntries(own), ...more }, token);
  }

  /** What the server answers, perhaps by an error: the status, the text, and headers. An application's client may give anything. */
  async #post(url, token, more) {
    const { withCredentials = true } = this.settings;
    const { signal: abortSignal } = this.#abort;
    const options = { content: "", headers: this.#headers(url, token, more), timeout: limitOf(this.settings), withCredentials };
    let answer;
    try {
      answer = await this.httpClient.post(url, { ...options, ...(!more && { abortSignal }) });
    } catch (error) {
      if (error?.statusCode === undefined) throw error;
      answer = error;
    }
    const { statusCode, content, message = "", retryAfter, contentType, location } = answer;
    const reason = shown(message).replace(/: Status code '\d+'$/, "");
    const text = typeof content === "object" && content ? textDecoder().decode(content) : content || reason;
    return [Number(statusCode), ...[text, retryAfter, contentType, location].map((part) => (part == null ? undefined : shown(part)))];
  }

  #negotiate(url, token) {
    this.#log(LogLevel.Debug, `Starting connection with transfer format '${TransferFormat[this.#format]}'.`);
    this.#log(LogLevel.Debug, `Sending negotiation request: ${withoutQuery(url)}.`);
    this.#step(
      () => this.#post(url, token),
      (answer) => this.machine.negotiated(this.#now(), ...answer),
      (error) => this.#fail(NEGOTIATING, error),
    );
  }

  /** It goes on beside everything else. */
  async #refresh(url, token, connectionToken) {
    const done = ([status, text]) => this.machine && this.#tell(ANSWERED, Date.now(), status, text);
    const failed = (error) => this.machine && this.#fail(REFRESHING, error);
    await this.#post(url, token, { "X-SignalR-Connection-Token": connectionToken }).then(done, failed);
    this.#turn();
  }

  async #ask(count, elapsed, reason, retryAfter) {
    const ask = async () => this.callbacks.retry(count, elapsed, this.#told(reason), retryAfter);
    const done = (delay) => {
      const retries = typeof delay === "number";
      if (retries) this.#log(LogLevel.Information, `Reconnect attempt number ${count + 1} will start in ${delay} ms.`);
      // Not at once: those who are told first may still set another URL.
      this.#tell(RETRY, retries ? Math.max(delay, 1) : NaN);
    };
    if (count > 0) this.#log(LogLevel.Information, `Reconnect attempt failed because of error 'Error: ${textOf(reason)}'.`);
    this.#step(ask, done, () => done());
  }

  // The transport

  get #format() {
    return this.settings.binary ? TransferFormat.Binary : TransferFormat.Text;
  }

  #logLost(told) {
    const reason = told[0] !== "Stopped" && textOf(told);
    if (reason) this.#log(LogLevel.Error, `Connection disconnected with error 'Error: ${reason}'.`);
    else this.#log(LogLevel.Information, "Connection disconnected.");
  }

  /** Each is told once, in the official client's words. */
  #logSkipped(skipped) {
    for (const [type, , ...parts] of skipped.slice(this.#logged)) {
      const why = parts.join("");
      const [name] = /'[^']*'/.exec(why) ?? [];
      const failed = "Failed to start the transport '$1': ";
      if (type === "FailedToStartTransportError") this.#log(LogLevel.Error, why.replace(/^(\w+) failed: /, failed));
      else if (type === "DisabledTransportError") this.#log(LogLevel.Debug, `Skipping transport ${name} because it was disabled by the client.`);
      else this.#log(LogLevel.Debug, why.startsWith("Skipping") ? why : `Skipping transport ${name}: ${why}`);
    }
    this.#logged = skipped.length;
  }

  #open(url, type) {
    const { settings, logger, httpClient } = this;
    const { WebSocket, EventSource, withCredentials = true, logMessageContent, maximumReceiveMessageSize } = settings;
    const io = {
      httpClient,
      headers: this.#headers(url),
      withCredentials,
      timeout: limitOf(settings),
      logger,
      logMessageContent,
      maximumReceiveMessageSize,
      WebSocket,
      EventSource,
      authorization: {
        token: () => this.machine?.linkToken(),
        renew: (rejected) => this.#renew(rejected),
        refresh: () => this.refresh(),
      },
    };
    const Own = { [WebSockets]: WebSocketTransport, [ServerSentEvents]: ServerSentEventsTransport, [LongPolling]: LongPollingTransport }[type];
    const isOwn = typeof settings.transport === "object";
    const transport = isOwn ? settings.transport : new Own(io);
    const chosen = `Selecting transport '${HttpTransportType[type]}'.`;
    this.#log(LogLevel.Debug, isOwn ? "Connection was provided an instance of ITransport, using that directly." : chosen);
    this.#transport = transport;
    this.#reader = this.callbacks.reader();
    const onreceive = (data) => {
      if (transport === this.#transport) this.#receive(data);
    };
    const onclose = (error) => {
      if (transport !== this.#transport || !this.machine) return;
      this.#inbox.push(() => this.#fail(TRANSPORT, error));
      this.#turn();
    };
    this.#step(
      () => Object.assign(transport, { onreceive, onclose }).connect(url, this.#format),
      () => {
        this.#isOpen = true;
        this.#log(LogLevel.Debug, "The HttpConnection connected successfully.");
        this.#log(LogLevel.Debug, "Sending handshake request.");
        this.#log(LogLevel.Information, `Using HubProtocol '${settings.protocol}'.`);
        this.#stopped = STOPPED.shaking;
        this.#tell(OPENED);
      },
      (error) => {
        this.#forget();
        this.#fail(OPENING, error);
      },
    );
  }

  async #renew(rejected) {
    const asks = this.machine?.rejected(rejected);
    if (!asks) return asks === undefined ? undefined : this.machine.linkToken();
    // Several requests may be rejected at once.
    this.#renewal ??= this.#renewOnce();
    return this.#renewal.finally(() => {
      this.#renewal = undefined;
    });
  }

  async #renewOnce() {
    const token = await this.settings.accessTokenFactory();
    try {
      return this.machine?.token(this.#now(), Date.now(), TO_RENEW, token || undefined, false);
    } catch (error) {
      throw errorOf(error);
    }
  }

  #giveUp() {
    this.#round += 1;
    this.#renewal = undefined;
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  #forget() {
    this.#transport = undefined;
    this.#isOpen = this.#isSending = false;
    this.#inbox = [];
    this.#next = this.#inboxLength = 0;
  }

  /** Parts with the transport. What comes of it later does not matter. */
  async #drop(abort) {
    const transport = this.#transport;
    this.#forget();
    // What it says of its end is of no interest.
    await within(CLOSE_TIMEOUT, (async () => transport?.stop(abort))());
  }

  #close(abort) {
    this.#giveUp();
    if (!this.#transport) return;
    this.#isClosing = true;
    if (!abort && this.#isOpen) {
      for (let out; (out = this.machine.transmit(this.#now())) !== undefined; ) this.#send(out);
    }
    this.#drop(abort).then(() => {
      this.#isClosing = false;
      this.#turn();
    });
  }

  #transmit() {
    while (this.#isOpen && !this.#isSending) {
      const out = this.machine.transmit(this.#now());
      if (out === undefined) break;
      this.#isSending = true;
      const transport = this.#transport;
      this.#send(out).then(() => {
        if (transport !== this.#transport) return;
        this.#isSending = false;
        if (this.machine) this.#turn();
      });
    }
  }

  /** Sends the handshake, a message, or several as one. Those who made them are told when the transport refuses them. */
  async #send(out) {
    const isHandshake = typeof out === "string";
    const messages = isHandshake ? [{ data: out }] : Array.isArray(out) ? out : [out];
    const backlog = this.#backlog;
    let failure;
    try {
      const parts = messages.map((message) => (message.data ??= this.#write(message.own)));
      await this.#transport.send(parts.length === 1 ? parts[0] : this.callbacks.join(parts));
    } catch (error) {
      failure = error ?? new Error("The transport refused a message.");
      // With its socket; the messages of a stateful connection go out again on the next.
      if (this.negotiated?.statefulReconnect) return;
      if (isHandshake && this.machine) this.#fail(TRANSPORT, failure);
    }
    let sent = 0;
    for (const message of messages) {
      sent += message.weight ?? 0;
      // Those of a stateful connection may go out again.
      message.weight = 0;
    }
    this.#whenRoom(() => (backlog.amount -= sent), ignore);
    for (const { done } of messages) done?.(failure);
  }

  #receive(frame) {
    this.#inbox.push(frame);
    this.#inboxLength += lengthOf(frame);
    this.#turn();
    if (this.#inbox.length - this.#next > WAITING || this.#inboxLength > this.#waitingLength) this.overflow();
  }

  /** More waits than can. */
  overflow() {
    this.#tell(OVERFLOW);
    this.#turn();
  }

  /** Takes what has come, unless too much waits already. Whether there was anything. */
  #read() {
    if (this.#next === this.#inbox.length || this.#next === WAITING) {
      this.#inbox.splice(0, this.#next);
      this.#next = 0;
    }
    if (!this.#isOpen || this.#inbox.length === 0) return false;
    if (this.#isHeld || this.#held >= HELD) {
      this.#isHeld = !this.machine.mayRead(this.#now(), this.#held >= HELD, this.#taken);
      this.#transport[this.#isHeld ? "pause" : "resume"]?.();
      if (this.#isHeld) return false;
    }
    // Not by `shift`, which moves all the others.
    const frame = this.#inbox[this.#next];
    this.#inbox[this.#next++] = undefined;
    if (typeof frame === "function") frame();
    else {
      this.#inboxLength -= lengthOf(frame);
      if (typeof frame === "string") this.#take(frame);
      else if (frame?.byteLength === undefined) this.#tell(MALFORMED);
      else this.#take(new Uint8Array(frame));
    }
    return true;
  }

  #take(frame) {
    const { machine } = this;
    const at = this.#now();
    if (!machine.isUp) {
      // The handshake is text in every protocol.
      const isText = typeof frame === "string";
      const end = frame.indexOf(isText ? SEPARATOR : SEPARATOR.charCodeAt()) + 1 || frame.length;
      const answer = frame.slice(0, end);
      this.#tell(FRAME, 0, 0, isText ? answer : textDecoder().decode(answer));
      if (end < frame.length && machine.isUp) {
        this.#next -= 1;
        this.#inbox[this.#next] = frame.slice(end);
        this.#inboxLength += frame.length - end;
      }
      return;
    }
    this.#tell(FRAME);
    if (!frame.length) return;
    let messages;
    try {
      messages = this.#reader.read(frame);
    } catch {
      // The reader remembers what is wrong with it.
      this.#tell(MALFORMED);
      return;
    }
    for (const message of messages) {
      this.#handle(at, message);
      if (!this.machine) return;
    }
  }

  #handle(at, message) {
    const { type, invocationId, sequenceId } = message;
    const { callbacks } = this;
    const isClose = type === MessageType.Close;
    if (isClose) this.#log(LogLevel.Information, "Close message received from server.");
    const text = isClose ? message.error : invocationId;
    const meaning = this.machine.message(at, type, text ?? "", sequenceId, message.allowReconnect);
    if (meaning === CALL) callbacks.invocation(message);
    else if (meaning === ITEM) callbacks.item(Number(invocationId), message);
    else if (meaning === END) callbacks.end(Number(invocationId), message);
    else if (meaning === NO_STREAM) callbacks.fail(Number(invocationId), errorOf(["NotAStream", undefined, undefined, "Unexpected message type: 2"]), false);
    else if (meaning >= 0) callbacks.invocation(message, meaning);
  }

  #whenRoom(resolve, reject) {
    if (this.machine?.isFull) this.#waiting.push({ resolve, reject });
    else resolve();
  }

  #loseRoom() {
    for (const { reject } of this.#waiting.splice(0)) reject(notConnected());
    for (const reject of this.#unsent) reject(notConnected());
    this.#unsent.clear();
    this.#backlog = new Backlog();
  }

  /** A message of the machine's own. */
  #write(message) {
    try {
      return this.callbacks.write(...message);
    } catch (error) {
      Promise.resolve().then(() => this.lose(error));
      return "";
    }
  }

  // Time, and the life of the page

  #now() {
    return Math.max(performance.now(), this.#notBefore);
  }

  #schedule() {
    let { deadline } = this.machine;
    // Timers of a hidden page are late by up to a minute; what the server sends brings one here in time.
    if (deadline <= this.#now() && deadline !== this.#handled) {
      this.#handled = deadline;
      this.#tell(TIMEOUT);
      this.#later();
      ({ deadline } = this.machine);
    }
    // One that comes too early finds out; it costs less than a new one for each message.
    if (deadline >= this.#timerAt && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = deadline;
    if (deadline === Infinity) return;
    const delay = Math.max(deadline - this.#now(), 0);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#timerAt = Infinity;
      // It may come a fraction early, and in tests it may be a fake where the clock is none: it is due because it has run.
      // The half of a microsecond is for the machine, which counts whole ones and would cut off what floats lack of the last.
      if (delay <= LONGEST_TIMER) this.#notBefore = deadline + 0.0005;
      if (this.#now() >= this.machine.deadline) this.#tell(TIMEOUT);
      this.#turn();
    }, Math.min(delay, LONGEST_TIMER));
  }

  #listen() {
    const page = globalThis.document;
    const wake = (event) => {
      if (event.type === "visibilitychange" && page.visibilityState !== "visible") return;
      this.#tell(WAKE);
      this.#turn();
    };
    const places = [
      [globalThis, "online"],
      [page, "visibilitychange"],
      [page, "resume"],
    ].filter(([place]) => typeof place?.addEventListener === "function");
    for (const [place, name] of places) place.addEventListener(name, wake);
    this.#unlisten = () => {
      for (const [place, name] of places) place.removeEventListener(name, wake);
    };
  }

  #unlisten = ignore;

  /** An error of the machine, with what it does not know of it. */
  #told(details) {
    const failure = this.#failure;
    const error = errorOf(details);
    // The very one that the transport gave.
    if (error.code === "Transport" && failure?.message === error.message) return failure.code ? failure : Object.assign(failure, { code: "Transport" });
    // The provider's own words; the machine has none of them.
    if (error.message.endsWith(": ")) error.message += failure === undefined ? UNSENDABLE : String(failure);
    if (error.code === "Stopped") error.message = this.#stopped;
    // What Node.js tells of a request that failed stands in the cause only.
    else if (failure !== undefined && NETWORK.includes(error.code)) error.cause = failure;
    return error;
  }

  #log(level, message) {
    this.logger.log(level, message);
  }
}
