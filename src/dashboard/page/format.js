// How numbers, times and secrets are written.

export const DOTS = "••••••••";
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const number = (value) => (value ?? 0).toLocaleString("en");
export const plural = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** The time of day, with the day where it is another one. */
export function clock(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

/** How long something has lasted or will last, in its two largest units. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const units = [[Math.floor(seconds / DAY), "d"], [Math.floor(seconds / HOUR) % 24, "h"], [Math.floor(seconds / MINUTE) % 60, "min"], [seconds % MINUTE, "s"]];
  const first = units.findIndex(([count]) => count > 0);
  const said = units.slice(first, first + 2).filter(([count]) => count > 0);
  return first < 0 ? "0 s" : said.map((unit) => unit.join(" ")).join(" ");
}

// A text shorter than this is no secret worth the name, and replacing it would spoil others.
const SHORTEST = 6;
const KEY = /(AccessKey\s*=\s*)[^;"'\s]+/gi;

/** All that has to be hidden: the keys of connection strings, and settings that are secret. */
export function secretsOf({ connectionStrings = [], settings = [] }) {
  const keys = connectionStrings.flatMap(({ value }) => [...value.matchAll(KEY)].map(([all, name]) => all.slice(name.length)));
  const secret = settings.filter((setting) => setting.secret).map(({ value }) => String(value));
  return [...new Set([...keys, ...secret])].filter(({ length }) => length >= SHORTEST).sort((a, b) => b.length - a.length);
}

/** A text with dots in the place of its secrets. */
export function masked(text, secrets) {
  return secrets.reduce((left, secret) => left.replaceAll(secret, DOTS), text.replace(KEY, `$1${DOTS}`));
}
