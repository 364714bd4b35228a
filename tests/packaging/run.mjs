// Installs the packed npm package into small projects of other people's kind and runs them. Argument: the tarball.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { run, test } from "../harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const tools = resolve(here, "../../node_modules");
const tarball = resolve(process.argv[2]);
const execute = promisify(execFile);

/** Copies a project out of the repository, so that it finds nothing but what it installs. */
async function project(name, body) {
  const folder = await mkdtemp(join(tmpdir(), `hubwire-${name}-`));
  try {
    await cp(join(here, name), folder, { recursive: true });
    await execute("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", tarball], {
      cwd: folder,
    });
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const node = async (cwd, ...args) => (await execute(process.execPath, args, { cwd })).stdout;

test("Node.js, ES modules", () => project("node-esm", async (folder) => {
  assert.equal((await node(folder, "main.mjs")).trim(), "refused before initialize, then alice on chat by https://example.com/client/?hub=chat");
}));

test("Node.js, the slim entry", () => project("node-esm", async (folder) => {
  assert.equal((await node(folder, "slim.mjs")).trim(), "refused before initialize, then alice");
}));

test("esbuild and Chromium", () => project("esbuild-browser", async (folder) => {
  await node(folder, join(tools, "esbuild/bin/esbuild"), "main.js", "--bundle", "--minify", "--outfile=bundle.js");
  await cp(join(folder, "node_modules/hubwire/hubwire.wasm"), join(folder, "hubwire.wasm"));
  await node(folder, join(tools, "esbuild/bin/esbuild"), "slim.js", "--bundle", "--format=esm", "--outfile=slim-bundle.js");
  const server = createServer(async (request, response) => {
    const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
    try {
      const body = await readFile(join(folder, request.url));
      response.setHeader("content-type", types[extname(request.url)] ?? "text/plain").end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const browser = await chromium.launch({
    executablePath: process.env.HUBWIRE_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
  });
  try {
    const page = await browser.newPage();
    for (const name of ["index", "slim"]) {
      await page.goto(`http://127.0.0.1:${server.address().port}/${name}.html`);
      await page.waitForFunction(() => document.title !== "loading");
      assert.equal(await page.title(), "alice on chat by https://example.com/client/?hub=chat", name);
    }
  } finally {
    await browser.close();
    server.close();
  }
}), { seconds: 60 });

test("TypeScript, strict", () => project("typescript", async (folder) => {
  for (const resolution of [["--module", "esnext", "--moduleResolution", "bundler"], ["--module", "nodenext"]]) {
    await node(folder, join(tools, "typescript/bin/tsc"), "--ignoreConfig", "--strict", "--noEmit", "--target", "es2022",
      "--lib", "es2022,dom", "--skipLibCheck", "false", ...resolution, "main.ts");
  }
}), { seconds: 60 });

test("TypeScript notices mistakes", () => project("typescript", async (folder) => {
  const wrong = node(folder, join(tools, "typescript/bin/tsc"), "--ignoreConfig", "--strict", "--noEmit", "--target", "es2022",
    "--lib", "es2022,dom", "--module", "nodenext", "mistakes.ts");
  const { stdout } = await wrong.then(() => ({ stdout: "" }), (error) => error);
  const found = [...stdout.matchAll(/mistakes\.ts\((\d+),/g)].map((match) => Number(match[1]));
  const lines = (await readFile(join(folder, "mistakes.ts"), "utf8")).split("\n");
  const expected = lines.flatMap((line, index) => (line.includes("// wrong") ? [index + 1] : []));
  assert.ok(expected.length > 3);
  assert.deepEqual([...new Set(found)], expected, stdout);
}), { seconds: 60 });

await run();
