// What is shown: figures, ten thousand connections in pages, users, groups, requests.
import assert from "node:assert/strict";
import { test } from "../harness.mjs";
import { Fake, connections } from "./fake.mjs";
import { becomes, close, column, go, hash, opened, rows, says } from "./pages.mjs";

test("figures, hubs and traffic are live", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(12);
  const page = await opened(fake.url);
  await becomes(page, "#sum-connections", "12");
  assert.deepEqual(await page.locator("#hubs tbody tr").allTextContents(), ["chat986–", "board333–"]);
  fake.connections = connections(16);
  fake.traffic.messagesIn += 500;
  fake.traffic.bytesOut += 5000;
  fake.changed();
  await becomes(page, "#sum-connections", "16");
  // How high the chart is: ten a second without traffic.
  await page.getByRole("img", { name: /^Messages a second over the last minute: now .* at most (50|[1-9]00|1,000)$/ }).waitFor();
  await page.waitForFunction(() => document.querySelector("#chart-in").getAttribute("d").includes("L"));
  assert.match(await page.locator("#service").textContent(), /serverless mode.*127\.0\.0\.1:8888.*20,000/s);
  await page.locator("#hubs").getByRole("link", { name: "board" }).click();
  assert.equal(await hash(page), "#connections?hub=board");
  await page.waitForFunction(() => document.querySelectorAll("#view-connections tbody tr").length === 4);
  assert.equal(await page.locator("#view-connections select").inputValue(), "board");
  // The engine has started under the policy, and nothing else was tried.
  assert.deepEqual(page.said, []);
  await close(page);
  await fake.stop();
});

test("ten thousand connections come in pages, and the address keeps which", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(10_000);
  const asked = [];
  const { Connections } = fake.methods;
  fake.methods.Connections = (filter) => (asked.push(filter), Connections(filter));
  const page = await opened(`${fake.url}#connections`);
  const turn = (name) => page.getByRole("navigation", { name: "Pages of connections" }).getByRole("button", { name });
  await says(page, "#view-connections .list-says", "1–50 of 10,000");
  assert.equal(await rows(page, "connections").count(), 50);
  assert.equal(await turn("Previous").getAttribute("aria-disabled"), "true");
  await turn("Next").click();
  await says(page, "#view-connections .list-says", "51–100 of 10,000");
  await turn("Last").click();
  await says(page, "#view-connections .list-says", "9,951–10,000 of 10,000");
  assert.equal(await hash(page), "#connections?offset=9950");
  assert.equal(await turn("Next").getAttribute("aria-disabled"), "true");
  // The button that has just been pressed keeps the focus, although it does nothing more.
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Last");
  await page.reload();
  await says(page, "#view-connections .list-says", "9,951–10,000 of 10,000");
  // There are fewer: the last page is another one.
  fake.connections = connections(120);
  fake.changed();
  await says(page, "#view-connections .list-says", "101–120 of 120");

  fake.connections = connections(10_000);
  await go(page, "connections?hub=chat&group=room4");
  await says(page, "#view-connections .list-says", "1–50 of 500 found");
  await page.getByLabel("User", { exact: true }).fill("user4");
  await says(page, "#view-connections .list-says", "20 found");
  assert.equal(await hash(page), "#connections?hub=chat&user=user4&group=room4");
  assert.deepEqual([...new Set(await column(page, "connections", "User"))], ["user4"]);
  await page.getByLabel("User", { exact: true }).fill("");
  await page.getByLabel("Group", { exact: true }).fill("");
  await page.locator("#view-connections select").selectOption("board");
  await page.locator("#view-connections").getByLabel("Search").fill("C000003");
  await says(page, "#view-connections .list-says", /^1 found$/);
  await page.getByRole("status").filter({ hasText: /^1 found$/ }).waitFor();
  await page.locator("#view-connections").getByLabel("Search").fill("nobody");
  await says(page, "#view-connections .empty", "No connections like that.");
  assert.equal(await rows(page, "connections").count(), 0);
  // A letter just before another view is asked for does not lead back, once typing counts as over.
  await page.locator("#view-connections").getByLabel("Search").fill("late");
  await go(page, "groups");
  await page.locator("#view-groups tbody tr").first().waitFor();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  assert.equal(await hash(page), "#groups");
  assert.ok(asked.every(({ limit, offset }) => limit === 50 && offset >= 0));
  assert.deepEqual(page.said, []);
  await close(page);
  await fake.stop();
});

test("a row that stays is the same: the focus is not lost when others come and go", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(30);
  const page = await opened(`${fake.url}#connections`);
  await says(page, "#view-connections .list-says", "30 in all");
  const link = page.getByRole("link", { name: fake.connections[5].id });
  await link.focus();
  fake.connections = [...connections(40).slice(30), ...fake.connections.slice(3)];
  fake.connections[12].messagesIn = 4_242;
  fake.changed();
  await says(page, "#view-connections .list-says", "37 in all");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), fake.connections[12].id);
  assert.equal((await column(page, "connections", "Messages in"))[12], "4,242");
  await close(page);
  await fake.stop();
});

