// Published libraries that import `@microsoft/signalr`, each with another range of its versions.
import { createService } from "@dreamonkey/vue-signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import { HubConnectionBuilder, signalMiddleware, VERSION, withCallbacks } from "redux-signalr";
import { receive } from "./receive.js";
import { show } from "./show.js";

const build = (hub) => new HubConnectionBuilder().withUrl(hub).configureLogging("none").build();

show({
  version: async () => `version ${VERSION}`,
  redux: (hub) =>
    new Promise((resolve) => {
      const connection = build(hub);
      const callbacks = withCallbacks().add("Clock", (time) => async () => {
        await connection.stop();
        resolve(`received ${time}`);
      });
      signalMiddleware({ callbacks, connection })({ dispatch() {}, getState() {} });
    }),
  vue: async (hub) => {
    const connection = build(hub);
    const service = createService({ connection });
    const message = new Promise((resolve) => service.on("Clock", resolve));
    await service.init();
    const time = await message;
    await connection.stop();
    return `received ${time}`;
  },
  messagepack: (hub) => receive({ HubConnectionBuilder }, hub, (builder) => builder.withHubProtocol(new MessagePackHubProtocol())),
});
