// What the official client does, observed on it and on this package, in Node.js and in Chromium, through a recorder in
// front of the reference hub. Argument: the package's folder. HUBWIRE_TEST_HUB_URL: the hub. HUBWIRE_CHROMIUM: a browser.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { run, test } from "../harness.mjs";
import { mends } from "./mends.mjs";
import { record } from "./recorder.mjs";
import { behaviours } from "./suite/index.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const hub = process.env.HUBWIRE_TEST_HUB_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
const [folder, only] = process.argv.slice(2);
if (!folder || !hub) throw new Error("usage: HUBWIRE_TEST_HUB_URL=… run.mjs FOLDER [PART OF A NAME]");
const entry = resolve(folder, "src/index.js");
const recorder = await record(hub);

async function inNode(which) {
  const script = join(here, "suite/node.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [script, which, recorder, ...(only ? [only] : [])], {
    timeout: 240_000,
    maxBuffer: 1 << 26,
  });
  return JSON.parse(stdout);
}

async function inBrowser(which) {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { observeAll } from "./index.mjs"; import { library } from "./${which}.mjs"; globalThis.observe = (...args) => observeAll(library, ...args);`,
      resolveDir: join(here, "suite"),
    },
    alias: { hubwire: entry },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    logLevel: "warning",
  });
  const { args } = JSON.parse(await readFile(join(here, "../../webdriver.json"), "utf8"))["goog:chromeOptions"];
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await browser.newPage();
    await page.goto(recorder);
    await page.evaluate(outputFiles[0].text);
    return await page.evaluate(([recorder, only]) => globalThis.observe(recorder, only), [recorder, only]);
  } finally {
    await browser.close();
  }
}

const subjects = [
  ["Node.js, official", inNode, "official"],
  ["Node.js, hubwire", inNode, entry],
];
if (executablePath) {
  subjects.push(
    ["Chromium, official", inBrowser, "official"],
    ["Chromium, hubwire", inBrowser, "ours"],
    ["Chromium, hubwire in a worker", inBrowser, "worker"],
  );
} else console.log("SKIPPED: the behaviours in a browser: HUBWIRE_CHROMIUM names none");

for (const [title, observe, which] of subjects) {
  // All run side by side; each test waits for its own.
  const observed = observe(which).catch((error) => ({ failed: error }));
  for (const { name, expected } of behaviours) {
    if (only && !name.includes(only)) continue;
    test(`${title}: ${name}`, async () => {
      const all = await observed;
      if (all.failed) throw all.failed;
      const mend = which === "official" ? undefined : mends[name];
      if (mend) assert.notDeepEqual(mend.observed, expected, "what is claimed as a mend differs in nothing");
      if (all[name].error) throw new Error(all[name].error);
      assert.deepEqual(all[name].value, mend ? mend.observed : expected);
    }, { seconds: 240 });
  }
}

test("every mend is one of the behaviours, with a reason", () => {
  const names = new Set(behaviours.map(({ name }) => name));
  for (const [name, { why }] of Object.entries(mends)) {
    assert.ok(names.has(name), name);
    assert.ok(why?.length > 20, name);
  }
});

await run();
