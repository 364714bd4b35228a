// What the npm package and the official client endure, side by side: starts and stops without growth, many and large
// messages, hidden and frozen tabs, the back/forward cache; in Chromium, in worker mode, and in Node.js. Arguments: the
// package's folder, parts of names of tests. HUBWIRE_CHROMIUM: the browser. Prints what was measured; what this package does
// wrong is a failure, what the official client does is told.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { bundle } from "./npm/package.mjs";
import { ENDURANCE, SUBJECTS } from "./npm/pages.mjs";
import { listen } from "./npm/server.mjs";

const executablePath = process.env.HUBWIRE_CHROMIUM;
const [folder, ...parts] = process.argv.slice(2);
if (!folder || !executablePath) throw new Error("usage: HUBWIRE_CHROMIUM=… endurance.mjs FOLDER [PART]...");
const STARTS = 100;
const MESSAGES = 300_000;
const LARGE = 8 * 1024 * 1024;
/** Growth of the heap in 100 starts that is not one: caches of the engine. */
const HEAP_TOLERANCE = 100_000;

const server = await listen({ ...(await bundle(folder, SUBJECTS, ENDURANCE)), "/elsewhere/page.js": "" });
const { args } = JSON.parse(await readFile(new URL("../webdriver.json", import.meta.url), "utf8"))["goog:chromeOptions"];
// Playwright would switch off the back/forward cache.
const browser = await chromium.launch({ executablePath, args, ignoreDefaultArgs: ["--disable-back-forward-cache"] });

/** Notes the memories of WebAssembly modules, which no metric of the browser has by itself. */
const NOTE_MEMORIES = () => {
  globalThis.memories = [];
  const note = (instance) => {
    for (const value of Object.values(instance.exports)) if (value instanceof WebAssembly.Memory) memories.push(value);
  };
  const { Instance, instantiate } = WebAssembly;
  WebAssembly.Instance = new Proxy(Instance, {
    construct(target, list) {
      const instance = Reflect.construct(target, list);
      note(instance);
      return instance;
    },
  });
  WebAssembly.instantiate = async (...list) => {
    const result = await instantiate.apply(WebAssembly, list);
    note(result.instance ?? result);
    return result;
  };
};

async function inPage(name, body, prepare) {
  const page = await browser.newPage();
  try {
    await page.addInitScript(NOTE_MEMORIES);
    if (prepare) await page.addInitScript(prepare);
    await page.goto(`${server.origin}/${name}/`);
    await page.waitForFunction(() => globalThis.ready, undefined, { polling: 20 });
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable");
    return await body(page, session);
  } finally {
    await page.close();
  }
}

async function counts(page, session) {
  for (let n = 0; n < 3; n += 1) await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const metric = (wanted) => metrics.find(({ name }) => name === wanted).value;
  const wasm = await page.evaluate(() => memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0));
  return { heap: metric("JSHeapUsedSize"), listeners: metric("JSEventListeners"), wasm };
}

