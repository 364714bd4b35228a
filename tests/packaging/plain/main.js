import * as hubwire from "./node_modules/hubwire/src/index.js";
import * as slim from "./node_modules/hubwire/src/slim.js";
import { receive } from "./receive.js";
import { ask, show } from "./show.js";

show({
  page: (hub) => receive(hubwire, hub),
  background: (hub) => receive(hubwire, hub, (builder) => builder.withWorker()),
  worker: (hub) => ask(new Worker("worker.js", { type: "module" }), hub),
  slim: async (hub) => {
    await slim.initialize(fetch("node_modules/hubwire/hubwire.wasm"));
    return receive(slim, hub);
  },
  url: (hub) => receive(hubwire, hub, (builder) => builder.withWorker("node_modules/hubwire/worker.js")),
  service: async (hub) => {
    await navigator.serviceWorker.register("service-worker.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(`${data} in a service worker`); });
    active.postMessage(hub, [port2]);
    return answer;
  },
});
