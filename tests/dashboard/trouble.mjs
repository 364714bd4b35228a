// When the service goes away, and when what it tells is hostile.
import assert from "node:assert/strict";
import { test } from "../harness.mjs";
import { Fake, connections } from "./fake.mjs";
import { becomes, close, connected, go, open, opened, says, VIEWS } from "./pages.mjs";

test("a connection that is cut comes back, and follows what happened meanwhile", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(3);
  const page = await opened(fake.url);
  await page.evaluate(() => {
    globalThis.states = [];
    new MutationObserver(() => states.push(document.body.dataset.state)).observe(document.body, { attributeFilter: ["data-state"] });
  });
  fake.cut();
  fake.connections = connections(8);
  await becomes(page, "#sum-connections", "8");
  await connected(page);
  const states = await page.evaluate(() => globalThis.states);
  assert.deepEqual([states[0], states.at(-1)], ["reconnecting", "connected"]);
  assert.equal(await page.getByRole("status").filter({ hasText: "Connected" }).count(), 1);
  assert.equal(await page.locator("#lost").textContent(), "");
  await close(page);
  await fake.stop();
});

test("when the service stops the page says so, and goes on with the next one by itself", async () => {
  let fake = await new Fake().start();
  fake.connections = connections(3);
  fake.request({ kind: "call", target: "Before" });
  const page = await opened(`${fake.url}#requests`);
  await says(page, "#view-requests tbody", "Before");
  const { port } = fake;
  await fake.stop();
  const alert = page.getByRole("alert").filter({ hasText: /^The service does not answer\. What you see is from \d\d:\d\d:\d\d\. This page goes on by itself once it does\.$/ });
  await alert.waitFor();
  await page.locator('body[data-state="reconnecting"]').waitFor();
  // What cannot be done now says so, and what is typed is not lost.
  await go(page, "send");
  await page.getByLabel("Method that clients listen for").fill("Receive");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await says(page, "#send-error", /\S/);
  fake = await new Fake().start(port);
  fake.connections = connections(5);
  await connected(page);
  await alert.waitFor({ state: "hidden" });
  await becomes(page, "#sum-connections", "5");
  assert.equal(await page.getByLabel("Method that clients listen for").inputValue(), "Receive");
  // It is another service: what the first one did is not its doing.
  await go(page, "requests");
  await says(page, "#request-count", "0 requests");
  await close(page);
  await fake.stop();
});

test("a page that may not connect says so", async () => {
  const fake = await new Fake().start();
  fake.status = 403;
  const page = await open(fake.url);
  await page.getByRole("alert").filter({ hasText: /^This page is not allowed to connect \(403\)/ }).waitFor();
  fake.status = 200;
  await connected(page);
  await close(page);
  await fake.stop();
});

test("a call that fails says why, where it was made", async () => {
  const fake = await new Fake().start();
  fake.failures.Connections = "The search is too long.";
  const page = await opened(`${fake.url}#connections`);
  await page.getByRole("alert").filter({ hasText: /^The search is too long\.$/ }).waitFor();
  await close(page);
  await fake.stop();
});

test("names are texts, whatever they are", async () => {
  const names = [
    "<img src=x onerror=globalThis.hit=1>",
    "</td></table><script>globalThis.hit=1</script>",
    "javascript:globalThis.hit=1",
    "\"><svg onload='globalThis.hit=1'>",
    "__proto__",
    "constructor",
    "a&b=c#d?e%00/../",
    "\u202egnorw eht yaw",
    "x".repeat(2000),
    "",
  ];
  const fake = await new Fake().start();
  fake.connections = names.map((name, n) => ({ ...connections(1)[0], id: `${name}${n}`, hub: name || "empty", user: name, groups: [name], groupCount: 1, protocol: name, transport: name, server: name }));
  fake.methods.Connection = (hub, id) => ({ ...fake.connections.find((one) => one.id === id), claims: names.map((name) => ({ name, value: name })), query: names[0], stateful: true });
  fake.methods.ReadToken = () => ({ header: { alg: names[0] }, claims: names.map((name) => ({ name, value: name, meaning: name })), audience: names[2], hub: names[1], user: names[0], bytes: 1, signature: names[0], problems: names });
  Object.assign(fake.info, {
    version: names[0], mode: names[1], endpoint: names[2], note: names[3],
    connectionStrings: names.map((name) => ({ name, value: name })),
    snippets: names.map((name) => ({ title: name, language: name, text: name })),
    upstream: [{ url: names[2], hubs: names, categories: names, events: names }],
  });
  for (const name of names) fake.request({ kind: name, method: name, path: name, hub: name, user: name, target: name, outcome: "error", reason: name });
  const page = await open(fake.url);
  await connected(page);
  const markup = await page.evaluate(() => document.querySelectorAll("img, script, iframe, [onerror], [onload]").length);
  for (const view of VIEWS) {
    await go(page, view);
    if (["connections", "users", "groups", "requests"].includes(view)) await page.locator(`#view-${view} tbody tr`).first().waitFor();
    if (view === "token") {
      await page.locator("#token-text").fill("a.b.c");
      await page.getByRole("button", { name: "Read" }).click();
      await page.locator("#token-claims tbody tr").first().waitFor();
    }
    if (view === "setup") await page.locator("#setup pre").first().waitFor();
    const found = await page.evaluate(() => ({
      markup: document.querySelectorAll("img, script, iframe, [onerror], [onload]").length,
      links: [...document.querySelectorAll("a")].map((link) => link.getAttribute("href")).filter((href) => href !== null && !href.startsWith("#")),
      wide: document.documentElement.scrollWidth - innerWidth,
    }));
    assert.deepEqual(found, { markup, links: [], wide: found.wide }, view);
    assert.ok(found.wide <= 0, `${view} is ${found.wide} px too wide`);
  }
  // Names come through links and addresses as they are.
  await go(page, "users");
  for (const name of names.slice(0, 7)) {
    await page.locator("#view-users").getByRole("link", { name, exact: true }).click();
    await page.waitForFunction((name) => {
      const users = [...document.querySelectorAll("#view-connections td[data-title=User]")];
      return users.length === 1 && users[0].textContent === name;
    }, name);
    await page.locator("#view-connections tbody a").click();
    await page.locator("#connection-claims tbody tr").first().waitFor();
    await page.keyboard.press("Escape");
    await go(page, "users");
    await page.locator("#view-users tbody tr").first().waitFor();
  }
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
  assert.deepEqual(page.said, []);
  await close(page);
  await fake.stop();
});
