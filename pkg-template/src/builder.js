import { HubConnection } from "./connection.js";
import { HttpTransportType, LogLevel } from "./enums.js";
import { invalid } from "./errors.js";
import { createLogger } from "./logging.js";

const OPTIONS = ["accessTokenFactory", "headers", "skipNegotiation", "timeout", "transport", "withCredentials"];

export class HubConnectionBuilder {
  #url;
  #options = {};
  #logger;
  #serverTimeout;
  #keepAliveInterval;

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

  withServerTimeout(milliseconds) {
    this.#serverTimeout = milliseconds;
    return this;
  }

  withKeepAliveInterval(milliseconds) {
    this.#keepAliveInterval = milliseconds;
    return this;
  }

  build() {
    if (this.#url === undefined) {
      throw invalid("The 'HubConnectionBuilder.withUrl' method must be called before building the connection.");
    }
    const logger = this.#logger ?? createLogger(LogLevel.Information);
    const connection = new HubConnection(this.#url, { ...this.#options }, logger);
    if (this.#serverTimeout !== undefined) connection.serverTimeoutInMilliseconds = this.#serverTimeout;
    if (this.#keepAliveInterval !== undefined) connection.keepAliveIntervalInMilliseconds = this.#keepAliveInterval;
    return connection;
  }
}

// An option that means nothing here is refused: it would be missed only much later.
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
