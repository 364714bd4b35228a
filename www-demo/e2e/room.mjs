// Joining, chat, presence, files, figures, leaving.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "../../tests/harness.mjs";
import { changes, enter, field, heard, joined, member, message, open, say, state, url } from "./pages.mjs";

// What the pages of the conversation complain about, and where they ask for things.
const complaints = [];
const origins = new Set();

function watch(page) {
  page.on("console", (line) => ["error", "warning"].includes(line.type()) && complaints.push(line.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => origins.add(new URL(request.url()).hostname));
}

const alice = await open();
const bob = await open({ colorScheme: "dark" }, "?user=bob");
watch(alice);
watch(bob);

test("the page may load its own files and talk to its own service, nothing else", async () => {
  const policy = (await fetch(`${url}/`)).headers.get("content-security-policy");
  assert.match(policy, /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';/);
  assert.match(policy, /connect-src 'self' http:\/\/127\.0\.0\.1:\d+ ws:\/\/127\.0\.0\.1:\d+;/);
  assert.doesNotMatch(policy, /unsafe-inline|'unsafe-eval'|\*/);
});

test("joining: a name is needed, and the address may bring one", async () => {
  assert.equal(await state(alice), "Disconnected");
  assert.equal(await message(alice).isDisabled(), true);
  await alice.getByRole("button", { name: "Join", exact: true }).click();
  assert.equal(await alice.locator("body").getAttribute("data-stage"), "new");
  await enter(alice, "alice");
  assert.equal(await bob.getByLabel("Your name").inputValue(), "bob");
  await bob.getByLabel("Your name").press("Enter");
  await joined(bob);
  assert.equal(await state(alice), "Connected");
  assert.equal(await state(bob), "Connected");
  await alice.waitForFunction(() => document.activeElement.id === "text");
});

test("the page shows what was negotiated and what the token says", async () => {
  assert.match(await field(alice, "negotiated", "url"), /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.notEqual(await field(alice, "negotiated", "url"), url);
  assert.equal(await field(alice, "negotiated", "hub"), "chat");
  assert.equal(await field(alice, "negotiated", "transport"), "WebSockets");
  assert.equal(await field(alice, "negotiated", "protocol"), "messagepack");
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
  await message(bob).fill("Loud and clear 👋");
  await bob.getByRole("button", { name: "Send", exact: true }).click();
  await heard(bob, "bob (you)", "Loud and clear 👋");
  await heard(alice, "bob", "Loud and clear 👋");
  assert.equal(await message(alice).inputValue(), "");
});

test("what is said is text, of more than one line with Shift+Enter", async () => {
  await say(alice, "<b>bold</b> & <img src=x>");
  await heard(bob, "alice", "<b>bold</b> & <img src=x>");
  assert.equal(await bob.locator(".message :is(b, img)").count(), 0);
  await message(alice).fill("one");
  await message(alice).press("Shift+Enter");
  await message(alice).pressSequentially("two");
  await message(alice).press("Enter");
  await heard(bob, "alice", "one\ntwo");
});

test("what is said over plain HTTP is heard too", async () => {
  const headers = { "content-type": "application/json" };
  const post = (user, text) =>
    fetch(`${url}/chat/messages`, { method: "POST", headers, body: JSON.stringify({ user, text }) });
  assert.equal((await post("curl", "From a terminal")).status, 202);
  await heard(alice, "curl", "From a terminal");
  assert.equal((await post("curl", " ")).status, 400);
  assert.equal((await post("x".repeat(41), "hello")).status, 400);
});

const people = (page) => page.locator("#people .person").allTextContents();

async function peopleAre(page, expected) {
  await page.waitForFunction(
    (expected) => [...document.querySelectorAll("#people .person")].map((p) => p.textContent).join() === expected.join(),
    expected,
  ).catch(async (error) => {
    throw new Error(`${await people(page)} instead of ${expected}`, { cause: error });
  });
}

test("who is in the room is known to everybody, as they come and go", async () => {
  await peopleAre(alice, ["alice (you)", "bob"]);
  await peopleAre(bob, ["alice", "bob (you)"]);
  const carol = await member("carol");
  await peopleAre(carol, ["alice", "bob", "carol (you)"]);
  await peopleAre(alice, ["alice (you)", "bob", "carol"]);
  const second = await member("carol");
  await alice.getByText("2 windows").waitFor();
  await second.context().close();
  await alice.getByText("2 windows").waitFor({ state: "detached" });
  await peopleAre(alice, ["alice (you)", "bob", "carol"]);
  await carol.getByRole("button", { name: "Leave" }).click();
  await peopleAre(alice, ["alice (you)", "bob"]);
  assert.deepEqual(await people(carol), []);
  await carol.context().close();
});

/** Sends a file from one page; returns the other's link to it. */
async function send(from, to, name, buffer) {
  const chooser = from.waitForEvent("filechooser");
  await from.getByRole("button", { name: "Send a file" }).click();
  await (await chooser).setFiles({ name, mimeType: "application/octet-stream", buffer });
  const link = to.getByRole("link", { name, exact: true });
  await link.waitFor();
  return link;
}

/** The SHA-256 of what a link leads to. */
async function content(page, link) {
  const downloading = page.waitForEvent("download");
  await link.click();
  const hash = createHash("sha256");
  for await (const chunk of await (await downloading).createReadStream()) hash.update(chunk);
  return hash.digest("hex");
}

test("files arrive intact, in both windows", async () => {
  for (const [name, size] of [["some.bin", 1_500_000], ["small.bin", 1], ["a part.bin", 256 * 1024], ["empty.bin", 0]]) {
    const bytes = randomBytes(size);
    const expected = createHash("sha256").update(bytes).digest("hex");
    const link = await send(bob, alice, name, bytes);
    assert.equal(await content(alice, link), expected, name);
    const own = bob.getByRole("link", { name, exact: true });
    await own.waitFor();
    assert.equal(await content(bob, own), expected, name);
    const item = alice.locator(".message", { has: alice.getByRole("link", { name, exact: true }) });
    assert.match(await item.textContent(), /SHA-256 verified/);
    assert.match(await item.textContent(), /^Bbob/);
  }
  await bob.locator("#file").setInputFiles({ name: "huge.bin", mimeType: "x/y", buffer: Buffer.alloc(17 * 1024 * 1024) });
  await bob.getByRole("alert").filter({ hasText: "A file has at most 16.8 MB." }).waitFor();
}, { seconds: 60 });

test("the server's clock ticks, and the chart has its figures", async () => {
  const [before, after] = await changes(alice, "#clock");
  assert.match(after, /^\d\d:\d\d:\d\d$/);
  assert.notEqual(before, after);
  const behind = await alice.locator("#clock").evaluate((clock) => Date.now() - Date.parse(clock.dateTime));
  assert.ok(Math.abs(behind) < 5000, `${behind} ms behind`);
  assert.equal(await alice.locator("#connections").textContent(), "2");
  assert.ok(Number(await alice.locator("#round-trip").textContent()) > 0);
  assert.match(await alice.locator("#chart-line").getAttribute("d"), /^M[\d. ]+(L[\d. ]+)+/);
  await alice.getByRole("img", { name: /^Round trip in milliseconds over the last minute: now [\d.]+ ms/ }).waitFor();
  // What is said shows as messages a second.
  await say(alice, "count me");
  await alice.locator("#rate").filter({ hasText: /^[1-9]/ }).waitFor();
});

test("the token's remaining life counts down", async () => {
  const seconds = (text) => text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  const [before, after] = (await changes(alice, "#life-left")).map(seconds);
  assert.ok(after < before && before <= 600 && after > 300, `${before} s, then ${after} s`);
  const meter = alice.getByRole("meter", { name: "Remaining life of the token" });
  assert.equal(await meter.getAttribute("aria-valuemax"), "600");
  assert.ok(Number(await meter.getAttribute("aria-valuenow")) <= after);
});

test("leaving, being out, and coming back", async () => {
  const first = await field(bob, "negotiated", "connectionId");
  await bob.getByRole("button", { name: "Leave" }).click();
  await bob.locator('body[data-state="disconnected"]').waitFor();
  assert.equal(await state(bob), "Disconnected");
  assert.equal(await message(bob).isDisabled(), true);
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

test("an app server that is gone or refuses is said in words", async () => {
  const emil = await open();
  await emil.route("**/chat/negotiate*", (route) => route.abort("connectionrefused"));
  await emil.getByLabel("Your name").fill("emil");
  await emil.getByRole("button", { name: "Join", exact: true }).click();
  await emil.getByRole("alert").filter({ hasText: "The app server does not answer. Start it with" }).waitFor();
  await emil.unroute("**/chat/negotiate*");
  await emil.getByRole("button", { name: "Join", exact: true }).click();
  await joined(emil);
  // The hub's method says no; what was written is still there.
  await message(emil).evaluate((box) => box.removeAttribute("maxlength"));
  await say(emil, "x".repeat(2001));
  await emil.getByRole("alert").filter({ hasText: "A message has a text of at most 2000 bytes." }).waitFor();
  assert.equal((await message(emil).inputValue()).length, 2001);
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
  await fay.context().close();
});

/** How far the end of the newest message is below the end of the log, in pixels. */
const hidden = (page) =>
  page.evaluate(() => {
    const [log, newest] = [document.querySelector("#log"), document.querySelector("#messages").lastElementChild];
    return Math.round(newest.getBoundingClientRect().bottom - log.getBoundingClientRect().bottom);
  });

test("the newest message stays in sight, whatever else takes its room", async () => {
  for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
    const gina = await member("gina", { viewport });
    const height = () => gina.locator("#log").evaluate((log) => log.clientHeight);
    for (let line = 1; line <= 14; line += 1) {
      await say(gina, `line ${line}`);
      await heard(gina, "gina (you)", `line ${line}`);
    }
    assert.ok((await hidden(gina)) <= 0);
    const tall = await height();
    // An error line.
    await message(gina).evaluate((box) => box.removeAttribute("maxlength"));
    await say(gina, "x".repeat(2001));
    await gina.getByRole("alert").filter({ hasText: "A message has a text" }).waitFor();
    assert.ok((await height()) < tall, "the line takes room from the log");
    await gina.evaluate(() => new Promise(requestAnimationFrame));
    assert.ok((await hidden(gina)) <= 0, `${await hidden(gina)} px hidden`);
    // A long text that is being written.
    await message(gina).fill("one\ntwo\nthree\nfour\nfive\nsix");
    await gina.evaluate(() => new Promise(requestAnimationFrame));
    assert.ok((await hidden(gina)) <= 0, `${await hidden(gina)} px hidden`);
    // Somebody who reads what was said before is left there.
    await gina.locator("#log").evaluate((log) => (log.scrollTop = 0));
    await gina.evaluate(() => new Promise(requestAnimationFrame));
    await message(gina).fill("one");
    await gina.evaluate(() => new Promise(requestAnimationFrame));
    assert.equal(await gina.locator("#log").evaluate((log) => log.scrollTop), 0);
    await gina.context().close();
  }
}, { seconds: 60 });
