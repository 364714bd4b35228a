// What the machine in the module asks for, done with JavaScript's means: requests, sockets, timers, promises. It decides
// nothing.
import { Machine } from "./generated/bindings.js";
import { Authentication } from "./authentication.js";
import { Backlog } from "./backlog.js";
import { Clock, onWake } from "./clock.js";
import { HttpTransportType, LogLevel, TransferFormat } from "./enums.js";
import { shown } from "./errors.js";
import { DefaultHttpClient } from "./http.js";
import { Inbox, lengthOf } from "./inbox.js";
import { ASK, CLOSE, CONNECTED, LOST, NEGOTIATE, NOT_REFRESHED, OPEN, RECONNECTING, REFRESH, REFRESHED, REFRESH_TOKEN, RESUMED, TOKEN } from "./machine.js";
import { ANSWERED, CANCEL, END_UPLOAD, LIMITS, MALFORMED, NEGOTIATING, OPENED, OPENING, OVERFLOW, REFRESHING, RETRY, START, START_LOST, STOP, TIMEOUT, TRANSPORT, WAKE } from "./machine.js";
import { ANSWER, INVOKE, SEND, STOPPED, STREAM, TO_CONNECT, TO_REFRESH, UPLOAD } from "./machine.js";
import { errorOf, logLost, logSkipped, notConnected, settingsOf, textOf, wholeError } from "./machine.js";
import { makeTransport, post } from "./network.js";
import { readFrame } from "./reading.js";
import { withoutQuery } from "./text.js";
import { within } from "./transports.js";

/** What the owner is told, in the order of `session.js`. */
const Told = { Up: 0, Reconnecting: 1, UpAgain: 2, Down: 3, Refreshed: 4, NotRefreshed: 5 };

/** The transport is not read while so many items wait for loops over streams. */
const HELD = 1024;

/** A transport of the application may close for so long. */
const CLOSE_TIMEOUT = 5000;

const ignore = () => {};

/** One connection, from its start to its end. */
export class Driver {
  /** What was agreed on with the server. */
  negotiated;
  /** Counts what was given up: what comes of that later is not for the machine. */
  #round = 0;
  /** Ends the request that is being made. */
  #abort;
  /** The transport that is being opened, or is open. */
  #transport;
  #isOpen;
  #isSending;
  /** The text for a start that is stopped now. */
  #stopped = STOPPED.negotiating;
  /** How many of the transports that this attempt has skipped are in the log. */
  #logged = 0;
  /** While a transport closes, the machine is asked for nothing. */
  #isClosing;
  #isTurning;
  #turnsAgain;
  #isQueued;
  clock = new Clock();
  #unlisten;
  #inbox;
  #reader;
  /** How many items of streams wait for their consumers, how many no longer do, and how many consumers wait for items. */
  #held = 0;
  #taken = 0;
  #hungry = 0;
  #isHeld;
  /** Those who wait until there is room. */
  #waiting = [];
  /** Those whose messages the transport has not taken yet. */
  #unsent = new Set();
  #authentication = new Authentication(this);
  #backlog = new Backlog();
  /** What the machine was told of as a text. */
  #failure;

