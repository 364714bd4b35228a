import * as hubwire from "hubwire";
import * as slim from "hubwire/slim";
import { receive } from "./receive.js";
import { ask, show } from "./show.js";

show({
  page: (hub) => receive(hubwire, hub),
  background: (hub) => receive(hubwire, hub, (builder) => builder.withWorker()),
  worker: (hub) => ask(new Worker("dist/worker.js"), hub),
  slim: async (hub) => {
    await slim.initialize(fetch("hubwire.wasm"));
    return receive(slim, hub);
  },
});
