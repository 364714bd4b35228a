// The page on a local service that is real, with clients of the official package.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import { HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { test } from "../harness.mjs";
import { becomes, close, connected, go, opened, says } from "./pages.mjs";

const base64 = (value) => Buffer.from(value).toString("base64url");

function sign(claims, key) {
  const text = `${base64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${base64(JSON.stringify(claims))}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

/** Starts a local service, and gives what it says of itself. It ends with its standard input. */
async function start(port) {
  const child = spawn(process.env.HUBWIRE_DASHBOARD_PROGRAM, ["local", "--port", String(port), "--json", "--until-input-ends"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout });
  const { endpoint, settings } = JSON.parse(await new Promise((resolve) => lines.once("line", resolve)));
  const connectionString = settings.AzureSignalRConnectionString;
  const [, key] = /AccessKey=([^;]+)/.exec(connectionString);
  return {
    endpoint,
    connectionString,
    key,
    url: `${endpoint}/dashboard/`,
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}

function tokenFor(service, user, key = service.key) {
  const now = Math.floor(Date.now() / 1000);
  return sign({ aud: `${service.endpoint}/client/?hub=chat`, nameid: user, iat: now, nbf: now, exp: now + 3600 }, key);
}

async function client(service, user) {
  const accessTokenFactory = () => tokenFor(service, user);
  const connection = new HubConnectionBuilder().withUrl(`${service.endpoint}/client/?hub=chat`, { accessTokenFactory }).configureLogging(LogLevel.None).build();
  const heard = new Promise((resolve) => connection.on("Receive", (...args) => resolve(args)));
  const closed = new Promise((resolve) => connection.onclose(resolve));
  await connection.start();
  return { connection, heard, closed };
}

test("a local service shows its clients, sends to them and closes them, and comes back", async () => {
  let service = await start(0);
  const port = new URL(service.endpoint).port;
  const page = await opened(service.url);
  const [ann, bob] = await Promise.all([client(service, "ann"), client(service, "bob")]);
  await becomes(page, "#sum-connections", "2");
  await becomes(page, "#sum-users", "2");

  // Who is refused is told why.
  const refused = await fetch(`${service.endpoint}/client/negotiate?hub=chat&negotiateVersion=1`, { method: "POST", headers: { authorization: `Bearer ${tokenFor(service, "eve", "another key of forty-eight letters, or so it is")}` } });
  assert.equal(refused.status, 401);
  await go(page, "requests?outcome=error");
  await says(page, "#view-requests tbody tr:first-child", "401");
  assert.ok(!(await page.content()).includes(service.key));

  await go(page, "send?hub=chat&to=user&name=ann");
  await page.getByLabel("Method that clients listen for").fill("Receive");
  await page.getByLabel("Arguments, as a JSON list").fill('["hello", {"n": [1, null, 2.5]}]');
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await says(page, "#send-says", "Sent to 1 connection at");
  assert.deepEqual(await ann.heard, ["hello", { n: [1, null, 2.5] }]);

  await go(page, "token");
  await page.locator("#token-text").fill(tokenFor(service, "ann"));
  await page.getByRole("button", { name: "Read" }).click();
  await says(page, "#token-says", "The service takes it.");
  assert.match(await page.locator("#token-facts").textContent(), /Hubchat.*Userann.*Signaturevalid/s);
  await page.locator("#token-text").fill(tokenFor(service, "ann", "another key of forty-eight letters, or so it is"));
  await page.getByRole("button", { name: "Read" }).click();
  await says(page, "#token-facts", "made with another key");

  await go(page, "setup");
  await says(page, "#setup", "AccessKey=••••••••");

  await go(page, "connections?hub=chat&user=bob");
  await says(page, "#view-connections .list-says", /^1 found$/);
  await page.locator("#view-connections tbody a").click();
  await page.getByRole("row", { name: "nameid bob" }).waitFor();
  await page.getByLabel("Reason that the client is told").fill("Enough");
  await page.getByRole("button", { name: "Close" }).click();
  await page.getByText("This connection has ended.").waitFor();
  assert.match(String(await bob.closed), /Enough/);
  await page.keyboard.press("Escape");

  await service.stop();
  await ann.closed;
  await page.getByRole("alert").filter({ hasText: "The service does not answer." }).waitFor();
  service = await start(port);
  await connected(page);
  await go(page, "overview");
  await becomes(page, "#sum-connections", "0");
  assert.deepEqual(page.said.filter((line) => !line.includes("ERR_CONNECTION_REFUSED")), []);
  await close(page);
  await service.stop();
}, { seconds: 60 });
