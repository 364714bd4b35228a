// The tokens of a connection: what its transports' requests carry and renew, and the refreshes that the application waits for.
import { TO_RENEW, errorOf, notConnected } from "./machine.js";

export class Authentication {
  #driver;
  /** The token that is being fetched in place of a rejected one. */
  #renewal;
  #refreshes = [];

  constructor(driver) {
    this.#driver = driver;
  }

  /** For a request that is made now. */
  token() {
    return this.#driver.machine?.linkToken();
  }

  /** Another token in place of a rejected one. */
  async renew(rejected) {
    const asks = this.#driver.machine?.rejected(rejected);
    if (!asks) return asks === undefined ? undefined : this.token();
    // Several requests may be rejected at once.
    this.#renewal ??= this.#renewOnce();
    return this.#renewal.finally(() => this.giveUp());
  }

  async #renewOnce() {
    const driver = this.#driver;
    const token = await driver.settings.accessTokenFactory();
    try {
      return driver.machine?.token(driver.clock.now(), Date.now(), TO_RENEW, token || undefined, false);
    } catch (error) {
      throw errorOf(error);
    }
  }

  giveUp() {
    this.#renewal = undefined;
  }

  /** Resolves when the server has taken a new token, with its lifetime. */
  refresh() {
    return new Promise((resolve, reject) => {
      const { machine, clock } = this.#driver;
      if (!machine) throw notConnected();
      const error = machine.refresh(clock.now());
      if (error) throw errorOf(error);
      this.#refreshes.push({ resolve, reject });
      this.#driver.later();
    });
  }

  /** A refresh has ended, with an error or without. */
  refreshed(error, lifetime) {
    for (const { resolve, reject } of this.#refreshes.splice(0)) {
      if (error) reject(error);
      else resolve(lifetime);
    }
  }
}
