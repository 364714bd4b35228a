import * as hubwire from "hubwire";
import { receive } from "./receive.js";
import { ask, show } from "./show.js";

show({
  page: (hub) => receive(hubwire, hub),
  background: (hub) => receive(hubwire, hub, (builder) => builder.withWorker()),
  worker: (hub) => ask(new Worker(new URL("./worker.js", import.meta.url)), hub),
  slim: async (hub) => {
    const slim = await import("hubwire/slim");
    await slim.initialize(fetch(new URL("hubwire/hubwire.wasm", import.meta.url)));
    return receive(slim, hub);
  },
});
