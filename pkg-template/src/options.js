// Checks what an application sets, and brings it into one form. What is null or undefined counts as not given.
import { HttpTransportType, LogLevel } from "./enums.js";
import { HubwireError, invalid, shown } from "./errors.js";
import { createLogger, NullLogger } from "./logging.js";
import { withoutQuery } from "./text.js";

/** What of a value an error may show. Functions and objects are named by their kind. */
function show(value) {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  if (typeof value === "function") return "a function";
  if (value === null || typeof value !== "object") return shown(value);
  return Array.isArray(value) ? "an array" : "an object";
}

const refused = (name, value, wanted) => invalid(`The option '${name}' is ${show(value)}; it has to be ${wanted}.`);

/** As the official client says it. */
export function required(value, name) {
  if (value === null || value === undefined) throw invalid(`The '${name}' argument is required.`);
  return value;
}

/** A time, without an end perhaps. */
export function time(value, name) {
  if (typeof value === "number" && value > 0) return value;
  throw refused(name, value, "more than 0 milliseconds");
}

/** A time that may be 0. */
export function delay(value, name) {
  return value === 0 ? value : time(value, name);
}

export function size(value, name) {
  if (typeof value === "number" && value > 0) return value;
  throw refused(name, value, "a number of bytes that is more than 0");
}

const kind = (type, wanted) => (value, name) => {
  // Secrets may have been given in their place.
  if (typeof value !== type) throw invalid(`The option '${name}' is a ${typeof value}; it has to be ${wanted}.`);
  return value;
};
const method = (name, wanted) => (value, option) => {
  if (typeof value?.[name] !== "function") throw refused(option, value, wanted);
  return value;
};
const aFunction = kind("function", "a function");
const aConstructor = kind("function", "a constructor");
const aTruth = kind("boolean", "true or false");

/** The options of `withUrl`, each with what checks it and gives its form. */
const OPTIONS = {
  accessTokenFactory: (factory, name) => tokens(aFunction(factory, name)),
  EventSource: aConstructor,
  headers: (headers) => (texts(headers), headers),
  httpClient: (client, name) => whole(method("send", "an object with a method 'send'")(client, name)),
  // `null` turns logging off, as with the official client.
  logger: (logger) => (logger === null ? NullLogger.instance : createLogger(logger)),
  logMessageContent: aTruth,
  maximumReceiveMessageSize: size,
  skipNegotiation: aTruth,
  // 0 is without a limit, as in the official client.
  timeout: (value, name) => delay(value, name) || Infinity,
  transport,
  WebSocket: aConstructor,
  withCredentials(value) {
    if (typeof value === "boolean") return value;
    throw invalid("withCredentials option was not a 'boolean' or 'undefined' value");
  },
};

/** What `withUrl` was told, in the form that the connection needs, and the names that mean nothing to it. */
export function httpOptions(given) {
  const options = {};
  for (const name of Object.keys(OPTIONS)) {
    const value = given[name];
    if (value !== undefined && (value !== null || name === "logger")) options[name] = OPTIONS[name](value, name);
  }
  return [options, unknown(given, OPTIONS)];
}

/** The options that mean nothing, of those that were given. */
export const unknown = (given, known) => Object.keys(given ?? {}).filter((name) => !(name in known) && given[name] != null);

export function warn(logger, names) {
  for (const name of new Set(names)) logger.log(LogLevel.Warning, `The option '${name}' is not known, and has no effect.`);
}

/** A client with every method: of those that tests and libraries make, the official client needs only `send`. */
function whole(client) {
  const by = (method) => (url, options) => client.send({ ...options, method, url });
  if (["get", "post", "delete", "getCookieString"].every((name) => typeof client[name] === "function")) return client;
  const getCookieString = (url) => client.getCookieString?.(url) ?? "";
  return { send: (request) => client.send(request), get: by("GET"), post: by("POST"), delete: by("DELETE"), getCookieString };
}

