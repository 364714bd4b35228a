// Vue apps that keep their connections in different ways, and render what they receive.
import { HubConnectionBuilder } from "hubwire";
import { createApp, h, reactive, ref, watchEffect } from "vue";
import { show } from "./show.js";

/** An app which keeps its connection in this way, and gives what it received once it has rendered that. */
const app = (hub, keep) =>
  new Promise((resolve, reject) => {
    createApp({
      setup() {
        const received = ref("");
        const connection = keep(new HubConnectionBuilder().withUrl(hub).configureLogging("none").build());
        connection.on("Clock", (time) => {
          received.value ||= `received ${time}`;
        });
        connection.start().catch(reject);
        watchEffect(() => received.value && connection.stop().then(() => resolve(document.body.innerText.trim()), reject), { flush: "post" });
        return () => h("p", received.value);
      },
    }).mount("#app");
  });

show({
  plain: (hub) => app(hub, (connection) => connection),
  ref: (hub) => app(hub, (connection) => ref(connection).value),
  reactive: (hub) => app(hub, (connection) => reactive({ connection }).connection),
});