/** Waits until the server has seen the last socket go. */
async function noSockets() {
  for (let n = 0; n < 100 && server.sockets.size > 0; n += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  return server.sockets.size;
}

/** A test gives what to print, and whether it is as it should be. */
const TESTS = {
  "100 starts and stops": (name) => inPage(name, async (page, session) => {
    await page.evaluate(() => cycles("/hub", 20));
    const before = await counts(page, session);
    await page.evaluate((count) => cycles("/hub", count), STARTS);
    const after = await counts(page, session);
    const grown = Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - before[key]]));
    const sockets = await noSockets();
    return {
      told: `heap ${(after.heap / 1e6).toFixed(2)} MB, grown by ${(grown.heap / 1000).toFixed(0)} kB; ` +
        `WebAssembly memory ${(after.wasm / 1e6).toFixed(2)} MB, grown by ${grown.wasm} bytes; ` +
        `${grown.listeners} more listeners; ${sockets} sockets left`,
      good: grown.heap < HEAP_TOLERANCE && grown.wasm === 0 && grown.listeners <= 0 && sockets === 0,
    };
  }),
  "300 000 messages": (name) => inPage(name, async (page, session) => {
    await page.evaluate(() => numbers("/hub", "json", 1000));
    const before = await counts(page, session);
    const results = [];
    for (const protocol of ["json", "messagepack"]) {
      results.push(await page.evaluate(([protocol, count]) => numbers("/hub", protocol, count), [protocol, MESSAGES]));
    }
    const after = await counts(page, session);
    return {
      told: results.map(({ heard, wrong }) => `${heard} heard, ${wrong} out of order`).join("; ") +
        `; heap grown by ${((after.heap - before.heap) / 1000).toFixed(0)} kB, WebAssembly memory by ${after.wasm - before.wasm}`,
      good: results.every(({ heard, wrong }) => heard === MESSAGES && wrong === 0),
    };
  }),
  "8 MiB both ways": (name) => inPage(name, async (page, session) => {
    const good = [];
    for (const protocol of ["json", "messagepack"]) {
      good.push(await page.evaluate(([protocol, length]) => big("/hub", protocol, length), [protocol, LARGE]));
    }
    const { wasm } = await counts(page, session);
    return { told: `JSON ${good[0]}, MessagePack ${good[1]}; WebAssembly memory ${(wasm / 1e6).toFixed(2)} MB after`, good: good.every(Boolean) };
  }),
  // A tab that is hidden for long runs timers once a minute: here, at a fifteenth of all times, every four seconds.
  "hidden tab, timers once a minute": (name) => inPage(name, async (page) => {
    const { told, lost } = await page.evaluate(async () => {
      const connection = open("/hub?patience=2000", "json", (builder) => builder.withKeepAliveInterval(1000).withServerTimeout(2000));
      const told = [];
      connection.onclose((error) => told.push(`closed: ${error?.message}`));
      await connection.start();
      globalThis.throttled = true;
      await globalThis.unthrottledWait(14_000);
      const lost = await connection.invoke("Add", 1, 2).then((sum) => sum !== 3, () => true);
      globalThis.throttled = false;
      if (!lost) await connection.stop();
      return { told, lost };
    });
    return { told: lost ? `the connection is lost: ${told}` : "the connection is kept", good: !lost };
  }, () => {
    const { setTimeout, setInterval, clearInterval } = globalThis;
    const GRAIN = 4000;
    const aligned = (delay = 0) => {
      const now = performance.now();
      return Math.ceil((now + delay) / GRAIN) * GRAIN - now;
    };
    globalThis.unthrottledWait = (delay) => new Promise((resolve) => setTimeout(resolve, delay));
    globalThis.setTimeout = (body, delay, ...rest) => setTimeout(body, globalThis.throttled ? aligned(delay) : delay, ...rest);
    globalThis.setInterval = (body, delay, ...rest) => setInterval((...list) => {
      if (!globalThis.throttled) return body(...list);
      setTimeout(body, aligned(), ...list);
    }, delay, ...rest);
    globalThis.clearInterval = clearInterval;
  }),
  // Stops the page's process, its workers and timers included, as a browser does with a frozen tab, and as a lid does.
  "frozen tab, and back": (name) => inPage(name, async (page) => {
    await page.evaluate(async () => {
      globalThis.told = [];
      globalThis.connection = open("/hub?patience=1000", "json", (builder) =>
        builder.withAutomaticReconnect([0, 200, 500]).withKeepAliveInterval(300));
      globalThis.settled = new Promise((resolve) => {
        connection.onreconnected(() => { told.push("reconnected"); resolve(); });
        connection.onclose(() => { told.push("closed"); resolve(); });
      });
      connection.onreconnecting(() => told.push("reconnecting"));
      await connection.start();
    });
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const renderers = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
    const [socket] = server.sockets;
    const dropped = once(socket, "close");
    for (const id of renderers) process.kill(id, "SIGSTOP");
    await dropped;
    for (const id of renderers) process.kill(id, "SIGCONT");
    const { told, sum } = await page.evaluate(async () => {
      const limit = () => new Promise((resolve) => setTimeout(resolve, 4000));
      await Promise.race([settled, limit()]);
      return { sum: await Promise.race([connection.invoke("Add", 1, 2), limit()]).catch(String), told };
    });
    return { told: `${told.join(", ")}; then a call gives ${sum}`, good: sum === 3 };
  }),
  "back/forward cache": (name) => inPage(name, async (page) => {
    await page.evaluate(async () => {
      globalThis.told = [];
      addEventListener("pageshow", ({ persisted }) => told.push(persisted ? "restored" : "shown"));
      globalThis.connection = open("/hub", "json", (builder) => builder.withAutomaticReconnect([0, 200, 500]));
      globalThis.settled = new Promise((resolve) => {
        connection.onreconnected(() => { told.push("reconnected"); resolve(); });
        connection.onclose(() => { told.push("closed"); resolve(); });
      });
      connection.onreconnecting(() => told.push("reconnecting"));
      await connection.start();
    });
    await page.goto(`${server.origin}/elsewhere/`);
    const open = await noSockets();
    // Not goBack, which waits for a page to load.
    const back = page.waitForEvent("framenavigated");
    await page.evaluate(() => history.back());
    await back;
    const isRestored = await page.evaluate(() => Array.isArray(globalThis.told));
    if (!isRestored) return { told: "the browser did not keep the page", good: true };
    const { told, sum } = await page.evaluate(async () => {
      const limit = () => new Promise((resolve) => setTimeout(resolve, 2000));
      const call = () => Promise.race([connection.invoke("Add", 1, 2), limit()]).catch(String);
      let sum = await call();
      if (sum !== 3) {
        await Promise.race([settled, limit()]);
        sum = await call();
      }
      return { told, sum };
    });
    const good = sum === 3 || told.includes("closed");
    return { told: `${open} sockets meanwhile; ${told.join(", ")}; then a call gives ${sum}`, good };
  }),
  "Node.js: 100 starts and stops, 300 000 messages": async (name) => {
    // There are no workers of this kind.
    if (name === "worker") return undefined;
    const script = fileURLToPath(new URL("npm/endurance_node.mjs", import.meta.url));
    const list = ["--expose-gc", script, name, folder, server.origin, String(STARTS), String(MESSAGES)];
    const { stdout } = await promisify(execFile)(process.execPath, list, { timeout: 300_000 });
    const { before, between, after, heard } = JSON.parse(stdout);
    const memory = ({ heap, external }) => heap + external;
    // What leaks grows in either hundred.
    const grown = Math.min(memory(after) - memory(between), memory(between) - memory(before));
    const resources = after.resources - before.resources;
    return {
      told: `heap ${(after.heap / 1e6).toFixed(2)} MB, grown by ${(grown / 1000).toFixed(0)} kB; ${resources} more resources; ` +
        `${heard.heard} heard, ${heard.wrong} out of order`,
      good: grown < HEAP_TOLERANCE && resources <= 0 && heard.heard === MESSAGES && heard.wrong === 0,
    };
  },
};

let passed = 0;
let failed = 0;
for (const [title, body] of Object.entries(TESTS)) {
  if (parts.length > 0 && !parts.some((part) => title.includes(part))) continue;
  for (const name of Object.keys(SUBJECTS)) {
    const result = await body(name).catch((error) => ({ told: error.stack, good: false }));
    if (!result) continue;
    const { told, good } = result;
    console.log(`${good ? "ok     " : name === "official" ? "DIFFERS" : "FAILED "} ${title}, ${name}: ${told}`);
    if (name === "official") continue;
    if (good) passed += 1;
    else failed += 1;
  }
}
await browser.close();
server.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
