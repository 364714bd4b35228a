// The README's test with the mock hub, as it stands there. What it takes of Vitest is here.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { transform } from "esbuild";
import { test } from "../harness.mjs";

const expect = (actual) => ({
  toBe: (expected) => assert.equal(actual, expected),
  toEqual: (expected) => assert.deepEqual(actual, expected),
  toContain: (expected) => assert.ok(actual.includes(expected), actual),
  rejects: {
    toMatchObject: (expected) => assert.rejects(actual, expected),
  },
});

export function readmeTest(folder, modules) {
  test("the README's test", async () => {
    const readme = await readFile(new URL("README.md", folder), "utf8");
    const example = /^## Testing\n.*?^```typescript\n(.*?)^```/ms.exec(readme)[1];
    const { code } = await transform(example, { loader: "ts", format: "cjs" });
    const bodies = [];
    const vitest = { expect, test: (title, body) => bodies.push(body) };
    const require = (name) => ({ vitest, ...modules })[name] ?? assert.fail(`the example imports ${name}`);
    new Function("require", "module", code)(require, {});
    assert.equal(bodies.length, 1);
    await bodies[0]();
  });
}
