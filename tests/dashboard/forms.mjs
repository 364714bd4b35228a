// What is done: sending, closing, reading tokens, copying.
import assert from "node:assert/strict";
import { test } from "../harness.mjs";
import { CONNECTION_STRING, Fake, KEY, connections } from "./fake.mjs";
import { close, go, hash, opened, says } from "./pages.mjs";

test("a message goes to everyone, a user, a group or a connection, and not before it is right", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(100);
  const page = await opened(`${fake.url}#send`);
  const send = page.getByRole("button", { name: "Send", exact: true });
  const [method, args] = [page.getByLabel("Method that clients listen for"), page.getByLabel("Arguments, as a JSON list")];
  await page.waitForFunction(() => document.querySelector("#send-hub").value === "chat");
  await send.click();
  await says(page, "#send-target-error", "The method is missing.");
  assert.equal(await method.getAttribute("aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement.id), "send-target");
  await method.fill("Receive");
  assert.equal(await page.locator("#send-target-error").textContent(), "");
  for (const [text, problem] of [["[1,", "This is not JSON"], ['{"a":1}', "put them in brackets"], ["[9007199254740993]", "9007199254740993 has more digits"], [`["${"x".repeat(65_536)}"]`, "larger than 64 KiB"]]) {
    await args.fill(text);
    await send.click();
    await says(page, "#send-arguments-error", problem);
    assert.equal(await page.evaluate(() => document.activeElement.id), "send-arguments");
  }
  assert.deepEqual(fake.sent, []);
  await args.fill('["hello", {"n": 1}]');
  await method.press("Enter");
  await says(page, "#send-says", /^Sent to 75 connections at [\d:]+\.$/);
  await page.getByLabel("A user").check();
  await send.click();
  await says(page, "#send-name-error", "The user is missing.");
  await page.locator("#send-name").fill("user5");
  await send.click();
  await says(page, "#send-says", "Sent to 1 connection at");
  await page.getByLabel("A group").check();
  await page.locator("#send-name").fill("room6");
  await send.click();
  await says(page, "#send-says", "Sent to 5 connections at");
  const { id } = fake.connections[8];
  await go(page, `send?hub=chat&to=connection&name=${id}`);
  await send.click();
  await says(page, "#send-says", "Sent to 1 connection at");
  const same = { hub: "chat", target: "Receive", arguments: ["hello", { n: 1 }] };
  assert.deepEqual(fake.sent, [
    { ...same, to: "all" },
    { ...same, to: "user", name: "user5" },
    { ...same, to: "group", name: "room6" },
    { ...same, to: "connection", name: id },
  ]);
  fake.failures.Send = "The hub \"chat\" is not served here.";
  await send.click();
  await page.getByRole("alert").filter({ hasText: /^The hub "chat" is not served here\.$/ }).waitFor();
  assert.deepEqual(page.said, []);
  await close(page);
  await fake.stop();
});

test("a connection is shown with its claims, and is closed with a reason", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(20);
  const [, , , , , , one] = fake.connections;
  const page = await opened(`${fake.url}#connections?hub=chat`);
  const link = page.getByRole("link", { name: one.id });
  await link.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Connection" });
  await dialog.getByRole("row", { name: "role editor" }).waitFor();
  assert.match(await page.locator("#connection-facts").textContent(), /user6.*WebSockets.*messagepack|user6.*WebSockets.*json/s);
  assert.equal(await page.evaluate(() => document.activeElement.id), "connection-title");
  // Escape goes back to where the focus was, and the address forgets the connection.
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await hash(page), "#connections?hub=chat");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), one.id);
  await link.click();
  await page.reload();
  await dialog.getByRole("row", { name: "role editor" }).waitFor();
  assert.equal(await dialog.getByRole("link", { name: "Send to this connection" }).getAttribute("href"), `#send?hub=chat&to=connection&name=${one.id}`);
  await dialog.getByLabel("Reason that the client is told").fill("Maintenance");
  await dialog.getByLabel("The client may reconnect by itself").check();
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.getByText("This connection has ended.").waitFor();
  assert.deepEqual(fake.closed, [{ hub: "chat", connection: one.id, reason: "Maintenance", allowReconnect: true }]);
  assert.equal(await dialog.getByRole("button", { name: "Close" }).isVisible(), false);
  await dialog.getByRole("button", { name: "Done" }).click();
  await says(page, "#view-connections .list-says", /^14 found$/);
  await go(page, "connections?of=chat&connection=never");
  await dialog.getByText("This connection has ended.").waitFor();
  await close(page);
  await fake.stop();
});

