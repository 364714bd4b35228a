// The transports, with the interface, the texts and the log lines of the official client's. What they take is described at
// `Transport`.
import { LogLevel, TransferFormat } from "./enums.js";
import { AbortError, HttpError } from "./errors.js";
import { requestHeaders } from "./headers.js";
import { DefaultHttpClient, LIMIT, nodeOnly, RAISE } from "./http.js";
import { textDecoder, withoutQuery } from "./text.js";

/** A poll that nothing answers for so long is given up for a new one. Servers answer after 90 s at the latest. */
const POLL_TIMEOUT = 110_000;

/** How long the remaining messages may take to go out when a connection closes, and how long the DELETE after them. */
const CLOSE_TIMEOUT = 1000;

/** While so much waits in a WebSocket, in bytes, it gets no more; how often it is asked then, in milliseconds. */
const HIGH_WATER = 1024 * 1024;
const DRAIN_INTERVAL = 4;

/** Browsers refuse requests that outlive their page with more than 64 KiB between them. */
const OUTLIVES_PAGE_LIMIT = 16 * 1024;

const STICKY = "If you have multiple servers check that sticky sessions are enabled.";
const NO_WEB_SOCKET = `WebSocket failed to connect. The connection could not be found on the server, either the endpoint may not be a SignalR endpoint, the connection ID is not present on the server, or there is a proxy blocking WebSockets. ${STICKY}`;
const NO_EVENTS = `EventSource failed to connect. The connection could not be found on the server, either the connection ID is not present on the server, or a proxy is refusing/buffering the connection. ${STICKY}`;

const ignore = () => {};
const withParameter = (url, parameter) => `${url}${url.includes("?") ? "&" : "?"}${parameter}`;
const withToken = (url, token) => (token ? withParameter(url, `access_token=${encodeURIComponent(token)}`) : url);

function detail(data, includesContent) {
  const isText = typeof data === "string";
  const length = isText ? data.length : data.byteLength;
  let text = `${isText ? "String" : "Binary"} data of length ${length}`;
  if (includesContent) {
    const bytes = () => Array.from(data.buffer ? data : new Uint8Array(data), (byte) => `0x${byte.toString(16).padStart(2, "0")}`);
    text += `. Content: '${isText ? data : bytes().join(" ")}'`;
  }
  return `${text}.`;
}

/** Makes a request with the current token, and when the server rejects that, once more with another. */
async function authorized({ authorization }, request) {
  const token = await authorization.token();
  let failure;
  const answer = await request(token).catch((error) => {
    failure = error;
    return error;
  });
  if (answer?.statusCode === 401) {
    const other = await authorization.renew(token);
    if (other !== undefined) return request(other);
  }
  if (failure) throw failure;
  return answer;
}

/**
 * An `ITransport` of the official client. Its `io` has the connection's `httpClient`, `headers`, `withCredentials`, `timeout`,
 * `logger`, `logMessageContent`, `maximumReceiveMessageSize`, the constructors `WebSocket` and `EventSource` where the application gives its own, and
 * `authorization`: `token()`, `renew(rejected)` and `refresh()`.
 */
class Transport {
  onreceive = null;
  onclose = null;
  constructor(io) {
    this.io = io;
  }

  log(text, level = LogLevel.Trace) {
    this.io.logger.log(level, `(${this.label} transport) ${text}`);
  }

  /** Whether to put together what is logged of every message. */
  get traces() {
    return !(this.io.logger.minimum > LogLevel.Trace);
  }

  received(data) {
    if (data !== "" && this.traces) this.log(`data received. ${detail(data, this.io.logMessageContent)}`);
    this.onreceive?.(data);
  }

  /** The headers of a request; in Node.js with the cookies of the HTTP client, which does not send it. */
  headers(node, url, token) {
    const headers = requestHeaders(this.io.headers, token);
    return node ? node.withCookies(headers, this.io.httpClient.getCookieString(url)) : headers;
  }
}

export class WebSocketTransport extends Transport {
  label = "WebSockets";

  async connect(url) {
    this.log("Connecting.");
    this.isStopped = false;
    const node = await nodeOnly();
    const Socket = this.io.WebSocket ?? globalThis.WebSocket ?? (await (node && node.installedWebSocket()));
    if (!Socket) throw new Error("'WebSocket' is not supported in your environment.");
    await authorized(this.io, async (token) => {
      if (this.isStopped) throw new AbortError();
      await this.open(Socket, url.replace(/^http/i, "ws"), token, node);
    });
  }

