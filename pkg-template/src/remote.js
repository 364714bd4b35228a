// Worker mode, the page's side: connections that live in a worker and look like those of the module.
import { Backlog } from "./backlog.js";
import { HubwireError, notConnected, stopped } from "./errors.js";
import { script } from "./generated/worker.js";
import { initialize, compiled } from "./module.js";
import { DOWN, ON_THE_WAY, plain, RECONNECTING, revive, Told, UP, UP_AGAIN } from "./worker-messages.js";

/** How long a worker may take to load, in milliseconds. */
const LOAD_LIMIT = 30_000;
/** A worker is asked so often whether it is there, and may leave so many questions open. */
const BEAT = 10_000;
const UNANSWERED = 2;
/** How much of what came is confirmed at once: each time costs the page a message of its own. */
const CONFIRM = 65_536;
const LONGEST_TIMER = 2 ** 31 - 1;
/** The worker is asked whether it has taken what it was sent once that is so much. */
const PROBE = 256 * 1024;
/** The worker hears of so many items at once that have begun or ceased to wait. */
const HELD = 128;

// One worker for all connections of a page; another where the application gives another script.
const workers = new Map();

function hostOf(source) {
  let host = workers.get(source);
  if (!host || host.hasFailed) {
    host = new Host(source);
    workers.set(source, host);
  }
  return host;
}

/** What makes connections in the worker of this source: null for the package's own script, a URL, or a function. */
export async function remote(source) {
  await initialize();
  const host = hostOf(source);
  await host.ready;
  return (url, settings, callbacks) => new RemoteConnection(host, url, settings, callbacks);
}

let policy;

/** Where the page requires Trusted Types, the URL is one of the package's own policy. */
function create(url) {
  try {
    return new Worker(url);
  } catch (error) {
    if (!/TrustedScriptURL/.test(error.message)) throw error;
  }
  try {
    policy ??= globalThis.trustedTypes.createPolicy("hubwire", { createScriptURL: (own) => own });
  } catch (cause) {
    const help = "allow the package's policy by `trusted-types hubwire`, or give `withWorker` a function that makes the worker";
    throw new Error(`the page requires Trusted Types: ${help}`, { cause });
  }
  return new Worker(policy.createScriptURL(url));
}

