// The package's types, as `tsc --strict` sees them. Argument: the package's folder.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { run, test } from "../harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const tools = resolve(here, "../../node_modules");
const packaged = resolve(process.argv[2]);

/** What tsc says of one file, changed perhaps, in a project that knows both packages. */
async function compile(name, change = (text) => text) {
  return compileText(name, change(await readFile(join(here, "types", name), "utf8")));
}

async function compileText(name, text) {
  const folder = await mkdtemp(join(tmpdir(), "hubwire-types-"));
  try {
    await mkdir(join(folder, "node_modules"));
    await symlink(packaged, join(folder, "node_modules/hubwire"));
    await symlink(join(tools, "@microsoft"), join(folder, "node_modules/@microsoft"));
    await writeFile(join(folder, "package.json"), '{ "type": "module" }');
    await writeFile(join(folder, name), text);
    const options = ["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom", "--skipLibCheck", "false"];
    const tsc = [join(tools, "typescript/bin/tsc"), "--ignoreConfig", ...options, "--module", "nodenext", name];
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
    const body = example.replace(/^import .* from "hubwire";\n/gm, "");
    assert.ok(!/^import /m.test(body), example);
    return `export async function example${n}() {\n${body}}\n`;
  });
  const prelude = `import { HubConnectionBuilder, MessagePackHubProtocol, Subject, type HubConnection } from "hubwire";
declare const connection: HubConnection;
declare const builder: HubConnectionBuilder;
declare function trusted(url: string): string;
declare function signIn(): void;
`;
  // In JavaScript, what is caught needs no type.
  const text = (prelude + functions.join("")).replaceAll("catch (error)", "catch (error: any)");
  assert.equal(await compileText("readme.ts", text), "");
}, { seconds: 60 });

await run();
