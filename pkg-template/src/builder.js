// Describes a connection to a hub, and builds it.
import { HubConnection } from "./connection.js";
import { HttpTransportType, LogLevel, TransferFormat } from "./enums.js";
import { invalid } from "./errors.js";
import { hide } from "./hide.js";
import { JsonHubProtocol } from "./json.js";
import { createLogger } from "./logging.js";
import { absolute, byDelays, checkWorker, delay, httpOptions, report, required, retryPolicy, size, time, unknown } from "./options.js";

const DEFAULT_RETRY_DELAYS = [0, 2_000, 10_000, 30_000];
const DEFAULT_BUFFER_SIZE = 100_000;
const DEFAULT_REFRESH_LEAD = 300_000;

export class HubConnectionBuilder {
  constructor() {
    // What was set. The setters' names are those of `HubConnection` and of its settings.
    hide(this, { options: {}, unknown: [], settings: { refreshLeadInMilliseconds: DEFAULT_REFRESH_LEAD } });
  }

  withUrl(url, transportOrOptions) {
    const core = this._core();
    core.url = absolute(required(url, "url"));
    core.given = String(url);
    const isOptions = typeof transportOrOptions === "object";
    const [options, names] = httpOptions(isOptions ? (transportOrOptions ?? {}) : { transport: transportOrOptions });
    // What was set earlier stays, but for the transport that no argument leaves open.
    if (!isOptions) delete core.options.transport;
    Object.assign(core.options, options);
    core.unknown.push(...names);
    return this;
  }

  configureLogging(logging) {
    this._core().logger = createLogger(required(logging, "logging"));
    return this;
  }

  withHubProtocol(protocol) {
    const { name, transferFormat, parseMessages, writeMessage } = required(protocol, "protocol");
    if (typeof parseMessages !== "function" || typeof writeMessage !== "function") {
      throw invalid("A hub protocol has to have the methods 'parseMessages' and 'writeMessage'.");
    }
    if (typeof name !== "string" || TransferFormat[transferFormat] === undefined) {
      throw invalid("A hub protocol has to have a 'name', and a TransferFormat as 'transferFormat'.");
    }
    this._core().protocol = protocol;
    return this;
  }

  withAutomaticReconnect(retryDelaysOrPolicy) {
    const { settings } = this._core();
    if (settings.reconnectPolicy) throw invalid("A reconnectPolicy has already been set.");
    settings.reconnectPolicy = retryPolicy(retryDelaysOrPolicy || DEFAULT_RETRY_DELAYS);
    return this;
  }

  withFirstConnectRetry(retry) {
    this._core().settings.retriesFirstConnect = retry ?? true;
    return this;
  }

  withStatefulReconnect(options) {
    const core = this._core();
    core.settings.statefulBufferSize = size(options?.bufferSize ?? DEFAULT_BUFFER_SIZE, "bufferSize");
    core.unknown.push(...unknown(options, { bufferSize: 0 }));
    return this;
  }

  withAuthenticationRefresh(options) {
    const core = this._core();
    const name = "refreshBeforeExpirationInMilliseconds";
    const lead = delay(options?.[name] ?? DEFAULT_REFRESH_LEAD, name);
    core.unknown.push(...unknown(options, { [name]: 0, enableAutoRefresh: 0 }));
    core.settings.refreshLeadInMilliseconds = (options?.enableAutoRefresh ?? true) ? lead : undefined;
    return this;
  }

  withServerTimeout(milliseconds) {
    this._core().serverTimeout = time(required(milliseconds, "milliseconds"), "serverTimeoutInMilliseconds");
    return this;
  }

  withKeepAliveInterval(milliseconds) {
    this._core().keepAliveInterval = time(required(milliseconds, "milliseconds"), "keepAliveIntervalInMilliseconds");
    return this;
  }

  withWorker(worker) {
    const script = worker?.href ?? worker ?? null;
    if (script !== null && typeof script !== "string" && typeof script !== "function") {
      throw invalid("The worker has to be the URL of its script, or a function that makes it.");
    }
    this._core().settings.worker = script;
    return this;
  }

  build() {
    const { options, settings, url, protocol = new JsonHubProtocol(), serverTimeout, keepAliveInterval, ...core } = this._core();
    if (url === undefined) {
      throw invalid("The 'HubConnectionBuilder.withUrl' method must be called before building the connection.");
    }
    if (options.skipNegotiation && options.transport !== HttpTransportType.WebSockets) {
      throw invalid("Negotiation can only be skipped when using the WebSocket transport directly.");
    }
    if (settings.worker !== undefined) {
      if (!protocol.forWorker) {
        throw invalid("What 'withHubProtocol' was given cannot run in a worker: a custom hub protocol, or one with an 'extensionCodec'.");
      }
      checkWorker(options);
    }
    // In the official client one is for HTTP and transports, the other for the hub; each stands in for the other here.
    const logger = options.logger ?? core.logger ?? createLogger(LogLevel.Information);
    core.unknown.push(...(protocol.unknown ?? []));
    report(logger, { ...core, url });
    const { reconnectPolicy } = settings;
    const all = {
      ...options,
      ...settings,
      logger,
      reconnects: reconnectPolicy !== undefined,
      reconnectPolicy: reconnectPolicy ?? byDelays(DEFAULT_RETRY_DELAYS),
      retriesFirstConnect: settings.retriesFirstConnect ?? false,
    };
    const connection = new HubConnection(url, all, core.logger ?? logger, protocol);
    if (serverTimeout !== undefined) connection.serverTimeoutInMilliseconds = serverTimeout;
    if (keepAliveInterval !== undefined) connection.keepAliveIntervalInMilliseconds = keepAliveInterval;
    return connection;
  }
}
