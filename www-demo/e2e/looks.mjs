// In every colour and width: what axe finds, forced colours, the way to the sections, code that is wider than its box.
import assert from "node:assert/strict";
import axe from "axe-core";
import { test } from "../../tests/harness.mjs";
import { happened, heard, member, open, say } from "./pages.mjs";

const PHONE = { width: 390, height: 844 };
const LOOKS = {
  light: {},
  dark: { colorScheme: "dark" },
  "narrow, light": { viewport: PHONE },
  "narrow, dark": { viewport: PHONE, colorScheme: "dark" },
  "forced colours": { forcedColors: "active" },
};

/** What axe finds to be serious, if `rules` are among those that it has looked at. */
async function violations(page, ...rules) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
  for (const rule of rules) assert.ok(passes.some(({ id }) => id === rule), rule);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

for (const [name, options] of Object.entries(LOOKS)) {
  test(`axe finds nothing serious: ${name}`, async () => {
    const page = await open(options);
    assert.deepEqual(await violations(page, "button-name", "color-contrast"), [], "before joining");
    await page.context().close();
    const sven = await member("sven", options);
    await say(sven, "What does axe say?");
    await heard(sven, "sven (you)", "What does axe say?");
    await sven.locator("#file").setInputFiles({ name: "axe.txt", mimeType: "text/plain", buffer: Buffer.from("axe") });
    await sven.getByRole("link", { name: "axe.txt" }).waitFor();
    await sven.getByRole("button", { name: "Drop", exact: true }).click();
    await happened(sven, "Back after");
    await sven.getByRole("button", { name: "Connect both" }).click();
    await sven.locator("#compare-progress").waitFor();
    assert.deepEqual(await violations(sven, "listitem", "color-contrast"), [], "in the room");
    await sven.context().close();
  });
}

test("what is logged is a list in a log", async () => {
  const page = await member("tina");
  await say(page, "one");
  await heard(page, "tina (you)", "one");
  for (const name of ["Messages", "What happened"]) {
    const log = page.getByRole("log", { name });
    assert.equal(await log.getByRole("list").count(), 1, name);
    assert.ok((await log.getByRole("list").getByRole("listitem").count()) > 0, name);
    assert.equal(await log.getAttribute("tabindex"), "0", name);
  }
  await page.context().close();
});

test("a narrow window has a way to every section", async () => {
  for (const viewport of [PHONE, { width: 320, height: 640 }]) {
    const page = await open({ viewport, reducedMotion: "reduce" });
    const links = page.getByRole("navigation", { name: "Sections" }).getByRole("link");
    assert.equal(await links.count(), 5);
    for (const link of await links.all()) {
      await link.click();
      const section = page.locator(await link.getAttribute("href"));
      await page.waitForFunction((id) => location.hash === `#${id}`, await section.getAttribute("id"));
      // Its title is not behind the header, and the header is still there.
      const [title, header] = [await section.getByRole("heading", { level: 2 }).boundingBox(), await page.locator(".top").boundingBox()];
      assert.ok(title.y >= header.y + header.height && title.y < viewport.height / 2, `${await link.textContent()}: ${title.y}`);
      assert.ok((await link.boundingBox()).height >= 40);
    }
    await page.context().close();
  }
});

test("code that goes on to the side has a shade where it does", async () => {
  for (const options of [{ viewport: PHONE }, { viewport: PHONE, colorScheme: "dark" }]) {
    const page = await open(options);
    const code = page.locator("pre").first();
    await code.scrollIntoViewIfNeeded();
    const edge = async (side) => {
      const { x, y, width } = await code.boundingBox();
      // A part of an edge that no letter reaches.
      return page.screenshot({ clip: { x: side === "left" ? x + 2 : x + width - 12, y: y + 16, width: 10, height: 4 } });
    };
    const scroll = (to) => code.evaluate((pre, to) => pre.scrollTo(to * (pre.scrollWidth - pre.clientWidth), 0), to);
    assert.ok(await code.evaluate((pre) => pre.scrollWidth > pre.clientWidth + 40), "the code is wider");
    const [left, right] = [await edge("left"), await edge("right")];
    await scroll(1);
    assert.ok(!right.equals(await edge("right")), "no shade at the end");
    assert.ok(!left.equals(await edge("left")), "a shade where it goes back");
    await scroll(0);
    assert.ok(right.equals(await edge("right")));
    await page.context().close();
  }
});

test("forced colours leave everything in sight, and the focus as well", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await member("ulla", { forcedColors: "active", colorScheme });
    await say(page, "Black or white");
    await heard(page, "ulla (you)", "Black or white");
    await page.waitForFunction(() => document.querySelector("#chart-line").getAttribute("d"));
    const faint = await page.evaluate(() => {
      // What is told by a colour: the property that has to differ from the canvas.
      const marks = {
        ".dot": "backgroundColor", ".life-fill": "backgroundColor", ".life-bar": "borderTopColor", ".knob": "borderTopColor",
        ".own .text": "borderTopColor", ".avatar": "borderTopColor", ".card": "borderTopColor", ".button": "borderTopColor",
        "input:not(.hidden)": "borderTopColor", textarea: "borderTopColor", pre: "borderTopColor",
        "#chart-line": "stroke", "#delay-chart-line": "stroke", "#chart-marks": "stroke", ".area": "fill", ".bar": "fill",
        ".wire path": "stroke", ".node rect": "stroke", ".node text": "fill", ".wire-label text": "fill", ".brand-ground": "fill",
      };
      const canvas = getComputedStyle(document.body).backgroundColor;
      return Object.entries(marks).flatMap(([selector, property]) => {
        const parts = [...document.querySelectorAll(selector)];
        if (parts.length === 0) return [`${selector} is not there`];
        return parts
          .map((part) => getComputedStyle(part)[property])
          .filter((color) => color === canvas || color === "none" || /^rgba\(.*, 0\)$/.test(color))
          .map((color) => `${selector}: ${color}`);
      });
    });
    assert.deepEqual(faint, []);
    // Texts keep apart from the ground that the system puts behind them.
    const texts = await page.evaluate(() => {
      const canvas = getComputedStyle(document.body).backgroundColor;
      return [...document.querySelectorAll("button, a, p, td, th, li, h1, h2, h3, dt, dd, code")]
        .filter((part) => part.checkVisibility() && getComputedStyle(part).color === canvas)
        .map((part) => part.outerHTML);
    });
    assert.deepEqual(texts, []);
    // On and off are two pictures.
    const knob = page.locator(".knob");
    const before = await knob.screenshot();
    await page.getByRole("switch", { name: "Delay" }).click();
    await page.locator('#delay[aria-checked="true"]').waitFor();
    assert.ok(!before.equals(await knob.screenshot({ animations: "disabled" })));
    await page.locator(".skip").focus();
    const outlines = [];
    for (;;) {
      await page.keyboard.press("Tab");
      const unseen = await page.evaluate(() => {
        if (document.activeElement === document.body) return undefined;
        const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(document.activeElement);
        const canvas = getComputedStyle(document.body).backgroundColor;
        const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && outlineColor !== canvas;
        return seen ? "" : document.activeElement.outerHTML.slice(0, 100);
      });
      if (unseen === undefined) break;
      outlines.push(unseen);
    }
    assert.ok(outlines.length > 15);
    assert.deepEqual(outlines.filter(Boolean), []);
    await page.context().close();
  }
}, { seconds: 60 });
