// Two people chat in the demo's page. Argument: a folder for screenshots. HUBWIRE_DEMO_URL: the running demo.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { run, test } from "../../tests/harness.mjs";

const url = process.env.HUBWIRE_DEMO_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!process.argv[2] || !url || !executablePath) {
  throw new Error("usage: HUBWIRE_DEMO_URL=… HUBWIRE_CHROMIUM=… run.mjs OUTDIR");
}
const out = resolve(process.argv[2]);
await mkdir(out, { recursive: true });

const PATIENCE = 10_000;
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
const browser = await chromium.launch({ executablePath, args });
// What the pages of the conversation complain about, and where they ask for things.
const complaints = [];
const origins = new Set();

/** A window of somebody's own. */
async function open(options = {}, query = "") {
  const context = await browser.newContext({ viewport: WIDE, colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  await page.goto(`${url}/${query}`);
  return page;
}

function watch(page) {
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => origins.add(new URL(request.url()).hostname));
}

const state = (page) => page.locator("#state");
const joined = (page) => page.locator('body[data-state="connected"]').waitFor();

async function enter(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await joined(page);
}

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByLabel("Message", { exact: true }).press("Enter");
}

/** Waits until a page shows a text as said by somebody. */
async function heard(page, author, text) {
  const message = page.locator(".message", { has: page.locator(".text").getByText(text, { exact: true }) });
  await message.waitFor();
  assert.equal(await message.count(), 1, `"${text}" once`);
  const name = await message.locator(".author").textContent();
  assert.equal(name, author);
  return message;
}

/** Waits until an element's text is another than it was. */
async function changes(page, selector) {
  const before = await page.locator(selector).textContent();
  await page.waitForFunction(
    ([selector, before]) => document.querySelector(selector).textContent !== before,
    [selector, before],
    { timeout: PATIENCE },
  );
  return [before, await page.locator(selector).textContent()];
}

const field = (page, list, name) => page.locator(`#${list} [data-field="${name}"]`).textContent();

const alice = await open();
const bob = await open({ colorScheme: "dark" }, "?user=bob");
watch(alice);
watch(bob);

test("joining: a name is needed, and the address may bring one", async () => {
  assert.equal(await state(alice).textContent(), "Disconnected");
  await alice.getByRole("button", { name: "Join", exact: true }).click();
  assert.equal(await alice.locator("body").getAttribute("data-stage"), "new");
  await enter(alice, "alice");
  assert.equal(await bob.getByLabel("Your name").inputValue(), "bob");
  await bob.getByLabel("Your name").press("Enter");
  await joined(bob);
  assert.equal(await state(alice).textContent(), "Connected");
  assert.equal(await state(bob).textContent(), "Connected");
  await alice.waitForFunction(() => document.activeElement.id === "text");
});

