// The official client and this package, side by side.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { test } from "../../tests/harness.mjs";
import { happened, heard, member, open, row, rowIs, say, url } from "./pages.mjs";

const connect = (page) => page.getByRole("button", { name: "Connect both" }).click();
const connected = (page, options) => page.locator("#compare-says").filter({ hasText: "Both are connected." }).waitFor(options);
const verdict = (page, name) => page.locator(`[data-row="${name}"] .verdict`).textContent();

test("both clients hear the same, and both come back", async () => {
  const mona = await member("mona");
  const nils = await member("nils");
  const both = (text) => mona.locator("#compare-says").filter({ hasText: text }).waitFor();
  await connect(mona);
  await connected(mona, { timeout: 30_000 });
  assert.deepEqual(await row(mona, "state"), ["Connected", "Connected"]);
  for (const [name, figure] of [["cold", /^[\d.]+ m?s$/], ["connect", /^[\d.]+ m?s$/], ["call", /^[\d.]+ m?s$/], ["thread", /^[\d.]+ µs$/]]) {
    const cells = await row(mona, name);
    for (const cell of cells) assert.match(cell, figure, name);
    const [ours, theirs] = cells.map(parseFloat);
    assert.ok(ours > 0 && theirs > 0, `${name}: ${cells}`);
    // Whichever is better, the words say the same as the figures.
    const words = await verdict(mona, name);
    assert.match(words, /^(median|best) of \d+.*; (about the same|hubwire: .+ (less|more|times as much))$/, name);
    if (words.includes("less")) assert.ok(ours < theirs, `${name}: ${cells}, ${words}`);
    if (/more|as much/.test(words)) assert.ok(ours > theirs, `${name}: ${cells}, ${words}`);
  }
  const [ours, theirs] = await row(mona, "first");
  assert.match(ours, /^up after [\d.]+ s$/);
  assert.match(theirs, /^fails after [\d.]+ m?s$/);

  for (const text of ["one", "two", "three"]) {
    await say(nils, text);
    await heard(mona, "nils", text);
  }
  await rowIs(mona, "chat", /^3$/);

  await mona.getByRole("button", { name: "Send both 500 messages" }).click();
  await rowIs(mona, "burst", /^500 of 500$/);
  await both("Both were sent the same.");

  assert.deepEqual(await row(mona, "outage"), ["none yet", "none yet"]);
  await mona.getByRole("button", { name: "Drop", exact: true }).click();
  await happened(mona, "Back after");
  await rowIs(mona, "outage", /^[\d.]+ m?s$/);
  await rowIs(mona, "state", /^Connected$/);

  // They are nobody's presence.
  const monas = nils.locator("#people li").filter({ hasText: "mona" });
  assert.deepEqual(await monas.allTextContents(), ["Mmona"]);
  await mona.getByRole("button", { name: "Leave" }).click();
  await rowIs(mona, "state", /^Disconnected$/);
  await mona.context().close();
  await nils.context().close();
}, { seconds: 60 });

test("sizes and features are those that the build has found", async () => {
  const page = await open();
  const clients = await (await fetch(`${url}/clients.json`)).json();
  const sides = [clients.hubwire, clients.official];
  for (const [name, size] of [["size", "whole"], ["size-connect", "connect"], ["size-first", "first"]]) {
    const expected = sides.map(({ sizes }) => `${(sizes[size] / 1000).toFixed(1)} kB`);
    assert.deepEqual(await row(page, name), expected, name);
    const [ours, theirs] = sides.map(({ sizes }) => sizes[size]);
    assert.match(await verdict(page, name), ours > theirs * 1.15 ? /more|as much/ : /less|the same/, name);
  }
  // The scripts of each client alone are the same with worker mode, and a little more.
  for (const [name, { sizes }] of Object.entries(clients)) {
    const script = await (await fetch(`${url}/alone-${name}.js`)).text();
    const size = gzipSync(script).length;
    const expected = sizes.connect + sizes.worker;
    assert.ok(size > sizes.connect && size < expected * 1.2 + 2000, `${name}: ${size} and ${expected}`);
    assert.ok(sizes.first <= sizes.connect && sizes.connect <= sizes.whole, name);
  }
  for (const name of ["worker", "iteration", "retry", "signal", "states", "messagepack", "typed"]) {
    assert.deepEqual(await row(page, name), ["yes", "no"], name);
  }
  assert.deepEqual(await row(page, "testing"), [clients.hubwire.testing ? "yes" : "no", "no"]);
  // What the official client has is not left out.
  assert.deepEqual(await row(page, "stateful"), ["yes", "yes"]);
  assert.equal((await row(page, "http"))[1], "yes");
  assert.deepEqual(await row(page, "policy"), ["no", "yes"]);
  await page.context().close();
});

test("a comparison on a slow network shows how far it is, and ends in time", async () => {
  const olaf = await member("olaf");
  await olaf.getByRole("switch", { name: "Delay" }).click();
  await happened(olaf, "You delay everything");
  await connect(olaf);
  const bar = olaf.getByRole("progressbar", { name: "How far the measurement is" });
  await bar.waitFor();
  // Everything that the bar, the count and the first row say, from now on.
  await olaf.evaluate(() => {
    const bar = document.querySelector("#compare-progress");
    window.seen = { bar: [], text: [] };
    new MutationObserver(() => {
      seen.bar.push(bar.value);
      seen.text.push(document.querySelector(".compare-says").textContent);
    }).observe(document.querySelector("#compare"), { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await olaf.locator('[data-row="connect"] td').first().filter({ hasText: /^[\d.]+ m?s$/ }).waitFor({ timeout: 20_000 });
  assert.equal(await bar.isVisible(), true, "a row has its figures before the end");
  await connected(olaf, { timeout: 45_000 });
  const { bar: values, text } = await olaf.evaluate(() => seen);
  assert.deepEqual(values, values.toSorted((a, b) => a - b));
  assert.ok(new Set(values).size >= 8, `${new Set(values).size} steps`);
  for (const words of [/^Connecting each… 1 of 5$/, /^Measuring round trips… 3 of 50$/]) assert.ok(text.some((line) => words.test(line)), String(words));
  for (const cell of await row(olaf, "call")) assert.ok(parseFloat(cell) >= 400, cell);
  assert.match(await verdict(olaf, "call"), /^median of \d+; about the same$/);
  assert.equal(await bar.isHidden(), true);
  await olaf.context().close();
}, { seconds: 80 });

test("leaving calls a comparison off", async () => {
  const page = await member("paul");
  await page.getByRole("switch", { name: "Delay" }).click();
  await connect(page);
  const bar = page.locator("#compare-progress");
  await bar.waitFor();
  await page.getByRole("button", { name: "Leave" }).click();
  await bar.waitFor({ state: "hidden" });
  assert.equal(await page.getByRole("button", { name: "Connect both" }).isDisabled(), true);
  assert.deepEqual(await row(page, "state"), ["–", "–"]);
  await page.context().close();
});