  create(Socket, url, token, node) {
    if (node) {
      const headers = this.headers(node, url, token);
      // An application's own is called as the official client does. That of Node.js takes the headers in the second place, as
      // `ws` does; that of jsdom refuses them.
      if (this.io.WebSocket && this.io.WebSocket !== globalThis.WebSocket) return new Socket(url, undefined, { headers });
      try {
        return new Socket(url, { headers });
      } catch {
        // Then as in a browser.
      }
    }
    return new Socket(withToken(url, token));
  }

  open(Socket, url, token, node) {
    return new Promise((resolve, reject) => {
      let socket;
      try {
        socket = this.create(Socket, url, token, node);
      } catch {
        // The browser's own text names the whole URL with its token.
        reject(new Error("The WebSocket cannot be opened: the URL or a header is not valid, or the URL is http and the page's is https."));
        return;
      }
      let opened = false;
      const end = (error, abort) => {
        if (this.end !== end) return;
        this.end = undefined;
        // Not `null`: the package `ws` throws errors that nobody listens to.
        socket.onopen = socket.onmessage = socket.onerror = socket.onclose = ignore;
        this.drained?.();
        if (abort && socket.terminate) socket.terminate();
        else socket.close();
        this.log("socket closed.");
        if (opened) this.onclose?.(error);
        else reject(error ?? new AbortError());
      };
      this.end = end;
      this.socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this.io.logger.log(LogLevel.Information, `WebSocket connected to ${withoutQuery(url)}.`);
        opened = true;
        resolve();
      };
      socket.onmessage = ({ data }) => {
        try {
          this.received(data);
        } catch (error) {
          end(error);
        }
      };
      socket.onerror = ({ error, message }) => {
        this.log(`${error ?? "There was an error with the transport"}.`, LogLevel.Information);
        if (!opened) {
          end(notOpened(error, message));
          return;
        }
        // The event `close` knows more, but Node.js 20 to 22 have none after an error.
        setTimeout(() => end(error ?? new Error("There was an error with the transport.")));
      };
      socket.onclose = ({ code, reason, wasClean }) => {
        if (!opened) end(notOpened());
        else if (wasClean === false || code !== 1000) {
          const error = new Error(`WebSocket closed with status code: ${code} (${reason || "no reason given"}).`);
          end(Object.assign(error, { closeCode: code }));
        } else end();
      };
    });
  }

  /** Resolves once there is room for more. */
  async send(data) {
    if (this.socket?.readyState !== 1 || !this.end) throw new Error("WebSocket is not in the OPEN state");
    if (this.traces) this.log(`sending data. ${detail(data, this.io.logMessageContent)}`);
    this.socket.send(data);
    if (this.socket.bufferedAmount > HIGH_WATER) await (this.draining ??= this.drain(this.socket));
  }

  /** There is no event for it. */
  async drain(socket) {
    while (this.end && socket === this.socket && socket.bufferedAmount > HIGH_WATER) {
      await new Promise((resolve) => {
        this.drained = resolve;
        setTimeout(resolve, DRAIN_INTERVAL);
      });
    }
    this.draining = undefined;
  }

  async stop(abort) {
    this.isStopped = true;
    this.end?.(undefined, abort);
  }
}

function notOpened(cause, message) {
  const error = new Error(NO_WEB_SOCKET, cause && { cause });
  // The package `ws` tells it in its error's text only.
  const status = /server response: (\d{3})/.exec(message)?.[1];
  if (status) error.statusCode = Number(status);
  return error;
}

/** Waits for a promise, whichever way it ends, but not for longer. */
export const within = (milliseconds, promise) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    promise.then(done, done);
  });

/** Messages go as POSTs, one at a time: they would get out of order otherwise. How they come differs. */
class HttpTransport extends Transport {
  sending = Promise.resolve();
  isOpen = false;

