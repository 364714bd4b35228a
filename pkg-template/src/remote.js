// Worker mode, the page's side: connections that live in a worker and look like those of the module.
import { HubwireError, notConnected } from "./errors.js";
import { script } from "./generated/worker.js";
import { initialize, compiled } from "./module.js";
import { DOWN, Told } from "./worker-messages.js";

/** How long a worker may take to load, in milliseconds. */
const LOAD_LIMIT = 30_000;
/** How much of what came is confirmed at once: each time costs the page a message of its own. */
const CONFIRM = 65_536;

const lost = (message, cause) => new HubwireError(message, { code: "Worker", cause });

// One worker for all connections of a page; another where the application gives another script.
const workers = new Map();

/** What makes connections in the worker of this source: null for the package's own script, a URL, or a function. */
export async function remote(source) {
  await initialize();
  let host = workers.get(source);
  if (!host || host.hasFailed) {
    host = new Host(source);
    workers.set(source, host);
  }
  await host.ready;
  return (url, settings, callbacks) => new RemoteConnection(host, url, settings, callbacks);
}

function open(source) {
  if (typeof source === "function") return source();
  if (source !== null) return new Worker(source);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return new Worker(url);
  } finally {
    // The worker has its own hold on it by now.
    URL.revokeObjectURL(url);
  }
}

/** A worker and the connections in it. */
class Host {
  hasFailed = false;
  #worker;
  #connections = new Map();
  #nextId = 0;
  #outbox = [];
  #unconfirmed = 0;

  constructor(source) {
    this.ready = new Promise((resolve, reject) => {
      const limit = setTimeout(() => fail("it does not answer"), LOAD_LIMIT);
      const fail = (why, cause) => {
        clearTimeout(limit);
        this.hasFailed = true;
        this.#worker?.terminate();
        const error = lost(`The worker of the connection failed: ${why}.`, cause);
        reject(error);
        for (const connection of [...this.#connections.values()]) connection.hear([Told.Event, DOWN, error]);
      };
      try {
        this.#worker = open(source);
      } catch (error) {
        fail(error.message, error);
        return;
      }
      this.#worker.onerror = (event) => {
        event.preventDefault?.();
        fail(event.message || "its script cannot be loaded; a content security policy has to allow `worker-src blob:`");
      };
      this.#worker.onmessage = () => {
        clearTimeout(limit);
        this.#worker.onmessage = ({ data }) => this.#hear(data);
        resolve();
      };
      this.#worker.postMessage(compiled());
    });
    // The start of a connection reports it.
    this.ready.catch(() => {});
  }

  add(connection) {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#connections.set(id, connection);
    return id;
  }

  remove(id) {
    this.#connections.delete(id);
  }

