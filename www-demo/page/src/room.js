// The room: what a page needs of hubwire to take part in it.
import { HubConnectionBuilder, initialize, LogLevel, parseClientToken, parseNegotiateResponse } from "hubwire";

/** The hub, by its path on the app server. */
const HUB = "chat";

/** An error whose text is for the person in front of the page. */
export class RoomError extends Error {}

/** One stay in the room, from joining it to leaving it. */
export class Stay {
  #abort = new AbortController();
  #left = false;

  constructor(user, { onMessage, onClock, onClosed }) {
    this.user = user;
    this.handlers = { onMessage, onClock, onClosed };
  }

  /** Whether it was left on purpose. */
  get left() {
    return this.#left;
  }

  /** Resolves when connected. What came to be known on the way stands in `token` and `connection`. */
  async join() {
    await initialize();
    const { url, accessToken } = await negotiate(this.user, this.#abort.signal);
    this.token = parseClientToken(accessToken);
    const connection = new HubConnectionBuilder()
      .withUrl(url, { accessTokenFactory: () => accessToken })
      .configureLogging(LogLevel.None)
      .build();
    connection.on("ReceiveMessage", this.handlers.onMessage);
    connection.on("Clock", this.handlers.onClock);
    connection.onclose((error) => this.handlers.onClosed(error));
    this.connection = connection;
    await connection.start();
  }

  /** Publishes a text: posted to the app server, which sends it to everybody through the service. */
  async say(text) {
    const body = JSON.stringify({ user: this.user, text });
    await request(`${HUB}/messages`, { method: "POST", headers: { "content-type": "application/json" }, body });
  }

  async leave() {
    this.#left = true;
    this.#abort.abort();
    await this.connection?.stop();
  }
}

async function negotiate(user, signal) {
  const query = new URLSearchParams({ user, negotiateVersion: "1" });
  const response = await request(`${HUB}/negotiate?${query}`, { method: "POST", signal });
  const answer = parseNegotiateResponse(await response.text());
  if (!answer.url || !answer.accessToken) throw new RoomError("The app server named no service to connect to.");
  return answer;
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RoomError("The app server does not answer. Start it with “cargo xtask demo”, then try again.");
  }
  if (response.ok) return response;
  const reason = (await response.text()).trim();
  throw new RoomError(reason || `The app server answered with status ${response.status}.`);
}
