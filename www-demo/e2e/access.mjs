// For everybody: names, landmarks, contrast, the keyboard alone, narrow windows; and what it all looks like.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "../../tests/harness.mjs";
import { happened, heard, joined, member, open, say, state } from "./pages.mjs";

const out = resolve(process.argv[2]);
await mkdir(out, { recursive: true });
const PHONE = { width: 390, height: 844 };

test("everything has a name for assistive technology, and news are announced", async () => {
  const page = await member("olga");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, textarea, button, a, [role=log], [role=meter], section, nav, table")]
      .filter((part) => {
        const by = part.getAttribute("aria-labelledby");
        const named = by ? document.getElementById(by)?.textContent : part.ariaLabel ?? part.caption?.textContent;
        return !(part.labels?.length || named?.trim() || part.textContent.trim());
      })
      .map((part) => part.outerHTML),
  );
  assert.deepEqual(nameless, []);
  const dangling = await page.evaluate(() =>
    [...document.querySelectorAll("[aria-labelledby]")]
      .map((part) => part.getAttribute("aria-labelledby"))
      .filter((id) => !document.getElementById(id)),
  );
  assert.deepEqual(dangling, []);
  for (const role of ["banner", "main", "contentinfo"]) assert.equal(await page.getByRole(role).count(), 1, role);
  for (const name of ["Sections", "Further reading"]) await page.getByRole("navigation", { name }).waitFor();
  await page.getByRole("log", { name: "Messages" }).waitFor();
  await page.getByRole("log", { name: "What happened" }).waitFor();
  await page.getByRole("complementary", { name: "In the room" }).waitFor();
  await page.getByRole("status").filter({ hasText: "Connected" }).first().waitFor();
  await page.getByRole("table", { name: "Measured in this page, just now" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  // Headings go down one level at a time, from a single first one.
  const levels = await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3")].map((h) => Number(h.tagName[1])));
  assert.equal(levels.filter((level) => level === 1).length, 1);
  levels.reduce((above, level) => (assert.ok(level <= above + 1, String(levels)), level), 0);
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    return ids.filter((id, index) => ids.indexOf(id) !== index);
  });
  assert.deepEqual(twice, []);
  await page.context().close();
});

/** Texts with less contrast than WCAG 2.2 AA asks for; what is disabled is exempt. */
function faint() {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((value, n) => value * a + under[n] * (1 - a));
  const ground = (part) => {
    if (!part) return [255, 255, 255];
    const color = getComputedStyle(part).backgroundColor;
    const [r, g, b, a = 1] = channels(color);
    return a === 1 ? [r, g, b] : over([r, g, b, a], ground(part.parentElement));
  };
  const light = (color) => {
    const [r, g, b] = color.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const part = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !part.checkVisibility({ visibilityProperty: true })) continue;
    if (part.closest(":disabled, svg, script, noscript, title, .hidden")) continue;
    const style = getComputedStyle(part);
    let opacity = 1;
    for (let up = part; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
    const under = ground(part);
    const [r, g, b, a = 1] = channels(style.color);
    const [one, two] = [light(over([r, g, b, a * opacity], under)), light(under)].sort((x, y) => y - x);
    const contrast = (one + 0.05) / (two + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)} ${walker.currentNode.textContent.trim()}`);
  }
  return faint;
}

for (const colorScheme of ["light", "dark"]) {
  test(`texts stand out from their ground: ${colorScheme}`, async () => {
    const page = await member("pia", { colorScheme });
    await say(page, "Can you read this?");
    await heard(page, "pia (you)", "Can you read this?");
    await page.locator("#file").setInputFiles({ name: "read.txt", mimeType: "text/plain", buffer: Buffer.from("me") });
    await page.getByRole("link", { name: "read.txt" }).waitFor();
    await page.getByRole("button", { name: "Drop", exact: true }).click();
    await happened(page, "Back after");
    assert.deepEqual(await page.evaluate(faint), []);
    await page.getByRole("button", { name: "Leave" }).click();
    await page.locator('body[data-state="disconnected"]').waitFor();
    await page.mouse.move(0, 0);
    assert.deepEqual(await page.evaluate(faint), []);
    await page.context().close();
  });
}

test("the keyboard alone is enough", async () => {
  const page = await open();
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  const tab = async (times) => {
    const reached = [];
    for (let step = 0; step < times; step += 1) {
      await page.keyboard.press("Tab");
      reached.push(await focused());
    }
    return reached;
  };
  assert.deepEqual(await tab(2), ["Skip to the chat", "hubwire"]);
  assert.deepEqual(await tab(7), ["Chat", "Metrics", "Trouble", "Side by side", "Quick starts", "name", "join-button"]);
  await page.locator("#name").focus();
  await page.keyboard.type("quirin");
  await page.keyboard.press("Enter");
  await joined(page);
  assert.equal(await focused(), "text");
  await page.keyboard.type("No mouse here");
  await page.keyboard.press("Enter");
  await heard(page, "quirin (you)", "No mouse here");
  assert.deepEqual(await tab(3), ["attach", "send", "copy"]);
  assert.deepEqual(await tab(4), ["drop", "refuse", "expire", "delay"]);
  await page.keyboard.press("Space");
  assert.equal(await page.getByRole("switch", { name: "Delay" }).getAttribute("aria-checked"), "true");
  await page.keyboard.press("Space");
  assert.equal(await page.getByRole("switch", { name: "Delay" }).getAttribute("aria-checked"), "false");
  assert.deepEqual(await tab(2), ["events", "compare-start"]);
  // Whoever has the focus can see it.
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid");
  await page.keyboard.press("Enter");
  await page.locator("#compare-says").filter({ hasText: "Both are connected." }).waitFor({ timeout: 30_000 });
  await page.context().close();
});

test("nothing is wider than the window, and fingers find what they look for", async () => {
  for (const width of [320, 390, 768, 1024]) {
    const page = await member("rosa", { viewport: { width, height: 800 } });
    await say(page, "x".repeat(300));
    await page.locator(".message").first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px too wide at ${width}`);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll("button, input:not(.hidden), textarea")]
        .filter((part) => part.checkVisibility())
        .filter((part) => part.getBoundingClientRect().height < 36)
        .map(({ id }) => id),
    );
    assert.deepEqual(small, []);
    await page.context().close();
  }
}, { seconds: 60 });

test("what it looks like", async () => {
  const windows = {
    "desktop-light": ["Alice", {}],
    "desktop-dark": ["Bob", { colorScheme: "dark" }],
    "phone-light": ["Carol", { viewport: PHONE }],
    "phone-dark": ["Dan", { viewport: PHONE, colorScheme: "dark" }],
  };
  const [first, ...others] = await Promise.all(
    Object.entries(windows).map(async ([name, [user, options]]) => {
      const page = await open(options);
      await page.screenshot({ path: join(out, `${name}-new.png`), fullPage: true });
      await page.getByLabel("Your name").fill(user);
      await page.getByLabel("Your name").press("Enter");
      await joined(page);
      return [name, page];
    }),
  );
  await say(first[1], "Four windows, one room");
  for (const [name, page] of [first, ...others]) {
    await heard(page, name === first[0] ? "Alice (you)" : "Alice", "Four windows, one room");
    assert.equal(await state(page), "Connected");
    await page.evaluate(() => scrollTo({ top: 0, behavior: "instant" }));
    await page.screenshot({ path: join(out, `${name}.png`), fullPage: true });
    await page.context().close();
  }
}, { seconds: 60 });
