// One start of a connection, and what comes of it: its calls, its uploads, what it has to tell.
import { MessageType } from "./enums.js";
import { notConnected, typed } from "./errors.js";
import { upload } from "./uploads.js";

/** What belongs to one start, and to the connection that comes of it. */
export class Session {
  /** The connection in the module, once that is loaded; gone with its end. */
  inner;
  wire;
  started = withResolvers();
  ended = withResolvers();
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

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
