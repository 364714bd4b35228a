// The official client and this package, side by side.
import assert from "node:assert/strict";
import { test } from "../../tests/harness.mjs";
import { happened, member, row, rowIs, say, heard } from "./pages.mjs";

test("both clients hear the same, and both come back", async () => {
  const mona = await member("mona");
  const nils = await member("nils");
  const both = (text) => mona.locator("#compare-says").filter({ hasText: text }).waitFor();
  await mona.getByRole("button", { name: "Connect both" }).click();
  await both("Both are connected.");
  assert.deepEqual(await row(mona, "state"), ["Connected", "Connected"]);
  for (const name of ["connect", "call"]) {
    for (const cell of await row(mona, name)) assert.match(cell, /^[\d.]+ m?s$/, name);
  }
  for (const cell of await row(mona, "size")) assert.match(cell, /^[\d.]+ kB$/);

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
