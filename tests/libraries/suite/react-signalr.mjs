// react-signalr: a context with a provider, and a hook for what the hub sends.
import assert from "node:assert/strict";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { createSignalRContext } from "react-signalr/signalr.js";
import { until } from "./world.mjs";

export default async function (hub) {
  const told = [];
  const heard = [];
  const { Provider, useSignalREffect, ...context } = createSignalRContext();
  let connection;
  function Listener() {
    useSignalREffect("Said", (text) => heard.push(text));
    return null;
  }
  const root = createRoot(document.createElement("div"));
  root.render(createElement(Provider, {
    url: `${hub}/hub`,
    automaticReconnect: [0, 100],
    onOpen: (opened) => { connection = opened; },
    onReconnect: () => told.push("reconnected"),
    onError: () => told.push("error"),
    onClosed: (error) => told.push(`closed ${error}`),
  }, createElement(Listener)));
  await until("open", () => connection);
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.invoke("Push", "Said", ["first"]);
  await until("heard", () => heard.length === 1);

  await connection.send("Drop");
  await until("reconnected", () => told.includes("reconnected"));
  await connection.invoke("Push", "Said", ["second"]);
  await until("heard again", () => heard.length === 2);
  assert.deepEqual([heard, context.shareConnectionBetweenTab], [["first", "second"], false]);

  root.unmount();
  await until("closed", () => connection.state === "Disconnected");
  assert.deepEqual(told, ["error", "reconnected", "closed undefined"]);
}
