// The official client and this package in one chat: our negotiate endpoint, our local service.
// Argument: the tarball. HUBWIRE_DEMO_URL: the running demo. HUBWIRE_CHROMIUM: a browser, if there is one.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as signalr from "@microsoft/signalr";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { run, test } from "../harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const url = process.env.HUBWIRE_DEMO_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!process.argv[2] || !url) throw new Error("usage: HUBWIRE_DEMO_URL=… run.mjs TARBALL");
const tarball = resolve(process.argv[2]);

const official = (user, options = {}) =>
  new signalr.HubConnectionBuilder()
    .withUrl(`${url}/chat?user=${user}`, options)
    .configureLogging(signalr.LogLevel.None)
    .build();

async function post(user, text) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/chat/messages`, { method: "POST", headers, body: JSON.stringify({ user, text }) });
  assert.equal(response.status, 202, await response.text());
}

/** What a connection hears, as events that can be awaited. */
function ear(connection) {
  const heard = new EventEmitter();
  connection.on("ReceiveMessage", (user, text) => heard.emit(`${user}: ${text}`));
  connection.on("Clock", (iso) => heard.emit("clock", iso));
  return heard;
}

test("Node.js: the official client connects through our endpoint and hears what is posted", async () => {
  const httpClient = new signalr.DefaultHttpClient(signalr.NullLogger.instance);
  const asked = [];
  const send = httpClient.send.bind(httpClient);
  httpClient.send = (request) => {
    asked.push(new URL(request.url));
    return send(request);
  };
  const connection = official("official", { httpClient });
  const heard = ear(connection);
  await connection.start();
  try {
    assert.equal(connection.state, "Connected");
    assert.ok(connection.connectionId);
    assert.deepEqual(asked.map(({ pathname }) => pathname), ["/chat/negotiate", "/client/negotiate"]);
    assert.equal(asked[0].origin, url);
    assert.notEqual(asked[1].origin, url);
    const message = once(heard, "somebody: Grüße, 你好 👋");
    await post("somebody", "Grüße, 你好 👋");
    await message;
  } finally {
    await connection.stop();
  }
  assert.equal(connection.state, "Disconnected");
});

test("Node.js: the official client hears the clock, every second another time", async () => {
  const connection = official("official");
  const heard = ear(connection);
  await connection.start();
  try {
    const [first] = await once(heard, "clock");
    const [second] = await once(heard, "clock");
    assert.match(first, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.ok(Date.parse(second) > Date.parse(first), `${first}, then ${second}`);
  } finally {
    await connection.stop();
  }
});

for (const user of ["", "x".repeat(41)]) {
  const status = user ? 400 : 401;
  test(`Node.js: the official client is refused ${user ? "with too long a name" : "without a name"}`, async () => {
    await assert.rejects(official(user).start(), (error) => {
      assert.equal(error.errorType, "FailedToNegotiateWithServerError");
      assert.ok(error.message.includes(`'${status}'`), error.message);
      return true;
    });
  });
}

/** Runs in the page: joins with either client; `heard` collects what each of them hears. */
const PAGE = `
  import * as signalr from "@microsoft/signalr";
  import * as hubwire from "hubwire";

  const clients = { official: signalr, hubwire };
  window.heard = { official: [], hubwire: [] };
  window.client = (kind, user) =>
    new clients[kind].HubConnectionBuilder()
      .withUrl("/chat?user=" + encodeURIComponent(user))
      .configureLogging(clients[kind].LogLevel.None)
      .build();
  window.join = async (kind, user) => {
    const connection = client(kind, user);
    connection.on("ReceiveMessage", (user, text) => heard[kind].push(user + ": " + text));
    connection.on("Clock", (iso) => heard[kind].push("clock: " + iso));
    await connection.start();
    return connection;
  };
  window.refusal = (kind, user) =>
    client(kind, user).start().then(
      () => ({ message: "connected" }),
      ({ name, message, code, errorType, statusCode }) => ({ name, message, code, errorType, statusCode }),
    );
