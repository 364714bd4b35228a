// The switches: lost connections come back, refused tokens are replaced.
import assert from "node:assert/strict";
import { test } from "../../tests/harness.mjs";
import { axis } from "../../src/dashboard/look/chart.js";
import { enter, events, field, happened, heard, joined, member, open, say, state } from "./pages.mjs";

const id = (page) => field(page, "negotiated", "connectionId");
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Everything that #state says, from now on. */
const states = (page) =>
  page.evaluate(() => {
    window.states = [];
    new MutationObserver(() => states.push(document.querySelector("#state").textContent)).observe(
      document.querySelector("#state"),
      { childList: true, characterData: true, subtree: true },
    );
  });

test("a dropped connection is seen to be lost and comes back, and nobody else's is dropped", async () => {
  const [gina, hans] = [await member("gina"), await member("hans")];
  const [hers, his] = [await id(gina), await id(hans)];
  await states(gina);
  await states(hans);
  const before = await events(gina);
  await press(gina, "Drop");
  await happened(gina, /^[\d:.]+You cut the connections\.$/, before);
  await happened(gina, /^[\d:.]+Lost: /, before);
  await happened(gina, /^[\d:.]+Back after [\d.]+ m?s, as connection \S+…$/, before);
  await joined(gina);
  assert.deepEqual(await gina.evaluate(() => states), ["Reconnecting", "Connected"]);
  assert.notEqual(await id(gina), hers);
  assert.equal(await id(hans), his);
  await say(gina, "Did I miss something?");
  await heard(hans, "gina", "Did I miss something?");
  await say(hans, "Not a word");
  await heard(gina, "hans", "Not a word");
  assert.deepEqual(await hans.evaluate(() => states), []);
  await gina.context().close();
  await hans.context().close();
});

test("a token that has expired is replaced by a new one", async () => {
  const ida = await open();
  const statuses = [];
  ida.on("response", (response) => {
    const { pathname } = new URL(response.url());
    if (pathname.endsWith("/negotiate") && response.request().method() === "POST") {
      statuses.push([pathname, response.status()]);
    }
  });
  await enter(ida, "ida");
  await press(ida, "Expire token");
  await happened(ida, "The token was refused; the app server gave a new one.");
  await happened(ida, "Back after");
  await joined(ida);
  assert.deepEqual(statuses, [
    ["/chat/negotiate", 200],
    ["/client/negotiate", 200],
    ["/client/negotiate", 401],
    ["/chat/negotiate", 200],
    ["/client/negotiate", 200],
  ]);
  await say(ida, "with a new token");
  await heard(ida, "ida (you)", "with a new token");
  await ida.context().close();
});

test("while nothing gets through it is tried again, until something does", async () => {
  const jan = await member("jan");
  await press(jan, "Refuse for 3 s");
  await jan.locator('body[data-state="reconnecting"]').waitFor();
  assert.equal(await state(jan), "Reconnecting");
  // What is written meanwhile is not lost.
  await say(jan, "Anybody?");
  await jan.locator("#send-error").filter({ hasText: /\S/ }).waitFor();
  assert.equal(await jan.getByLabel("Message", { exact: true }).inputValue(), "Anybody?");
  const back = await happened(jan, "Back after");
  const [, seconds] = /Back after ([\d.]+) s/.exec(await back.textContent());
  assert.ok(Number(seconds) >= 2.9, `${seconds} s`);
  await joined(jan);
  await jan.getByLabel("Message", { exact: true }).press("Enter");
  await heard(jan, "jan (you)", "Anybody?");
  await jan.context().close();
});

