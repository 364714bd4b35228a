// The mock hub and the pages of a browser: by Playwright's routes, and installed from another window, as in Cypress.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { test } from "../harness.mjs";
import { until } from "./testing_suite.mjs";

const require = createRequire(import.meta.url);
// The official packages as scripts of a page.
const SCRIPTS = ["@microsoft/signalr/dist/browser/signalr.js", "@microsoft/signalr-protocol-msgpack/dist/browser/signalr-protocol-msgpack.js"];
const TYPES = { html: "text/html", js: "text/javascript", wasm: "application/wasm" };

/** Serves an application and the package to a page, from no server. */
async function serve(page, folder) {
  await page.route("http://app.test/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    const body = pathname.startsWith("/package/")
      ? await readFile(fileURLToPath(new URL(pathname.slice("/package/".length), folder)))
      : pathname.startsWith("/scripts/")
        ? await readFile(require.resolve(SCRIPTS[Number(pathname.slice("/scripts/".length))]))
        : "<!doctype html><title>app</title><script src=/scripts/0></script><script src=/scripts/1></script>";
    const contentType = TYPES[/\.(\w+)$/.exec(pathname)?.[1]] ?? (pathname.startsWith("/scripts/") ? TYPES.js : TYPES.html);
    await route.fulfill({ body, contentType });
  });
}

let browser;

function inPage(title, folder, body) {
  test(title, async () => {
    const executablePath = process.env.HUBWIRE_CHROMIUM;
    if (!executablePath) return console.log(`SKIPPED: ${title}: HUBWIRE_CHROMIUM names no browser`);
    const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
    browser ??= await chromium.launch({ executablePath, args: webdriver["goog:chromeOptions"].args });
    const page = await browser.newPage();
    try {
      await serve(page, folder);
      await body(page);
    } finally {
      await page.close();
    }
  }, { seconds: 60 });
}

/** What the page does, with either client: `client` names it, `protocol` its hub protocol. */
async function application({ client, protocol, url, transport, accessToken }) {
  const signalr = client === "official" ? window.signalR : await import("/package/src/index.js");
  let builder = new signalr.HubConnectionBuilder().configureLogging(signalr.LogLevel.None);
  const options = { accessTokenFactory: () => accessToken };
  builder = builder.withUrl(url, transport ? { ...options, transport } : options).withAutomaticReconnect([0, 0, 0]);
  if (protocol === "messagepack") {
    const { MessagePackHubProtocol } = client === "official" ? window.signalR.protocols.msgpack : signalr;
    builder = builder.withHubProtocol(new MessagePackHubProtocol());
  }
  const connection = builder.build();
  connection.on("ReceiveMessage", (text) => (document.title = text));
  connection.on("AskName", () => "Ann");
  connection.onreconnected(() => (document.title = "back"));
  connection.onclose((error) => (document.title = `closed: ${error?.message}`));
  await connection.start();
  window.connection = connection;
  const ticks = [];
  const streamed = new Promise((complete, error) => {
    connection.stream("Ticks", 3).subscribe({ next: (item) => ticks.push(item), error, complete });
  });
  const sum = await connection.invoke("Add", 1, 2);
  await streamed;
  return { sum, ticks, error: await connection.invoke("Fails").catch(({ message }) => message) };
}

export function playwrightTests(MockHub, folder, clients) {
  for (const client of clients) {
    for (const [protocol, transport] of [["json", 0], ["messagepack", 0], ["messagepack", 4]]) {
      inPage(`${client}: a page routed by Playwright, ${protocol}${transport ? ", long polling" : ""}`, folder, async (page) => {
        const hub = new MockHub();
        hub.method("Add", (a, b) => a + b);
        hub.method("Ticks", async function* (to) {
          for (let n = 0; n < to; n += 1) yield { n };
        });
        hub.method("Fails", () => {
          throw new Error("Ünlucky");
        });
        // Another origin: preflights and CORS headers are the mock's business.
        const url = "http://api.test/chat";
        await hub.route(page, "/chat");
        // The application has a page of that path itself.
        await page.goto("http://app.test/chat");
        const result = await page.evaluate(application, { client, protocol, url, transport, accessToken: "good" });
        assert.equal(result.sum, 3);
        assert.deepEqual(result.ticks, [{ n: 0 }, { n: 1 }, { n: 2 }]);
        assert.match(result.error, /Ünlucky/);
        const there = await hub.connected();
        assert.deepEqual([there.protocol, there.accessToken], [protocol, "good"]);
        assert.equal(there.transport, transport ? "LongPolling" : "WebSockets");
        await hub.send("ReceiveMessage", "hello");
        await page.waitForFunction(() => document.title === "hello");
        assert.equal(await hub.invoke("AskName"), "Ann");
        hub.refuse(503, { times: 1 });
        hub.drop();
        await page.waitForFunction(() => document.title === "back");
        const again = await hub.connected();
        assert.notEqual(again, there);
        hub.close({ error: "Shutting down" });
        await page.waitForFunction(() => document.title.startsWith("closed"));
        assert.match(await page.title(), /Shutting down/);
        hub.refuse(0);
        await assert.rejects(page.evaluate(() => window.connection.start()), /fetch|network|reached/i);
      });
    }

    inPage(`${client}: a page that is closed is gone from the hub`, folder, async (page) => {
      const hub = new MockHub().method("Add", () => 0).method("Ticks", () => []).method("Fails", () => {});
      const off = await hub.route(page, /\/chat/);
      await page.goto("http://app.test/");
      await page.evaluate(application, { client, url: "http://app.test/chat" });
      assert.equal(hub.connections.length, 1);
      await page.reload();
      await until(() => hub.connections.length === 0);
      await off();
      await assert.rejects(page.evaluate(application, { client, url: "http://app.test/chat" }));
      assert.equal(hub.connections.length, 0);
    });

    for (const protocol of ["json", "messagepack"]) {
      inPage(`${client}: a frame in which the page around it has installed a hub, ${protocol}`, folder, async (page) => {
        await page.goto("http://app.test/");
        // The page tests, the frame is the application: as in Cypress.
        await page.evaluate(async () => {
          const { MockHub } = await import("/package/src/testing.js");
          const frame = document.createElement("iframe");
          frame.src = "/app";
          const loaded = new Promise((resolve) => (frame.onload = resolve));
          document.body.append(frame);
          await loaded;
          window.hub = new MockHub();
          window.hub.method("Add", (a, b) => a + b).method("Ticks", (to) => [{ to }]);
          window.hub.method("Fails", () => Promise.reject(new Error("Ünlucky")));
          window.hub.install("/chat", frame.contentWindow);
        });
        const frame = page.frames()[1];
        const result = await frame.evaluate(application, { client, protocol, url: "/chat", accessToken: "good" });
        assert.deepEqual(result.ticks, [{ to: 3 }]);
        assert.match(result.error, /Ünlucky/);
        const seen = await page.evaluate(() => [window.hub.connections[0].accessToken, window.hub.calls.map(({ method }) => method)]);
        assert.deepEqual(seen, ["good", ["Ticks", "Add", "Fails"]]);
        await page.evaluate(() => window.hub.send("ReceiveMessage", "hello"));
        await frame.waitForFunction(() => document.title === "hello");
      });
    }
  }
}
