// @dreamonkey/vue-signalr: a plugin, and a composable that takes its handlers off with the component.
import assert from "node:assert/strict";
import { HubConnectionBuilder } from "@microsoft/signalr";
import { useSignalR, VueSignalR } from "@dreamonkey/vue-signalr";
import { createApp, reactive, shallowRef } from "vue";
import { until } from "./world.mjs";

export default async function (hub) {
  const heard = [];
  const once = [];
  const failures = [];
  const told = [];
  const connection = new HubConnectionBuilder().withUrl(`${hub}/hub`).withAutomaticReconnect([0, 100]).build();
  connection.onreconnected(() => told.push("reconnected"));
  const service = shallowRef();
  const app = createApp({
    setup() {
      service.value = useSignalR();
      service.value.on("Said", (text) => heard.push(text));
      service.value.once("Said", (text) => once.push(text));
      return () => null;
    },
  });
  app.use(VueSignalR, { connection, failFn: (error) => failures.push(error) });
  app.mount(document.createElement("div"));
  // It waits for the connection.
  assert.equal(await service.value.invoke("Add", 1, 2), 3);
  await until("connected", () => service.value.connected.value);
  await service.value.invoke("Push", "Said", ["first"]);
  await until("heard", () => heard.length === 1);

  await connection.send("Drop");
  await until("reconnected", () => told.length === 1);
  await service.value.invoke("Push", "Said", ["second"]);
  await until("heard again", () => heard.length === 2);
  // What Vue makes of an object that is put into its state still has to work.
  assert.equal(await reactive(connection).invoke("Add", 2, 3), 5);
  app.unmount();
  await connection.stop();
  assert.deepEqual([heard, once[0], failures], [["first", "second"], "first", [undefined]]);
}
