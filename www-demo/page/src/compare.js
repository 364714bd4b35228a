// Both clients on the same hub, with the same lines of code.
import * as official from "@microsoft/signalr";
import * as hubwire from "hubwire";
import { byId, bytes, microseconds, milliseconds } from "../../../src/dashboard/look/elements.js";
import { showFeatures } from "./features.js";
import { alone, byTurns, median } from "./measure.js";
import { makeTrouble, RETRY_DELAYS } from "./room.js";

const BURST = 500;
const OUTAGE = 1000;
const NOISE = 1.15;
const RECEIVED = { messages: 2000, rounds: 10 };
// Measured by the build of this page.
const CLIENTS = __CLIENTS__;

const sides = [
  { name: "hubwire", api: hubwire, facts: CLIENTS.hubwire },
  { name: "official", api: official, facts: CLIENTS.official },
];
const says = byId("compare-says");
const [start, burst, progress] = ["compare-start", "burst", "compare-progress"].map(byId);

let user;
/** The run that measures; another one, or leaving, takes its place. */
let current;

const rowOf = (name) => byId("compare").querySelector(`[data-row="${name}"]`);

function show(row, side, text) {
  rowOf(row).cells[1 + sides.indexOf(side)].textContent = text;
}

/** Shows a figure of which less is better, and what follows from it. */
function showBoth(row, values, inWords, note) {
  sides.forEach((side, index) => show(row, side, inWords(values[index])));
  rowOf(row).querySelector(".verdict").textContent = [note, verdict(values)].filter(Boolean).join("; ");
}

/** What hubwire takes of what the official client takes. What two runs differ by is not a difference. */
function verdict([ours, theirs]) {
  const part = ours / theirs;
  if (!Number.isFinite(part) || part === 0) return "";
  if (part > 1 / NOISE && part < NOISE) return "about the same";
  if (part < 1) return `hubwire: ${Math.round((1 - part) * 100)} % less`;
  return part < 2 ? `hubwire: ${Math.round((part - 1) * 100)} % more` : `hubwire: ${part.toFixed(1)} times as much`;
}

const hubOf = (name) => `/chat?${new URLSearchParams({ user: name, role: "watcher" })}`;

function builder({ api }, name = user) {
  return new api.HubConnectionBuilder()
    .withUrl(hubOf(name))
    .withAutomaticReconnect(RETRY_DELAYS)
    .configureLogging(api.LogLevel.None);
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
    progress.value = Math.min(...sides.map(({ ticks }) => ticks)) / BURST;
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

/** What is measured one after the other: what is said meanwhile, the row, and how. */
const STEPS = [
  {
    says: "Starting each from nothing",
    row: "cold",
    rounds: 3,
    seconds: 3,
    measure: async ({ name }) => (await alone(name, { hub: new URL(hubOf(user), location.href).href })).connected,
  },
  {
    says: "Connecting each",
    row: "connect",
    rounds: 5,
    seconds: 3,
    async measure(side, _round, open) {
      await open.get(side)?.stop();
      const connection = builder(side).build();
      open.set(side, connection);
      const started = performance.now();
      await connection.start();
      return performance.now() - started;
    },
  },
  {
    says: "Measuring round trips",
    row: "call",
    rounds: 50,
    seconds: 4,
    async measure(side, round, open) {
      const called = performance.now();
      await open.get(side).invoke("Echo", round);
      return performance.now() - called;
    },
  },
  {
    says: "Receiving without a network",
    row: "thread",
    rounds: 3,
    seconds: 3,
    inWords: microseconds,
    // What else the machine does only makes it longer.
    sum: (values) => Math.min(...values),
    note: (rounds) => `best of ${rounds * RECEIVED.rounds} times ${RECEIVED.messages}`,
    measure: async ({ name }) => (await alone(name, RECEIVED)).took,
  },
];

async function connectBoth() {
  start.disabled = true;
  await stopComparing();
  const run = (current = Symbol("run"));
  const open = new Map();
  progress.hidden = false;
  try {
    await hubwire.initialize();
    for (const [index, step] of STEPS.entries()) {
      await measure(step, index, open, () => current === run);
    }
    await startInAnOutage();
    stillIn(current === run);
    for (const side of sides) watch(side, open.get(side));
    open.clear();
  } finally {
    progress.hidden = true;
    // What a run that was called off has opened.
    await Promise.allSettled([...open.values()].map((connection) => connection.stop()));
  }
  says.textContent = "Both are connected.";
  start.textContent = "Again";
  burst.disabled = false;
}

function stillIn(is) {
  if (!is) throw new Error("you have left.");
}

async function measure(step, index, open, isCurrent) {
  const { row, rounds, seconds, inWords = milliseconds, sum = median, note = (count) => `median of ${count}` } = step;
  says.textContent = `${step.says}…`;
  progress.value = index / (STEPS.length + 1);
  const one = async (side, round) => {
    stillIn(isCurrent());
    return step.measure(side, round, open);
  };
  const onRound = (count, values) => {
    progress.value = (index + count / rounds) / (STEPS.length + 1);
    byId("compare-count").textContent = `${count} of ${rounds}`;
    showBoth(row, sides.map((side) => sum(values.get(side))), inWords, note(count));
  };
  await byTurns(sides, one, { rounds, seconds, onRound });
  byId("compare-count").textContent = "";
}

/** Starts both while the service takes no connections, as somebody whose network is troubled apart from the user's. */
async function startInAnOutage() {
  says.textContent = "Starting in an outage…";
  progress.value = STEPS.length / (STEPS.length + 1);
  const somebody = `${user.slice(0, 30)} (trial)`;
  // The proxy knows somebody from their first connection on.
  const first = builder(sides[0], somebody).build();
  first.on("Clock", () => {});
  await first.start();
  await first.stop();
  await makeTrouble(somebody, { kind: "refuse", milliseconds: OUTAGE });
  await Promise.all(
    sides.map(async (side) => {
      const described = builder(side, somebody);
      const connection = (described.withFirstConnectRetry?.() ?? described).build();
      const started = performance.now();
      const up = await connection.start().then(() => true, () => false);
      const took = milliseconds(performance.now() - started);
      show("first", side, `${up ? "up" : "fails"} after ${took}`);
      await connection.stop();
    }),
  );
}

async function sendBurst() {
  burst.disabled = true;
  for (const side of sides) Object.assign(side, { ticks: 0, ordered: true });
  says.textContent = "Sending…";
  progress.value = 0;
  progress.hidden = false;
  try {
    await sides[0].connection.invoke("Burst", BURST);
  } finally {
    progress.hidden = true;
  }
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
  current = undefined;
  const connections = sides.map(({ connection }) => connection);
  for (const side of sides) side.connection = undefined;
  burst.disabled = true;
  await Promise.all(connections.map((connection) => connection?.stop()));
}

/** The user whose connections they are; none if it is undefined. */
export function enableComparing(name) {
  user = name;
  start.disabled = name === undefined || !progress.hidden;
  if (name === undefined) void stopComparing();
}

export function setUpComparing() {
  for (const [row, size] of [["size", "whole"], ["size-connect", "connect"], ["size-first", "first"]]) {
    showBoth(row, sides.map(({ facts }) => facts.sizes[size]), bytes);
  }
  showFeatures(sides, byId("features"));
  const [{ facts }] = sides;
  byId("worker-size").textContent = bytes(facts.sizes.worker);
  start.addEventListener("click", () => void tried(connectBoth));
  burst.addEventListener("click", () => void tried(sendBurst));
}
