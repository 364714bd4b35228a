// Describes a connection to a hub, and builds it.
import { HubConnection } from "./connection.js";
import { HttpTransportType, LogLevel } from "./enums.js";
import { invalid } from "./errors.js";
import { JsonHubProtocol } from "./json.js";
import { createLogger } from "./logging.js";

const OPTIONS = [
  "accessTokenFactory",
  "headers",
  "logger",
  "logMessageContent",
  "skipNegotiation",
  "timeout",
  "transport",
  "withCredentials",
];
const DEFAULT_RETRY_DELAYS = [0, 2_000, 10_000, 30_000];
const DEFAULT_BUFFER_SIZE = 100_000;
const DEFAULT_REFRESH_LEAD = 300_000;

export class HubConnectionBuilder {
  #url;
  #options = {};
  #logger;
  #protocol = new JsonHubProtocol();
  #reconnectPolicy;
  #retriesFirstConnect = false;
  #statefulBufferSize;
  #refreshLead = DEFAULT_REFRESH_LEAD;
  #serverTimeout;
  #keepAliveInterval;
  #worker;

  withUrl(url, transportOrOptions = {}) {
    if (typeof url !== "string" || url === "") throw invalid("The URL of the hub has to be a text that is not empty.");
    const options = typeof transportOrOptions === "number" ? { transport: transportOrOptions } : transportOrOptions;
    check(options);
    this.#url = url;
    this.#options = options;
    return this;
  }

  configureLogging(logging) {
    this.#logger = createLogger(logging);
    return this;
  }

  withHubProtocol(protocol) {
    if (typeof protocol?.parseMessages !== "function" || typeof protocol.writeMessage !== "function") {
      throw invalid("A hub protocol has to have the methods 'parseMessages' and 'writeMessage'.");
    }
    this.#protocol = protocol;
    return this;
  }

  withAutomaticReconnect(delaysOrPolicy = DEFAULT_RETRY_DELAYS) {
    if (this.#reconnectPolicy) throw invalid("A reconnectPolicy has already been set.");
    this.#reconnectPolicy = Array.isArray(delaysOrPolicy) ? byDelays(delaysOrPolicy) : delaysOrPolicy;
    if (typeof this.#reconnectPolicy?.nextRetryDelayInMilliseconds !== "function") {
      throw invalid("A retry policy has to have the method 'nextRetryDelayInMilliseconds'.");
    }
    return this;
  }

  withFirstConnectRetry(retry = true) {
    this.#retriesFirstConnect = retry;
    return this;
  }

  withStatefulReconnect({ bufferSize = DEFAULT_BUFFER_SIZE } = {}) {
    if (!(bufferSize > 0)) throw invalid("The option 'bufferSize' has to be more than 0 bytes.");
    this.#statefulBufferSize = bufferSize;
    return this;
  }

  withAuthenticationRefresh({
    enableAutoRefresh = true,
    refreshBeforeExpirationInMilliseconds = DEFAULT_REFRESH_LEAD,
  } = {}) {
    this.#refreshLead = enableAutoRefresh ? refreshBeforeExpirationInMilliseconds : undefined;
    return this;
  }

  withServerTimeout(milliseconds) {
    this.#serverTimeout = milliseconds;
    return this;
  }

  withKeepAliveInterval(milliseconds) {
    this.#keepAliveInterval = milliseconds;
    return this;
  }

  withWorker(worker = null) {
    const isKnown = worker === null || worker instanceof URL || ["string", "function"].includes(typeof worker);
    if (!isKnown) throw invalid("The worker has to be the URL of its script, or a function that makes it.");
    this.#worker = worker instanceof URL ? worker.href : worker;
    return this;
  }

  build() {
    if (this.#url === undefined) {
      throw invalid("The 'HubConnectionBuilder.withUrl' method must be called before building the connection.");
    }
    if (this.#worker !== undefined && !this.#protocol.forWorker) {
      throw invalid("A custom hub protocol or extension codec cannot run in a worker.");
    }
    const { logger = LogLevel.Information, ...options } = this.#options;
    const settings = {
      ...options,
      reconnects: this.#reconnectPolicy !== undefined,
      reconnectPolicy: this.#reconnectPolicy ?? byDelays(DEFAULT_RETRY_DELAYS),
      retriesFirstConnect: this.#retriesFirstConnect,
      statefulBufferSize: this.#statefulBufferSize,
      refreshLeadInMilliseconds: this.#refreshLead,
      worker: this.#worker,
    };
    const connection = new HubConnection(this.#url, settings, this.#logger ?? createLogger(logger), this.#protocol);
    if (this.#serverTimeout !== undefined) connection.serverTimeoutInMilliseconds = this.#serverTimeout;
    if (this.#keepAliveInterval !== undefined) connection.keepAliveIntervalInMilliseconds = this.#keepAliveInterval;
    return connection;
  }
}

/** One attempt after each delay, later if the server asks for more time (`Retry-After`). */
function byDelays(delays) {
  return {
    nextRetryDelayInMilliseconds({ previousRetryCount, retryAfterMilliseconds }) {
      return previousRetryCount < delays.length ? Math.max(delays[previousRetryCount] ?? 0, retryAfterMilliseconds) : null;
    },
  };
}

// An unknown option is refused: that it has no effect would be noticed only much later.
function check(options) {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) throw invalid(`The option '${name}' is not known.`);
  }
  const { accessTokenFactory, headers, skipNegotiation, timeout, transport, withCredentials } = options;
  const is = (value, type) => value === undefined || typeof value === type;
  if (!is(accessTokenFactory, "function")) throw invalid("The option 'accessTokenFactory' has to be a function.");
  if (!is(headers, "object")) throw invalid("The option 'headers' has to be an object.");
  if (!is(skipNegotiation, "boolean")) throw invalid("The option 'skipNegotiation' has to be true or false.");
  if (!is(withCredentials, "boolean")) throw invalid("The option 'withCredentials' has to be true or false.");
  if (timeout !== undefined && !(timeout > 0)) throw invalid("The option 'timeout' has to be more than 0 milliseconds.");
  if (transport !== undefined && !(Number.isInteger(transport) && transport >= 0 && transport <= 7)) {
    throw invalid("The option 'transport' has to be an HttpTransportType, or several of them joined by '|'.");
  }
  if (skipNegotiation && transport !== HttpTransportType.WebSockets) {
    throw invalid("Negotiation can only be skipped when using the WebSocket transport directly.");
  }
}
