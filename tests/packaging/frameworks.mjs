// The package in test runners, in front-end frameworks, by a script tag, and in place of the official package.
import assert from "node:assert/strict";
import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "../harness.mjs";
import { files, installed, node, nodeWith, serving, title, tools } from "./support.mjs";

const bundle = (folder, ...args) => node(folder, join(tools, "esbuild/bin/esbuild"), ...args, "--bundle", "--outdir=dist", "--log-level=warning");

/** Registers the tests. The slow ones come first: the others then run beside them. */
export function frameworks({ project, inBrowser, receives, tarball, hub, RECEIVED }) {
  inBrowser("Next.js, built: page and route handler", () => project("next", ["next", "react", "react-dom"], async (folder) => {
    await node(folder, join(tools, "next/dist/bin/next"), "build", "--webpack");
    await serving(folder, ["--experimental-websocket", "serve.js"], async (url) => {
      assert.match(await (await fetch(url)).text(), /<p>Disconnected<\/p>/);
      const query = new URLSearchParams({ hub });
      assert.match(await (await fetch(`${url}api/receive?${query}`)).text(), RECEIVED);
      await receives(url, "page");
    });
  }), 180);

  for (const modules of ["cjs", "esm"]) {
    test(`Jest, ${modules === "cjs" ? "CommonJS" : "ES modules"}: Node.js, jsdom, happy-dom`, () => project(
      "runners",
      ["jest", "jest-environment-jsdom", "@happy-dom/jest-environment"],
      (folder) => runner(folder, { modules }, ...(modules === "esm" ? ["--experimental-vm-modules"] : []), join(tools, "jest/bin/jest.js"), "--runInBand"),
    ), { seconds: 90 });
  }

  test("Vitest: Node.js, jsdom, happy-dom", () => project(
    "runners",
    ["vitest", "jsdom", "happy-dom"],
    (folder) => runner(folder, {}, join(tools, "vitest/vitest.mjs"), "run"),
  ), { seconds: 90 });

  async function runner(folder, { modules }, ...args) {
    const negotiated = await fetch(hub.replace("/chat", "/chat/negotiate"), { method: "POST" });
    const env = {
      HUBWIRE_NEGOTIATED: await negotiated.text(),
      HUBWIRE_MODULES: modules,
      NODE_OPTIONS: "--experimental-websocket",
      NO_COLOR: "1",
    };
    const { stdout, stderr } = await nodeWith(folder, env, ...args);
    // Jest's summary is on the standard error.
    assert.match(`${stdout}${stderr}`, /Tests:?\s+3 passed/);
  }

  inBrowser("instead of the official package, by npm's overrides, in published libraries", () => installed("override", tarball, async (folder) => {
    await bundle(folder, "main.js", "--format=iife");
    const { version } = JSON.parse(await readFile(join(folder, "node_modules/@microsoft/signalr/package.json"), "utf8"));
    await files(folder, {}, async (url) => {
      assert.equal(await title(`${url}?way=version`), `version ${version}`);
      await receives(url, "redux", "vue", "messagepack");
    });
  }));

  inBrowser("instead of the official package, by a bundler's alias", () => project("esbuild", async (folder) => {
    const { build } = await import("esbuild");
    await build({
      stdin: {
        contents: (await readFile(join(folder, "main.js"), "utf8")).replace('"hubwire"', '"@microsoft/signalr"'),
        resolveDir: folder,
      },
      alias: { "@microsoft/signalr": "hubwire" },
      absWorkingDir: folder,
      bundle: true,
      outfile: join(folder, "dist/main.js"),
    });
    await files(folder, {}, (url) => receives(url, "page"));
  }));

  test("an enum alone, and the first chunk, are small in every bundler", () => project(
    "bundles",
    ["esbuild", "rollup", "@rollup/plugin-node-resolve", "vite", "webpack"],
    async (folder) => {
      const sizes = JSON.parse(await node(folder, "build.mjs"));
      for (const [bundler, { enum: one, json }] of Object.entries(sizes)) {
        assert.ok(one > 0 && one <= 1_000, `one enum in ${bundler}: ${one} bytes`);
        assert.ok(json > one && json <= 13_000, `the first chunk in ${bundler}: ${json} bytes`);
      }
    },
  ), { seconds: 120 });

  for (const [title, ...ways] of [["the connection as it is", "plain"], ["a reactive connection", "ref", "reactive"]]) {
    inBrowser(`Vue, by Vite: ${title}`, () => project("vue", ["vite", "vue"], async (folder) => {
      await node(folder, join(tools, "vite/bin/vite.js"), "build", "--logLevel", "error");
      await files(join(folder, "dist"), {}, (url) => receives(url, ...ways));
    }));
  }

  inBrowser("React: a component that is mounted twice by StrictMode", () => project("react", ["react", "react-dom"], async (folder) => {
    await bundle(folder, "main.jsx", "--jsx=automatic", '--define:process.env.NODE_ENV="development"');
    await files(folder, {}, (url) => receives(url, "strict"));
  }));

  inBrowser("Angular: a component in a zone", () => project(
    "angular",
    ["@angular/common", "@angular/compiler", "@angular/core", "@angular/platform-browser", "rxjs", "zone.js"],
    async (folder) => {
      // As Angular's own build does: zones know nothing of native async functions.
      await bundle(folder, "main.ts", "--supported:async-await=false");
      await files(folder, {}, (url) => receives(url, "zone"));
    },
  ));

  inBrowser("a script: JSON, MessagePack, service worker, a strict policy", () => project("script", async (folder) => {
    const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src http://127.0.0.1:* ws://127.0.0.1:*`;
    await files(folder, { "content-security-policy": policy }, (url) => receives(url, "json", "messagepack", "service"));
  }));

  inBrowser("Electron's recommendations: a page from a file, with a policy, without Node.js", () => project("script", async (folder) => {
    await receives(pathToFileURL(join(folder, "electron.html")).href, "json");
  }));

  inBrowser("a classic service worker in one file, by esbuild", () => project("script", async (folder) => {
    await bundle(folder, "bundled-service-worker.js", "--format=iife", "--minify");
    await cp(join(folder, "dist/bundled-service-worker.js"), join(folder, "service-worker.js"));
    await files(folder, {}, (url) => receives(url, "service"));
  }));

  test("a script's file, required", () => project("script", async (folder) => {
    const required = "const signalR = require('hubwire/dist/browser/signalr.js'); console.log(typeof signalR.HubConnectionBuilder, typeof globalThis.signalR)";
    assert.equal(await node(folder, "--input-type=commonjs", "--eval", required), "function undefined");
  }));
}
