// What the machine in the module is told and tells: its numbers, its settings, its errors.
import { HttpTransportType, LogLevel } from "./enums.js";
import { isNode } from "./headers.js";

const { WebSockets, ServerSentEvents, LongPolling } = HttpTransportType;

/** What it wants, in the order of its numbers; a greater one is the end. */
export const [TOKEN, REFRESH_TOKEN, NEGOTIATE, REFRESH, OPEN, CLOSE, CONNECTED, RESUMED, LOST, ASK, RECONNECTING, REFRESHED, NOT_REFRESHED] =
  Array(13).keys();

/**
 * What it is told, in the order of its numbers. Four have failed: negotiate, a refresh, opening the transport, the open
 * transport.
 */
export const [START, STOP, TIMEOUT, WAKE, OPENED, MALFORMED, OVERFLOW, RETRY, FRAME, ANSWERED, CANCEL, END_UPLOAD, LIMITS, NEGOTIATING, REFRESHING, OPENING, TRANSPORT, START_LOST] =
  Array(18).keys();

/** What a token is for, and what a message is. */
export const [TO_CONNECT, TO_REFRESH, TO_RENEW] = [0, 1, 2];
export const [SEND, INVOKE, STREAM, UPLOAD, ANSWER] = [0, 1, 2, 3, 4];

/** What a message means; what is not negative is a call that awaits an answer. */
export const [CALL, END, ITEM, NO_STREAM] = [-2, -3, -4, -5];

/** The settings of a connection, in the order of the machine's constructor. What is not set is false to it, or 0. */
export function settingsOf(settings) {
  const { transport } = settings;
  const isCustom = typeof transport === "object";
  const hasSockets = settings.WebSocket || typeof WebSocket === "function" || isNode();
  const hasStreams = settings.EventSource || typeof ReadableStream === "function";
  return [
    (!isCustom && transport) || WebSockets | ServerSentEvents | LongPolling,
    (hasSockets ? WebSockets : 0) | (hasStreams ? ServerSentEvents : 0) | LongPolling,
    isCustom,
    settings.skipNegotiation,
    settings.accessTokenFactory !== undefined,
    settings.reconnects,
    settings.retriesFirstConnect,
    settings.binary,
    settings.timeout ?? 100_000,
    settings.serverTimeoutInMilliseconds,
    settings.keepAliveIntervalInMilliseconds,
    settings.refreshLeadInMilliseconds ?? -1,
    settings.statefulBufferSize,
  ];
}

/** The text of an error, which is told in parts. */
export const textOf = ([, , , ...parts]) => parts.join("");

export function errorOf(told) {
  const [code, statusCode, innerErrors] = told;
  const inner = ([errorType, transport, ...own]) => Object.assign(new Error(own.join("")), { errorType: errorType || undefined, transport: transport || undefined });
  return Object.assign(
    new Error(textOf(told)),
    { code },
    statusCode !== undefined && { statusCode },
    innerErrors && { innerErrors: innerErrors.map(inner) },
  );
}

export const notConnected = () => errorOf(["InvalidState", undefined, undefined, "The connection has ended."]);

/** What a start is told that is stopped: applications look for these texts of the official client's. */
export const STOPPED = {
  negotiating: "The connection was stopped during negotiation.",
  opening: "Failed to start the HttpConnection before stop() was called.",
  shaking: "The connection was stopped before the hub handshake could complete.",
};

const UNSENDABLE = "Error: The access token has a character that a header cannot carry, such as a line end.";

/** The errors behind which there is one of the platform's, or of the application's. */
const NETWORK = ["Negotiate", "NoTransport", "AccessToken", "Timeout"];

/** An error with what the machine does not know of it: what it was told of as a text, and what a stop has interrupted. */
export function wholeError(told, failure, stopped) {
  const error = errorOf(told);
  // The very one that the transport gave.
  if (error.code === "Transport" && failure?.message === error.message) return failure.code ? failure : Object.assign(failure, { code: "Transport" });
  // The provider's own words; the machine has none of them.
  if (error.message.endsWith(": ")) error.message += failure === undefined ? UNSENDABLE : String(failure);
  if (error.code === "Stopped") error.message = stopped;
  // What Node.js tells of a request that failed stands in the cause only.
  else if (failure !== undefined && NETWORK.includes(error.code)) error.cause = failure;
  return error;
}

export function logLost(logger, told, failure) {
  const reason = told[0] !== "Stopped" && (told[0] === "Protocol" && typeof failure?.message === "string" ? failure.message : textOf(told));
  if (reason) logger.log(LogLevel.Error, `Connection disconnected with error 'Error: ${reason}'.`);
  else logger.log(LogLevel.Information, "Connection disconnected.");
}

/** Transports that were passed over, in the official client's words. */
export function logSkipped(logger, skipped) {
  for (const [type, , ...parts] of skipped) {
    const why = parts.join("");
    const [name] = /'[^']*'/.exec(why) ?? [];
    const failed = "Failed to start the transport '$1': ";
    if (type === "FailedToStartTransportError") logger.log(LogLevel.Error, why.replace(/^(\w+) failed: /, failed));
    else if (type === "DisabledTransportError") logger.log(LogLevel.Debug, `Skipping transport ${name} because it was disabled by the client.`);
    else logger.log(LogLevel.Debug, why.startsWith("Skipping") ? why : `Skipping transport ${name}: ${why}`);
  }
}
