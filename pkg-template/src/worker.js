// Worker mode, the worker's side: the module, the hub protocol and all timers. Built into one classic script.
import { Driver } from "./driver.js";
import { initSync } from "./generated/bindings.js";
import { JsonHubProtocol } from "./json.js";
import { MessagePackHubProtocol } from "./messagepack.js";
import { LogLevel } from "./enums.js";
import { DOWN, ON_THE_WAY, plain, revive, Told } from "./worker-messages.js";
import { Wire } from "./wire.js";

/** What is pushed waits so long for more of its kind, in milliseconds; the first after a pause does not wait. */
const PACE = 4;
/**
 * How much of a connection's may be on its way to a page that does not take it, about in bytes, unless the longest messages
 * are more than half of it.
 */
const LIMIT = 64 * 1024 * 1024;

const TEXT = Symbol("text");

/** The JSON protocol; its messages remember how they were written, so that the page can read them from that. */
class RememberingJson extends JsonHubProtocol {
  read(text) {
    const message = super.read(text);
    if (message !== null && typeof message === "object") message[TEXT] = text;
    return message;
  }
}

const protocols = { json: RememberingJson, messagepack: MessagePackHubProtocol };

// What waits to be sent to the page: entries, and the messages of a list that is not finished.
let outbox = [];
let texts = [];
let values = [];
/** Whose the last message of the list is, and what. */
let last = [];
let weight = 0;
let onTheWay = 0;
let lastFlush = 0;
let isFlushing = false;
let timer;

function flush() {
  isFlushing = false;
  clearTimeout(timer);
  timer = undefined;
  lastFlush = performance.now();
  endLists();
  onTheWay += weight;
  postMessage([weight, ...outbox]);
  outbox = [];
  weight = 0;
}

function endTexts() {
  if (texts.length > 0) outbox.push(`[${texts.join()}]`);
  texts = [];
}

function endValues() {
  if (values.length > 0) outbox.push([values]);
  values = [];
}

function endLists() {
  endTexts();
  endValues();
}

/** Adds a message to a list: what is said before it holds for those that follow. */
function add(list, message, ...said) {
  if (list.length === 0 || said.some((part, n) => part !== last[n])) list.push(...said);
  list.push(message);
  last = said;
}

/** Sends soon: at the end of this turn, or when something that can wait has waited. */
function schedule(canWait) {
  if (isFlushing) return;
  const wait = canWait ? PACE - (performance.now() - lastFlush) : 0;
  if (wait <= 0) {
    isFlushing = true;
    queueMicrotask(flush);
  } else {
    timer ??= setTimeout(flush, wait);
  }
}

function tell(...entry) {
  endLists();
  outbox.push(entry);
  weight += 1;
  schedule(false);
}

/** What the page looks at in a message. The answer to a call says whose it is. */
function essence({ target, arguments: args, invocationId, item, error, result }, what, number) {
  if (what === Told.Item) return { item };
  if (what === Told.End) return { error, result };
  return number < 0 ? { target, arguments: args } : { target, arguments: args, invocationId };
}

const connections = new Map();

/** A connection and the page's commands for it. */
class Hosted {
  inner;
  /** How much is on its way to the page. */
  load = 0;
  #id;
  #wire;
  #questions = new Map();
  #nextQuestion = 0;
  #isFull = false;
  #limit;

