// The pages that worker mode is tried in, and their browser.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { test } from "../harness.mjs";

const hub = process.env.HUBWIRE_TEST_HUB_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!process.argv[2] || !hub || !executablePath) {
  throw new Error("usage: HUBWIRE_TEST_HUB_URL=… HUBWIRE_CHROMIUM=… run.mjs FOLDER");
}
const folder = resolve(process.argv[2]);

/** What the pages have: the package, and short ways to a connection. */
const PAGE = `
  import * as hubwire from ${JSON.stringify(join(folder, "src/index.js"))};
  import * as signalr from "@microsoft/signalr";
  const hub = ${JSON.stringify(hub)};
  const builders = {
    official: () => new signalr.HubConnectionBuilder(),
    page: () => new hubwire.HubConnectionBuilder(),
    worker: () => new hubwire.HubConnectionBuilder().withWorker(),
  };
  const build = (where, path, options = {}, how = (builder) => builder) =>
    how(builders[where]().withUrl(hub + path, options).configureLogging("none")).build();
  const direct = (where, path, how) =>
    build(where, path, { skipNegotiation: true, transport: hubwire.HttpTransportType.WebSockets }, how);
  const block = (milliseconds) => {
    for (const end = performance.now() + milliseconds; performance.now() < end; );
  };
  const failure = (promise) => promise.then(() => ({ code: "none" }), ({ code, message }) => ({ code, message }));
  // All that an error has to say.
  const facts = (error) => error && Object.fromEntries(["name", "message", ...Object.keys(error), "cause"].sort()
    .map((name) => [name, name === "innerErrors" ? error[name].map(facts) : name === "cause" ? String(error[name]) : error[name]]));
  // A connection that is up in a worker that can be made to fail, and what is told of it.
  const failing = async (how, source = "/failing.js", next = source, path = "/hub") => {
    const workers = [];
    const told = [];
    const make = () => (workers.push(new Worker(workers.length ? next : source)), workers.at(-1));
    const connection = build("page", path, {}, (builder) => how(builder.withWorker(make), told));
    connection.onstatechange(({ state, error }) => told.push([state, error?.code]));
    const closed = new Promise((resolve) => connection.onclose(resolve));
    const reconnected = new Promise((resolve) => connection.onreconnected(resolve));
    await connection.start();
    told.length = 0;
    return { connection, workers, told, closed, reconnected, fail: (how) => new BroadcastChannel("failures").postMessage(how) };
  };
  Object.assign(globalThis, { hubwire, hub, build, direct, block, failure, facts, failing });
`;
const { outputFiles } = await build({
  stdin: { contents: PAGE, resolveDir: dirname(fileURLToPath(import.meta.url)) },
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  logLevel: "warning",
});
const served = {
  "/": ["text/html", "<!doctype html><title>worker mode</title><script src=page.js></script>"],
  "/page.js": ["text/javascript", outputFiles[0].text],
  "/worker.js": ["text/javascript", await readFile(join(folder, "worker.js"))],
  "/broken.js": ["text/javascript", "throw new Error('out of order');"],
  // Fails when it is told to.
  "/failing.js": ["text/javascript", `
    importScripts("/worker.js");
    const failures = {
      throws: () => setTimeout(() => { throw new Error("it throws"); }),
      rejects: () => Promise.reject(new Error("it rejects")),
      closes: () => close(),
    };
    new BroadcastChannel("failures").onmessage = ({ data }) => failures[data]();
  `],
  // Fails whenever it opens a transport.
  "/dying.js": ["text/javascript", `importScripts("/worker.js"); WebSocket = class { constructor() { setTimeout(() => { throw new Error("again"); }); } };`],
  // Fails as soon as it is told anything.
  "/mute.js": ["text/javascript", `importScripts("/worker.js"); addEventListener("message", () => { throw new Error("at once"); });`],
  ...Object.fromEntries(["", "; trusted-types app", "; trusted-types hubwire app"].map((names, n) => [`/trusted${n}`, ["text/html", "<!doctype html><script src=page.js></script>", {
    "content-security-policy": `require-trusted-types-for 'script'${names}`,
  }]])),
  "/strict": ["text/html", "<!doctype html><script src=page.js></script>", {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src *",
  }],
};
const server = createServer((request, response) => {
  const [type, content, headers] = served[request.url] ?? [];
  response.writeHead(type ? 200 : 404, { "content-type": type ?? "text/plain", ...headers }).end(content);
}).listen(0, "127.0.0.1");
await once(server, "listening");

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const browser = await chromium.launch({ executablePath, args: webdriver["goog:chromeOptions"].args });

/** A test in a page of its own. */
export function inPage(name, body, expected, look, { path = "/", hasClock } = {}) {
  test(name, async () => {
    // Pages of one context share their channels.
    const context = await browser.newContext();
    const page = await context.newPage();
    try {
      if (hasClock) {
        await page.clock.install();
        await page.exposeFunction("pass", (milliseconds) => page.clock.runFor(milliseconds));
      }
      await page.goto(`http://127.0.0.1:${server.address().port}${path}`);
      assert.deepEqual(await page.evaluate(body), expected);
      look?.(page);
    } finally {
      await context.close();
    }
  }, { seconds: 60 });
}
