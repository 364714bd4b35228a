// Typed receiving in a browser's Rust: this client beside the crate signalr-client, in Chromium. Argument: the folder of
// the module that wasm-bindgen has written. HUBWIRE_TEST_HUB_URL: the reference hub. HUBWIRE_CHROMIUM: the browser.
// Prints the time of the page's main thread for each message, the median of the rounds, and the ratio.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const { HUBWIRE_TEST_HUB_URL: hub, HUBWIRE_CHROMIUM: executablePath } = process.env;
const [folder, rounds = "5", count = "20000"] = process.argv.slice(2);
if (!folder || !hub || !executablePath) {
  throw new Error("usage: HUBWIRE_TEST_HUB_URL=… HUBWIRE_CHROMIUM=… browser_rust.mjs FOLDER [ROUNDS [MESSAGES]]");
}
const TYPES = { js: "text/javascript", wasm: "application/wasm", html: "text/html" };
const server = createServer(async (request, response) => {
  const name = request.url === "/" ? "index.html" : request.url.slice(1);
  const page = `<!doctype html><script type="module">
    import init, { Subject } from "./app.js";
    await init();
    globalThis.Subject = Subject;
  </script>`;
  const known = ["app.js", "app_bg.wasm", "index.html"].includes(name);
  response.writeHead(known ? 200 : 404, { "content-type": TYPES[name.split(".").pop()] ?? "text/plain" });
  response.end(known ? (name === "index.html" ? page : await readFile(join(resolve(folder), name))) : "");
});
server.listen(0, "127.0.0.1");
await once(server, "listening");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const subjects = [];
for (const name of ["hubwire", "signalr-client"]) {
  // A page for each: neither waits for the other.
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`${name}: ${error}`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => globalThis.Subject);
  await page.evaluate(async ([name, port]) => {
    globalThis.subject = await globalThis.Subject.connect(name, port);
  }, [name, Number(new URL(hub).port)]);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  subjects.push({ name, page, devtools, times: [] });
}
/** Seconds of the page's main thread so far. */
const spent = async (devtools) => {
  const { metrics } = await devtools.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration").value;
};
// The first round warms up.
for (let round = 0; round <= Number(rounds); round++) {
  for (const { name, page, devtools, times } of subjects) {
    const before = await spent(devtools);
    const heard = await page.evaluate((count) => globalThis.subject.receive(count), Number(count));
    if (heard !== Number(count)) throw new Error(`${name} heard ${heard}`);
    if (round > 0) times.push(((await spent(devtools)) - before) / heard);
  }
}
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const [ours, theirs] = subjects.map(({ times }) => median(times) * 1e6);
console.log("| typed receiving in a browser's Rust, main thread per message | hubwire | signalr-client | ratio |");
console.log("| --- | --- | --- | --- |");
console.log(`| a number | ${ours.toFixed(2)} µs | ${theirs.toFixed(2)} µs | ${(theirs / ours).toFixed(1)} |`);
await browser.close();
server.close();