function open(source) {
  if (typeof source === "function") return source();
  if (source !== null) return create(source);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return create(url);
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
  #unanswered = 0;
  #timer;
  #fail;

  constructor(source) {
    this.source = source;
    this.ready = new Promise((resolve, reject) => {
      this.#fail = (why, cause) => {
        if (this.hasFailed) return;
        this.hasFailed = true;
        clearTimeout(limit);
        clearTimeout(this.#timer);
        this.#worker?.terminate();
        const error = new HubwireError(`The worker of the connection failed: ${why}.`, { code: "Worker", cause });
        reject(error);
        // Some of them go on in another worker.
        for (const connection of this.#connections.values()) connection.fail(error);
      };
      const limit = setTimeout(this.#fail, LOAD_LIMIT, "it does not answer");
      try {
        const worker = open(source);
        if (typeof worker?.postMessage !== "function") throw new Error("`withWorker` was given a function that makes no Worker");
        this.#worker = worker;
      } catch (error) {
        // Once it has connections, which are to be told.
        Promise.resolve().then(() => this.#fail(error.message, error));
        return;
      }
      const own = "its script cannot be loaded; a content security policy has to allow `worker-src blob:`";
      let unknown = source === null ? own : `its script cannot be loaded${typeof source === "string" ? ` from ${source}` : ""}`;
      this.#worker.onerror = (event) => {
        event.preventDefault?.();
        this.#fail(event.message || unknown);
      };
      // Chromium does not call a handler that is set as a property.
      this.#worker.addEventListener("messageerror", () => this.#fail("what it says cannot be read"));
      this.#worker.onmessage = () => {
        clearTimeout(limit);
        unknown = "it does not say why";
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
    this.#watch();
    return id;
  }

  remove(id) {
    this.#connections.delete(id);
  }

  /** A worker that was terminated, or that had no memory left, does not say so. */
  #watch() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#connections.size === 0) return;
      // A page that was busy or frozen has had the time to hear the answers: it comes here once in a turn.
      if (this.#unanswered === UNANSWERED) return this.#fail("it no longer answers");
      this.#unanswered += 1;
      this.post(0);
      this.#watch();
    }, BEAT);
  }

  /** Sends soon, with all else that is said at the same time. */
  post(command) {
    if (this.#outbox.push(command) > 1) return;
    queueMicrotask(() => this.#worker?.postMessage(this.#outbox.splice(0)));
  }

  #hear([weight, ...entries]) {
    if (this.hasFailed) return;
    this.#unanswered = 0;
    for (const entry of entries) {
      const list = typeof entry === "string" ? JSON.parse(entry) : entry[0];
      if (typeof list === "number") {
        const [id, ...told] = entry;
        this.#connections.get(id)?.hear(told);
        continue;
      }
      let id, what, number;
      for (let n = 0; n < list.length; n += 1) {
        if (typeof list[n] === "number") {
          [id, what, number] = list.slice(n, n + 3);
          n += 3;
        }
        // About as long as the others of its list.
        this.#connections.get(id)?.message(what, number, list[n], (entry.length > 1 ? entry.length : weight) / (list.length - 3));
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
  #url;
  #settings;
  #callbacks;
  #accessTokenFactory;
  #isStopping = false;
  #wasUp = false;
  /** Ends what a start waits for before it tries another worker. */
  #wake;
  /** Whether it can go on in another worker: it was up, and no worker has failed since before it asked the retry policy. */
  #isMovable = false;
  /** Since when it is lost, and how many attempts to get it back have failed if its worker fails now. */
  #lostAt;
  #failed = 0;
  // While too much is on its way: the promise of room for more.
  #room;
  #unwanted = new Set();
  /** What the worker may not have taken yet. */
  #backlog = new Backlog();
  #isProbing = false;
  #asked = new Map();
  #nextQuestion = 0;
  /**
   * How many items wait in loops, and how many the worker knows of. Since it heard of them: how many were taken, and how many
   * more loops wait for items.
   */
  #held = 0;
  #known = 0;
  #taken = 0;
  #hungry = 0;
  /** How many items have come since the worker heard of some. */
  #received = 0;

  constructor(host, url, { accessTokenFactory, logger, reconnectPolicy: _, worker: __, ...settings }, callbacks) {
    this.#url = url;
    this.#settings = { ...settings, hasToken: accessTokenFactory !== undefined, logLevel: logger.minimum ?? 0 };
    this.#logger = logger;
    this.#callbacks = callbacks;
    this.#accessTokenFactory = accessTokenFactory;
    this.#enter(host);
  }

  #enter(host) {
    this.#host = host;
    this.#id = host.add(this);
    this.#known = this.#received = 0;
    this.#post("create", this.#url, this.#settings);
  }

  /** The worker is gone. That is the loss of the connection, which another worker deals with as with any other. */
  fail(error) {
    const now = performance.now();
    const startsAgain = !this.#wasUp && this.#settings.retriesFirstConnect && !this.#isStopping;
    const isMoved = this.#isMovable && this.#settings.reconnects && !this.#isStopping;
    this.#end();
    this.#callbacks.lost(error);
    if (startsAgain) return void this.#startAgain(error);
    if (!isMoved) return this.#callbacks.event(DOWN, this.#isStopping ? stopped() : error);
    this.#isMovable = false;
    this.#lostAt ??= now;
    this.#enter(hostOf(this.#host.source));
    this.#post("startLost", plain(error), this.#failed, now - this.#lostAt);
  }

  /** A start that has lost its worker goes on as after any other attempt that has failed. */
  async #startAgain(error) {
    const isStopped = new Promise((resolve) => {
      this.#wake = resolve;
    });
    let timer;
    const answer = async () => {
      const delay = await this.#askToStart(error, 0);
      if (delay !== null) await new Promise((resolve) => (timer = setTimeout(resolve, Math.min(delay, LONGEST_TIMER))));
      return delay;
    };
    const delay = await Promise.race([isStopped, answer()]);
    clearTimeout(timer);
    if (this.#isStopping || delay === null) return this.#callbacks.event(DOWN, this.#isStopping ? stopped() : error);
    this.#enter(hostOf(this.#host.source));
    this.start();
  }

  /** Asks the retry policy during a start. No worker knows of the attempts that others have made. */
  #askToStart(reason, retryAfter) {
    this.#lostAt ??= performance.now();
    this.#failed += 1;
    return this.#callbacks.retry(this.#failed - 1, performance.now() - this.#lostAt, reason, retryAfter);
  }

  start() {
    this.#post("start");
  }

  stop() {
    this.#isStopping = true;
    this.#wake?.();
    this.#post("stop");
  }

  setUrl(url) {
    this.#url = url;
    this.#post("setUrl", url);
  }

  setLimits(keepAliveIntervalInMilliseconds, serverTimeoutInMilliseconds) {
    Object.assign(this.#settings, { keepAliveIntervalInMilliseconds, serverTimeoutInMilliseconds });
    this.#post("setLimits", keepAliveIntervalInMilliseconds, serverTimeoutInMilliseconds);
  }

  lose(error) {
    this.#post("lose", plain(error));
  }

  hold(items, hungry) {
    this.#hungry += hungry;
    this.#tally(items, 0, hungry);
  }

  release(items) {
    this.#tally(-items, items);
  }

  #tally(more, taken, hungry) {
    this.#held += more;
    this.#taken += taken;
    const news = this.#held - this.#known;
    // Who waits matters where the server is held back.
    if (Math.abs(news) < HELD && (this.#held > 0 || news === 0) && !(hungry && this.#known >= HELD)) return;
    this.#post("hold", news, this.#taken, this.#hungry);
    this.#known = this.#held;
    this.#taken = this.#hungry = 0;
  }

  send(id, message, uploads) {
    this.#count(message);
    return this.#ask("send", id, message, uploads);
  }

  invoke(id, message, isStream, uploads) {
    this.#count(message);
    this.#post("invoke", id, message, isStream, uploads);
  }

  cancel(id) {
    this.#post("cancel", id);
  }

  upload(id, message) {
    if (this.#unwanted.delete(id)) return false;
    this.#count(message);
    this.#post("upload", id, message);
    return this.#room?.promise;
  }

  endUpload(id, error) {
    this.#unwanted.delete(id);
    this.#post("endUpload", id, error);
  }

  answer(number, message) {
    try {
      this.#count(message);
      this.#post("answer", number, message);
    } catch (error) {
      this.lose(error);
    }
  }

  #count(message) {
    this.#backlog.add(message);
    this.#probe();
  }

  #probe() {
    const backlog = this.#backlog;
    const { amount } = backlog;
    if (this.#isProbing || amount < PROBE) return;
    this.#isProbing = true;
    const taken = () => {
      this.#isProbing = false;
      backlog.amount -= amount;
      this.#probe();
    };
    this.#ask("taken").then(taken, () => {});
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
  message(what, number, message, length) {
    if (what === Told.Invocation) this.#callbacks.invocation(message, number < 0 ? undefined : number);
    else if (what === Told.Item) {
      this.#received += 1;
      if (this.#received === HELD) {
        this.#received = 0;
        this.#post("hold", -HELD * ON_THE_WAY, 0, 0);
      }
      this.#callbacks.item(number, message, length);
    } else this.#callbacks.end(number, message);
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
        this.#lostAt ??= performance.now();
        this.#callbacks.lost(this.#revive(told[0]));
        break;
      case Told.Log:
        this.#logger.log(...told);
        break;
      case Told.Event: {
        const [kind, value, negotiated] = told;
        this.negotiated = negotiated;
        if (kind === DOWN) this.#end();
        if (kind === UP || kind === UP_AGAIN) {
          this.#wasUp = true;
          this.#lostAt = undefined;
        }
        if (kind <= UP_AGAIN) this.#canMove(kind === RECONNECTING ? 1 : 0);
        this.#callbacks.event(kind, this.#revive(value));
        break;
      }
      case Told.Token:
        this.#answer(told[0], () => this.#accessTokenFactory());
        break;
      case Told.Retry: {
        const [question, count, elapsed, reason, retryAfter] = told;
        this.#answer(question, async () => {
          if (!this.#wasUp) return this.#askToStart(this.#revive(reason), retryAfter);
          const delay = await this.#callbacks.retry(count, elapsed, this.#revive(reason), retryAfter);
          // The first answer is told by an event.
          if (count > 0 && this.#lostAt !== undefined) this.#canMove(count + 1);
          return delay;
        });
        break;
      }
      case Told.Reply: {
        const [question, how, value] = told;
        this.#asked.get(question)?.[how](this.#revive(value));
        this.#asked.delete(question);
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

  #canMove(failed) {
    this.#isMovable = true;
    this.#failed = failed;
  }

  /** Answers a question of the worker's with what a function of the application gives. */
  async #answer(question, ask) {
    const host = this.#host;
    const reply = (how, value) => {
      // The numbers of another worker's questions are the same.
      if (host === this.#host) this.#post("reply", question, how, plain(value));
    };
    try {
      reply("resolve", await ask());
    } catch (error) {
      reply("reject", error);
    }
  }

  /** What the worker tells of an error, and of what its hub protocol has thrown. */
  #revive(value) {
    const { failure, ...error } = value === Object(value) ? value : {};
    if (failure === undefined) return revive(value);
    this.#callbacks.failure(revive(failure));
    return revive(error);
  }

  #end() {
    this.negotiated = undefined;
    this.#unwanted.clear();
    this.#room?.reject(notConnected());
    this.#room = undefined;
    for (const { reject } of this.#asked.values()) reject(notConnected());
    this.#asked.clear();
    this.#backlog = new Backlog();
    this.#isProbing = false;
  }
}

function roomToCome() {
  const room = {};
  room.promise = new Promise((resolve, reject) => Object.assign(room, { resolve, reject }));
  // It may be that nothing awaits it.
  room.promise.catch(() => {});
  return room;
}
