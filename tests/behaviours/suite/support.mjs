// What the suite is written with. It knows neither Node.js nor a browser, and the package only by its surface.

export const behaviours = [];

/** What a client does, as a value that is the same on every run; `expected` is what the official client does. */
export function behaviour(name, expected, observe) {
  behaviours.push({ name, expected, observe });
}

/** Runs all of them on a package, some at once, and tells what was observed: `{name: {value}}`, or `{name: {error}}`. */
export async function observeAll(library, recorder, only) {
  const waiting = behaviours.filter(({ name }) => !only || name.includes(only)).values();
  const observed = {};
  const work = async () => {
    for (const { name, observe } of waiting) {
      const run = new Run(library, recorder);
      try {
        const value = await limited(observe(run), 60_000, "not done within 60 s");
        // As it is now: what ends the connections below may still add to it.
        observed[name] = { value: JSON.parse(JSON.stringify(value ?? null)) };
      } catch (error) {
        observed[name] = { error: String(error?.stack ?? error) };
      } finally {
        await run.end();
      }
    }
  };
  await Promise.all(Array.from({ length: 6 }, work));
  return observed;
}

export function limited(promise, milliseconds, message) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), milliseconds);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** How a promise ends: its error's text, or that it did not fail. */
export const failure = (promise) => promise.then((value) => `no error, but ${JSON.stringify(value)}`, (error) => error?.message ?? error);

/** An event that can be awaited, with all that came. */
export function ear() {
  const heard = [];
  const waiting = [];
  return {
    heard,
    hear: (...args) => {
      heard.push(args.length > 1 ? args : args[0]);
      for (const wake of waiting.splice(0)) wake();
    },
    /** Waits until it was heard so often, and gives all of it. */
    async times(count) {
      while (heard.length < count) await new Promise((resolve) => waiting.push(resolve));
      return heard;
    },
  };
}

/** The items of a stream and its end. */
export const collect = (stream) =>
  new Promise((resolve) => {
    const items = [];
    stream.subscribe({
      next: (item) => items.push(item),
      error: (error) => resolve([...items, `error: ${error.message}`]),
      complete: () => resolve([...items, "complete"]),
    });
  });

const END = "\u001e";
/** One frame of JSON messages. */
export const frame = (...messages) => messages.map((message) => JSON.stringify(message) + END).join("");
/** The path of an endpoint of the hub that sends exactly these frames, after the first message from the client. */
export const pieces = (frames, more = {}) => {
  const query = new URLSearchParams(more);
  for (const text of frames) query.append("frame", btoa(text));
  return `/pieces?${query}`;
};
export const HANDSHAKE = frame({});

/** The JSON messages that a client sent on a socket, handshake and pings aside. */
export const sent = (socket) =>
  socket.frames.flatMap((text) => text.split(END)).filter(Boolean).map((text) => JSON.parse(text))
    .filter(({ type, protocol }) => type !== 6 && !protocol);

let keys = 0;

/** One behaviour's own corner of the hub, and the connections that it made. */
class Run {
  #recorder;
  #key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${keys++}`;
  #connections = [];

  constructor(library, recorder) {
    Object.assign(this, library);
    this.#recorder = recorder;
  }

  url(path) {
    return `${this.#recorder}/run/${this.#key}${path}`;
  }

  /** A connection; `how` is a function that gets the builder. */
  build(path, options = {}, how = (builder) => builder) {
    const builder = new this.signalr.HubConnectionBuilder().withUrl(this.url(path), options).configureLogging(this.signalr.LogLevel.None);
    const connection = how(builder).build();
    this.#connections.push(connection);
    return connection;
  }

  /** A connection without negotiate, as those endpoints need it that are WebSockets and nothing else. */
  direct(path, how) {
    return this.build(path, { skipNegotiation: true, transport: this.signalr.HttpTransportType.WebSockets }, how);
  }

  async started(...args) {
    const connection = this.build(...args);
    await connection.start();
    return connection;
  }

  #ask = async (what, body) => {
    const response = await fetch(`${this.#recorder}/${what}/${this.#key}`, { method: "POST", body });
    return response.text();
  };

  recorded = async () => JSON.parse(await this.#ask("recorded"));
  /** Answers of our own instead of the hub's: `{method, path: pattern, skip?, status?, answer?}`, each once. */
  rules = (...rules) => this.#ask("rules", JSON.stringify(rules));
  /** Breaks the network. */
  cut = () => this.#ask("cut");

  /** Waits until what was recorded is so. */
  async until(so) {
    for (let recorded; ; await pause(20)) {
      recorded = await this.recorded();
      if (so(recorded)) return recorded;
    }
  }

  async token(ttl = 3600) {
    return (await fetch(`${this.#recorder}/token?user=alice&ttl=${ttl}`)).text();
  }

  async end() {
    await limited(Promise.allSettled(this.#connections.map((connection) => connection.stop())), 3000, "").catch(() => {});
  }
}

/** The negotiate requests among those recorded. */
export const negotiates = ({ requests }) => requests.filter(({ method, path }) => method === "POST" && path.includes("/negotiate"));
export const queryOf = (path) => Object.fromEntries(new URL(path, "http://h").searchParams);
