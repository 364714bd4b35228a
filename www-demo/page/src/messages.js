// The list of messages.
const log = document.getElementById("log");
const list = document.getElementById("messages");
const quiet = document.getElementById("quiet");

const TOGETHER = 3 * 60_000;
const KEPT = 500;
// Closer to the end than this, the list follows new messages.
const NEAR = 80;

let last = {};

/** Adds what somebody said. */
export function addMessage(user, text, own) {
  const now = Date.now();
  const continued = last.user === user && now - last.at < TOGETHER;
  last = { user, at: now };
  quiet.hidden = true;

  const item = element("li", `message${own ? " own" : ""}${continued ? " continued" : ""}`);
  item.style.setProperty("--hue", hue(user));
  const avatar = element("span", "avatar", [...user.trim()][0]?.toUpperCase() ?? "?");
  avatar.ariaHidden = "true";
  const author = element("span", "author", own ? `${user} (you)` : user);
  const head = element("p", "head");
  head.append(author, " ", time(now));
  item.append(avatar, head, element("p", "text", text));
  add(item, own);
}

/** Adds a line about the room itself. */
export function addNotice(text) {
  last = {};
  const item = element("li", "notice");
  item.append(element("span", "", text), time(Date.now()));
  add(item, false);
}

function add(item, always) {
  const follow = always || log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  list.append(item);
  while (list.children.length > KEPT) list.firstElementChild.remove();
  if (follow) log.scrollTop = log.scrollHeight;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function time(at) {
  const date = new Date(at);
  const made = element("time", "", date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = date.toISOString();
  return made;
}

/** Somebody's colour: the same in every window. */
function hue(user) {
  let hash = 0;
  for (const unit of user) hash = (hash * 31 + unit.codePointAt(0)) % 360;
  return hash;
}
