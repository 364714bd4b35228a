// Worker mode in Chromium on the reference hub, beside what tests/behaviours runs in it. Argument: the package's folder.
// HUBWIRE_TEST_HUB_URL: the hub. HUBWIRE_CHROMIUM: a browser.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { run, test } from "../harness.mjs";

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
  Object.assign(globalThis, { hubwire, hub, build, direct, block, failure });
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
};
const server = createServer((request, response) => {
  const [type, content] = served[request.url] ?? [];
  response.writeHead(type ? 200 : 404, { "content-type": type ?? "text/plain" }).end(content);
}).listen(0, "127.0.0.1");
await once(server, "listening");

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const browser = await chromium.launch({ executablePath, args: webdriver["goog:chromeOptions"].args });

/** A test in a page of its own. */
function inPage(name, body, expected, look) {
  test(name, async () => {
    const page = await browser.newPage();
    try {
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      assert.deepEqual(await page.evaluate(body), expected);
      look?.(page);
    } finally {
      await page.close();
    }
  }, { seconds: 60 });
}

inPage("a page that is busy loses its connection in itself and keeps it in a worker", async () => {
  const states = {};
  const connections = {};
  for (const where of ["official", "page", "worker"]) {
    // This server drops a client that is silent for two seconds.
    connections[where] = build(where, "/impatient", {}, (builder) => builder.withKeepAliveInterval(500));
    await connections[where].start();
  }
  const id = connections.worker.connectionId;
  block(4000);
  for (const [where, connection] of Object.entries(connections)) {
    states[where] = await connection.invoke("Add", 1, 2).catch(() => "lost");
  }
  return { ...states, sameId: connections.worker.connectionId === id };
}, { official: "lost", page: "lost", worker: 3, sameId: true });

inPage("ten thousand messages come in order, and calls between them", async () => {
  const connection = build("worker", "/parallel");
  await connection.start();
  const heard = [];
  connection.on("Said", (n) => heard.push(n));
  const pushed = connection.invoke("PushNumbers", "Said", 10_000);
  const sums = await Promise.all(Array.from({ length: 100 }, (_, n) => connection.invoke("Add", n, 1)));
  await pushed;
  return { count: heard.length, inOrder: heard.every((n, index) => n === index), sums: sums.every((sum, n) => sum === n + 1) };
}, { count: 10_000, inOrder: true, sums: true });

inPage("what comes before an answer is told before it", async () => {
  const connection = build("worker", "/hub");
  await connection.start();
  const order = [];
  connection.on("Said", (n) => order.push(n));
  for (const n of [1, 2, 3]) {
    await connection.invoke("Push", "Said", [n]);
    order.push(`answer ${n}`);
  }
  return order;
}, [1, "answer 1", 2, "answer 2", 3, "answer 3"]);

inPage("several connections share a worker, and another script has another", async () => {
  const connections = [
    build("worker", "/hub"),
    build("worker", "/hub"),
    build("page", "/hub", {}, (builder) => builder.withWorker("/worker.js")),
    build("page", "/hub", {}, (builder) => builder.withWorker(new URL("/worker.js", location.href))),
    build("page", "/hub", {}, (builder) => builder.withWorker(() => new Worker("/worker.js", { name: "own" }))),
  ];
  await Promise.all(connections.map((connection) => connection.start()));
  const sums = await Promise.all(connections.map((connection, n) => connection.invoke("Add", n, 1)));
  await connections[0].stop();
  sums.push(await connections[1].invoke("Add", 10, 1));
  await connections[0].start();
  sums.push(await connections[0].invoke("Add", 20, 1));
  return [sums, new Set(connections.map(({ connectionId }) => connectionId)).size];
}, [[1, 2, 3, 4, 5, 11, 21], 5], (page) => assert.equal(page.workers().length, 4));

inPage("the access token factory is called in the page, and its failure is the start's", async () => {
  const asked = [];
  const token = await (await fetch(`${hub}/token?user=alice`)).text();
  const connection = build("worker", "/secure", { accessTokenFactory: () => { asked.push(typeof document); return token; } });
  await connection.start();
  const { user } = await connection.invoke("WhoAmI");
  const refused = build("worker", "/secure", { accessTokenFactory: async () => { throw new Error("nobody is signed in"); } });
  const { code, message } = await failure(refused.start());
  return { asked, user, code, told: message.includes("nobody is signed in") };
}, { asked: ["object"], user: "alice", code: "AccessToken", told: true });