  constructor(id, url, { protocol, protocolOptions, hasToken, ...settings }) {
    this.#id = id;
    const log = (level, message) => level >= settings.logLevel && this.#tell(Told.Log, level, message);
    settings.logger = { log };
    if (hasToken) settings.accessTokenFactory = () => this.#ask(Told.Token);
    this.#wire = new Wire(new protocols[protocol](protocolOptions), settings.logger, settings.maximumReceiveMessageSize);
    this.#limit = Math.max(LIMIT, 2 * (settings.maximumReceiveMessageSize ?? 0));
    this.inner = new Driver(url, { ...settings, protocol }, this.#callbacks());
  }

  #tell(what, ...details) {
    tell(this.#id, what, ...details);
  }

  #ask(what, ...details) {
    const question = this.#nextQuestion;
    this.#nextQuestion += 1;
    this.#tell(what, question, ...details);
    return new Promise((resolve, reject) => this.#questions.set(question, { resolve, reject }));
  }

  #plain(error) {
    // It is the page that puts this in its place.
    return error?.code === "Protocol" ? { ...plain(error), failure: plain(this.#wire.failure) } : plain(error);
  }

  #callbacks() {
    const wire = this.#wire;
    return {
      reader: () => wire.reader(),
      write: (type, id, error, sequenceId) => wire.writeOwn(type, id, error, sequenceId),
      join: (messages) => wire.join(messages),
      invocation: (message, answer) => this.#message(Told.Invocation, answer ?? -1, message, true),
      item: (id, message) => {
        this.inner.hold(ON_THE_WAY, 0);
        this.#message(Told.Item, id, message, true);
      },
      end: (id, message) => this.#message(Told.End, id, message, false),
      fail: (id, error, isClosed) => this.#tell(Told.Fail, id, this.#plain(error), isClosed),
      lost: (error) => this.#tell(Told.Lost, this.#plain(error)),
      event: (kind, value) => this.#tell(Told.Event, kind, this.#plain(value), this.inner.negotiated),
      retry: (count, elapsed, reason, retryAfter) => this.#ask(Told.Retry, count, elapsed, this.#plain(reason), retryAfter),
    };
  }

  #message(what, number, message, canWait) {
    const text = message[TEXT];
    const length = text?.length ?? this.#wire.messageLength;
    if (text === undefined) {
      endTexts();
      add(values, essence(message, what, number), this.#id, what, number);
    } else {
      endValues();
      add(texts, text, this.#id, what, number);
    }
    weight += length;
    this.load += length;
    schedule(canWait);
    if (this.load > this.#limit) this.inner.overflow();
  }

  setUrl(url) {
    try {
      this.inner.setUrl(url);
    } catch ({ message }) {
      this.inner.logger.log(LogLevel.Error, message);
    }
  }

  /** So many more items wait in the page's loops, or fewer, after so many were taken, and so many more loops wait for items. */
  hold(more, taken, hungry) {
    this.inner.hold(more + taken, hungry);
    this.inner.release(taken);
  }

  send(question, id, message, uploads) {
    this.#reply(question, this.inner.send(id, message, uploads));
  }

  invoke(id, message, isStream, uploads) {
    try {
      this.inner.invoke(id, message, isStream, uploads);
    } catch (error) {
      this.#tell(Told.Fail, id, this.#plain(error), true);
    }
  }

  upload(id, message) {
    let taken;
    try {
      taken = this.inner.upload(id, message);
    } catch ({ message: error }) {
      this.inner.endUpload(id, error);
      taken = false;
    }
    if (taken === false) this.#tell(Told.Unwanted, id);
    else this.#hasRoom(taken);
  }

  /** Every command before this one was taken. */
  taken(question) {
    this.#reply(question, Promise.resolve());
  }

  refresh(question) {
    this.#reply(question, this.inner.refresh());
  }

  #reply(question, promise) {
    promise.then(
      (value) => this.#tell(Told.Reply, question, "resolve", value),
      (error) => this.#tell(Told.Reply, question, "reject", this.#plain(error)),
    );
  }

  reply(question, how, value) {
    this.#questions.get(question)?.[how](value);
    this.#questions.delete(question);
  }

  free() {
    connections.delete(this.#id);
    this.inner.free();
  }

  /** Has the page wait with more, until there is room. */
  #hasRoom(room) {
    if (!room || this.#isFull) return;
    this.#isFull = true;
    this.#tell(Told.Full);
    const free = () => {
      this.#isFull = false;
      this.#tell(Told.Room);
    };
    room.then(free, free);
  }
}

function command([id, method, ...details]) {
  if (method !== "create") {
    const hosted = connections.get(id);
    // Most are the connection's own.
    if (hosted) (hosted[method] ? hosted : hosted.inner)[method](...details.map(revive));
    return;
  }
  try {
    connections.set(id, new Hosted(id, ...details));
  } catch (error) {
    tell(id, Told.Event, DOWN, plain(error));
  }
}

/** The page has taken so much; of nothing it wants to know whether there still is someone. */
function confirm(taken) {
  const left = 1 - taken / (onTheWay + weight || 1);
  for (const connection of connections.values()) connection.load *= left;
  onTheWay -= taken;
  if (taken === 0) postMessage([0]);
}

// The page hears of an error that nobody catches, and takes it for the end of this worker.
addEventListener("unhandledrejection", ({ reason }) => {
  throw reason;
});
addEventListener("messageerror", () => {
  throw new Error("what it hears cannot be read");
});

onmessage = ({ data: module }) => {
  initSync({ module });
  onmessage = ({ data }) => {
    for (const said of data) {
      if (typeof said === "number") confirm(said);
      else command(said);
    }
  };
  postMessage([0]);
};
