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
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${seconds % MINUTE} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `${plural(Math.floor(seconds / DAY), "day")} ${Math.floor((seconds % DAY) / HOUR)} h`;
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