`;

/** Both clients in one bundle, ours from the packed package. */
async function bundle() {
  const modules = await mkdtemp(join(tmpdir(), "hubwire-interop-"));
  try {
    const installed = join(modules, "hubwire");
    await mkdir(installed);
    await promisify(execFile)("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
    const { outputFiles } = await build({
      stdin: { contents: PAGE, resolveDir: here },
      nodePaths: [modules],
      bundle: true,
      write: false,
      format: "iife",
      target: "es2022",
      logLevel: "warning",
    });
    return outputFiles[0].text;
  } finally {
    await rm(modules, { recursive: true, force: true });
  }
}

/** A page on the demo's origin that knows both clients. */
async function withPage(body) {
  const script = await bundle();
  const webdriver = JSON.parse(await readFile(join(here, "../../webdriver.json"), "utf8"));
  const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(10_000);
    // A page that is really served from there: one made up by the test has no address, and Chromium would keep it
    // from asking a service on the loopback interface.
    await page.goto(`${url}/`);
    await page.evaluate(script);
    await body(page);
  } finally {
    await browser.close();
  }
}

function inBrowser(name, body) {
  const title = `Chromium: ${name}`;
  test(title, async () => {
    if (!executablePath) return console.log(`SKIPPED: ${title}: HUBWIRE_CHROMIUM names no browser`);
    await withPage(body);
  }, { seconds: 60 });
}

const hears = (page, kind, line) =>
  page.waitForFunction(([kind, line]) => heard[kind].includes(line), [kind, line]);

inBrowser("the official client and this package are in the same room", async (page) => {
  const states = await page.evaluate(async () => {
    window.connections = [await join("official", "olga"), await join("hubwire", "hugo")];
    return connections.map(({ state, connectionId }) => ({ state, named: Boolean(connectionId) }));
  });
  assert.deepEqual(states, [{ state: "Connected", named: true }, { state: "Connected", named: true }]);

  for (const [user, text] of [["olga", "Hello from the official client"], ["hugo", "Grüße, 你好 👋 from hubwire"]]) {
    await page.evaluate(
      ([user, text]) =>
        fetch("/chat/messages", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ user, text }),
        }),
      [user, text],
    );
    await hears(page, "official", `${user}: ${text}`);
    await hears(page, "hubwire", `${user}: ${text}`);
  }

  // Node's official client is in the room too.
  const third = official("nadia");
  const ears = ear(third);
  await third.start();
  const said = once(ears, "nadia: Hello from Node.js");
  await post("nadia", "Hello from Node.js");
  await said;
  await third.stop();
  await hears(page, "official", "nadia: Hello from Node.js");
  await hears(page, "hubwire", "nadia: Hello from Node.js");

  // Both heard the same, in the same order, and once.
  await page.waitForFunction(() => Object.values(heard).every((lines) => lines.some((line) => line.startsWith("clock: "))));
  const [theirs, ours] = await page.evaluate(async () => {
    await Promise.all(connections.map((connection) => connection.stop()));
    return [heard.official, heard.hubwire].map((lines) => lines.filter((line) => !line.startsWith("clock: ")));
  });
  assert.equal(theirs.length, 3);
  assert.deepEqual(ours, theirs);
});

inBrowser("both say that a name is missing, ours with the status as data", async (page) => {
  const [theirs, ours] = await page.evaluate(async () => [await refusal("official", ""), await refusal("hubwire", "")]);
  assert.equal(theirs.errorType, "FailedToNegotiateWithServerError");
  assert.match(theirs.message, /401/);
  assert.equal(ours.errorType, theirs.errorType);
  assert.equal(ours.code, "Negotiate");
  assert.equal(ours.statusCode, 401);
  assert.match(ours.message, /401/);
});

await run();