function transport(value, name) {
  if (typeof value === "object") return method("connect", "an object with a method 'connect'")(value, name);
  if (Number.isInteger(value) && value >= HttpTransportType.None && value <= 7) return value;
  throw refused(name, value, "an HttpTransportType, several of them joined by '|', or an ITransport");
}

/**
 * Headers as texts. Numbers are written out, and what is null or undefined is left out. Called again for every start, as
 * applications change the object that they gave.
 */
export function texts(headers) {
  if (headers === null || typeof headers !== "object") throw invalid("The option 'headers' has to be an object.");
  const plain = {};
  // `Headers` and maps as well.
  const entries = typeof headers[Symbol.iterator] === "function" ? headers : Object.entries(headers);
  for (const [name, value] of entries) {
    if (value === null || value === undefined) continue;
    const isPlain = ["string", "number", "boolean", "bigint"].includes(typeof value);
    if (!isPlain || /[^\t\x20-\x7e]/.test(`${value}`) || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) {
      // The value may be a secret.
      const what = isPlain ? "with a line end or another character that headers cannot carry" : `that is ${show(value)}`;
      throw invalid(`The option 'headers' has a header ${JSON.stringify(name)} ${what}.`);
    }
    plain[name] = `${value}`;
  }
  return plain;
}

/** A factory whose promises are real ones, of a text or of nothing, whatever kind of promise the application's gives. */
function tokens(factory) {
  return async () => {
    const token = await factory();
    if (token === null || token === undefined || token === "") return undefined;
    if (typeof token === "string") return token;
    throw new HubwireError(`The access token has to be a text; the factory gave ${kindOf(token)}.`, { code: "AccessToken" });
  };
}

const kindOf = (value) => (typeof value === "object" ? "an object" : `a ${typeof value}`);

/** A policy of the application, or that of these delays. */
export function retryPolicy(given) {
  const name = "withAutomaticReconnect";
  if (!Array.isArray(given)) return method("nextRetryDelayInMilliseconds", "an array of delays, or a retry policy")(given, name);
  return byDelays(given.map((after) => (after === null ? null : delay(after, name))));
}

/** One attempt after each delay, later if the server asks for more time (`Retry-After`); null is the end of them. */
export function byDelays(delays) {
  return {
    nextRetryDelayInMilliseconds({ previousRetryCount, retryAfterMilliseconds = 0 }) {
      const delay = delays[previousRetryCount] ?? null;
      return delay === null ? null : Math.max(delay, retryAfterMilliseconds);
    },
  };
}

/** A hub's URL as an absolute one; what is relative is meant from the page, or from the worker's script. */
export function absolute(given) {
  // A `URL` as well.
  const url = typeof given === "string" ? given : given?.href;
  if (typeof url !== "string") throw refused("url", given, "a text");
  if (url.trim() === "") throw invalid("The 'url' argument should not be empty.");
  try {
    const { href } = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
    if (/^https?:/.test(href)) return /^https?:\/\//i.test(url) ? url : href;
    if (/^wss?:/.test(href)) return href.replace("ws", "http");
  } catch {
    // Said below.
  }
  const shown = withoutQuery(url);
  // `localhost:` reads as a scheme.
  const hint = /^[\w-]*(\.\w|:\d|localhost)/.test(url) ? ` Did you mean 'http://${shown}'?` : "";
  throw invalid(`Cannot resolve '${shown}'.${hint}`);
}

/** Logs where a relative URL leads, and what of the options has no effect. */
export function report(logger, { given, url, unknown: names }) {
  if (given !== url) {
    logger.log(LogLevel.Information, `Normalizing '${withoutQuery(given)}' to '${withoutQuery(url)}'.`);
  }
  warn(logger, names);
}

/** The options that cannot go to a worker. */
export function checkWorker({ httpClient, transport, WebSocket, EventSource }) {
  const names = Object.entries({ httpClient, WebSocket, EventSource, transport: typeof transport === "object" && transport });
  for (const [name, value] of names) {
    if (value) throw invalid(`The option '${name}' is ${show(value)}, which cannot run in a worker.`);
  }
}