  async connect(url, transferFormat) {
    this.log("Connecting.");
    this.url = url;
    this.abort = new AbortController();
    this.isClosing = false;
    this.stopping = undefined;
    const { signal } = this.abort;
    try {
      await this.open(url, transferFormat, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    if (signal.aborted) throw new AbortError();
    this.isOpen = true;
    this.receiving = this.run(signal);
  }

  async run(signal) {
    let error;
    try {
      // What comes has to find a caller that knows that the connection is open.
      await new Promise((resolve) => setTimeout(resolve));
      await this.receive(signal);
    } catch (failure) {
      error = failure;
    }
    if (!signal.aborted) this.finish(error);
  }

  finish(error) {
    this.isOpen = false;
    this.abort.abort();
    this.resume();
    this.onclose?.(error);
  }

  /** While paused nothing is read and nothing is handed on. */
  pause() {
    this.paused ??= new Promise((resolve) => {
      this.unpause = resolve;
    });
  }

  resume() {
    this.paused = undefined;
    this.unpause?.();
  }

  stop(abort) {
    this.stopping ??= this.close(abort);
    return this.stopping;
  }

  async close(abort) {
    this.isClosing = true;
    if (this.isOpen && !abort) await within(CLOSE_TIMEOUT, this.sending);
    const wasOpen = this.isOpen;
    this.isOpen = false;
    this.abort?.abort();
    this.resume();
    // The connection may have ended by itself meanwhile, or has never opened.
    if (!wasOpen) return;
    await within(CLOSE_TIMEOUT, this.receiving);
    await this.goodbye?.();
    this.finish();
  }

  /** A request by the HTTP client with the current token. */
  request(method, url, options) {
    const { httpClient, headers, withCredentials } = this.io;
    return authorized(this.io, async (token) => {
      const response = await httpClient[method](url, { headers: requestHeaders(headers, token), withCredentials, ...options });
      const { statusCode, statusText, contentType, content } = response;
      // Then somebody else has answered.
      if (/^\s*(text\/html|application\/xhtml\+xml)\b/i.test(contentType) && (content?.byteLength ?? content?.length)) {
        throw new HttpError("The answer is a web page (text/html); is a login or a proxy in between?", statusCode);
      }
      if (statusCode < 200 || statusCode > 299) {
        this.log(`Unexpected response code: ${statusCode}.`, LogLevel.Error);
        throw Object.assign(new HttpError(statusText ?? "", statusCode), { content });
      }
      return response;
    });
  }

  send(data) {
    const sent = this.sending.then(() => this.post(data));
    this.sending = sent.catch(ignore);
    return sent;
  }

  async post(data) {
    if (!this.isOpen) throw new Error("Cannot send until the transport is connected");
    if (this.traces) this.log(`sending data. ${detail(data, this.io.logMessageContent)}`);
    const isText = typeof data === "string";
    // An application's HTTP client knows no other binary data than an ArrayBuffer.
    const content = data.buffer?.slice(data.byteOffset, data.byteOffset + data.byteLength) ?? data;
    const { statusCode } = await this.request("post", this.url, {
      content,
      responseType: isText ? "text" : "arraybuffer",
      timeout: this.io.timeout,
      abortSignal: this.abort.signal,
      keepalive: this.isClosing && (content.length ?? content.byteLength) <= OUTLIVES_PAGE_LIMIT,
    });
    this.log(`request complete. Response status: ${statusCode}.`);
  }
}

/** Reads the data of the events out of a stream (HTML, 9.2.6) that may be cut anywhere. */
export function eventReader(limit = LIMIT) {
  let line = "";
  let data;
  let afterReturn = false;
  return (text) => {
    const events = [];
    // It belongs to the end of the line before.
    if (afterReturn && text.startsWith("\n")) text = text.slice(1);
    else if (!text) return events;
    afterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n?|\n/);
    lines[0] = line + lines[0];
    line = lines.pop();
    for (const whole of lines) {
      const start = /^data(?:: ?|$)/.exec(whole)?.[0];
      if (start !== undefined) data = `${data ?? ""}\n${whole.slice(start.length)}`;
      else if (!whole && data !== undefined) {
        events.push(data.slice(1));
        data = undefined;
      }
    }
    if (line.length + (data?.length ?? 0) > limit) throw new Error(`The server sent an event of more than ${limit} characters${RAISE}`);
    return events;
  };
}

/** Messages come as the events of one endless answer. Text only. */
export class ServerSentEventsTransport extends HttpTransport {
  label = "SSE";

  async open(url, transferFormat, signal) {
    if (transferFormat !== TransferFormat.Text) {
      throw new Error("The Server-Sent Events transport only supports the 'Text' transfer format");
    }
    await (this.io.EventSource ? this.openSource(url, signal) : this.openStream(url, signal));
    this.io.logger.log(LogLevel.Information, `SSE connected to ${withoutQuery(url)}`);
  }

  async openStream(url, abortSignal) {
    const { httpClient, withCredentials, logger } = this.io;
    // An application's HTTP client reads whole answers only.
    const client = httpClient.open ? httpClient : new DefaultHttpClient(logger);
    const node = await nodeOnly();
    const { response } = await authorized(this.io, async (token) => {
      const headers = { ...this.headers(node, url, token), Accept: "text/event-stream" };
      const answer = await client.open({ method: "GET", url, headers, withCredentials, abortSignal });
      return { statusCode: answer.status, response: answer };
    });
    const { status } = response;
    const type = response.headers.get("Content-Type");
    if (status !== 200 || (type && !/^\s*text\/event-stream\s*(;|$)/i.test(type))) {
      response.body?.cancel().catch(ignore);
      const reason = status === 200 ? `The answer is of the type ${type.slice(0, 80)}.` : `The answer has the status ${status}.`;
      throw Object.assign(new Error(`${NO_EVENTS} ${reason}`), { statusCode: status });
    }
    const reader = response.body.getReader();
    this.receive = (signal) => this.readStream(reader, signal);
  }

