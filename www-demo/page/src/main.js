// The page: who is in the room, and what the buttons do.
// @ts-check
import { enableComparing, setUpComparing, stopComparing } from "./compare.js";
import { byId, milliseconds } from "../../../src/dashboard/look/elements.js";
import { Incoming, sendFile } from "./files.js";
import { addMessage, addNotice } from "./messages.js";
import { clearFigures, sample, showFigures } from "./metrics.js";
import { pulse, showNegotiated, showState, showToken } from "./panel.js";
import { showPeople } from "./people.js";
import { PROTOCOL, RoomError, Stay } from "./room.js";
import { addEvent, enableTrouble, setUpTrouble, withoutDelay } from "./trouble.js";

const [join, joinButton, joinError, name, leaveButton, text, send, attach, file, sendError, clock] = [
  "join", "join-button", "join-error", "name", "leave", "text", "send", "attach", "file", "send-error", "clock",
].map(byId);
const NAME = "hubwire-name";

/** @type {Stay | undefined} */
let stay;
const incoming = new Incoming();

/** Shows where the user is (`new`, `in`, `out`), and what the connection does. */
function show(stage, state) {
  document.body.dataset.stage = stage;
  showState(state);
  const out = state === "Disconnected";
  name.readOnly = !out;
  joinButton.hidden = !out && state !== "Connecting";
  joinButton.disabled = !out;
  joinButton.textContent = state === "Connecting" ? "Joining…" : stage === "new" ? "Join" : "Rejoin";
  leaveButton.hidden = out;
  leaveButton.textContent = state === "Connecting" ? "Cancel" : "Leave";
  const inside = stage === "in";
  for (const control of [text, send, attach]) control.disabled = !inside;
  text.placeholder = inside ? "Message the room" : "Join to write";
  enableTrouble(inside);
  enableComparing(inside ? stay.user : undefined);
}

/** @returns {import("./chat.d.ts").ChatClient} */
function handlers(user) {
  /**
   * @template {unknown[]} Values
   * @param {(...values: Values) => unknown} handle
   * @returns {(...values: Values) => unknown}
   */
  const received = (handle) => (...values) => {
    pulse("receive");
    return handle(...values);
  };
  return {
    ReceiveMessage: received((from, said) => addMessage(String(from), String(said), from === user)),
    ReceiveFile: received((from, about) => addMessage(String(from), incoming.announce(about), from === user)),
    ReceivePart: received((_from, id, index, content) => incoming.part(id, index, content)),
    Presence: received((people) => showPeople(people, user)),
    Metrics: received((figures) => {
      pulse("publish");
      showFigures(figures);
    }),
    Clock: received((iso) => {
      clock.dateTime = iso;
      clock.textContent = /T(\d\d:\d\d:\d\d)/.exec(iso)?.[1] ?? iso;
    }),
    Tick: () => {},
  };
}

async function enter(user) {
  let lost;
  let tokens = 0;
  const mine = new Stay(user, {
    handlers: handlers(user),
    onToken(token) {
      tokens += 1;
      pulse("negotiate");
      showToken(token);
      if (tokens > 1) addEvent("The token was refused; the app server gave a new one.", "good");
    },
    onState({ state, previousState, error, connection }) {
      if (stay !== mine) return;
      if (state === "Disconnected" && previousState !== "Connecting") ended(error);
      else if (state === "Reconnecting") {
        lost ??= performance.now();
        incoming.breakOff();
        addEvent(`Lost: ${words(error)}`, "bad");
        showState(state);
      } else if (state === "Connected" && previousState === "Reconnecting") {
        const away = milliseconds(performance.now() - lost);
        lost = undefined;
        showState(state);
        showNegotiated(connection, mine.token);
        addEvent(`Back after ${away}, as connection ${connection.connectionId.slice(0, 8)}…`, "good");
      }
    },
  });
  stay = mine;
  sessionStorage.setItem(NAME, user);
  joinError.textContent = "";
  show(document.body.dataset.stage === "new" ? "new" : "out", "Connecting");
  try {
    await mine.join();
    if (stay !== mine || mine.left) return;
    await withoutDelay(user);
    showNegotiated(mine.connection, mine.token);
    show("in", mine.connection.state);
    addNotice(`You joined as ${user}`);
    addEvent(`Connected by ${mine.connection.negotiated?.transport}, protocol ${PROTOCOL.name}.`, "good");
    text.focus({ preventScroll: true });
    byId("talk").scrollIntoView();
  } catch (error) {
    if (stay !== mine || mine.left) return;
    stay = undefined;
    show(document.body.dataset.stage, "Disconnected");
    joinError.textContent = words(error);
    name.focus();
  }
}

