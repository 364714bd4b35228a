// The headers of requests, and where a program runs, which one of them says.
import { VERSION } from "./generated/version.js";

export const isNode = () => typeof process !== "undefined" && process.release?.name === "node";

/** Headers, of which later ones take the place of earlier ones of the same name, whatever its case. */
export function merge(...all) {
  const merged = {};
  for (const [name, value] of all.flatMap((headers) => Object.entries(headers ?? {}))) {
    for (const old of Object.keys(merged)) if (old.toLowerCase() === name.toLowerCase()) delete merged[old];
    merged[name] = value;
  }
  return merged;
}

/** The headers of a request: who asks, the caller's, and the token, which takes the place of the caller's `Authorization`. */
export function requestHeaders(own, token) {
  // NAME/MAJOR.MINOR (VERSION; OS; RUNTIME; RUNTIME VERSION), as the official clients name themselves.
  const product = `hubwire/${VERSION.split(".", 2).join(".")} (${VERSION}; `;
  const systems = { win32: "Windows NT", darwin: "macOS", linux: "Linux" };
  const agent = isNode()
    ? { "User-Agent": `${product}${systems[process.platform] ?? process.platform}; NodeJS; ${process.versions.node})` }
    : { "X-SignalR-User-Agent": `${product}Unknown OS; Browser; Unknown Runtime Version)` };
  return merge(agent, own, token && { Authorization: `Bearer ${token}` });
}
