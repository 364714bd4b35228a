// Windows on the demo's page, and what is done in them.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

export const url = process.env.HUBWIRE_DEMO_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!url || !executablePath) throw new Error("HUBWIRE_DEMO_URL and HUBWIRE_CHROMIUM are not set");

const PATIENCE = 10_000;
const WIDE = { width: 1280, height: 800 };

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
const browser = await chromium.launch({ executablePath, args });

/** A window of somebody's own. */
export async function open(options = {}, query = "") {
  const context = await browser.newContext({ viewport: WIDE, colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  await page.goto(`${url}/${query}`);
  return page;
}

export async function enter(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await joined(page);
}

/** A window in which somebody has joined. */
export async function member(name, options) {
  const page = await open(options);
  await enter(page, name);
  return page;
}

export const state = (page) => page.locator("#state").textContent();
export const joined = (page) => page.locator('body[data-stage="in"][data-state="connected"]').waitFor();

export const message = (page) => page.getByLabel("Message", { exact: true });

export async function say(page, text) {
  await message(page).fill(text);
  await message(page).press("Enter");
}

/** Waits until a page shows a text as said by somebody. */
export async function heard(page, author, text) {
  const item = page.locator(".message", { has: page.locator(".text").getByText(text, { exact: true }) });
  await item.waitFor();
  assert.equal(await item.count(), 1, `"${text}" once`);
  assert.equal(await item.locator(".author").textContent(), author);
  return item;
}

/** Waits until an element's text is another than it was. */
export async function changes(page, selector) {
  const before = await page.locator(selector).textContent();
  await page.waitForFunction(
    ([selector, before]) => document.querySelector(selector).textContent !== before,
    [selector, before],
  );
  return [before, await page.locator(selector).textContent()];
}

export const field = (page, list, name) => page.locator(`#${list} [data-field="${name}"]`).textContent();

/** Waits for a line in the list of what happened, after the `skip` first ones. */
export async function happened(page, pattern, skip = 0) {
  const lines = page.locator(`#events li:nth-child(n + ${skip + 1})`).filter({ hasText: pattern });
  await lines.first().waitFor();
  return lines.first();
}

export const events = (page) => page.locator("#events li").count();

/** The two cells of a row of the comparison: ours, theirs. */
export const row = (page, name) => page.locator(`[data-row="${name}"] td`).allTextContents();

export async function rowIs(page, name, pattern) {
  for (const cell of [0, 1]) await page.locator(`[data-row="${name}"] td`).nth(cell).filter({ hasText: pattern }).waitFor();
}
