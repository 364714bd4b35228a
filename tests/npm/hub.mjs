// The package on the reference hub, in Node.js and in Chromium. Argument: the package's folder.
// HUBWIRE_TEST_HUB_URL: the hub. HUBWIRE_CHROMIUM: a browser, if there is one; empty if it is not wanted.
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import * as official from "@microsoft/signalr-protocol-msgpack";
import WebSocket from "ws";
import { run, test } from "../harness.mjs";
import { suite } from "./hub_suite.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const url = process.env.HUBWIRE_TEST_HUB_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!process.argv[2] || !url) throw new Error("usage: HUBWIRE_TEST_HUB_URL=… hub.mjs FOLDER");
const entry = join(resolve(process.argv[2]), "src/index.js");

// Node.js has one from version 22 on.
globalThis.WebSocket ??= WebSocket;
const tests = suite(await import(pathToFileURL(entry)), official, url);
for (const [name, body] of tests) test(`Node.js: ${name}`, body);

/** A page that knows the package and the tests. */
async function open() {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import * as hubwire from ${JSON.stringify(entry)};
        import * as official from "@microsoft/signalr-protocol-msgpack";
        import { suite } from "./hub_suite.mjs";
        window.tests = new Map(suite(hubwire, official, ${JSON.stringify(url)}));
      `,
      resolveDir: here,
    },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    logLevel: "warning",
  });
  const webdriver = JSON.parse(await readFile(join(here, "../../webdriver.json"), "utf8"));
  const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage();
  // A page that is really served from there: see tests/interop.
  await page.goto(`${url}/stats`);
  await page.evaluate(outputFiles[0].text);
  return page;
}

if (executablePath) {
  let page;
  for (const [name] of tests) {
    test(`Chromium: ${name}`, async () => {
      page ??= await open();
      const error = await page.evaluate(
        (name) => window.tests.get(name)().then(() => undefined, (error) => error?.stack ?? String(error)),
        name,
      );
      if (error) throw new Error(error);
    });
  }
  test("Chromium: closes", async () => page?.context().browser().close());
} else if (executablePath === undefined) {
  console.log("SKIPPED: everything in Chromium: HUBWIRE_CHROMIUM names no browser");
}

await run();