test("what is switched off cannot be done", async () => {
  const fake = await new Fake().start();
  fake.connections = connections(4);
  Object.assign(fake.info, { kind: "hosted", mode: "farm", canSend: false, canClose: false, note: "It shows this server's connections alone." });
  const page = await opened(`${fake.url}#send`);
  await says(page, "#send-off", "switched off. It shows this server's connections alone.");
  assert.equal(await page.getByRole("button", { name: "Send", exact: true }).isDisabled(), true);
  await go(page, `connections?of=chat&connection=${fake.connections[1].id}`);
  await page.getByRole("row", { name: "role editor" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Close" }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Send to this connection" }).count(), 0);
  await close(page);
  await fake.stop();
});

test("a token is read, however it was copied, and stays out of the address", async () => {
  const fake = await new Fake().start();
  const read = [];
  const { ReadToken } = fake.methods;
  fake.methods.ReadToken = (token) => (read.push(token), ReadToken(token));
  const page = await opened(`${fake.url}#token`);
  const field = page.getByLabel("A client's or server's access token");
  for (const text of ["head.ann.sign", "Bearer head.ann.sign", "Authorization: bearer head.ann.sign\n", '"head.ann.sign"', "wss://a/client/?hub=chat&access_token=head.ann.sign&id=1", "head.\nann.sign"]) {
    await field.fill(text);
    await page.getByRole("button", { name: "Read" }).click();
    await says(page, "#token-says", "One problem.");
    assert.equal(read.pop(), "head.ann.sign", text);
  }
  await says(page, "#token-problems", "It has expired.");
  await page.getByRole("row", { name: "nameid ann the user" }).waitFor();
  assert.match(await page.locator("#token-facts").textContent(), /Hubchat.*Userann.*1 h ago.*Signaturevalid/s);
  assert.ok(!page.url().includes("ann"));
  await field.fill("nonsense");
  await page.getByRole("button", { name: "Read" }).click();
  await page.getByRole("alert").filter({ hasText: /^This is not a token: it has not got three parts\.$/ }).waitFor();
  assert.equal(await page.locator("#token-result").isVisible(), false);
  await page.getByRole("button", { name: "Clear" }).click();
  assert.equal(await field.inputValue(), "");
  assert.equal(await page.locator("#token-error").textContent(), "");
  await close(page);
  await fake.stop();
});

test("keys are dots until they are asked for, and are copied in full", async () => {
  const fake = await new Fake().start();
  const page = await opened(`${fake.url}#setup`, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("heading", { name: "AzureSignalRConnectionString" }).waitFor();
  const html = () => page.evaluate(() => document.documentElement.outerHTML);
  for (const secret of [KEY, "8c0fd3f6a1b94e12"]) assert.ok(!(await html()).includes(secret), secret);
  await says(page, "#setup", "AccessKey=••••••••;Version=1.0;");
  const copy = page.getByRole("button", { name: "Copy: AzureSignalRConnectionString" });
  await copy.click();
  await copy.filter({ hasText: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), CONNECTION_STRING);
  assert.ok(!(await html()).includes(KEY));
  const show = page.getByRole("button", { name: "Show the keys: Azure Functions, local.settings.json" });
  await show.click();
  assert.equal((await html()).split(KEY).length, 2, "the one that was asked for");
  await show.click();
  assert.ok(!(await html()).includes(KEY));
  // A page that may not copy selects what is to be copied.
  await page.evaluate(() => (navigator.clipboard.writeText = () => Promise.reject(new Error("no"))));
  await copy.click();
  await copy.filter({ hasText: "Selected" }).waitFor();
  assert.equal(await page.evaluate(() => String(getSelection())), CONNECTION_STRING);
  await close(page);
  await fake.stop();
});
