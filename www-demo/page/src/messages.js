// The list of messages.
import { avatar, byId, element, time } from "../../../src/dashboard/look/elements.js";

const log = byId("log");
const list = byId("messages");
const quiet = byId("quiet");

const TOGETHER = 3 * 60_000;
const KEPT = 500;
// Closer to the end than this, the list follows new messages.
const NEAR = 80;

let last = {};
let follows = true;
let top = 0;

// It stops following when it is scrolled back, and not when its height or its content change.
log.addEventListener("scroll", () => {
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  follows = near || (follows && log.scrollTop >= top);
  top = log.scrollTop;
});
// An error line or a long text below takes height from the log, and a file that has arrived makes the list longer: what
// was in sight at the end stays there.
const resized = new ResizeObserver(() => follows && toEnd());
resized.observe(log);
resized.observe(list);

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

/** Adds what a user said: a text, or an element such as a file. */
export function addMessage(user, content, own) {
  const now = Date.now();
  const continued = last.user === user && now - last.at < TOGETHER;
  last = { user, at: now };
  quiet.hidden = true;

  const item = element("li", `message${own ? " own" : ""}${continued ? " continued" : ""}`);
  const author = element("span", "author", own ? `${user} (you)` : user);
  const head = element("p", "head");
  head.append(author, " ", time(now));
  const body = typeof content === "string" ? element("p", "text", content) : content;
  item.append(avatar(user), head, body);
  add(item, own);
}

/** Adds a line about the room itself. */
export function addNotice(text) {
  last = {};
  quiet.hidden = true;
  const item = element("li", "notice");
  item.append(element("span", "", text), time(Date.now()));
  add(item, false);
}

function add(item, always) {
  follows ||= always;
  list.append(item);
  while (list.children.length > KEPT) list.firstElementChild.remove();
  if (follows) toEnd();
}
