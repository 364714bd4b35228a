// The package's types, as `tsc --strict` sees them. Argument: the package's folder.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run, test } from "../harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const tools = resolve(here, "../../node_modules");
const packaged = resolve(process.argv[2]);

const STRICT = ["--strict", "--lib", "es2022,dom", "--skipLibCheck", "false"];
// Files that begin with `@ts-check` are checked.
const JAVASCRIPT = ["--allowJs", "--strict", "false", "--lib", "es2023,dom,dom.iterable"];

/** What tsc says of one file, changed perhaps, in a project that knows both packages. */
async function compile(name, change = (text) => text, beside = []) {
  const [text, ...others] = await Promise.all([name, ...beside].map((name) => readFile(join(here, "types", name), "utf8")));
  const files = beside.map((name, index) => [name, others[index]]);
  return compileFiles(name, { ...Object.fromEntries(files), [name]: change(text) });
}

const compileText = (name, text) => compileFiles(name, { [name]: text });

/** What tsc says of the first of these files by their names. */
async function compileFiles(name, files, options = STRICT) {
  const folder = await mkdtemp(join(tmpdir(), "hubwire-types-"));
  try {
    await mkdir(join(folder, "node_modules"));
    await symlink(packaged, join(folder, "node_modules/hubwire"));
    await symlink(join(tools, "@microsoft"), join(folder, "node_modules/@microsoft"));
    await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const all = ["--ignoreConfig", "--noEmit", "--target", "es2022", "--module", "nodenext", ...options];
    const tsc = [join(tools, "typescript/bin/tsc"), ...all, name];
    const compiled = promisify(execFile)(process.execPath, tsc, { cwd: folder });
    return (await compiled.catch((error) => error)).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("types: everything can be used", async () => assert.equal(await compile("surface.ts"), ""), { seconds: 60 });

test("types: the mock hub", async () => assert.equal(await compile("testing.ts"), ""), { seconds: 60 });

test("types: an application of the official package compiles with its import changed", async () => {
  assert.equal(await compile("migration.ts"), "");
  const moved = await compile("migration.ts", (text) => text.replace('from "@microsoft/signalr"', 'from "hubwire"'));
  assert.equal(moved, "");
}, { seconds: 60 });

test("types: the official packages' protocols can be handed in", async () => {
  const both = (text) => `${text}
import { HubConnectionBuilder } from "hubwire";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
new HubConnectionBuilder().withHubProtocol(new signalR.JsonHubProtocol());
new HubConnectionBuilder().withHubProtocol(new MessagePackHubProtocol());
`;
  assert.equal(await compile("migration.ts", both), "");
}, { seconds: 60 });

test("types: mistakes are noticed", async () => {
  const output = await compile("mistakes.ts");
  const found = [...output.matchAll(/mistakes\.ts\((\d+),/g)].map((match) => Number(match[1]));
  const lines = (await readFile(join(here, "types/mistakes.ts"), "utf8")).split("\n");
  const expected = lines.flatMap((line, index) => (line.includes("// wrong") ? [index + 1] : []));
  assert.deepEqual([...new Set(found)], expected, output);
}, { seconds: 60 });

test("types: the README's examples", async () => {
  const readme = await readFile(join(packaged, "README.md"), "utf8");
  const examples = [...readme.matchAll(/^```(?:js|ts)\n(.*?)^```/gms)].map(([, example]) => example);
  assert.ok(examples.length >= 9, String(examples.length));
  const functions = examples.map((example, n) => {
    // What they import is imported above.
    const body = example.replace(/^import .* from "hubwire(\/worker\.js\?url)?";.*\n/gm, "");
    assert.ok(!/^import /m.test(body), example);
    return `export async function example${n}() {\n${body}}\n`;
  });
  const prelude = `import { HubConnectionBuilder, MessagePackHubProtocol, Subject, type HubConnection } from "hubwire";
declare const connection: HubConnection;
declare const builder: HubConnectionBuilder;
declare const url: string;
declare function trusted(url: string): string;
declare function signIn(): void;
`;
  // In JavaScript, what is caught needs no type.
  const text = (prelude + functions.join("")).replaceAll("catch (error)", "catch (error: any)");
  assert.equal(await compileText("readme.ts", text), "");
}, { seconds: 60 });

// `cargo test --test typescript` sees to it that the two are what the hub in Rust says.
test("types: a hub that was described in Rust", async () => {
  assert.equal(await compile("described.ts", undefined, ["chat.d.ts", "chat-messagepack.d.ts"]), "");
}, { seconds: 60 });

test("types: the demo's page keeps to the hub's description", async () => {
  const page = "www-demo/page/src/";
  const files = {};
  for (const folder of [page, "src/dashboard/look/"]) {
    const source = resolve(here, "../..", folder);
    for (const name of (await readdir(source)).filter((name) => /\.[jt]s$/.test(name))) {
      files[`${folder}${name}`] = await readFile(join(source, name), "utf8");
    }
  }
  const main = `${page}main.js`;
  assert.equal(await compileFiles(main, files, JAVASCRIPT), "");
  for (const [file, right, wrong] of [
    ["main.js", 'invoke("Say", said)', 'invoke("Say", 1)'],
    ["main.js", "Tick: () => {}", "Tock: () => {}"],
    ["main.js", "showFigures(figures)", "showFigures(figures.size)"],
    ["files.js", "name: file.name, ", ""],
    ["files.js", 'invoke("Part", id, index', 'invoke("Part", id'],
  ]) {
    const name = `${page}${file}`;
    assert.equal(files[name].split(right).length, 2, right);
    const mistaken = { ...files, [name]: files[name].replace(right, wrong) };
    const said = await compileFiles(main, mistaken, JAVASCRIPT);
    assert.ok(said.startsWith(`${name}(`), `${wrong}: ${said}`);
  }
}, { seconds: 120 });

await run();