test("users and groups lead to their connections, and to what is sent to them", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(1000);
  const page = await opened(`${fake.url}#users`);
  await says(page, "#view-users .list-says", "1–50 of 450");
  await page.locator("#view-users").getByLabel("Search").fill("user123");
  await says(page, "#view-users .list-says", /^1 found$/);
  await page.getByRole("link", { name: "user123" }).click();
  assert.equal(await hash(page), "#connections?hub=board&user=user123");
  await says(page, "#view-connections .list-says", /^2 found$/);
  await page.getByRole("link", { name: "Groups", exact: true }).click();
  await says(page, "#view-groups .list-says", "16 in all");
  await page.locator("#view-groups tr", { hasText: "room18" }).getByRole("link", { name: "Send to this group" }).click();
  assert.equal(await page.getByLabel("Hub").last().inputValue(), "chat");
  assert.equal(await page.getByLabel("Group", { exact: true }).last().inputValue(), "room18");
  await close(page);
  await fake.stop();
});

test("requests come in live, with what they were answered and why", async () => {
  const fake = await new Fake().start();
  for (let n = 0; n < 120; n += 1) fake.request({ kind: "negotiate", method: "POST", path: "/client/negotiate", hub: "chat", user: `user${n}`, status: 200, ms: 1.5 });
  const page = await opened(`${fake.url}#requests`);
  await says(page, "#request-count", "120 requests, the newest first.");
  assert.equal(await rows(page, "requests").count(), 50);
  const older = page.getByRole("button", { name: "Show older ones" });
  await older.click();
  await older.click();
  assert.equal(await rows(page, "requests").count(), 120);
  assert.equal(await older.isVisible(), false);
  fake.request({ kind: "refused", method: "POST", path: "/client/negotiate", hub: "chat", status: 401, outcome: "error", reason: "The token has expired." });
  await says(page, "#view-requests tbody tr:first-child", "401 The token has expired.");
  assert.match(await rows(page, "requests").first().textContent(), /RefusedPOST \/client\/negotiatechat–401/);
  await page.getByLabel("Outcome").selectOption("error");
  await says(page, "#request-count", "1 of 121 requests");
  assert.equal(await hash(page), "#requests?outcome=error");
  await page.getByLabel("Outcome").selectOption("");
  await page.locator("#view-requests").getByLabel("Search").fill("user77");
  await says(page, "#request-count", "1 of 121 requests");
  await page.locator("#view-requests").getByLabel("Search").fill("");
  const pause = page.getByRole("button", { name: "Pause" });
  await pause.click();
  fake.request({ kind: "rest", method: "POST", path: "/api/hubs/chat/:send", target: "Say", status: 202 });
  await says(page, "#request-count", "Paused");
  assert.equal(await pause.getAttribute("aria-pressed"), "true");
  // Those of the overview go on.
  fake.request({ kind: "upstream", method: "POST", path: "/api", status: 502, outcome: "error", reason: "It did not answer." });
  await page.waitForFunction(() => document.querySelector("#failed-list").textContent.includes("502 It did not answer."));
  assert.equal(await rows(page, "requests").filter({ hasText: "REST" }).count(), 0);
  await pause.click();
  await says(page, "#view-requests tbody tr:nth-child(2)", "POST /api/hubs/chat/:send · Say");
  assert.deepEqual(page.said, []);
  await close(page);
  await fake.stop();
});

test("no more than five hundred requests are kept", async () => {
  const fake = await new Fake().start();
  const page = await opened(`${fake.url}#requests`);
  for (let n = 0; n < 620; n += 1) fake.request({ kind: "call", hub: "chat", target: `Call${n}` });
  await says(page, "#view-requests tbody tr:first-child", "Call619");
  await says(page, "#request-count", "500 requests, the newest first.");
  // What failed in the same way is told once.
  for (let n = 0; n < 8; n += 1) fake.request({ kind: "call", hub: "chat", target: n % 4 ? "Same" : "Other", outcome: "error", reason: "No." });
  await go(page, "overview");
  await page.waitForFunction(() => document.querySelector("#failed-list").textContent.includes("Same 6 times"));
  assert.equal(await page.locator("#failed-list li").count(), 2);
  await close(page);
  await fake.stop();
});

test("hosted hubs show which of their methods are called, and fail", async () => {
  const fake = await new Fake().start();
  Object.assign(fake.info, { kind: "hosted", mode: "selfHosted" });
  fake.counts = [{ hub: "chat", name: "SendMessage", calls: 1234, errors: 5 }];
  const page = await opened(fake.url);
  await page.getByRole("row", { name: "SendMessage chat 1,234 5" }).waitFor();
  fake.counts[0].calls += 1;
  await page.getByRole("row", { name: "SendMessage chat 1,235 5" }).waitFor();
  assert.match(await page.locator("footer").textContent(), /hubs of this server/);
  await close(page);
  await fake.stop();
});