  constructor(url, settings, callbacks) {
    this.settings = settings;
    this.callbacks = callbacks;
    this.logger = settings.logger ?? { log: ignore };
    this.httpClient = settings.httpClient ?? new DefaultHttpClient(this.logger, settings.maximumReceiveMessageSize);
    this.#inbox = new Inbox(settings.maximumReceiveMessageSize);
    this.url = url;
    try {
      // Written when they are sent: the application's hub protocol may use the connection, and the machine cannot be used now.
      const writer = { writeOwn: (...own) => ({ own }) };
      this.machine = new Machine(url, settings.protocol, writer, ...settingsOf(settings));
    } catch (error) {
      throw errorOf(error);
    }
    this.#unlisten = onWake(() => {
      this.#tell(WAKE);
      this.#turn();
    });
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
    this.later();
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
    this.later();
  }

  cancel(id) {
    this.#tell(CANCEL, id);
    this.later();
  }

  /** So many more items of streams wait, and so many more of their consumers. */
  hold(items, hungry) {
    this.#held += items;
    this.#hungry += hungry;
    if (this.#isHeld) this.later();
  }

  /** So many items wait no longer. */
  release(items) {
    this.#held -= items;
    this.#taken += items;
    if (this.#isHeld) this.later();
  }

  /** Sends an item: `false` when it is no longer wanted, a promise when the next one has to wait. */
  upload(id, data) {
    // Without an item the rest would be wrong.
    const done = (error) => error && this.endUpload(id, "Stream canceled by client.");
    if (!this.#give(UPLOAD, id, { data, done })) return false;
    this.later();
    return this.machine.isFull ? new Promise((resolve, reject) => this.#whenRoom(resolve, reject)) : undefined;
  }

  endUpload(id, error) {
    this.#tell(END_UPLOAD, id, typeof error === "string", error);
    this.later();
  }

  answer(number, data) {
    try {
      this.#give(ANSWER, number, { data });
    } catch (error) {
      // A server that calls, and does not take the answers.
      this.lose(error);
    }
    this.later();
  }

  refresh() {
    return this.#authentication.refresh();
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
    this.clock.stop();
    this.#unlisten();
    this.#giveUp();
    this.#drop(false);
    this.#loseRoom();
    this.#authentication.refreshed(notConnected());
  }

  #tell(input, number, other, text) {
    this.machine?.tell(input, this.clock.now(), number, other, text ?? "");
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
  later() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    // Not by queueMicrotask, which is a fake in Jest's fake timers.
    Promise.resolve().then(() => {
      this.#isQueued = false;
      this.clock.now();
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
        logSkipped(this.logger, details[2].slice(this.#logged));
        this.#logged = details[2].length;
        this.#open(...details);
        break;
      case CLOSE:
        this.#close(Boolean(details[0]));
        break;
      case CONNECTED: {
        const [again, transport, url, statefulReconnect, connectionId, negotiateVersion] = details;
        this.negotiated = { transport, url, statefulReconnect: Boolean(statefulReconnect), ...(connectionId !== undefined && { connectionId, negotiateVersion }) };
        this.logger.log(LogLevel.Debug, "Server handshake complete.");
        callbacks.event(again ? Told.UpAgain : Told.Up);
        break;
      }
      case RESUMED:
        this.logger.log(LogLevel.Debug, "The connection goes on with a new transport.");
        break;
      case LOST:
        logLost(this.logger, details[0], this.#failure);
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
        this.#authentication.refreshed(undefined, details[0]);
        callbacks.event(Told.Refreshed, details[0]);
        break;
      case NOT_REFRESHED: {
        const error = this.#told(details[0]);
        this.#authentication.refreshed(error);
        callbacks.event(Told.NotRefreshed, error);
        break;
      }
      // The end.
      default: {
        const error = this.#told(details[0]);
        if (error.code === "RetriesExhausted") this.logger.log(LogLevel.Information, `${error.message} Connection disconnecting.`);
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
      this.machine.token(this.clock.now(), Date.now(), purpose, token || undefined, failed);
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

  #negotiate(url, token) {
    this.logger.log(LogLevel.Debug, `Starting connection with transfer format '${TransferFormat[this.#format]}'.`);
    this.logger.log(LogLevel.Debug, `Sending negotiation request: ${withoutQuery(url)}.`);
    this.#abort = new AbortController();
    this.#step(
      () => post(this, url, token, undefined, this.#abort.signal),
      (answer) => {
        this.#abort = undefined;
        this.machine.negotiated(this.clock.now(), ...answer);
      },
      (error) => this.#fail(NEGOTIATING, error),
    );
  }

  /** It goes on beside everything else. */
  async #refresh(url, token, connectionToken) {
    const done = ([status, text]) => this.machine && this.#tell(ANSWERED, Date.now(), status, text);
    const failed = (error) => this.machine && this.#fail(REFRESHING, error);
    await post(this, url, token, { "X-SignalR-Connection-Token": connectionToken }).then(done, failed);
    this.#turn();
  }

  async #ask(count, elapsed, reason, retryAfter) {
    const ask = async () => this.callbacks.retry(count, elapsed, this.#told(reason), retryAfter);
    const done = (delay) => {
      const retries = typeof delay === "number";
      if (retries) this.logger.log(LogLevel.Information, `Reconnect attempt number ${count + 1} will start in ${delay} ms.`);
      // Not at once: those who are told first may still set another URL.
      this.#tell(RETRY, retries ? Math.max(delay, 1) : NaN);
    };
    if (count > 0) this.logger.log(LogLevel.Information, `Reconnect attempt failed because of error 'Error: ${textOf(reason)}'.`);
    this.#step(ask, done, () => done());
  }

  // The transport

  get #format() {
    return this.settings.binary ? TransferFormat.Binary : TransferFormat.Text;
  }

  #open(url, type) {
    const { logger, settings } = this;
    const transport = makeTransport(this, url, type, this.#authentication);
    const chosen = `Selecting transport '${HttpTransportType[type]}'.`;
    logger.log(LogLevel.Debug, transport === settings.transport ? "Connection was provided an instance of ITransport, using that directly." : chosen);
    this.#transport = transport;
    this.#reader = this.callbacks.reader();
    const onreceive = (data) => {
      if (transport !== this.#transport) return;
      this.#inbox.push(data);
      this.#turn();
      if (this.#inbox.isOverfull) this.overflow();
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
        logger.log(LogLevel.Debug, "The HttpConnection connected successfully.");
        logger.log(LogLevel.Debug, "Sending handshake request.");
        logger.log(LogLevel.Information, `Using HubProtocol '${settings.protocol}'.`);
        this.#stopped = STOPPED.shaking;
        this.#tell(OPENED);
      },
      (error) => {
        this.#forget();
        this.#fail(OPENING, error);
      },
    );
  }

  #giveUp() {
    this.#round += 1;
    this.#authentication.giveUp();
    // Costs a tenth of a start where there is nothing to be ended.
    this.#abort?.abort();
    this.#abort = undefined;
  }

  #forget() {
    this.#transport = undefined;
    this.#isOpen = this.#isSending = false;
    this.#inbox = new Inbox(this.settings.maximumReceiveMessageSize);
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
      for (let out; (out = this.machine.transmit(this.clock.now())) !== undefined; ) this.#send(out);
    }
    this.#drop(abort).then(() => {
      this.#isClosing = false;
      this.#turn();
    });
  }

  #transmit() {
    while (this.#isOpen && !this.#isSending) {
      const out = this.machine.transmit(this.clock.last);
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

  /** Takes what has come, unless too much waits already. Whether there was anything. */
  #read() {
    if (!this.#isOpen || this.#inbox.count === 0) return false;
    if (this.#isHeld || this.#held >= HELD) {
      this.#isHeld = !this.machine.mayRead(this.clock.now(), this.#held >= HELD, this.#taken, this.#hungry);
      this.#transport[this.#isHeld ? "pause" : "resume"]?.();
      if (this.#isHeld) return false;
    }
    const frame = this.#inbox.take();
    if (typeof frame === "function") frame();
    else readFrame(this, frame, this.#reader, this.#inbox);
    return true;
  }

  /** What has come cannot be read. */
  malformed(error) {
    this.#failure = error;
    this.#tell(MALFORMED);
  }

  /** More waits than can. */
  overflow() {
    this.#tell(OVERFLOW);
    this.#turn();
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

  #schedule() {
    // What the server sends may come before a late timer.
    const { deadline } = this.machine;
    if (this.clock.meets(deadline)) {
      this.#tell(TIMEOUT);
      this.later();
      return;
    }
    this.clock.wait(deadline, () => {
      this.#tell(TIMEOUT);
      this.#turn();
    });
  }

  #told(details) {
    return wholeError(details, this.#failure, this.#stopped);
  }
}
