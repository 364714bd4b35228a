// The HTTP side of a mock hub: negotiation and long polling, and an HttpClient that leads to it.
import { concat } from "./concat.js";
import { AbortError } from "./errors.js";
import { requestOf } from "./testing-core.js";
import { attach, received, refuseSession } from "./testing-socket.js";

/** The status of what cannot be reached. */
const UNREACHABLE = { status: 0 };

const TEXTS = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Whether a request is one that a hub answers: its URL alone may be that of a page as well. */
export function isOfHub(core, url) {
  const { pathname, searchParams } = new URL(url);
  return pathname.endsWith("/negotiate") || core.sessions.has(searchParams.get("id"));
}

/**
 * The answer to a request: its status, 0 when there is none, headers and body, which is a text or bytes. `signal`
 * is what ends a poll.
 */
export async function respond(core, { method, url, headers, content, signal }) {
  const { pathname } = new URL(url);
  if (pathname.endsWith("/negotiate")) {
    const request = requestOf("negotiate", url, headers);
    const refusal = core.refusal(request);
    if (refusal) return refusal;
    const body = JSON.stringify(core.negotiate(request));
    return { status: 200, headers: { "content-type": "application/json" }, body };
  }
  const request = requestOf("LongPolling", url, headers);
  const session = core.known(request);
  const isFirst = method === "GET" && !session?.polls;
  if (!session || (session.isOver && (isFirst || method === "POST"))) {
    return { status: 404, body: "No Connection with that ID" };
  }
  if (isFirst) {
    const refusal = core.refusal(request);
    if (refusal) {
      refuseSession(core, request);
      return refusal;
    }
    session.polls = new Polls();
    attach(core, request, session.polls);
    // The first poll only connects.
    return { status: 200, body: "" };
  }
  if (!session.polls) return { status: 404, body: "No Connection with that ID" };
  switch (method) {
    case "GET":
      return session.polls.poll(signal);
    case "DELETE":
      session.connection.lost();
      session.polls.close();
      return { status: 202, body: "" };
    default:
      session.connection.receive(received(content));
      return { status: 200, body: "" };
  }
}

/** What long polling carries to the client. */
class Polls {
  #frames = [];
  #end;
  #waiting;
  #sent;

  poll(signal) {
    // Only the newest poll is answered with data.
    this.#waiting?.resolve({ status: 200, body: "" });
    return new Promise((resolve, reject) => {
      const waiting = { resolve };
      this.#waiting = waiting;
      // Each poll of a connection has the same signal: the listener goes with the poll.
      const forget = whenAborted(signal, () => {
        if (this.#waiting === waiting) this.#waiting = undefined;
        reject(new AbortError());
      });
      waiting.resolve = (response) => {
        forget?.();
        resolve(response);
      };
      this.#flush();
    });
  }

  send(frame) {
    this.#frames.push(frame);
    // What is sent in one go goes in one response.
    this.#sent ??= Promise.resolve().then(() => {
      this.#sent = undefined;
      this.#flush();
    });
    return this.#sent;
  }

  close() {
    this.#end = { status: 204, body: "" };
    this.#flush();
  }

  drop() {
    this.#frames = [];
    this.#end = UNREACHABLE;
    this.#flush();
  }

  #flush() {
    if (!this.#waiting) return;
    const frames = this.#frames.splice(0);
    if (frames.length > 0) this.#answer({ status: 200, body: join(frames) });
    else if (this.#end) this.#answer(this.#end);
  }

  #answer(response) {
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(response);
  }
}

const join = (frames) => (typeof frames[0] === "string" ? frames.join("") : concat(frames));

/** Returns what takes it back. */
function whenAborted(signal, act) {
  if (signal?.aborted) act();
  else if (signal?.addEventListener) {
    signal.addEventListener("abort", act);
    return () => signal.removeEventListener("abort", act);
  } else if (signal) {
    // The official client's own signals know no listeners.
    signal.onabort = act;
  }
  return undefined;
}

/** Bytes of a text that is ASCII. */
const bytesOf = (body) => (typeof body === "string" ? Uint8Array.from(body, (unit) => unit.charCodeAt(0)) : body);

export const unreachable = () => new TypeError("The mock hub cannot be reached.");

export const statusTextOf = (status) => TEXTS[status] ?? "";

/** An HttpClient, as the official client and this package take it, whose requests all go to the hub. */
export function httpClientOf(core) {
  const send = async ({ method, url, headers, content = "", responseType, abortSignal }) => {
    if (abortSignal?.aborted) throw new AbortError();
    const { status, body } = await respond(core, { method, url, headers, content, signal: abortSignal });
    if (status === 0) throw unreachable();
    const statusText = statusTextOf(status);
    if (status < 200 || status > 299) {
      // As the official DefaultHttpClient does, its text included, for which applications look.
      const error = new Error(`${body || statusText}: Status code '${status}'`);
      throw Object.assign(error, { name: "HttpError", statusCode: status });
    }
    return { statusCode: status, statusText, content: responseType === "arraybuffer" ? bytesOf(body).buffer : body };
  };
  return {
    send,
    get: (url, options) => send({ ...options, method: "GET", url }),
    post: (url, options) => send({ ...options, method: "POST", url }),
    delete: (url, options) => send({ ...options, method: "DELETE", url }),
    getCookieString: () => "",
  };
}