  /** Sends soon, with all else that is said at the same time. */
  post(command) {
    if (this.#outbox.push(command) > 1) return;
    queueMicrotask(() => this.#worker.postMessage(this.#outbox.splice(0)));
  }

  #hear([weight, ...entries]) {
    for (const entry of entries) {
      const list = typeof entry === "string" ? JSON.parse(entry) : entry[0];
      if (typeof list === "number") {
        const [id, ...told] = entry;
        this.#connections.get(id)?.hear(told);
        continue;
      }
      for (let n = 0; n < list.length; n += 4) {
        this.#connections.get(list[n])?.message(list[n + 1], list[n + 2], list[n + 3]);
      }
    }
    this.#unconfirmed += weight;
    if (this.#unconfirmed >= CONFIRM) {
      this.post(this.#unconfirmed);
      this.#unconfirmed = 0;
    }
  }
}

/** A connection in the worker, with the methods of one in the module. */
class RemoteConnection {
  negotiated;
  #host;
  #logger;
  #id;
  #callbacks;
  #accessTokenFactory;
  // While too much is on its way: the promise of room for more.
  #room;
  #unwanted = new Set();
  #asked = new Map();
  #nextQuestion = 0;

  constructor(host, url, { accessTokenFactory, logger, reconnectPolicy: _, worker: __, ...settings }, callbacks) {
    this.#host = host;
    this.#logger = logger;
    this.#callbacks = callbacks;
    this.#accessTokenFactory = accessTokenFactory;
    this.#id = host.add(this);
    this.#post("create", url, { ...settings, hasToken: accessTokenFactory !== undefined, logLevel: logger.minimum ?? 0 });
  }

  start() {
    this.#post("start");
  }

  stop() {
    this.#post("stop");
  }

  setUrl(url) {
    this.#post("setUrl", url);
  }

  setLimits(keepAliveInterval, serverTimeout) {
    this.#post("setLimits", keepAliveInterval, serverTimeout);
  }

  send(id, message, uploads) {
    return this.#ask("send", id, message, uploads);
  }

  invoke(id, message, isStream, uploads) {
    this.#post("invoke", id, message, isStream, uploads);
  }

  cancel(id) {
    this.#post("cancel", id);
  }

  upload(id, message) {
    if (this.#unwanted.delete(id)) return false;
    this.#post("upload", id, message);
    return this.#room?.promise;
  }

  endUpload(id, error) {
    this.#unwanted.delete(id);
    this.#post("endUpload", id, error);
  }

  answer(number, message) {
    this.#post("answer", number, message);
  }

  refresh() {
    return this.#ask("refresh");
  }

  #ask(method, ...details) {
    const question = this.#nextQuestion;
    this.#nextQuestion += 1;
    this.#post(method, question, ...details);
    return new Promise((resolve, reject) => this.#asked.set(question, { resolve, reject }));
  }

  free() {
    this.#end();
    this.#post("free");
    this.#host.remove(this.#id);
  }

  #post(...command) {
    this.#host.post([this.#id, ...command]);
  }

  /** A message has come. */
  message(what, number, message) {
    if (what === Told.Invocation) this.#callbacks.invocation(message, number < 0 ? undefined : number);
    else if (what === Told.Item) this.#callbacks.item(number, message);
    else this.#callbacks.end(number, message);
  }

  /** Anything has come. */
  hear([what, ...told]) {
    switch (what) {
      case Told.Fail: {
        const [id, error, isClosed] = told;
        this.#callbacks.fail(id, this.#revive(error), isClosed);
        break;
      }
      case Told.Lost:
        this.#callbacks.lost(this.#revive(told[0]));
        break;
      case Told.Log:
        this.#logger.log(...told);
        break;
      case Told.Event: {
        const [kind, value, negotiated] = told;
        this.negotiated = negotiated;
        if (kind === DOWN) this.#end();
        this.#callbacks.event(kind, this.#revive(value));
        break;
      }
      case Told.Token:
        this.#answer(told[0], () => this.#accessTokenFactory());
        break;
      case Told.Retry: {
        const [question, count, elapsed, reason, retryAfter] = told;
        this.#answer(question, () => this.#callbacks.retry(count, elapsed, this.#revive(reason), retryAfter));
        break;
      }
      case Told.Reply: {
        const [question, value, error] = told;
        const asked = this.#asked.get(question);
        this.#asked.delete(question);
        if (error) asked?.reject(this.#revive(error));
        else asked?.resolve(value);
        break;
      }
      case Told.Full:
        this.#room ??= roomToCome();
        break;
      case Told.Room:
        this.#room?.resolve();
        this.#room = undefined;
        break;
      case Told.Unwanted:
        this.#unwanted.add(told[0]);
        break;
      default:
        this.message(what, ...told);
    }
  }

  /** Answers a question of the worker's with what a function of the application gives. */
  async #answer(question, ask) {
    try {
      this.#post("reply", question, await ask());
    } catch (error) {
      this.#post("reply", question, undefined, error instanceof Error ? error.message : String(error));
    }
  }

  /** An error of the worker's module, as the module would have thrown it here. */
  #revive(value) {
    if (value === null || typeof value !== "object" || value instanceof Error) return value;
    const { message, failure, ...details } = value;
    if (failure !== undefined) this.#callbacks.failure(new Error(failure));
    return Object.assign(new Error(message), details);
  }

  #end() {
    this.#room?.reject(notConnected());
    this.#room = undefined;
    for (const { reject } of this.#asked.values()) reject(notConnected());
    this.#asked.clear();
  }
}

function roomToCome() {
  const room = {};
  room.promise = new Promise((resolve, reject) => Object.assign(room, { resolve, reject }));
  // It may be that nothing awaits it.
  room.promise.catch(() => {});
  return room;
}
