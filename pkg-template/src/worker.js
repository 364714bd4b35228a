// Worker mode, the worker's side: the module, the hub protocol and all timers. Built into one classic script.
import { Driver } from "./driver.js";
import { initSync } from "./generated/bindings.js";
import { JsonHubProtocol } from "./json.js";
import { MessagePackHubProtocol } from "./messagepack.js";
import { DOWN, Told } from "./worker-messages.js";
import { Wire } from "./wire.js";

/** What is pushed waits so long for more of its kind, in milliseconds; the first after a pause does not wait. */
const PACE = 4;
/** How much may be on its way to a page that does not take it, about in bytes. */
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

const plain = (error, failure) => {
  if (!(error instanceof Error)) return error;
  const { message, code, statusCode } = error;
  return { message, code, ...(statusCode !== undefined && { statusCode }), ...(code === "Protocol" && { failure }) };
};

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
  #id;
  #wire;
  #questions = new Map();
  #nextQuestion = 0;
  #isFull = false;

  constructor(id, url, { protocol, protocolOptions, hasToken, ...settings }) {
    this.#id = id;
    this.#wire = new Wire(new protocols[protocol](protocolOptions), { log() {} });
    if (hasToken) settings.accessTokenFactory = () => this.#ask(Told.Token);
    settings.logger = { log: (level, message) => level >= settings.logLevel && this.#tell(Told.Log, level, message) };
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
    return plain(error, this.#wire.failure?.message);
  }

  #callbacks() {
    const wire = this.#wire;
    return {
      reader: () => wire.reader(),
      write: (type, id, error, sequenceId) => wire.writeOwn(type, id, error, sequenceId),
      join: (messages) => wire.join(messages),
      invocation: (message, answer) => this.#message(Told.Invocation, answer ?? -1, message, true),
      item: (id, message) => this.#message(Told.Item, id, message, true),
      end: (id, message) => this.#message(Told.End, id, message, false),
      fail: (id, error, isClosed) => this.#tell(Told.Fail, id, this.#plain(error), isClosed),
      lost: (error) => this.#tell(Told.Lost, this.#plain(error)),
      event: (kind, value) => this.#tell(Told.Event, kind, this.#plain(value), this.inner.negotiated),
      retry: (count, elapsed, reason, retryAfter) => this.#ask(Told.Retry, count, elapsed, this.#plain(reason), retryAfter),
    };
  }

  #message(what, number, message, canWait) {
    const text = message[TEXT];
    if (text === undefined) {
      endTexts();
      values.push(this.#id, what, number, essence(message, what, number));
      weight += this.#wire.messageLength;
    } else {
      endValues();
      texts.push(this.#id, what, number, text);
      weight += text.length;
    }
    schedule(canWait);
    if (onTheWay + weight > LIMIT) this.#giveUp();
  }

  /** The page does not take the messages that keep coming. */
  #giveUp() {
    const message = `the page has not taken ${LIMIT} bytes of messages`;
    this.#tell(Told.Event, DOWN, { code: "SlowConsumer", message });
    connections.delete(this.#id);
    queueMicrotask(() => this.inner.free());
  }

  start() {
    try {
      this.inner.start();
    } catch (error) {
      this.#tell(Told.Event, DOWN, this.#plain(error));
    }
  }

  stop() {
    this.inner.stop();
  }

  setUrl(url) {
    this.inner.setUrl(url);
  }

  setLimits(keepAliveInterval, serverTimeout) {
    this.inner.setLimits(keepAliveInterval, serverTimeout);
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

  cancel(id) {
    this.inner.cancel(id);
  }

  upload(id, message) {
    const taken = this.inner.upload(id, message);
    if (taken === false) this.#tell(Told.Unwanted, id);
    else this.#hasRoom(taken);
  }

  endUpload(id, error) {
    this.inner.endUpload(id, error);
  }

  answer(number, message) {
    this.inner.answer(number, message);
  }

  refresh(question) {
    this.#reply(question, this.inner.refresh());
  }

  #reply(question, promise) {
    promise.then(
      (value) => this.#tell(Told.Reply, question, value),
      (error) => this.#tell(Told.Reply, question, undefined, this.#plain(error)),
    );
  }

  reply(question, value, error) {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(error));
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
    connections.get(id)?.[method](...details);
    return;
  }
  try {
    connections.set(id, new Hosted(id, ...details));
  } catch (error) {
    tell(id, Told.Event, DOWN, plain(error));
  }
}

onmessage = ({ data: module }) => {
  initSync({ module });
  onmessage = ({ data }) => {
    for (const said of data) {
      if (typeof said === "number") onTheWay -= said;
      else command(said);
    }
  };
  postMessage([0]);
};

