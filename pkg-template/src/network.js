// What a driver needs of the network: the requests that it makes itself, and its transports.
import { LONGEST_TIMER } from "./clock.js";
import { HttpTransportType } from "./enums.js";
import { shown } from "./errors.js";
import { requestHeaders } from "./headers.js";
import { textDecoder } from "./text.js";
import { LongPollingTransport, ServerSentEventsTransport, WebSocketTransport } from "./transports.js";

const { WebSockets, ServerSentEvents } = HttpTransportType;

/** A time limit as HTTP clients take it: 0 is without one. */
const limitOf = ({ timeout = 100_000 }) => (timeout <= LONGEST_TIMER ? timeout : 0);

/** The caller's headers, and the token. Credentials among them are for the hub's own server only. */
function headersOf({ settings, url: own }, url, token, more) {
  const isForeign = () => new URL(url).origin !== new URL(own).origin;
  const kept = Object.entries(settings.headers ?? {}).filter(([name]) => !(/^(authorization|cookie)$/i.test(name) && isForeign()));
  return requestHeaders({ ...Object.fromEntries(kept), ...more }, token);
}

/** What the server answers, perhaps by an error: the status, the text, and headers. An application's client may give anything. */
export async function post(driver, url, token, more, abortSignal) {
  const { settings, httpClient } = driver;
  const { withCredentials = true } = settings;
  const options = { content: "", headers: headersOf(driver, url, token, more), timeout: limitOf(settings), withCredentials };
  let answer;
  try {
    answer = await httpClient.post(url, { ...options, ...(abortSignal && { abortSignal }) });
  } catch (error) {
    if (error?.statusCode === undefined) throw error;
    answer = error;
  }
  const { statusCode, content, message = "", retryAfter, contentType, location } = answer;
  const reason = shown(message).replace(/: Status code '\d+'$/, "");
  const text = typeof content === "object" && content ? textDecoder().decode(content) : content || reason;
  return [Number(statusCode), ...[text, retryAfter, contentType, location].map((part) => (part == null ? undefined : shown(part)))];
}

/** The transport that the machine has chosen, or the application's own. */
export function makeTransport(driver, url, type, authorization) {
  const { settings, logger, httpClient } = driver;
  const { transport, WebSocket, EventSource, withCredentials = true, logMessageContent, maximumReceiveMessageSize } = settings;
  if (typeof transport === "object") return transport;
  const Transport = type === WebSockets ? WebSocketTransport : type === ServerSentEvents ? ServerSentEventsTransport : LongPollingTransport;
  const headers = headersOf(driver, url);
  const timeout = limitOf(settings);
  const logs = { logger, logMessageContent };
  return new Transport({ httpClient, headers, withCredentials, timeout, ...logs, maximumReceiveMessageSize, WebSocket, EventSource, authorization });
}
