// Windows on a dashboard, and what is done in them.
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!executablePath) throw new Error("HUBWIRE_CHROMIUM is not set");

const PATIENCE = 15_000;
export const WIDE = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 740 };
export const VIEWS = ["overview", "connections", "users", "groups", "requests", "send", "token", "setup"];

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
const browser = await chromium.launch({ executablePath, args });

/** A window. `page.said` is what its console has said: a page without trouble says nothing. */
export async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: WIDE, colorScheme: "light", reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.said = [];
  page.on("console", (message) => page.said.push(message.text()));
  page.on("pageerror", (error) => page.said.push(error.message));
  await page.goto(url);
  return page;
}

export const connected = (page) => page.locator('body[data-state="connected"]').waitFor();

/** A window whose page is connected. */
export async function opened(url, options) {
  const page = await open(url, options);
  await connected(page);
  return page;
}

/** Goes to an address behind the #, as a link does. */
export async function go(page, address) {
  await page.evaluate((address) => (location.hash = address), address);
  await page.locator(`#view-${address.split("?")[0]}:not([hidden])`).waitFor();
}

export const close = (page) => page.context().close();
export const hash = (page) => page.evaluate(() => location.hash);
export const rows = (page, view) => page.locator(`#view-${view} tbody tr`);
export const says = (page, selector, text) => page.locator(selector).filter({ hasText: text }).waitFor();

/** The texts of a column of a view's table. */
export const column = (page, view, title) => page.locator(`#view-${view} tbody [data-title="${title}"]`).allTextContents();

/** Waits until a text of the page is that. */
export const becomes = (page, selector, text) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector)?.textContent === text, [selector, text]);
