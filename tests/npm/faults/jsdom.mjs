// A page that Jest imitates in Node.js by jsdom, which has no `fetch`.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { test } from "../../harness.mjs";
import { withHub } from "./hub.mjs";

const require = createRequire(import.meta.url);

/** Long polling makes all kinds of requests; with binary messages too. What is given up has to end. */
const TEST = `
  const { HttpTransportType, HubConnectionBuilder, MessagePackHubProtocol } = require(process.env.HUBWIRE_PACKAGE);
  test.each(["WebSockets", "LongPolling"])("%s", async (transport) => {
    expect(typeof document).toBe("object");
    expect(typeof fetch).toBe("undefined");
    const connection = new HubConnectionBuilder()
      .withUrl(process.env.HUBWIRE_URL, { transport: HttpTransportType[transport], headers: { "X-Own": "7" } })
      .configureLogging("none")
      .build();
    await connection.start();
    expect(await connection.invoke("Echo", "grüße")).toBe("grüße");
    await connection.stop();
  });
  test("one that is stopped", async () => {
    const connection = new HubConnectionBuilder().withUrl(process.env.HUBWIRE_URL + "/never").configureLogging("none").build();
    const started = connection.start();
    started.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    await connection.stop();
    await expect(started).rejects.toThrow("stopped during negotiation");
  });
`;

test("Jest with jsdom: requests go by the fetch of Node.js", withHub({ refuse: ({ url }) => url.includes("never") && new Promise(() => {}) }, async ({ url, ...hub }) => {
  const folder = await mkdtemp(join(tmpdir(), "hubwire-jsdom-"));
  try {
    await writeFile(join(folder, "page.test.cjs"), TEST);
    const environment = require.resolve("jest-environment-jsdom");
    const config = { rootDir: folder, testEnvironment: environment, testMatch: ["**/*.test.cjs"], transform: {} };
    const args = [require.resolve("jest/bin/jest"), "--config", JSON.stringify(config), "--runInBand", "--watchman=false"];
    const env = { ...process.env, HUBWIRE_URL: url, HUBWIRE_PACKAGE: resolve(process.argv[2], "cjs/index.js"), NO_COLOR: "1" };
    const { stderr } = await promisify(execFile)(process.execPath, args, { cwd: folder, env }).catch((error) => error);
    assert.match(stderr, /Tests: +3 passed/);
    assert.ok(hub.requests.some(({ headers }) => headers["x-own"] === "7"));
  } finally {
    await rm(folder, { recursive: true });
  }
}));