/** The connection is over; with an error, unless it was left. */
function ended(error) {
  const writing = document.activeElement === text;
  stay = undefined;
  incoming.breakOff();
  show("out", "Disconnected");
  showPeople([]);
  clearFigures();
  addNotice(error ? "The connection ended" : "You left");
  addEvent(error ? `Given up: ${words(error)}` : "You left.", error ? "bad" : "");
  joinError.textContent = error ? `Disconnected. ${words(error)}` : "";
  if (writing && error) joinButton.focus();
}

async function leave() {
  const left = stay;
  if (!left) return;
  await stopComparing();
  await left.leave().catch(() => {});
  // A connection that was open says so itself.
  if (stay === left) {
    stay = undefined;
    show(document.body.dataset.stage, "Disconnected");
  }
  name.focus();
}

/**
 * Does something with the connection, and says so when it fails.
 *
 * @param {(connection: import("./chat.d.ts").ChatConnection) => Promise<unknown>} work
 */
async function call(work) {
  sendError.textContent = "";
  pulse("send");
  try {
    await work(stay.connection);
    pulse("publish");
    return true;
  } catch (error) {
    sendError.textContent = words(error);
    return false;
  }
}

async function say() {
  const said = text.value.trim();
  if (!said || document.body.dataset.stage !== "in") return;
  text.value = "";
  if (!(await call((connection) => connection.invoke("Say", said))) && !text.value) text.value = said;
}

/** An error in words, with what to do about it. */
function words(error) {
  if (!error) return "the server closed the connection.";
  if (error instanceof RoomError) return error.message;
  const trimmed = error.message.trim();
  const said = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(said) ? said : `${said}.`;
}

/** Measures a round trip every second. The next one waits for one that takes longer. */
let measuring = false;
async function measure() {
  if (!stay?.connection || measuring) return;
  const { connection } = stay;
  if (connection.state !== "Connected") {
    sample(undefined);
    return;
  }
  measuring = true;
  const called = performance.now();
  const trip = await connection.invoke("Echo", null).then(() => performance.now() - called, () => undefined);
  measuring = false;
  sample(trip);
}

join.addEventListener("submit", (event) => {
  event.preventDefault();
  const user = name.value.trim();
  if (user && !stay) void enter(user);
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  void say();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void say();
});
leaveButton.addEventListener("click", () => void leave());
attach.addEventListener("click", () => file.click());
file.addEventListener("change", async () => {
  const chosen = file.files[0];
  file.value = "";
  if (!chosen || !stay) return;
  attach.disabled = true;
  await call((connection) => sendFile(connection, chosen));
  attach.disabled = document.body.dataset.stage !== "in";
});
byId("copy").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(byId("command").textContent);
    target.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("command"));
    target.textContent = "Selected";
  }
});
addEventListener("pagehide", () => void stay?.leave());
setInterval(measure, 1000);

const prefilled = new URLSearchParams(location.search).get("user") ?? sessionStorage.getItem(NAME) ?? "";
name.value = prefilled.slice(0, name.maxLength);
byId("command").textContent = `cargo run --example chat -- ${location.origin}/chat NAME`;
setUpTrouble(() => stay.user);
setUpComparing();
show("new", "Disconnected");
