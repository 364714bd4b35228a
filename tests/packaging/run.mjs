// Installs the packed npm package into small projects of other people's kind, and has each receive a message from a
// hub. Argument: the tarball. HUBWIRE_DEMO_URL: the running demo. HUBWIRE_CHROMIUM: a browser, if there is one.
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { run, test } from "../harness.mjs";
import { frameworks } from "./frameworks.mjs";
import { appServer, files, node, project as install, serving, title, tools } from "./support.mjs";

const demo = process.env.HUBWIRE_DEMO_URL;
if (!process.argv[2] || !demo) throw new Error("usage: HUBWIRE_DEMO_URL=… run.mjs TARBALL");
const tarball = resolve(process.argv[2]);
const hub = `${await appServer(demo)}/chat?user=packaging`;
const RECEIVED = /^received \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** The demo's hub speaks WebSockets only, which Node.js has without a flag from version 22 on. */
const connecting = (folder, script) => node(folder, "--experimental-websocket", script, hub);

const project = (name, ...rest) => install(tarball, name, rest.length > 1 ? rest[0] : [], rest.at(-1));

function inBrowser(name, body, seconds = 90) {
  test(name, async () => {
    if (!process.env.HUBWIRE_CHROMIUM) return console.log(`SKIPPED: ${name}: HUBWIRE_CHROMIUM names no browser`);
    await body();
  }, { seconds });
}

/** Has a page receive in each of these ways. */
async function receives(url, ...ways) {
  const titles = await Promise.all(ways.map((way) => title(`${url}?${new URLSearchParams({ way, hub })}`)));
  const expected = { worker: " in a worker", service: " in a service worker" };
  for (const [index, way] of ways.entries()) {
    const end = expected[way] ?? "";
    assert.ok(titles[index].endsWith(end), `${way}: ${titles[index]}`);
    assert.match(titles[index].slice(0, titles[index].length - end.length), RECEIVED, way);
  }
}

// The slow ones first: the others then run beside them.
frameworks({ project, inBrowser, receives, tarball, hub, RECEIVED });

inBrowser("SvelteKit: renders on the server, then receives", () => project(
  "sveltekit",
  ["@sveltejs/adapter-node", "@sveltejs/kit", "@sveltejs/vite-plugin-svelte", "svelte", "vite"],
  async (folder) => {
    await node(folder, join(tools, "vite/bin/vite.js"), "build", "--logLevel", "error");
    await serving(folder, ["serve.js"], async (url) => {
      const html = await (await fetch(url)).text();
      assert.match(html, /<title>rendered Disconnected<\/title>/);
      const received = await title(`${url}?${new URLSearchParams({ hub })}`, { ready: (title) => title && !title.startsWith("rendered") });
      assert.match(received, RECEIVED);
    });
  },
));

inBrowser("Vite, built: page, worker, worker mode, slim", () => project("vite", ["vite"], async (folder) => {
  await node(folder, join(tools, "vite/bin/vite.js"), "build", "--logLevel", "error");
  await files(join(folder, "dist"), {}, (url) => receives(url, "page", "worker", "background", "slim"));
}));

inBrowser("Vite's development server: page, worker, worker mode, slim", () => project("vite", ["vite"], async (folder) => {
  await serving(folder, [join(tools, "vite/bin/vite.js"), "--host", "127.0.0.1", "--port", "0"], (url) => receives(url, "page", "worker", "background", "slim"));
}));

inBrowser("webpack: page, worker, worker mode, slim", () => project("webpack", ["webpack"], async (folder) => {
  await node(folder, "build.js");
  await files(folder, {}, (url) => receives(url, "page", "worker", "background", "slim"));
}));

inBrowser("Rollup: page, worker mode", () => project("rollup", ["rollup", "@rollup/plugin-node-resolve"], async (folder) => {
  await node(folder, join(tools, "rollup/dist/bin/rollup"), "--config", "--silent");
  await files(folder, {}, (url) => receives(url, "page", "background"));
}));

inBrowser("esbuild: page, worker, worker mode, slim", () => project("esbuild", async (folder) => {
  await node(folder, join(tools, "esbuild/bin/esbuild"), "main.js", "worker.js", "--bundle", "--minify", "--outdir=dist");
  await cp(join(folder, "node_modules/hubwire/hubwire.wasm"), join(folder, "hubwire.wasm"));
  await files(folder, {}, (url) => receives(url, "page", "worker", "background", "slim"));
}));