inPage("logger, retry policy and events are the page's", async () => {
  const lines = [];
  const told = [];
  const connection = build("page", "/hub", {}, (builder) => builder
    .configureLogging({ log: (level, message) => lines.push(message) })
    .withWorker()
    .withAutomaticReconnect({
      nextRetryDelayInMilliseconds: async ({ previousRetryCount, retryReason }) => {
        told.push([previousRetryCount, retryReason instanceof Error, typeof document]);
        return 0;
      },
    }));
  const reconnected = new Promise((resolve) => connection.onreconnected(resolve));
  await connection.start();
  connection.send("Drop");
  await reconnected;
  return { told, sum: await connection.invoke("Add", 1, 2), logged: lines.some((line) => line.startsWith("WebSocket connected to ")) };
}, { told: [[0, true, "object"]], sum: 3, logged: true });

inPage("what was negotiated and the status of a failed start are known", async () => {
  const connection = build("worker", "/hub");
  await connection.start();
  const { transport, connectionId } = connection.negotiated;
  const error = await build("worker", "/fault/status/403").start().catch((error) => error);
  return { transport, same: connectionId === connection.connectionId, status: error.statusCode, isOurs: error instanceof hubwire.HttpError };
}, { transport: "WebSockets", same: true, status: 403, isOurs: true });

inPage("a message that cannot be read ends the connection and says why", async () => {
  const frames = [btoa("{}\u001e"), btoa("no JSON\u001e")].map((frame) => `frame=${encodeURIComponent(frame)}`).join("&");
  const connection = direct("worker", `/pieces?wait=300&${frames}`);
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  const { code, message, cause } = await closed;
  return { code, cause: cause instanceof Error && message.endsWith(cause.message) };
}, { code: "Protocol", cause: true });

inPage("much that is sent waits for room, and all of it arrives", async () => {
  const connection = direct("worker", "/drain?count=300");
  const done = new Promise((resolve) => connection.on("Done", () => resolve("done")));
  await connection.start();
  const text = "x".repeat(200_000);
  for (let n = 0; n < 300; n++) await connection.send("Message", text);
  return done;
}, "done");

inPage("a page that takes nothing while no end comes loses the connection, not its memory", async () => {
  const connection = direct("worker", "/firehose?payload=text10k&count=20000&batch=16");
  const closed = new Promise((resolve) => connection.onclose(resolve));
  let heard = 0;
  connection.on("Message", () => { heard += 1; });
  await connection.start();
  // Only this page stands still: its worker reads on.
  const before = heard;
  block(6000);
  const { code } = await closed;
  return { code, some: heard > before, all: heard === 20_000 };
}, { code: "SlowConsumer", some: true, all: false });

inPage("a script that cannot be loaded, or fails, fails the start", async () => {
  const start = (worker) => failure(build("page", "/hub", {}, (builder) => builder.withWorker(worker)).start());
  return [(await start("/nowhere.js")).code, (await start("/broken.js")).code, (await start(() => { throw new Error("no"); })).code];
}, ["Worker", "Worker", "Worker"]);

inPage("a worker that fails ends its connections, and the next start has another", async () => {
  let worker;
  const connection = build("page", "/hub", {}, (builder) => builder.withWorker(() => (worker = new Worker("/worker.js"))));
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  const call = failure(connection.invoke("Slow", 60_000));
  worker.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }));
  const { code } = await closed;
  await connection.start();
  return [code, (await call).code, await connection.invoke("Add", 1, 2)];
}, ["Worker", "Worker", 3]);

inPage("a protocol of one's own, and what is no worker, are refused when it is built", () => {
  const code = (how) => {
    try {
      how(new hubwire.HubConnectionBuilder().withUrl("/hub"));
      return "none";
    } catch (error) {
      return error.code;
    }
  };
  const own = { name: "json", version: 1, transferFormat: 1, parseMessages: () => [], writeMessage: () => "" };
  return [code((builder) => builder.withHubProtocol(own).withWorker().build()), code((builder) => builder.withWorker(7))];
}, ["InvalidArgument", "InvalidArgument"]);

await run({ atOnce: 2 });
