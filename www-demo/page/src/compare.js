// Both clients on the same hub, with the same lines of code.
import * as official from "@microsoft/signalr";
import * as hubwire from "hubwire";
import { byId, bytes, milliseconds } from "./elements.js";
import { RETRY_DELAYS } from "./room.js";

const CONNECTS = 5;
const CALLS = 50;
const BURST = 500;

// Measured by the build of this page.
const SIZES = __SIZES__;

const sides = [
  { api: hubwire, size: SIZES.hubwire },
  { api: official, size: SIZES.official },
];
const says = byId("compare-says");
const [start, burst] = ["compare-start", "burst"].map(byId);

let user;

function show(row, side, text) {
  byId("compare").querySelector(`[data-row="${row}"]`).cells[1 + sides.indexOf(side)].textContent = text;
}

function build({ api }) {
  return new api.HubConnectionBuilder()
    .withUrl(`/chat?${new URLSearchParams({ user, role: "watcher" })}`)
    .withAutomaticReconnect(RETRY_DELAYS)
    .configureLogging(api.LogLevel.None)
    .build();
}

/** Makes a side's connection show what it hears. */
function watch(side, connection) {
  side.connection = connection;
  Object.assign(side, { chat: 0, ticks: 0, ordered: true });
  // Both count from when both are there.
  const both = () => sides.every(({ connection }) => connection?.state === "Connected");
  connection.on("ReceiveMessage", () => both() && show("chat", side, String((side.chat += 1))));
  connection.on("Tick", (number) => {
    side.ticks += 1;
    side.ordered &&= number === side.ticks;
    show("burst", side, `${side.ticks} of ${BURST}${side.ordered ? "" : ", out of order"}`);
  });
  for (const event of ["Clock", "Metrics", "Presence", "ReceiveFile", "ReceivePart"]) connection.on(event, () => {});
  show("state", side, "Connected");
  show("chat", side, "0");
  show("outage", side, "none yet");
  let lost;
  connection.onreconnecting(() => {
    lost = performance.now();
    show("state", side, "Reconnecting");
  });
  connection.onreconnected(() => {
    show("state", side, "Connected");
    show("outage", side, milliseconds(performance.now() - lost));
  });
  connection.onclose(() => {
    show("state", side, "Disconnected");
    if (side.connection === connection) burst.disabled = true;
  });
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

async function connectBoth() {
  start.disabled = true;
  await stopComparing();
  says.textContent = "Connecting each five times…";
  // A client loads what it needs before it is measured, and they take turns in coming first.
  await hubwire.initialize();
  const connects = new Map(sides.map((side) => [side, []]));
  const open = new Map();
  for (let round = 0; round < CONNECTS; round += 1) {
    for (const side of round % 2 ? sides.toReversed() : sides) {
      await open.get(side)?.stop();
      const connection = build(side);
      open.set(side, connection);
      const started = performance.now();
      await connection.start();
      connects.get(side).push(performance.now() - started);
    }
  }
  for (const side of sides) {
    watch(side, open.get(side));
    show("connect", side, milliseconds(median(connects.get(side))));
  }
  says.textContent = "Measuring round trips…";
  const calls = new Map(sides.map((side) => [side, []]));
  for (let round = 0; round < CALLS; round += 1) {
    for (const side of round % 2 ? sides.toReversed() : sides) {
      const called = performance.now();
      await side.connection.invoke("Echo", round);
      calls.get(side).push(performance.now() - called);
    }
  }
  for (const side of sides) show("call", side, milliseconds(median(calls.get(side))));
  says.textContent = "Both are connected.";
  start.textContent = "Again";
  burst.disabled = false;
}

async function sendBurst() {
  burst.disabled = true;
  for (const side of sides) Object.assign(side, { ticks: 0, ordered: true });
  says.textContent = "Sending…";
  await sides[0].connection.invoke("Burst", BURST);
  says.textContent = "Both were sent the same.";
  burst.disabled = false;
}

async function tried(work) {
  try {
    await work();
  } catch (error) {
    says.textContent = `That did not work: ${error.message}`;
  } finally {
    start.disabled = user === undefined;
  }
}

/** Ends both connections. */
export async function stopComparing() {
  const connections = sides.map(({ connection }) => connection);
  for (const side of sides) side.connection = undefined;
  burst.disabled = true;
  await Promise.all(connections.map((connection) => connection?.stop()));
}

/** The user whose connections they are; none if it is undefined. */
export function enableComparing(name) {
  user = name;
  start.disabled = name === undefined;
  if (name === undefined) void stopComparing();
}

export function setUpComparing() {
  for (const side of sides) show("size", side, bytes(side.size));
  start.addEventListener("click", () => void tried(connectBoth));
  burst.addEventListener("click", () => void tried(sendBurst));
}
