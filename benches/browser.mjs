// The npm package beside the official client in one Chromium: in the page, and in worker mode. Arguments: the package's
// folder, rounds, parts of names of rows. HUBWIRE_CHROMIUM: the browser. The server is in this process. All take turns in
// every round. CPU times are those of the page's main thread alone, whatever else the machine does.
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { Figures } from "./npm/figures.mjs";
import { bundle } from "./npm/package.mjs";
import { PAGE, RAW, SUBJECTS } from "./npm/pages.mjs";
import { listen, PROTOCOLS } from "./npm/server.mjs";

const executablePath = process.env.HUBWIRE_CHROMIUM;
const [folder, rounds = "3", ...parts] = process.argv.slice(2);
if (!folder || !executablePath) throw new Error("usage: HUBWIRE_CHROMIUM=… browser.mjs FOLDER [ROUNDS [PART]...]");

const names = Object.keys(SUBJECTS);
const server = await listen({ ...(await bundle(folder, SUBJECTS, PAGE)), "/raw/page.js": RAW });
const { args } = JSON.parse(await readFile(new URL("../webdriver.json", import.meta.url), "utf8"))["goog:chromeOptions"];
const browser = await chromium.launch({ executablePath, args });
const wanted = (row) => parts.length === 0 || parts.some((part) => row.includes(part));

/** Opens a page and gives what runs in it, with the milliseconds that its thread worked meanwhile, and its scripts. */
async function open(context, name, body) {
  const page = await context.newPage();
  try {
    await page.goto(`${server.origin}/${name}/`);
    await page.waitForFunction(() => globalThis.ready);
    const session = await context.newCDPSession(page);
    // The thread's own time.
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    const worked = async () => {
      const { metrics } = await session.send("Performance.getMetrics");
      const metric = (wanted) => metrics.find(({ name }) => name === wanted).value * 1000;
      return { thread: metric("TaskDuration"), script: metric("ScriptDuration") };
    };
    return await body(async (run, argument) => {
      const before = await worked();
      const result = await page.evaluate(run, argument);
      const after = await worked();
      return { result, thread: after.thread - before.thread, script: after.script - before.script };
    });
  } finally {
    await page.close();
  }
}

const cpu = new Figures(names);
const starts = new Figures(names);
const long = new Figures([...names.slice(0, 1), "raw", ...names.slice(1)]);

const RECEIVED = [
  ["small", 30_000, 1],
  ["small", 80_000, 16],
  ["10 kB", 4_000, 1],
  ["10 kB", 8_000, 16],
];
const CALLS = 2_000;
/** Contexts in a round, each with two pages. */
const STARTS = 3;
const LENGTH = 16 * 1024 * 1024;
const PIECE = 1024;

async function receiving(context, name, protocol, [payload, count, batch]) {
  const row = `receive, ${protocol}, ${payload}, ${batch === 1 ? "one" : batch} to a frame`;
  if (!wanted(row)) return;
  await open(context, name, async (measure) => {
    await measure((protocol) => connect(protocol), protocol);
    const burst = (count) => measure(([payload, count, batch]) => receive(payload, count, batch), [payload, count, batch]);
    // Until the compilers are done.
    await burst(count / 4);
    const { thread, script } = await burst(count);
    cpu.note(`${row}: thread, us a message`, name, (thread * 1000) / count);
    cpu.note(`${row}: its scripts`, name, (script * 1000) / count);
  });
}

async function calling(context, name, protocol, atOnce) {
  const row = `invoke, ${protocol}, ${atOnce} in flight`;
  if (!wanted(row)) return;
  await open(context, name, async (measure) => {
    await measure((protocol) => connect(protocol), protocol);
    const calls = (count) => measure(([count, atOnce]) => invoke(count, atOnce), [count, atOnce]);
    await calls(CALLS / 4);
    const { thread, script } = await calls(CALLS);
    cpu.note(`${row}: thread, us a call`, name, (thread * 1000) / CALLS);
    cpu.note(`${row}: its scripts`, name, (script * 1000) / CALLS);
  });
}

async function starting(name) {
  if (!wanted("start")) return;
  for (let n = 0; n < STARTS; n += 1) {
    // One that has never been here.
    const context = await browser.newContext();
    for (const cached of [false, true]) {
      await open(context, name, async (measure) => {
        const which = cached ? "files cached" : "nothing cached";
        const { result, thread } = await measure(() => begin());
        starts.note(`start, first of a page, ${which}: ms`, name, result.took);
        starts.note(`start, first of a page, ${which}: thread, ms`, name, thread);
        starts.note(`navigation to connected, ${which}: ms`, name, result.sinceNavigation);
        for (let again = 0; again < 3; again += 1) {
          const second = await measure(() => begin());
          starts.note("start, second of a page: ms", name, second.result.took);
          starts.note("start, second of a page: thread, ms", name, second.thread);
        }
      });
    }
    await context.close();
  }
}

async function assembling(context, name, protocol, fragments) {
  const row = `16 MiB, ${protocol}, ${fragments ? "fragments" : "messages"} of 1 KiB`;
  // The official client ends the connection at the first piece of a message.
  if (!wanted(row) || (name === "official" && !fragments)) return;
  await open(context, name, async (measure) => {
    await measure((protocol) => connect(protocol), protocol);
    const call = [...PROTOCOLS[protocol].invocation("Pieces", [LENGTH, PIECE, fragments])];
    const argument = name === "raw" ? [LENGTH, call] : [LENGTH, PIECE, fragments];
    const { result, thread } = await measure((list) => pieces(...list), argument);
    long.note(`${row}: ms`, name, result);
    long.note(`${row}: thread, ms`, name, thread);
  });
}

for (let round = 0; round < Number(rounds); round += 1) {
  for (const name of cpu.turns(round)) {
    const context = await browser.newContext();
    for (const protocol of ["json", "messagepack"]) {
      for (const kind of RECEIVED) await receiving(context, name, protocol, kind);
      for (const atOnce of [1, 64]) await calling(context, name, protocol, atOnce);
    }
    await context.close();
    await starting(name);
  }
  for (const name of long.turns(round)) {
    const context = await browser.newContext();
    for (const protocol of ["json", "messagepack"]) {
      for (const fragments of [true, false]) await assembling(context, name, protocol, fragments);
    }
    await context.close();
  }
  // It takes minutes: what there is so far, whatever becomes of the rest.
  console.log(`\n${round + 1} of ${rounds} rounds`);
  cpu.print("CPU of the page's thread");
  starts.print("Starts");
  long.print("One message in pieces");
}
await browser.close();
server.close();
