// The npm package beside the official client in one Chromium: in the page, and in worker mode. Argument: the package's
// folder. HUBWIRE_TEST_HUB_URL: the reference hub. HUBWIRE_CHROMIUM: the browser. Prints tables; all runs take turns, and
// each figure is the median of its runs.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const hub = process.env.HUBWIRE_TEST_HUB_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
const [folder, rounds = "3", count = "100000"] = process.argv.slice(2);
if (!folder || !hub || !executablePath) {
  throw new Error("usage: HUBWIRE_TEST_HUB_URL=… HUBWIRE_CHROMIUM=… browser.mjs FOLDER [ROUNDS [MESSAGES]]");
}

/** A page has one client only, so that none pays for loading the others. */
const SUBJECTS = {
  official: `import * as client from "@microsoft/signalr";
    import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
    const how = (builder) => builder;`,
  hubwire: `import * as client from "hubwire"; const { MessagePackHubProtocol } = client;
    const how = (builder) => builder;`,
  worker: `import * as client from "hubwire"; const { MessagePackHubProtocol } = client;
    const how = (builder) => builder.withWorker();`,
};
const PAGE = `
  const hub = ${JSON.stringify(hub)};
  function build(path, protocol, options = {}) {
    const builder = new client.HubConnectionBuilder().withUrl(hub + path, options).configureLogging(client.LogLevel.None);
    if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
    return how(builder).build();
  }
  globalThis.receive = async (protocol, batch, count) => {
    const options = { skipNegotiation: true, transport: client.HttpTransportType.WebSockets };
    const path = "/firehose?payload=small&protocol=" + protocol + "&batch=" + batch + "&count=" + count;
    const connection = build(path, protocol, options);
    let heard = 0;
    connection.on("Message", (user, text) => { heard += user.length + text.length > 0 ? 1 : 0; });
    const done = new Promise((resolve) => connection.on("Done", resolve));
    const start = performance.now();
    await connection.start();
    await done;
    const elapsed = performance.now() - start;
    if (heard !== count) throw new Error("heard " + heard);
    await connection.stop();
    return elapsed;
  };
  globalThis.invoke = async (protocol, count) => {
    const connection = build("/hub", protocol);
    await connection.start();
    const start = performance.now();
    for (let n = 0; n < count; n++) if ((await connection.invoke("Add", n, 1)) !== n + 1) throw new Error("wrong sum");
    const elapsed = performance.now() - start;
    await connection.stop();
    return elapsed;
  };
  globalThis.begin = async () => {
    const connection = build("/hub");
    const start = performance.now();
    await connection.start();
    const elapsed = performance.now() - start;
    await connection.stop();
    return elapsed;
  };
`;

const scripts = {};
for (const [name, imports] of Object.entries(SUBJECTS)) {
  const { outputFiles } = await build({
    stdin: { contents: imports + PAGE, resolveDir: dirname(fileURLToPath(import.meta.url)) },
    alias: { hubwire: join(resolve(folder), "src/index.js") },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    splitting: true,
    outdir: "/",
    target: "es2022",
  });
  for (const { path, contents } of outputFiles) {
    scripts[`/${name}${path === "/stdin.js" ? "/page.js" : path}`] = contents;
  }
}
const server = createServer((request, response) => {
  const script = scripts[request.url];
  // As a server does that knows its files: what is fresh is not asked for again.
  response.setHeader("cache-control", "max-age=600");
  if (script) response.setHeader("content-type", "text/javascript").end(script);
  else response.setHeader("content-type", "text/html").end('<!doctype html><script type="module" src="page.js"></script>');
}).listen(0, "127.0.0.1");
await once(server, "listening");

const { args } = JSON.parse(await readFile(new URL("../webdriver.json", import.meta.url), "utf8"))["goog:chromeOptions"];
const browser = await chromium.launch({ executablePath, args });

/** Runs something in a fresh page; gives its result and what the page's thread worked meanwhile, in milliseconds. */
async function inPage(context, name, body, argument) {
  const page = await context.newPage();
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/${name}/`);
    await page.waitForFunction(() => globalThis.receive);
    const session = await context.newCDPSession(page);
    // The thread's own time: whatever else the machine does is not in it.
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    const worked = async () => {
      const { metrics } = await session.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration").value * 1000;
    };
    const before = await worked();
    const result = await page.evaluate(body, argument);
    return { result, worked: (await worked()) - before };
  } finally {
    await page.close();
  }
}

const figures = new Map();
function note(row, subject, figure) {
  const key = `${row}|${subject}`;
  figures.set(key, [...(figures.get(key) ?? []), figure]);
}
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const messages = Number(count);
const calls = 3000;
for (let round = 0; round < Number(rounds); round++) {
  for (const subject of Object.keys(SUBJECTS)) {
    const context = await browser.newContext();
    for (const protocol of ["json", "messagepack"]) {
      for (const batch of [1, 16]) {
        const { result, worked } = await inPage(context, subject, ([protocol, batch, count]) => receive(protocol, batch, count), [protocol, batch, messages]);
        const row = `receive, ${protocol}, ${batch === 1 ? "one by one" : `${batch} at a time`}`;
        note(`${row}: page's thread, us a message`, subject, (worked * 1000) / messages);
        note(`${row}: us a message`, subject, (result * 1000) / messages);
      }
      const { result, worked } = await inPage(context, subject, ([protocol, count]) => invoke(protocol, count), [protocol, calls]);
      note(`invoke, ${protocol}: us a round trip`, subject, (result * 1000) / calls);
      note(`invoke, ${protocol}: page's thread, us a call`, subject, (worked * 1000) / calls);
    }
    // Each page loads the module again; the browser has the files by now.
    for (let n = 0; n < 5; n++) note("start to connected, first of a page, ms", subject, (await inPage(context, subject, () => begin())).result);
    for (let n = 0; n < 5; n++) {
      note("start to connected, second of a page, ms", subject, (await inPage(context, subject, () => begin().then(() => begin()))).result);
    }
    await context.close();
  }
}
await browser.close();
server.close();

const names = Object.keys(SUBJECTS);
const rows = [...new Set([...figures.keys()].map((key) => key.split("|")[0]))].sort();
console.log(`${"".padEnd(62)}${names.map((name) => name.padStart(10)).join("")}   worker/official`);
for (const row of rows) {
  const values = names.map((name) => median(figures.get(`${row}|${name}`)));
  console.log(`${row.padEnd(62)}${values.map((value) => value.toFixed(2).padStart(10)).join("")}${(values[2] / values[0]).toFixed(2).padStart(12)}`);
}
