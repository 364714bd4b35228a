// The board: two pages, and the hub in Rust that shares their contract.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { run, test } from "../../tests/harness.mjs";

const url = process.env.HUBWIRE_BOARD_URL;
const executablePath = process.env.HUBWIRE_CHROMIUM;
if (!url || !executablePath) throw new Error("usage: HUBWIRE_BOARD_URL=… HUBWIRE_CHROMIUM=… board.mjs");

const webdriver = JSON.parse(await readFile(new URL("../../webdriver.json", import.meta.url), "utf8"));
const args = webdriver["goog:chromeOptions"].args.filter((argument) => argument !== "--headless");
const browser = await chromium.launch({ executablePath, args });
const complaints = [];

async function open(name, list) {
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("List").fill(list);
  await button(page, "Open").click();
  await page.locator('.status[data-state="connected"]').waitFor();
  return page;
}

const button = (page, name) => page.getByRole("button", { name, exact: true });
const tasks = (page, count) => page.waitForFunction((count) => document.querySelectorAll("li").length === count, count);
const box = (page, text) => page.getByRole("checkbox", { name: text });
const news = (page, text) => page.getByRole("log", { name: "News" }).getByText(text).waitFor();
const here = (page, names) => page.locator("#names").getByText(names, { exact: true }).waitFor();

async function add(page, text) {
  await page.getByLabel("Something to do").fill(text);
  await button(page, "Add").click();
}

const ann = await open("Ann", "the house & more");
const bob = await open("Bob", "the house & more");

test("who has the list open sees it change", async () => {
  await here(ann, "Ann, Bob");
  await here(bob, "Ann, Bob");
  await add(ann, "water the <i>plants</i>");
  await news(bob, "Ann added “water the <i>plants</i>”");
  await add(bob, "sweep");
  for (const page of [ann, bob]) await tasks(page, 2);
  // It is checked once the hub has said so.
  await box(bob, "water the <i>plants</i> Ann").click();
  await news(ann, "Bob has “water the <i>plants</i>” done");
  for (const page of [ann, bob]) await page.waitForFunction(() => document.querySelector("li input").checked);
});

test("other lists are apart, and a list stays", async () => {
  const eve = await open("Eve", "shopping");
  await here(eve, "Eve");
  await tasks(eve, 0);
  await eve.context().close();
  const carl = await open("Carl", "the house & more");
  await here(ann, "Ann, Bob, Carl");
  await tasks(carl, 2);
  await carl.context().close();
  await here(ann, "Ann, Bob");
});

test("the server asks before it takes something off", async () => {
  const clear = async (answer) => {
    await button(ann, "Take off what is done").click();
    await ann.getByRole("alertdialog", { name: "Take 1 off the list?" }).waitFor();
    await button(ann, answer).click();
    await ann.getByText(answer === "Yes" ? "1 taken off" : "0 taken off").waitFor();
  };
  await clear("No");
  await tasks(bob, 2);
  await clear("Yes");
  for (const page of [ann, bob]) await tasks(page, 1);
  await news(bob, "Ann took 1 off the list");
});

test("what the hub refuses shows", async () => {
  await add(ann, "   ");
  await ann.getByRole("alert").getByText("write between 1 and 200 characters").waitFor();
});

test("nothing was complained about", () => assert.deepEqual(complaints, []));

await run();
