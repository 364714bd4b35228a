// HTTP requests by `fetch`, with the interface, the texts and the log lines of the official client's HttpClient.
import { concat } from "./concat.js";
import { LogLevel } from "./enums.js";
import { AbortError, HttpError, TimeoutError } from "./errors.js";
import { isNode, merge } from "./headers.js";
import { textDecoder } from "./text.js";

/** The longest message that is accepted, in bytes or characters, unless the option says another. */
export const LIMIT = 32 * 1024 * 1024;
/** An answer may hold so much of other messages as well. */
const OTHERS = 64 * 1024;
export const RAISE = "; see the option 'maximumReceiveMessageSize'";

/** How much is read of an answer that refuses a request, in bytes, and how much of it gets into the error's text. */
const REFUSAL_LIMIT = 64 * 1024;
const TEXT_LIMIT = 1024;

const REDIRECTED =
  "The server answers with an HTTP redirect, which is not followed; use the final URL of the hub, and check that no login answers in its place";

/** The longest time that a timer takes; anything longer counts as no limit. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What only Node.js needs, and there alone is loaded. A bundle for browsers has none of it, wherever it runs. */
export const nodeOnly = async () => isNode() && (await import("./node.js")).node;

/**
 * The answer to a request. `DefaultHttpClient` adds what the official one has not, each `undefined` where there is none: `url`
 * (where the answer comes from, after redirects), and the headers `contentType`, `location` and `retryAfter` as they are. The
 * `HttpError` of a refused request has the headers too, and the answer's text as `content`.
 */
export class HttpResponse {
  constructor(statusCode, statusText, content) {
    this.statusCode = statusCode;
    this.statusText = statusText;
    this.content = content;
  }
}

/** What the connection makes its requests with. Another one extends this class. */
export class HttpClient {
  get(url, options) {
    return this.send({ ...options, method: "GET", url });
  }

  post(url, options) {
    return this.send({ ...options, method: "POST", url });
  }

  delete(url, options) {
    return this.send({ ...options, method: "DELETE", url });
  }

  getCookieString() {
    return "";
  }
}

/** Over `fetch`. In Node.js it keeps cookies, in browsers that is the browser's own work. */
export class DefaultHttpClient extends HttpClient {
  constructor(logger, limit = LIMIT) {
    super();
    this.logger = logger;
    this.limit = limit;
  }

  getCookieString(url) {
    return this.jar?.header(url) ?? "";
  }

  /** The request's `timeout` is for the head of the answer, and again for its body: a message that is on its way is not lost. */
  async send(request) {
    const { abortSignal, timeout } = request;
    if (abortSignal?.aborted) throw new AbortError();
    if (!request.method) throw new Error("No method defined.");
    if (!request.url) throw new Error("No url defined.");
    const controller = new AbortController();
    let failure;
    let timer;
    const give = (error) => {
      failure ??= error;
      controller.abort();
    };
    const limit = () => {
      clearTimeout(timer);
      if (!(timeout > 0 && timeout <= LONGEST_TIMER)) return;
      timer = setTimeout(() => {
        this.logger?.log(LogLevel.Warning, "Timeout from HTTP request.");
        give(new TimeoutError());
      }, timeout);
    };
    const unlisten = listen(abortSignal, () => give(new AbortError()));
    try {
      limit();
      const response = await this.open({ ...request, abortSignal: controller.signal });
      limit();
      const { ok, status, statusText } = response;
      const content = await (ok
        ? read(response, request.responseType, this.limit + OTHERS)
        : read(response, "text", REFUSAL_LIMIT, true).then((text) => (quotes(text, request) ? "" : text)));
      const result = ok
        ? new HttpResponse(status, statusText, content)
        : new HttpError(status === 0 ? REDIRECTED : content.slice(0, TEXT_LIMIT) || statusText, status);
      const header = (name) => response.headers?.get(name) ?? undefined;
      Object.assign(result, {
        content,
        // Not with an error, which may be logged: it has the connection's token.
        ...(ok && { url: response.url }),
        contentType: header("Content-Type"),
        location: header("Location"),
        retryAfter: header("Retry-After"),
      });
      if (!ok) throw result;
      return result;
    } catch (error) {
      throw failure ?? error;
    } finally {
      clearTimeout(timer);
      unlisten();
    }
  }

  /**
   * Sends a request and gives fetch's `Response` once its head is there, whatever its status.
   *
   * A browser would take the caller's headers to wherever it is redirected, and hides where that is: there no redirect is
   * followed, and the status is 0.
   */
  async open({ url, method, content, headers, withCredentials, keepalive, abortSignal }) {
    const type = content && {
      "Content-Type": typeof content === "string" ? "text/plain;charset=UTF-8" : "application/octet-stream",
    };
    const init = {
      method,
      headers: merge({ "X-Requested-With": "XMLHttpRequest" }, headers, type),
      body: content || undefined,
      cache: "no-store",
      credentials: withCredentials === true ? "include" : "same-origin",
      mode: "cors",
      redirect: "manual",
      signal: abortSignal,
      keepalive,
    };
    const node = await nodeOnly();
    if (node) this.jar ??= new node.CookieJar();
    try {
      return await (node ? node.follow(url, init, this.jar) : fetch(url, init));
    } catch (error) {
      check(url, init);
      // Node.js tells only in the `cause` what has happened.
      const cause = error?.cause?.message ?? error?.cause?.code;
      if (!abortSignal?.aborted) this.logger?.log(LogLevel.Warning, `Error from HTTP request. ${error}${cause ? `: ${cause}` : ""}.`);
      throw error;
    }
  }
}

/**
 * Whether it was the request itself that failed: the texts of fetch's own errors name the whole URL with its query and user name, or a
 * header with its value.
 */
function check(url, { method, headers }) {
  try {
    if (typeof Request === "function") new Request(url, { method, headers });
  } catch {
    throw new Error(
      "The request cannot be made: a header has a name or a value that is not allowed, or the URL is not valid or has a user name in it",
    );
  }
}

/** Whether an answer quotes what the request has of secrets, as pages for developers do that show all of its headers. */
function quotes(text, { url, headers = {} }) {
  const parts = [...Object.values(headers), ...new URLSearchParams(/\?.*/.exec(url)?.[0]).values()];
  return parts.some((part) => `${part}`.length > 7 && text.includes(`${part}`.replace(/^Bearer /, "")));
}

/** Calls once the signal is aborted, which may be the official client's simple one. Returns what ends that. */
export function listen(signal, abort) {
  if (signal?.addEventListener) {
    signal.addEventListener("abort", abort);
    return () => signal.removeEventListener("abort", abort);
  }
  if (signal) signal.onabort = abort;
  return () => {
    if (signal) signal.onabort = null;
  };
}

/** The body of an answer, as text or as an ArrayBuffer. What is longer than the limit is an error, or is cut off. */
async function read(response, type, limit, cuts) {
  if (type && type !== "text" && type !== "arraybuffer") throw new Error(`${type} is not supported.`);
  const isText = type !== "arraybuffer";
  const reader = response.body?.getReader?.();
  // Without a body, or in place of fetch's own a simpler answer that knows no streams.
  if (!reader) return isText ? response.text() : response.arrayBuffer();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length <= limit) continue;
    reader.cancel().catch(() => {});
    if (!cuts) throw new Error(`The server sent an answer of more than ${limit} bytes${RAISE}`);
    break;
  }
  const whole = concat(chunks);
  return isText ? textDecoder().decode(whole) : whole.buffer;
}
