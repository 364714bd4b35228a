// A client's call of a mock hub's method: what is recorded of it, and how the method is run.
import { MessageType } from "./enums.js";
import { textOf } from "./errors.js";

/** What tests see of a call. */
export class Call {
  constructor(connection, { type, invocationId, target, arguments: args, headers }, streams) {
    this.method = target;
    this.arguments = args ?? [];
    this.streams = streams;
    const isAwaited = invocationId !== undefined && invocationId !== null;
    this.kind = type === MessageType.StreamInvocation ? "stream" : isAwaited ? "invoke" : "send";
    this.headers = headers ?? {};
    this.connection = connection;
    this.cancelled = false;
    this.error = undefined;
  }
}

/** A stream that a client sends. */
export class Upload {
  #wake = [];
  stream = {
    items: [],
    isDone: false,
    error: undefined,
    [Symbol.asyncIterator]: () => {
      let next = 0;
      return {
        next: () => this.#at(next++),
        return: async () => ({ done: true, value: undefined }),
      };
    },
  };

  async #at(index) {
    const { stream } = this;
    while (index >= stream.items.length) {
      if (stream.error) throw stream.error;
      if (stream.isDone) return { done: true, value: undefined };
      await new Promise((resolve) => this.#wake.push(resolve));
    }
    return { done: false, value: stream.items[index] };
  }

  next(item) {
    this.stream.items.push(item);
    this.#awake();
  }

  end(error) {
    if (this.stream.isDone) return;
    this.stream.isDone = true;
    if (error) this.stream.error = new Error(error);
    this.#awake();
  }

  #awake() {
    for (const resolve of this.#wake.splice(0)) resolve();
  }
}

function unknown(core, method) {
  const names = core.methodNames();
  const known = names.length > 0 ? `Its methods: ${names.join(", ")}.` : "It has none yet.";
  return new Error(`The mock hub has no method '${method}'. ${known}`);
}

/** Runs the method that a call names. `to` takes the items of a stream, and how the call has ended. */
export function runCall(core, call, to) {
  const run = new Run(call, to);
  core.called(call);
  run.start(core);
  return run;
}

class Run {
  #call;
  #to;
  #stop;
  isDone = false;

  constructor(call, to) {
    this.#call = call;
    this.#to = to;
  }

  async start(core) {
    const call = this.#call;
    try {
      const method = core.methods.get(call.method.toLowerCase());
      // A `send` that no method takes is recorded: that is enough for most tests.
      if (!method && call.kind !== "send") throw unknown(core, call.method);
      const result = await method?.handler.apply(call.connection, [...call.arguments, ...call.streams]);
      if (call.kind === "stream") {
        await this.#stream(result);
        this.#done({});
      } else if (result?.[Symbol.asyncIterator] || typeof result?.subscribe === "function") {
        throw new Error(`The client attempted to invoke the streaming '${call.method}' method with a non-streaming invocation.`);
      } else {
        this.#done({ result });
      }
    } catch (error) {
      if (this.isDone) return;
      call.error = error;
      this.#done({ error: textOf(error) || "Unknown error" });
    }
  }

  #done(completion) {
    if (this.isDone) return;
    this.isDone = true;
    this.#to.done(completion);
  }

  /** The client has ended the call. */
  cancel() {
    this.#call.cancelled = true;
    this.#done(this.#call.kind === "stream" ? {} : { error: "The invocation was canceled by the client." });
    this.#stop?.();
  }

  /** There is nobody left to tell. */
  abandon() {
    this.isDone = true;
    this.#stop?.();
  }

  async #stream(items) {
    if (typeof items?.subscribe === "function") await this.#subscribe(items);
    else if (items?.[Symbol.asyncIterator] || (items?.[Symbol.iterator] && typeof items !== "string")) await this.#loop(items);
    else {
      const { method } = this.#call;
      throw new Error(`The client attempted to invoke the non-streaming '${method}' method with a streaming invocation.`);
    }
  }

  #subscribe(source) {
    return new Promise((resolve, reject) => {
      const subscription = source.subscribe({ next: (item) => this.#item(item), error: reject, complete: resolve });
      this.#stop = () => (subscription?.dispose ?? subscription?.unsubscribe)?.call(subscription);
      if (this.isDone) this.#stop();
    });
  }

  async #loop(items) {
    const iterator = (items[Symbol.asyncIterator] ?? items[Symbol.iterator]).call(items);
    // It may fail, and nobody is left to be told.
    this.#stop = () => void Promise.resolve(iterator.return?.()).catch(() => {});
    if (this.isDone) return this.#stop();
    for (;;) {
      const { done, value } = await iterator.next();
      if (done || this.isDone) return undefined;
      // An array may hold promises, as with `for await`.
      this.#item(await value);
    }
  }

  #item(item) {
    if (!this.isDone) this.#to.item(item);
  }
}
