// What the parts of the dashboard's page and of the demo's have in common.

/** The element of this id, of whatever kind it is. @returns {any} */
export const byId = (id) => document.getElementById(id);

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function time(at, options = { hour: "2-digit", minute: "2-digit" }) {
  const date = new Date(at);
  const made = element("time", "", date.toLocaleTimeString([], options));
  made.dateTime = date.toISOString();
  return made;
}

/** A user's initial in the user's colour, which is the same in every window. */
export function avatar(user) {
  const made = element("span", "avatar", [...user.trim()][0]?.toUpperCase() ?? "?");
  let hue = 0;
  for (const unit of user) hue = (hue * 31 + unit.codePointAt(0)) % 360;
  made.style.setProperty("--hue", hue);
  made.ariaHidden = "true";
  return made;
}

/** Milliseconds in a length that can be read. */
export function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** Milliseconds that are less than one, in microseconds. */
export function microseconds(value) {
  return `${(value * 1000).toFixed(2)} µs`;
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1000).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
