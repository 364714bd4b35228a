// The app in a front-end framework, against the demo server and over a network that can be cut.
// Arguments: its path on the server, and a folder for screenshots.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { run, test } from "../../tests/harness.mjs";

const url = process.env.HUBWIRE_DEMO_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
const [, , path, folder] = process.argv;
if (!folder || !url || !executablePath) {
  throw new Error("usage: HUBWIRE_DEMO_URL=… HUBWIRE_CHROMIUM=… framework.mjs PATH OUTDIR");
}
const out = resolve(folder);
await mkdir(out, { recursive: true });

const PATIENCE = 20_000;
const WIDE = { width: 1024, height: 760 };
const NARROW = { width: 390, height: 844 };

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
const browser = await chromium.launch({ executablePath, args });
const complaints = [];

async function open(options = {}, prepare = watch) {
  const context = await browser.newContext({ viewport: WIDE, colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  await prepare(page);
  await page.goto(`${url}/${path}/`);
  return page;
}

function watch(page) {
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
}

const state = (page, name) => page.locator(`.status[data-state="${name}"]`).waitFor();
const button = (page, name) => page.getByRole("button", { name, exact: true });
const log = (page) => page.getByRole("log", { name: "Messages" });

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await button(page, "Send").click();
}

async function ticks(page) {
  const clock = page.locator(".clock time");
  await clock.filter({ hasText: /^\d\d:\d\d:\d\d$/ }).waitFor();
  const before = await clock.textContent();
  await clock.filter({ hasNotText: before }).waitFor();
}

/** The way between page and service: it knows which WebSockets are open, and can be cut. */
class Network {
  webSockets = new Set();
  #open = new Set();
  refuses = false;
  #server;
  #changed = [];

  async start(port) {
    this.#server = createServer((client) => {
      if (this.refuses) return client.destroy();
      const service = connect(port, "127.0.0.1");
      this.#open.add(client);
      client.on("data", (bytes) => /^upgrade: websocket/im.test(bytes.toString("latin1")) && this.webSockets.add(client));
      const end = () => {
        client.destroy();
        service.destroy();
        this.#open.delete(client);
        this.webSockets.delete(client);
        for (const changed of this.#changed.splice(0)) changed();
      };
      for (const [from, to] of [[client, service], [service, client]]) {
        from.on("error", end).on("end", end).on("close", end).pipe(to);
      }
    });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this.#server.address().port;
  }

  cut() {
    for (const client of this.#open) client.destroy();
  }

  /** Waits until every WebSocket is closed. */
  async quiet() {
    while (this.webSockets.size > 0) await new Promise((done) => this.#changed.push(done));
  }

  close() {
    this.cut();
    this.#server?.close();
  }
}

/** Has a page's connections go through the network. */
async function reroute(page, network) {
  let port;
  await page.route(`${url}/chat/negotiate*`, async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    const service = new URL(answer.url);
    port ??= await network.start(Number(service.port));
    service.port = port;
    await route.fulfill({ response, json: { ...answer, url: service.href } });
  });
}

const page = await open();

test("live data shows", async () => {
  await state(page, "connected");
  await ticks(page);
});

test("what is said comes back, as text and only once", async () => {
  const text = `Hello <b>everybody</b> from ${path}`;
  await say(page, text);
  await log(page).getByText(text).waitFor();
  assert.equal(await log(page).getByText(text).count(), 1);
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "");
});

test("an error of the hub's shows", async () => {
  await page.getByLabel("Message", { exact: true }).evaluate((input) => (input.maxLength = 10_000));
  await say(page, "x".repeat(2001));
  await page.getByRole("alert").filter({ hasText: "at most 2000 bytes" }).waitFor();
});

test("controls have names, and the keyboard is enough", async () => {
  assert.equal(await page.locator("h1").count(), 1);
  await page.getByRole("main").waitFor();
  await page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
  await page.getByLabel("Message", { exact: true }).fill(`By keyboard, ${path}`);
  await page.getByLabel("Message", { exact: true }).press("Enter");
  await log(page).getByText(`By keyboard, ${path}`).waitFor();
});

test("a lost connection shows, and comes back; leaving closes it, and joining opens another", async () => {
  const network = new Network();
  const page = await open({ bypassCSP: true }, (page) => reroute(page, network));
  try {
    await state(page, "connected");
    await ticks(page);
    assert.equal(network.webSockets.size, 1);

    network.refuses = true;
    network.cut();
    await state(page, "reconnecting");
    assert.match(await page.getByRole("status").textContent(), /Connection lost/);
    assert.equal(await button(page, "Send").isDisabled(), true);
    await page.screenshot({ path: join(out, "reconnecting.png") });
    network.refuses = false;
    await state(page, "connected");
    await ticks(page);
    await say(page, `Back again, ${path}`);
    await log(page).getByText(`Back again, ${path}`).waitFor();

    await button(page, "Leave").click();
    await state(page, "left");
    await network.quiet();

    await button(page, "Join").click();
    await state(page, "connected");
    await ticks(page);
    assert.equal(network.webSockets.size, 1);
    await page.context().close();
    await network.quiet();
  } finally {
    network.close();
  }
}, { seconds: 90 });

test("it looks right, wide and narrow, light and dark", async () => {
  await page.screenshot({ path: join(out, "wide-light.png"), fullPage: true });
  const phone = await open({ viewport: NARROW, colorScheme: "dark" });
  await state(phone, "connected");
  await ticks(phone);
  await say(phone, `Hi from a phone, ${path}`);
  await log(phone).getByText(`Hi from a phone, ${path}`).waitFor();
  const width = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= NARROW.width, `${width} pixels wide`);
  await phone.screenshot({ path: join(out, "narrow-dark.png"), fullPage: true });
  await phone.context().close();
});

test("nothing was complained about", async () => {
  assert.deepEqual(complaints, []);
});

await run();
