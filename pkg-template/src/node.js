// What only Node.js needs: a jar for cookies, which browsers keep themselves, redirects, which they do not show, and a WebSocket
// for its version 20. It is loaded by `import()`, so that an application for browsers does not load it, and bundles for
// browsers have `no-node.js` in its place (the field `browser` of the package).
import { merge } from "./headers.js";

/** The limits of the crate's jar: the bytes of one cookie (RFC 6265, 6.1), and the numbers of .NET's `CookieContainer`. */
const LENGTH_LIMIT = 4096;
const HOST_LIMIT = 20;
const LIMIT = 300;

/** A server as cookies see it; a WebSocket's as well. */
function place(url) {
  const { protocol, hostname: host, port, pathname } = new URL(url);
  const secure = /^(https|wss):/.test(protocol);
  return { host, pathname, secure, port: port || (secure ? "443" : "80") };
}

const isIp = (host) => /^[\d.]+$|:/.test(host);
const isLocal = (host) => /(^|\.)localhost$|^127\.|^\[::1\]$/.test(host);
const belongs = (host, domain) => host === domain || (host.endsWith(`.${domain}`) && !isIp(host));

/**
 * Cookies (RFC 6265) by the rules of the crate's `CookieJar`: one without `Domain` goes back to the host and port that set it
 * only, there is no list of public suffixes, and what is too much or not allowed is ignored.
 */
class CookieJar {
  cookies = [];

  /** Keeps what a `Set-Cookie` header says. */
  keep(url, text) {
    if (text.length > LENGTH_LIMIT || /[\0-\x08\x0a-\x1f\x7f]/.test(text)) return;
    const [[name, value], ...attributes] = text.split(";").map((part) => {
      const at = part.indexOf("=");
      return at < 0 ? [part.trim(), ""] : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    });
    if (!name || !/^[^;]*=/.test(text)) return;
    const is = Object.fromEntries(attributes.map(([attribute, given]) => [attribute.toLowerCase(), given]));
    const { host, port, pathname, secure } = place(url);

    let domain = is.domain?.toLowerCase().replace(/^\./, "");
    if (domain && (!belongs(host, domain) || (host !== domain && !domain.includes(".")))) return;
    if (domain && (isIp(domain) || !domain.includes("."))) domain = undefined;
    const path = is.path?.startsWith("/") ? is.path : pathname.slice(0, Math.max(1, pathname.lastIndexOf("/")));
    const isHost = /^__host-/i.test(name);
    if (is.secure === undefined ? isHost || /^__secure-/i.test(name) : !secure && !isLocal(host)) return;
    if (isHost && (domain || path !== "/")) return;
    let ends = Date.parse(is.expires);
    if (/^-?\d+$/.test(is["max-age"])) ends = Date.now() + is["max-age"] * 1000;

    const cookie = { name, value, domain, host: domain || host, port: domain ? "" : port, path, secure: is.secure !== undefined, ends };
    const same = (old) => ["name", "host", "port", "path"].every((key) => old[key] === cookie[key]);
    const at = this.cookies.findIndex(same);
    // One that is replaced keeps its place (5.3).
    if (at >= 0) this.cookies[at] = cookie;
    else this.cookies.push(cookie);
    this.cookies = this.cookies.filter((kept) => !(kept.ends <= Date.now()));
    const neighbours = this.cookies.filter((kept) => kept.host === cookie.host);
    if (neighbours.length > HOST_LIMIT) this.cookies.splice(this.cookies.indexOf(neighbours[0]), 1);
    else if (this.cookies.length > LIMIT) this.cookies.shift();
  }

  /** What the header `Cookie` of a request says. */
  header(url) {
    const { host, port, pathname, secure } = place(url);
    const kept = this.cookies.filter(
      (cookie) =>
        !(cookie.ends <= Date.now()) &&
        (cookie.domain ? belongs(host, cookie.domain) : host === cookie.host && port === cookie.port) &&
        `${pathname}/`.startsWith(cookie.path.replace(/\/?$/, "/")) &&
        (!cookie.secure || secure || isLocal(host)),
    );
    // Those with longer paths come first (5.4).
    kept.sort((a, b) => b.path.length - a.path.length);
    return kept.map(({ name, value }) => `${name}=${value}`).join("; ");
  }
}

/** Headers with cookies behind the caller's own, which take the place of those of the same name. */
function withCookies(headers, cookies) {
  const own = String(Object.entries(headers).find(([name]) => /^cookie$/i.test(name))?.[1] ?? "");
  const nameOf = (pair) => pair.split("=")[0].trim();
  const owned = own.split(";").map(nameOf);
  const all = [own, ...cookies.split("; ").filter((pair) => !owned.includes(nameOf(pair)))].filter(Boolean).join("; ");
  return all ? merge(headers, { Cookie: all }) : headers;
}

/**
 * `fetch`. Pages that test runners imitate may lack it (Jest's jsdom): then it is that of Node.js outside of them, which takes no
 * signal but its own.
 */
function fetchAnywhere(url, { signal, ...init }) {
  if (typeof fetch === "function") return fetch(url, { signal, ...init });
  const [outside, Controller] = process.getBuiltinModule("node:vm").runInThisContext("[fetch, AbortController]");
  const controller = new Controller();
  const abort = () => controller.abort();
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  return outside(url, { ...init, signal: controller.signal });
}

const REDIRECT_LIMIT = 20;

/** `fetch` with the cookies of a jar. Redirects take neither the caller's headers nor a body to another origin. */
async function follow(url, { headers, ...init }, jar) {
  for (let redirects = 0; ; redirects += 1) {
    const response = await fetchAnywhere(url, { ...init, headers: withCookies(headers, jar.header(url)) });
    for (const text of response.headers?.getSetCookie?.() ?? []) jar.keep(url, text);
    const { status } = response;
    const location = /^30[12378]$/.test(status) && response.headers.get("Location");
    if (!location || !URL.canParse(location, url)) return response;
    const next = new URL(location, url);
    const leaves = next.origin !== new URL(url).origin;
    // As in browsers (fetch, HTTP-redirect fetch, 4.4).
    if (status === 303 || (status < 303 && init.method === "POST")) {
      init = { ...init, method: "GET", body: undefined };
      headers = merge(headers);
      delete headers["Content-Type"];
    }
    if (!/^https?:$/.test(next.protocol) || (leaves && init.body) || redirects === REDIRECT_LIMIT) return response;
    await response.body?.cancel();
    if (leaves) headers = { "X-Requested-With": "XMLHttpRequest" };
    url = next.href;
  }
}

/** The WebSocket of the package `ws`, where it is installed. */
async function installedWebSocket() {
  // Not a literal: no bundler has to find it.
  const name = "ws";
  try {
    return (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)).default;
  } catch (cause) {
    const hint = "Node.js has one from version 22 on; for version 20 install the package 'ws' or give the option 'WebSocket'.";
    throw new Error(`'WebSocket' is not supported in your environment. ${hint}`, { cause });
  }
}

export const node = { CookieJar, withCookies, follow, installedWebSocket };