inBrowser("no bundler: page, dedicated worker, worker mode, service worker, slim", () => project("plain", async (folder) => {
  await files(folder, {}, (url) => receives(url, "page", "worker", "background", "service", "slim"));
}));

inBrowser("a strict content security policy", () => project("plain", async (folder) => {
  const { url: service } = await (await fetch(`${demo}/chat/negotiate?user=policy`, { method: "POST" })).json();
  const { host } = new URL(service);
  const policy = ({ script = "'self' 'wasm-unsafe-eval'", worker = "'self'", more = [] }) => ({
    "content-security-policy": [
      "default-src 'none'",
      `script-src ${script}`,
      `worker-src ${worker}`,
      `connect-src 'self' ${new URL(hub).origin} http://${host} ws://${host}`,
      ...more,
    ].join("; "),
  });
  const types = ["require-trusted-types-for 'script'", "trusted-types 'none'"];
  await files(folder, policy({ more: types }), (url) => receives(url, "page", "slim"));
  await files(folder, policy({ worker: "blob:" }), (url) => receives(url, "background"));
  await files(folder, policy({}), async (url) => {
    await receives(url, "url");
    const refused = await title(`${url}?${new URLSearchParams({ way: "background", hub })}`);
    assert.match(refused, /^failed: Error: The worker of the connection failed: .*worker-src blob:/);
  });
  await files(folder, policy({ script: "'self'" }), async (url) => {
    const refused = await title(`${url}?${new URLSearchParams({ way: "page", hub })}`);
    assert.match(refused, /^failed: Error: The WebAssembly module could not be loaded: .*Add 'wasm-unsafe-eval'/);
  });
}));

test("Node.js, ES modules", () => project("node-esm", async (folder) => {
  assert.equal(await node(folder, "main.mjs"), "refused before initialize, then alice on chat by https://example.com/client/?hub=chat");
  assert.equal(await node(folder, "slim.mjs"), "refused before initialize, then alice");
  assert.match(await connecting(folder, "receive.mjs"), RECEIVED);
}));

test("Node.js, CommonJS", () => project("node-cjs", async (folder) => {
  const [received, same] = (await connecting(folder, "receive.js")).split("\n");
  assert.match(received, RECEIVED);
  assert.equal(same, "true true");
  const [early, late] = (await connecting(folder, "slim.js")).split(", then ");
  assert.equal(early, "NotInitialized");
  assert.match(late, RECEIVED);
}));

test("importing does nothing yet", () => project("node-esm", async (folder) => {
  assert.equal(await node(folder, "inert.mjs"), "Disconnected function");
}));

const tsc = (folder, ...args) =>
  node(folder, join(tools, "typescript/bin/tsc"), "--ignoreConfig", "--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", ...args);

test("TypeScript, strict", () => project("typescript", async (folder) => {
  await tsc(folder, "--skipLibCheck", "false", "--module", "esnext", "--moduleResolution", "bundler", "main.ts");
  await tsc(folder, "--skipLibCheck", "false", "--module", "nodenext", "main.ts", "required.cts");
}), { seconds: 60 });

test("TypeScript notices mistakes", () => project("typescript", async (folder) => {
  const { stdout } = await tsc(folder, "--module", "nodenext", "mistakes.ts").then(() => ({ stdout: "" }), (error) => error);
  const found = [...stdout.matchAll(/mistakes\.ts\((\d+),/g)].map((match) => Number(match[1]));
  const lines = (await readFile(join(folder, "mistakes.ts"), "utf8")).split("\n");
  const expected = lines.flatMap((line, index) => (line.includes("// wrong") ? [index + 1] : []));
  assert.ok(expected.length > 3);
  assert.deepEqual([...new Set(found)], expected, stdout);
}), { seconds: 60 });

test("TypeScript, strict: a page moves from the official package by its imports alone", () => project(
  "migration",
  ["@microsoft/signalr", "@microsoft/signalr-protocol-msgpack"],
  async (folder) => {
    const compile = () => tsc(folder, "--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck", "room.ts", "streaming.ts");
    await compile();
    for (const name of ["room.ts", "streaming.ts"]) {
      const file = join(folder, name);
      const moved = (await readFile(file, "utf8")).replace(/(?<=^.* from )"@microsoft\/signalr(-protocol-msgpack)?";$/gm, '"hubwire";');
      assert.ok(!moved.includes("@microsoft"), "an import is left");
      await writeFile(file, moved);
    }
    await compile();
  },
), { seconds: 60 });

await run({ atOnce: 3 });