test("the panel shows what was negotiated and what the token says", async () => {
  assert.match(await field(alice, "negotiated", "url"), /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.notEqual(await field(alice, "negotiated", "url"), url);
  assert.equal(await field(alice, "negotiated", "hub"), "chat");
  assert.equal(await field(alice, "negotiated", "transport"), "WebSockets");
  assert.match(await field(alice, "negotiated", "connectionId"), /^\S{8,}$/);
  assert.match(await field(alice, "negotiated", "negotiateVersion"), /^[01]$/);
  assert.notEqual(await field(alice, "negotiated", "connectionId"), await field(bob, "negotiated", "connectionId"));
  assert.equal(await field(alice, "token", "userId"), "alice");
  assert.equal(await field(bob, "token", "userId"), "bob");
  assert.equal(await field(alice, "token", "roles"), "chatter");
  assert.match(await field(alice, "token", "audience"), /\/client\/\?hub=chat$/);
  assert.match(await field(alice, "token", "algorithm"), /^[HR]S\d+$/);
  assert.match(await field(alice, "token", "keyId"), /^\S+$/);
});

test("each hears what the other says, and what they say themselves", async () => {
  await say(alice, "Hello Bob, can you hear me?");
  const sent = await heard(alice, "alice (you)", "Hello Bob, can you hear me?");
  assert.match(await sent.getAttribute("class"), /\bown\b/);
  const received = await heard(bob, "alice", "Hello Bob, can you hear me?");
  assert.doesNotMatch(await received.getAttribute("class"), /\bown\b/);
  await bob.getByLabel("Message", { exact: true }).fill("Loud and clear 👋");
  await bob.getByRole("button", { name: "Send" }).click();
  await heard(bob, "bob (you)", "Loud and clear 👋");
  await heard(alice, "bob", "Loud and clear 👋");
  assert.equal(await alice.getByLabel("Message", { exact: true }).inputValue(), "");
});

test("what is said is text, of more than one line with Shift+Enter", async () => {
  await say(alice, "<b>bold</b> & <img src=x>");
  await heard(bob, "alice", "<b>bold</b> & <img src=x>");
  assert.equal(await bob.locator(".message :is(b, img)").count(), 0);
  const box = alice.getByLabel("Message", { exact: true });
  await box.fill("one");
  await box.press("Shift+Enter");
  await box.pressSequentially("two");
  await box.press("Enter");
  await heard(bob, "alice", "one\ntwo");
});

test("the server's clock ticks", async () => {
  const [before, after] = await changes(alice, "#clock");
  assert.match(after, /^\d\d:\d\d:\d\d$/);
  assert.notEqual(before, after);
  const behind = await alice.locator("#clock").evaluate((clock) => Date.now() - Date.parse(clock.dateTime));
  assert.ok(Math.abs(behind) < 5000, `${behind} ms behind`);
});

test("the token's remaining life counts down", async () => {
  const seconds = (text) => text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  const [before, after] = (await changes(alice, "#life-left")).map(seconds);
  assert.ok(after < before && before <= 600 && after > 300, `${before} s, then ${after} s`);
  const meter = alice.getByRole("meter", { name: "Remaining life of the token" });
  assert.equal(await meter.getAttribute("aria-valuemax"), "600");
  assert.ok(Number(await meter.getAttribute("aria-valuenow")) <= after);
});

test("everything has a name for assistive technology, and news are announced", async () => {
  const nameless = await alice.evaluate(() =>
    [...document.querySelectorAll("input, textarea, button")]
      .filter((control) => !(control.labels?.length || control.textContent.trim() || control.ariaLabel))
      .map((control) => control.outerHTML),
  );
  assert.deepEqual(nameless, []);
  await alice.getByRole("log", { name: "Messages" }).waitFor();
  await alice.getByRole("main", { name: "Chat" }).waitFor();
  await alice.getByRole("complementary", { name: "Connection" }).waitFor();
  await alice.getByRole("status").filter({ hasText: "Connected" }).waitFor();
  assert.equal(await alice.locator("html").getAttribute("lang"), "en");
  assert.equal(await alice.locator("h1").count(), 1);
});

test("the keyboard alone is enough", async () => {
  await alice.getByLabel("Message", { exact: true }).focus();
  const reached = [];
  for (let step = 0; step < 3; step += 1) {
    await alice.keyboard.press("Tab");
    reached.push(await alice.evaluate(() => document.activeElement.id));
  }
  assert.deepEqual(reached, ["send", "leave", "copy"]);
});

test("on a phone the connection is behind the button at the top", async () => {
  const phone = await open({ viewport: NARROW }, "?user=carol");
  watch(phone);
  await phone.getByLabel("Your name").press("Enter");
  await joined(phone);
  await say(phone, "Hi from my phone");
  await heard(alice, "carol", "Hi from my phone");
  assert.equal(await phone.locator("#panel").isVisible(), false);
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= NARROW.width, `${wide} px wide`);
  await phone.screenshot({ path: join(out, "phone.png") });
  const peek = phone.getByRole("button", { name: /^(Connected|Disconnected)\b.*details of the connection$/ });
  await peek.click();
  assert.equal(await peek.getAttribute("aria-expanded"), "true");
  assert.equal(await phone.locator("#panel").isVisible(), true);
  assert.equal(await phone.locator("#log").isVisible(), false);
  await phone.screenshot({ path: join(out, "phone-connection.png") });
  await phone.getByRole("button", { name: "Leave" }).click();
  await phone.locator('body[data-state="disconnected"]').waitFor();
  assert.equal(await phone.locator("#log").isVisible(), true);
  assert.equal(await peek.getAttribute("aria-expanded"), "false");
  await phone.context().close();
});

