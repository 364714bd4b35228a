// The page: who is in the room, and what the buttons do.
import { addMessage, addNotice } from "./messages.js";
import { pulse, showNegotiated, showState, showToken } from "./panel.js";
import { RoomError, Stay } from "./room.js";

const byId = (id) => document.getElementById(id);
const [join, joinButton, joinError, name, composer, text, sendError, clock, banner, reason, peek] = [
  "join", "join-button", "join-error", "name", "composer", "text", "send-error", "clock", "banner", "reason", "peek",
].map(byId);
const NAME = "hubwire-name";

let stay;

/** Shows how far somebody got, and what the connection does. */
function stage(stage, state, again = stage === "new" ? "Join" : "Rejoin") {
  document.body.dataset.stage = stage;
  showState(state);
  const out = state === "Disconnected";
  name.readOnly = !out;
  joinButton.disabled = !out;
  joinButton.textContent = state === "Connecting" ? "Joining…" : again;
}

/** In a narrow window: shows the connection instead of the chat, or the chat again. */
function showPanel(open) {
  document.body.classList.toggle("peeking", open);
  peek.ariaExpanded = String(open);
}

async function enter(user) {
  const mine = new Stay(user, {
    onMessage(from, said) {
      pulse("receive");
      addMessage(String(from), String(said), from === user);
    },
    onClock(iso) {
      pulse("receive");
      clock.dateTime = iso;
      clock.textContent = /T(\d\d:\d\d:\d\d)/.exec(iso)?.[1] ?? iso;
    },
    onClosed: (error) => stay === mine && ended(error),
  });
  stay = mine;
  showPanel(false);
  sessionStorage.setItem(NAME, user);
  joinError.textContent = "";
  banner.hidden = true;
  stage(document.body.dataset.stage, "Connecting");
  try {
    await mine.join();
    if (stay !== mine || mine.left) return;
    showToken(mine.token);
    showNegotiated(mine.connection, mine.token);
    stage("in", "Connected");
    byId("as").textContent = `as ${user}`;
    addNotice(`You joined as ${user}`);
    text.focus();
  } catch (error) {
    if (stay !== mine || mine.left) return;
    stay = undefined;
    stage(document.body.dataset.stage, "Disconnected");
    joinError.textContent = words(error);
    name.focus();
  }
}

/** The connection is over; with an error, unless it was left. */
function ended(error) {
  const writing = document.activeElement === text;
  stay = undefined;
  stage("out", "Disconnected", error && "Reconnect");
  addNotice(error ? "The connection ended" : "You left");
  byId("as").textContent = "";
  clock.textContent = "";
  reason.textContent = error ? words(error) : "";
  banner.hidden = !error;
  if (writing) joinButton.focus();
}

async function leave() {
  const left = stay;
  if (!left) return;
  showPanel(false);
  const connected = document.body.dataset.state === "connected";
  await left.leave().catch(() => {});
  // A connection that was open says so itself.
  if (!connected && stay === left) {
    stay = undefined;
    stage(document.body.dataset.stage, "Disconnected");
  }
  name.focus();
}

async function send() {
  const said = text.value.trim();
  if (!said || !stay) return;
  text.value = "";
  sendError.textContent = "";
  pulse("post");
  try {
    await stay.say(said);
    pulse("publish");
  } catch (error) {
    sendError.textContent = words(error);
    if (!text.value) text.value = said;
  }
}

/** An error in words, with what to do about it. */
function words(error) {
  if (error instanceof RoomError) return error.message;
  const said = error.message.charAt(0).toUpperCase() + error.message.slice(1).trim();
  return `${said}${/[.!?]$/.test(said) ? "" : "."} Try again, or restart the demo if it stopped.`;
}

join.addEventListener("submit", (event) => {
  event.preventDefault();
  const user = name.value.trim();
  if (user && !stay) void enter(user);
});
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  void send();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void send();
});
byId("leave").addEventListener("click", () => void leave());
peek.addEventListener("click", () => showPanel(peek.ariaExpanded !== "true"));
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

const prefilled = new URLSearchParams(location.search).get("user") ?? sessionStorage.getItem(NAME) ?? "";
name.value = prefilled.slice(0, name.maxLength);
byId("command").textContent = `cargo run --example chat -- ${location.origin}/chat NAME`;
stage("new", "Disconnected");
name.focus();