test("a delay shows in the chart, until it is switched off", async () => {
  const kim = await member("kim");
  const trip = (page, holds) =>
    page.waitForFunction((holds) => {
      const trip = Number(document.querySelector("#round-trip").textContent);
      return holds === "late" ? trip >= 400 : trip > 0 && trip < 200;
    }, holds);
  await trip(kim, "prompt");
  const delay = kim.getByRole("switch", { name: "Delay" });
  await delay.click();
  assert.equal(await delay.getAttribute("aria-checked"), "true");
  await trip(kim, "late");
  await delay.click();
  assert.equal(await delay.getAttribute("aria-checked"), "false");
  await trip(kim, "prompt");
  await kim.context().close();
});

test("a round trip that is far from the others is marked, and does not flatten the chart", async () => {
  const lars = await member("lars");
  const samples = (count) =>
    lars.waitForFunction((count) => (document.querySelector("#chart-line").getAttribute("d") ?? "").split("L").length >= count, count);
  await samples(6);
  // One call comes late.
  const delay = lars.getByRole("switch", { name: "Delay" });
  await delay.click();
  await lars.waitForFunction(() => Number(document.querySelector("#round-trip").textContent) >= 400);
  await delay.click();
  await lars.waitForFunction(() => Number(document.querySelector("#round-trip").textContent) < 100);
  for (const chart of ["chart", "delay-chart"]) {
    const part = (name) => lars.locator(`#${chart}-${name}`);
    assert.match(await part("outliers").textContent(), /^▲ ([4-9]\d\d ms|[\d.]+ s)$/, chart);
    assert.ok(parseFloat(await part("top").textContent()) <= 300, chart);
    assert.equal((await part("marks").getAttribute("d")).match(/M/g).length, 1, chart);
    assert.equal(await part("line").isVisible(), true, chart);
  }
  await lars.getByRole("img", { name: /^Round trip .* at most [1-9]\d{2,3}\.\d ms$/ }).waitFor();
  // The small chart is beside the switch.
  const [button, chart] = [await delay.boundingBox(), await lars.locator("#delay-chart-line").locator("..").boundingBox()];
  assert.ok(chart.x > button.x + button.width && Math.abs(chart.y - button.y) < 120 && chart.height < 80);
  await lars.context().close();
});

test("what stands out of a chart is rare", () => {
  const steady = Array.from({ length: 57 }, (_, index) => 5 + (index % 4));
  assert.deepEqual(axis([...steady, 900]), { scale: 10, outliers: [900] });
  assert.deepEqual(axis([2500, ...steady, 400, 900]), { scale: 10, outliers: [2500, 900, 400] });
  // More than one in twenty are the state of things.
  assert.deepEqual(axis([...steady.slice(4), 410, 411, 412, 413]), { scale: 500, outliers: [] });
  assert.deepEqual(axis([...steady, 9, 11]), { scale: 20, outliers: [] });
  assert.deepEqual(axis([400, 400, 410, 420, 430]), { scale: 500, outliers: [] });
  assert.deepEqual(axis([5, 900]), { scale: 1000, outliers: [] });
  assert.deepEqual(axis([]), { scale: 10, outliers: [] });
});

test("a connection that cannot be had back is given up, and can be made again", async () => {
  const lena = await member("lena");
  await lena.route("**/client/negotiate*", (route) => route.abort("connectionrefused"));
  await press(lena, "Drop");
  await lena.locator('body[data-state="reconnecting"]').waitFor();
  await lena.locator('body[data-state="disconnected"]').waitFor({ timeout: 25_000 });
  await lena.getByRole("alert").filter({ hasText: /^Disconnected\. [A-Z].*\.$/ }).waitFor();
  await happened(lena, "Given up:");
  assert.equal(await lena.getByRole("button", { name: "Drop", exact: true }).isDisabled(), true);
  await lena.unroute("**/client/negotiate*");
  await lena.getByRole("button", { name: "Rejoin" }).click();
  await joined(lena);
  assert.equal(await lena.locator("#join-error").textContent(), "");
  await say(lena, "Back again");
  await heard(lena, "lena (you)", "Back again");
  await lena.context().close();
}, { seconds: 60 });