test("what both windows look like", async () => {
  await alice.screenshot({ path: join(out, "desktop-light.png") });
  await bob.screenshot({ path: join(out, "desktop-dark.png") });
});

test("leaving, being out, and coming back", async () => {
  const first = await field(bob, "negotiated", "connectionId");
  await bob.getByRole("button", { name: "Leave" }).click();
  await bob.locator('body[data-state="disconnected"]').waitFor();
  assert.equal(await state(bob).textContent(), "Disconnected");
  assert.equal(await bob.locator("#banner").isVisible(), false);
  await say(alice, "Is Bob gone?");
  await heard(alice, "alice (you)", "Is Bob gone?");
  await bob.getByRole("button", { name: "Rejoin" }).click();
  await joined(bob);
  await say(alice, "Welcome back");
  await heard(bob, "alice", "Welcome back");
  assert.equal(await bob.getByText("Is Bob gone?").count(), 0);
  assert.notEqual(await field(bob, "negotiated", "connectionId"), first);
});

test("the name is remembered for this window", async () => {
  await alice.reload();
  assert.equal(await alice.getByLabel("Your name").inputValue(), "alice");
});

test("no complaints in the console, and no request that leaves this machine", () => {
  assert.deepEqual(complaints, []);
  assert.deepEqual([...origins], ["127.0.0.1"]);
});

test("a connection that breaks is said in words, and can be made again", async () => {
  const dora = await open();
  let socket;
  await dora.routeWebSocket(/\/client\//, (route) => {
    socket = route;
    route.connectToServer();
  });
  await enter(dora, "dora");
  await socket.close({ code: 1011, reason: "for the test" });
  const banner = dora.getByRole("alert").filter({ hasText: "Disconnected." });
  await banner.waitFor();
  assert.match(await dora.locator("#reason").textContent(), /^[A-Z].*1011.*\.$/);
  assert.equal(await state(dora).textContent(), "Disconnected");
  await dora.screenshot({ path: join(out, "desktop-ended.png") });
  await dora.getByRole("button", { name: "Reconnect" }).click();
  await joined(dora);
  assert.equal(await dora.locator("#banner").isVisible(), false);
  await say(dora, "Back again");
  await heard(dora, "dora (you)", "Back again");
  await dora.context().close();
});

test("an app server that is gone or refuses is said in words", async () => {
  const emil = await open();
  await emil.route("**/chat/negotiate*", (route) => route.abort("connectionrefused"));
  await emil.getByLabel("Your name").fill("emil");
  await emil.getByRole("button", { name: "Join", exact: true }).click();
  await emil.getByRole("alert").filter({ hasText: "The app server does not answer. Start it with" }).waitFor();
  await emil.unroute("**/chat/negotiate*");
  await emil.getByRole("button", { name: "Join", exact: true }).click();
  await joined(emil);

  await emil.route("**/chat/messages", (route) => route.fulfill({ status: 502, body: "The message could not be published." }));
  await say(emil, "into the void");
  await emil.getByRole("alert").filter({ hasText: "The message could not be published." }).waitFor();
  assert.equal(await emil.getByLabel("Message", { exact: true }).inputValue(), "into the void");
  await emil.context().close();
});

test("joining can be called off", async () => {
  const fay = await open();
  await fay.route("**/chat/negotiate*", () => {});
  await fay.getByLabel("Your name").fill("fay");
  await fay.getByRole("button", { name: "Join", exact: true }).click();
  await fay.locator('body[data-state="connecting"]').waitFor();
  await fay.getByRole("button", { name: "Cancel" }).click();
  await fay.locator('body[data-state="disconnected"]').waitFor();
  await fay.unroute("**/chat/negotiate*");
  await enter(fay, "fay");
  await browser.close();
});

await run();
