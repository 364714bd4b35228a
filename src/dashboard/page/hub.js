// The connection to the dashboard's hub. It is made again whenever it is lost, for as long as the page is open.
import { HubConnectionBuilder, LogLevel } from "hubwire";

const RETRY_DELAYS = [0, 500, 1000, 2000];
const SLOW_RETRY = 3000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What the service says of a call that failed, without what a SignalR client puts before it. */
export const reason = (error) => (error?.message ?? String(error)).replace(/^An unexpected error occurred invoking .*?HubException: /s, "");

const listeners = { state: [], info: [], watch: [] };
const tell = (event, ...what) => listeners[event].forEach((listener) => listener(...what));

/** `state`: what the connection is in, and why; `info`: what the service is; `watch`: what has changed. */
export const on = (event, listener) => listeners[event].push(listener);

const connection = new HubConnectionBuilder()
  .withUrl(new URL("hub", document.baseURI).href)
  .withAutomaticReconnect({
    nextRetryDelayInMilliseconds({ previousRetryCount, retryReason }) {
      tell("state", "Reconnecting", retryReason);
      return RETRY_DELAYS[previousRetryCount] ?? SLOW_RETRY;
    },
  })
  .withFirstConnectRetry()
  // What goes wrong is shown in the page.
  .configureLogging(LogLevel.None)
  .build();

/** Calls a method of the hub. */
export const call = (method, ...args) => connection.invoke(method, ...args);

/** Follows the service for as long as this connection lasts. */
async function follow() {
  const { connectionId } = connection;
  const lasts = () => connection.state === "Connected" && connection.connectionId === connectionId;
  while (lasts()) {
    try {
      tell("info", await call("Info"));
      tell("state", "Connected");
      for await (const item of connection.stream("Watch")) tell("watch", item);
    } catch (error) {
      // A lost connection is told of by itself. This is a service that failed, or that has cut a page that was too slow.
      if (lasts()) tell("state", "Reconnecting", error);
    }
    if (lasts()) await pause(SLOW_RETRY);
  }
}

/** Connects, and never gives up. */
export async function connect() {
  let ended;
  connection.onclose((error) => ended(error));
  connection.onreconnecting((error) => tell("state", "Reconnecting", error));
  connection.onreconnected(() => void follow());
  for (;;) {
    const end = new Promise((resolve) => (ended = resolve));
    try {
      await connection.start();
      void follow();
      // A service that stops says that its clients should not come back by themselves; this page does.
      tell("state", "Reconnecting", await end);
    } catch (error) {
      tell("state", "Reconnecting", error);
    }
    await pause(RETRY_DELAYS[1]);
  }
}