  async readStream(reader, signal) {
    const decoder = textDecoder();
    const feed = eventReader(this.io.maximumReceiveMessageSize);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = feed(decoder.decode(value, { stream: true }));
      // A comment, or a part of an event: a sign of life.
      if (!events.length) events.push("");
      for (const event of events) {
        if (this.paused) await this.paused;
        if (signal.aborted) return;
        this.received(event);
      }
    }
  }

  /** As the official client does. */
  async openSource(url, signal) {
    const { EventSource, withCredentials, authorization } = this.io;
    const token = await authorization.token();
    const node = await nodeOnly();
    const options = node && { headers: this.headers(node, url) };
    if (signal.aborted) return;
    const source = new EventSource(withToken(url, token), { withCredentials, ...options });
    const ended = new Promise((end, fail) => {
      source.onmessage = ({ data }) => {
        try {
          this.received(data);
        } catch (error) {
          fail(error);
        }
      };
      // It would try again by itself.
      source.onerror = () => end();
      signal.addEventListener("abort", () => end());
    }).finally(() => source.close());
    ended.catch(ignore);
    this.receive = () => ended;
    const opened = new Promise((resolve) => {
      source.onopen = () => resolve(true);
    });
    if (!(await Promise.race([opened, ended]))) throw new Error(NO_EVENTS);
  }
}

// The official client's has another prototype, or no name.
const isTimeout = (error) => error?.name === "TimeoutError" || error?.message === "A timeout occurred.";

/** Messages come as the answers to one GET after the other. */
export class LongPollingTransport extends HttpTransport {
  label = "LongPolling";

  /** The server answers the first poll at once, and without a message. */
  async open(_url, transferFormat, signal) {
    this.format = transferFormat === TransferFormat.Binary && { responseType: "arraybuffer" };
    const first = await this.poll(signal);
    if (first.statusCode !== 200) throw new HttpError(first.statusText ?? "", first.statusCode);
    this.receive = () => this.pollOn(first, signal);
  }

  poll(abortSignal) {
    // No cache on the way may answer in the server's place.
    const url = withParameter(this.url, `_=${Date.now()}`);
    this.log(`polling: ${withoutQuery(url)}.`);
    return this.request("get", url, { abortSignal, timeout: POLL_TIMEOUT, ...this.format });
  }

  async pollOn(response, signal) {
    let isFirst = true;
    let refreshed = false;
    for (;;) {
      await this.paused;
      if (signal.aborted) break;
      if (response?.statusCode === 204) {
        this.log("Poll terminated by server.", LogLevel.Information);
        break;
      }
      const content = response?.content;
      if (content?.byteLength ?? content?.length) this.received(content);
      else if (!isFirst && !refreshed) this.log("Poll timed out, reissuing.");
      isFirst = false;
      try {
        response = await this.poll(signal);
        refreshed = false;
      } catch (error) {
        response = undefined;
        if (signal.aborted) {
          this.log(`Poll errored after shutdown: ${error.message}`);
          break;
        }
        // .NET 11: `{"error":"authentication_refresh_required"}`.
        const asks = /"error"\s*:\s*"authentication_refresh_required"/.test(error?.content ?? error?.message);
        if (error?.statusCode === 409 && asks && !refreshed) {
          await this.io.authorization.refresh();
          refreshed = true;
        } else if (!isTimeout(error)) throw error;
        else refreshed = false;
      }
    }
    this.log("Polling complete.");
  }

  async goodbye() {
    this.log(`sending DELETE request to ${withoutQuery(this.url)}.`);
    const goodbye = this.request("delete", this.url, { timeout: CLOSE_TIMEOUT, keepalive: true }).then(
      () => this.log("DELETE request accepted."),
      (error) =>
        this.log(
          error?.statusCode === 404
            ? "A 404 response was returned from sending a DELETE request."
            : `Error sending a DELETE request: ${error}`,
        ),
    );
    await within(CLOSE_TIMEOUT, goodbye);
    this.log("Stop finished.");
  }

  close(abort) {
    this.log("Stopping polling.");
    return super.close(abort);
  }

  finish(error) {
    this.log(`Firing onclose event.${error ? ` Error: ${error}` : ""}`);
    super.finish(error);
  }
}
