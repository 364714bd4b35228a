// Has every connection to a URL go to a mock hub, by standing in for a window's fetch and WebSocket.
import { isOfHub, respond, statusTextOf, unreachable } from "./testing-http.js";
import { received, socketFor } from "./testing-socket.js";

/**
 * Whether a URL is the hub's. A text is a path ("/chat") or begins with an origin ("https://example.com/chat"), and means
 * that URL and its `/negotiate`, with any query.
 */
export function matcher(url) {
  if (url instanceof RegExp || Object.prototype.toString.call(url) === "[object RegExp]") {
    // As it is written for either scheme, and whatever its flags.
    const pattern = new RegExp(url.source, url.flags.replace(/[gy]/g, ""));
    return ({ href }) => pattern.test(href) || pattern.test(href.replace(/^ws/, "http"));
  }
  if (typeof url !== "string" || !/^(\/|(https?|wss?):\/\/)/.test(url)) {
    throw new TypeError(`The URL of a mock hub is a path as "/chat", a whole URL or a RegExp, not ${JSON.stringify(url)}.`);
  }
  const wanted = url.replace(/^ws/, "http").replace(/\/$/, "");
  return ({ href, pathname }) => {
    const path = url.startsWith("/") ? pathname : href.replace(/^ws/, "http").replace(/[?#].*$/, "");
    return path.replace(/\/(negotiate)?$/, "").replace(/\/negotiate$/, "") === wanted;
  };
}

function headersOf(headers) {
  if (!headers) return {};
  if (typeof headers.forEach === "function" && !Array.isArray(headers)) {
    const entries = {};
    headers.forEach((value, name) => {
      entries[name] = value;
    });
    return entries;
  }
  return Object.fromEntries(Array.isArray(headers) ? headers : Object.entries(headers));
}

async function contentOf(body) {
  if (body === undefined || body === null) return "";
  if (typeof body === "string" || ArrayBuffer.isView(body)) return body;
  if (typeof body.arrayBuffer === "function") return received(await body.arrayBuffer());
  return received(body);
}

/** What a fetch resolves with where there is no Response, as in jsdom. */
function plainResponse(body, { status, statusText, headers }) {
  const bytes = () => (typeof body === "string" ? new TextEncoder().encode(body) : (body ?? new Uint8Array()));
  return {
    ok: status >= 200 && status <= 299,
    status,
    statusText,
    headers: new Map(Object.entries(headers)),
    body: null,
    text: async () => (typeof body === "string" ? body : new TextDecoder().decode(bytes())),
    arrayBuffer: async () => bytes().slice().buffer,
    json: async () => JSON.parse(body),
  };
}

function fetchFor(coreOf, realm) {
  const { fetch } = realm;
  return async function (input, init = {}) {
    const isRequest = typeof input === "object" && typeof input.url === "string";
    const url = new URL(isRequest ? input.url : input, realm.location?.href).href;
    const core = coreOf(url);
    if (!core || !isOfHub(core, url)) {
      if (!fetch) throw new TypeError(`There is no fetch here, and no mock hub for ${url}.`);
      return fetch.call(realm, input, init);
    }
    const from = isRequest ? input : init;
    const signal = init.signal ?? from.signal ?? undefined;
    signal?.throwIfAborted?.();
    const { status, headers = {}, body } = await respond(core, {
      method: (init.method ?? from.method ?? "GET").toUpperCase(),
      url,
      headers: headersOf(init.headers ?? from.headers),
      content: await contentOf(init.body ?? (isRequest && input.method !== "GET" ? input : undefined)),
      signal,
    });
    if (status === 0) throw unreachable();
    const details = { status, statusText: statusTextOf(status), headers };
    // A response with this status may not have a body, not even an empty one.
    const content = status === 204 ? null : body;
    return realm.Response ? new realm.Response(content, details) : plainResponse(content, details);
  };
}

/** By window: what is in the place of its fetch and WebSocket, and which URLs lead where. */
const installed = new WeakMap();

function standIn(realm) {
  const hubs = new Set();
  // The one installed last decides.
  const coreOf = (url) => [...hubs].reverse().find(({ matches }) => matches(new URL(url)))?.core;
  const before = ["fetch", "WebSocket"].map((name) => [name, Object.getOwnPropertyDescriptor(realm, name)]);
  const ours = { fetch: fetchFor(coreOf, realm), WebSocket: socketFor(coreOf, realm) };
  for (const [name, value] of Object.entries(ours)) {
    Object.defineProperty(realm, name, { value, configurable: true, writable: true, enumerable: true });
  }
  return {
    hubs,
    remove() {
      for (const [name, descriptor] of before) {
        // Somebody else has put theirs over it: that one stays, and reaches what is beneath through ours.
        if (realm[name] !== ours[name]) continue;
        if (descriptor) Object.defineProperty(realm, name, descriptor);
        else delete realm[name];
      }
    },
  };
}

export function install(core, url, realm) {
  const hub = { core, matches: matcher(url) };
  if (!installed.has(realm)) installed.set(realm, standIn(realm));
  const { hubs, remove } = installed.get(realm);
  hubs.add(hub);
  return () => {
    if (!hubs.delete(hub) || hubs.size > 0) return;
    installed.delete(realm);
    remove();
  };
}
