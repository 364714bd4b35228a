// In its colours and widths: what axe finds, the keyboard, names, nothing too wide, nothing that jumps.
import assert from "node:assert/strict";
import axe from "axe-core";
import { test } from "../harness.mjs";
import { Fake, connections } from "./fake.mjs";
import { close, connected, go, open, opened, PHONE, says, VIEWS } from "./pages.mjs";

const LOOKS = {
  light: {},
  "narrow, dark": { viewport: PHONE, colorScheme: "dark" },
  "forced colours": { forcedColors: "active" },
};

async function full() {
  const fake = await new Fake().start();
  fake.connections = connections(15);
  for (let n = 0; n < 6; n += 1) {
    fake.request({ kind: "rest", method: "POST", path: "/api/hubs/chat/:send", status: 202, ms: 0.4 });
    fake.request({ kind: "refused", method: "POST", path: "/client/negotiate", status: 401, outcome: "error", reason: "The token has expired." });
  }
  return fake;
}

/** Shows a view with all that it can have. */
async function fill(page, view) {
  await go(page, view);
  if (view === "token") {
    await page.locator("#token-text").fill("a.b.c");
    await page.getByRole("button", { name: "Read" }).click();
    await page.locator("#token-claims tbody tr").first().waitFor();
  } else if (view === "send") {
    await page.locator("#send-arguments").fill("{");
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await says(page, "#send-arguments-error", /\S/);
  } else if (["connections", "users", "groups", "requests"].includes(view)) {
    await page.locator(`#view-${view} tbody tr`).first().waitFor();
  }
}

const violations = async (page) => {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
};

for (const [name, options] of Object.entries(LOOKS)) {
  test(`axe finds nothing serious, and nothing is too wide: ${name}`, async () => {
    const fake = await full();
    const page = await opened(fake.url, { ...options, bypassCSP: true });
    for (const view of [...VIEWS, `connections?of=chat&connection=${fake.connections[1].id}`]) {
      await fill(page, view);
      if (view.includes("&")) await page.getByRole("row", { name: "role editor" }).waitFor();
      assert.deepEqual(await violations(page), [], view);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide} px too wide`);
    }
    await close(page);
    await fake.stop();
  }, { seconds: 60 });
}

test("each view has one title, names for all that is in it, and headings in order", async () => {
  const fake = await full();
  const page = await opened(fake.url);
  for (const role of ["banner", "main", "contentinfo"]) assert.equal(await page.getByRole(role).count(), 1, role);
  assert.equal(await page.getByRole("navigation", { name: "Views" }).getByRole("link").count(), VIEWS.length);
  for (const view of VIEWS) {
    await fill(page, view);
    const found = await page.evaluate(() => {
      const seen = (selector) => [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility());
      const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
      return {
        levels: seen("h1, h2, h3").map((heading) => Number(heading.tagName[1])),
        twice: ids.filter((id, index) => ids.indexOf(id) !== index),
        nameless: seen("input, textarea, select, button, a, section, nav, table").filter((part) => {
          const by = part.getAttribute("aria-labelledby");
          return !(part.labels?.length || part.ariaLabel || part.caption?.textContent || (by && document.getElementById(by)?.textContent) || part.textContent.trim());
        }).map((part) => part.outerHTML),
        dangling: [...document.querySelectorAll("[aria-labelledby], [aria-describedby]")]
          .map((part) => part.getAttribute("aria-labelledby") ?? part.getAttribute("aria-describedby"))
          .filter((id) => !document.getElementById(id)),
        headless: seen("table").filter((table) => !table.querySelector("thead th[scope=col]") || !table.querySelector("tbody th[scope=row]")).length,
        current: seen("nav [aria-current=page]").map(({ hash }) => hash),
      };
    });
    assert.deepEqual([found.twice, found.nameless, found.dangling, found.headless], [[], [], [], 0], view);
    assert.deepEqual(found.current, [`#${view}`]);
    assert.equal(found.levels.filter((level) => level === 1).length, 1, view);
    found.levels.reduce((above, level) => (assert.ok(level <= above + 1, `${view}: ${found.levels}`), level), 0);
    assert.match(await page.title(), new RegExp(`^${view}`, "i"));
  }
  await close(page);
  await fake.stop();
});

test("the keyboard alone is enough, and the focus is always in sight", async () => {
  const fake = await full();
  for (const options of [{ forcedColors: "active" }, { viewport: PHONE, colorScheme: "dark" }]) {
    const page = await opened(fake.url, options);
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "skip");
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "title-overview");
    for (const view of VIEWS) {
      await fill(page, view);
      await page.locator("#skip").focus();
      const unseen = [];
      let stops = 0;
      for (; stops < 80; stops += 1) {
        await page.keyboard.press("Tab");
        const found = await page.evaluate(() => {
          if (document.activeElement === document.body) return undefined;
          const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
          return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 ? "" : document.activeElement.outerHTML.slice(0, 120);
        });
        if (found === undefined) break;
        if (found) unseen.push(found);
      }
      assert.deepEqual(unseen, [], view);
      assert.ok(stops > VIEWS.length, view);
    }
    await close(page);
  }
  await fake.stop();
}, { seconds: 60 });

test("nothing jumps while the page loads and lives", async () => {
  const fake = await full();
  for (const options of [{}, { viewport: PHONE }]) {
    for (const view of ["overview", "connections", "setup"]) {
      const page = await open("about:blank", options);
      await page.addInitScript(() => {
        globalThis.shifts = 0;
        const add = (list) => list.getEntries().forEach(({ value, hadRecentInput }) => (globalThis.shifts += hadRecentInput ? 0 : value));
        new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
      });
      await page.goto(`${fake.url}#${view}`);
      await connected(page);
      await page.locator("#sum-connections").filter({ hasText: "15" }).waitFor({ state: "attached" });
      if (view === "connections") await page.locator("#view-connections tbody tr").first().waitFor();
      // Two frames: the shifts of the first one are told after it.
      const shifts = await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(globalThis.shifts)))));
      assert.ok(shifts < 0.05, `${view}: ${shifts}`);
      await close(page);
    }
  }
  await fake.stop();
});
