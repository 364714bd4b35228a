// @ssv/signalr-client: observables of RxJS, and reconnects of its own.
import assert from "node:assert/strict";
import { HubConnectionFactory } from "@ssv/signalr-client";
import { firstValueFrom, take, toArray } from "rxjs";
import { until } from "./world.mjs";

export default async function (hub) {
  const factory = new HubConnectionFactory().create({
    key: "hub",
    endpointUri: `${hub}/ws`,
    options: { retry: { customStrategy: () => 10 } },
  });
  const connection = factory.get("hub");
  const states = [];
  connection.connectionState$.subscribe(({ status }) => states.push(status));
  const heard = [];
  await firstValueFrom(connection.connect(), { defaultValue: undefined });
  await until("connected", () => states.at(-1) === "connected");
  const listening = connection.on("Said").subscribe((text) => heard.push(text));
  assert.equal(await firstValueFrom(connection.invoke("Add", 1, 2)), 3);
  await firstValueFrom(connection.invoke("Push", "Said", ["first"]));
  await until("heard", () => heard.length === 1);
  // It does not end with the hub's stream: it would start again on another connection.
  assert.deepEqual(await firstValueFrom(connection.stream("Counter", 3, 0).pipe(take(3), toArray())), [0, 1, 2]);

  const { connectionId } = connection;
  // It comes back after an error only; nobody else is on this path.
  await fetch(`${hub}/cut?path=/ws`, { method: "POST" });
  await until("reconnected", () => connection.connectionState.status === "connected" && connection.connectionId !== connectionId);
  await firstValueFrom(connection.invoke("Push", "Said", ["second"]));
  await until("heard again", () => heard.length === 2);
  listening.unsubscribe();
  await firstValueFrom(connection.disconnect(), { defaultValue: undefined });
  await until("disconnected", () => states.at(-1) === "disconnected");
  assert.deepEqual(heard, ["first", "second"]);
}
