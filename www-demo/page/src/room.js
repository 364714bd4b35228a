// The room: what a page needs of hubwire to take part in it.
// @ts-check
import {
  HubConnectionBuilder,
  initialize,
  LogLevel,
  MessagePackHubProtocol,
  parseClientToken,
  parseNegotiateResponse,
} from "hubwire";

/** The hub, by its path on the app server. */
const HUB = "chat";

export const PROTOCOL = new MessagePackHubProtocol();

/** When a lost connection is tried again, in milliseconds. */
export const RETRY_DELAYS = [0, 250, 500, 1000, 2000, 4000, 6000];

/** An error whose text is for the person in front of the page. */
export class RoomError extends Error {}

/** One stay in the room, from joining it to leaving it. */
export class Stay {
  #abort = new AbortController();
  #left = false;

  /**
   * `handlers` are those of the hub's events by their names; `onToken` and `onState` are told about the connection.
   * What the hub offers and calls is in `chat.d.ts`, which is made of the server's own description.
   *
   * @param {string} user
   * @param {{
   *   handlers: import("./chat.d.ts").ChatClient,
   *   onToken: (token: import("hubwire").ClientToken) => void,
   *   onState: (change: import("hubwire").HubConnectionStateChange) => void,
   * }} options
   */
  constructor(user, { handlers, onToken, onState }) {
    this.user = user;
    this.handlers = handlers;
    this.onToken = onToken;
    this.onState = onState;
  }

  /** Whether it was left on purpose. */
  get left() {
    return this.#left;
  }

  /** Resolves when connected. */
  async join() {
    await initialize();
    const first = await negotiate(this.user, this.#abort.signal);
    /** @type {string | undefined} */
    let next = first.accessToken;
    // Called for the first connect, and again when the token is close to its end or was refused.
    const accessTokenFactory = async () => {
      const accessToken = next ?? (await negotiate(this.user, this.#abort.signal)).accessToken;
      next = undefined;
      this.token = parseClientToken(accessToken);
      this.onToken(this.token);
      return accessToken;
    };
    /** @type {import("./chat.d.ts").ChatConnection} */
    const connection = new HubConnectionBuilder()
      .withUrl(first.url, { accessTokenFactory })
      // Files are bytes, which JSON could only carry as text.
      .withHubProtocol(PROTOCOL)
      .withAutomaticReconnect(RETRY_DELAYS)
      .configureLogging(LogLevel.None)
      .build();
    for (const [name, handler] of Object.entries(this.handlers)) {
      connection.on(/** @type {keyof import("./chat.d.ts").ChatClient} */ (name), handler);
    }
    connection.onstatechange(this.onState);
    this.connection = connection;
    await connection.start();
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

/** Asks the app server for trouble with a user's connections. */
export async function makeTrouble(user, trouble) {
  const body = JSON.stringify({ user, ...trouble });
  await request("trouble", { method: "POST", headers: { "content-type": "application/json" }, body });
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
