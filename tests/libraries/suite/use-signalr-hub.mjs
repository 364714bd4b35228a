// use-signalr-hub: a hook that gives the connection, or null.
import assert from "node:assert/strict";
import { createElement, useEffect } from "react";
import { createRoot } from "react-dom/client";
import useSignalRHub from "use-signalr-hub/dist/useSignalRHub.js";
import { until } from "./world.mjs";

export default async function (hub) {
  const told = [];
  const heard = [];
  let connection;
  function Page() {
    const found = useSignalRHub(`${hub}/hub`, {
      automaticReconnect: [0, 100],
      onConnected: () => told.push("connected"),
      onReconnecting: () => told.push("reconnecting"),
      onReconnected: (id) => told.push(`reconnected ${typeof id}`),
      onDisconnected: (error) => told.push(`disconnected ${error}`),
    });
    useEffect(() => {
      if (!found) return undefined;
      connection = found;
      const listen = (text) => heard.push(text);
      found.on("Said", listen);
      return () => found.off("Said", listen);
    }, [found]);
    return null;
  }
  const root = createRoot(document.createElement("div"));
  root.render(createElement(Page));
  await until("connected", () => connection);
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.invoke("Push", "Said", ["first"]);
  await until("heard", () => heard.length === 1);

  await connection.send("Drop");
  await until("reconnected", () => told.includes("reconnected string"));
  await connection.invoke("Push", "Said", ["second"]);
  await until("heard again", () => heard.length === 2);

  root.unmount();
  await until("disconnected", () => told.includes("disconnected undefined"));
  assert.deepEqual(told, ["connected", "reconnecting", "reconnected string", "disconnected undefined"]);

  // A hub that is not there is an error of the hook's.
  const errors = [];
  function Broken() {
    useSignalRHub(`${hub}/nowhere`, { onError: (error) => errors.push(error) });
    return null;
  }
  const broken = createRoot(document.createElement("div"));
  broken.render(createElement(Broken));
  await until("refused", () => errors.length === 1);
  assert.ok(errors[0] instanceof Error);
  broken.unmount();
}
