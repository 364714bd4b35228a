import * as hubwire from "hubwire";

/** The same package, with every connection in a worker. */
class HubConnectionBuilder extends hubwire.HubConnectionBuilder {
  constructor() {
    super();
    this.withWorker();
  }
}

export const library = { signalr: { ...hubwire, HubConnectionBuilder }, messagePack: () => new hubwire.MessagePackHubProtocol() };
