// Published libraries on top of the official client, with this package in its place, as an alias in a package.json brings
// it there. Arguments: the package's tarball, or `official` for what to expect; a folder to install into; parts of names of
// libraries. HUBWIRE_TEST_HUB_URL: the reference hub.
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { run, test } from "../harness.mjs";

const LIBRARIES = ["react-signalr", "use-signalr-hub", "vue-signalr", "redux-signalr", "ssv-signalr-client"];

const here = dirname(fileURLToPath(import.meta.url));
const hub = process.env.HUBWIRE_TEST_HUB_URL;
const [tarball, target, ...parts] = process.argv.slice(2);
if (!tarball || !target || !hub) throw new Error("usage: HUBWIRE_TEST_HUB_URL=… run.mjs TARBALL|official FOLDER [PART]...");
const execute = promisify(execFile);
const folder = resolve(target);
const modules = join(folder, "node_modules");
const client = join(modules, "@microsoft/signalr");

/** Installs the libraries when they are not there yet, all in the versions of the lock file. */
async function install() {
  const lock = await readFile(join(here, "package-lock.json"), "utf8");
  const done = join(folder, "installed.json");
  if (lock === (await readFile(done, "utf8").catch(() => ""))) return;
  await mkdir(folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json"]) await cp(join(here, name), join(folder, name));
  // Libraries of which only a part is used have peers that nobody needs here.
  const options = ["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"];
  await execute("npm", options, { cwd: folder, shell: process.platform === "win32" });
  await rm(join(folder, "official"), { recursive: true, force: true });
  await cp(client, join(folder, "official"), { recursive: true });
  await writeFile(done, lock);
}

/** Puts a client where the libraries look for the official one: where `npm:hubwire` as its version puts it. */
async function place() {
  await rm(client, { recursive: true, force: true });
  if (tarball === "official") return cp(join(folder, "official"), client, { recursive: true });
  await mkdir(client, { recursive: true });
  return execute("tar", ["-xzf", resolve(tarball), "--strip-components=1", "-C", client]);
}

/** Runs one library's test in a process of its own. Some are ES modules that only a bundler accepts. */
async function inProcess(name) {
  const suite = join(folder, "suite");
  await build({
    stdin: {
      contents: `import "./world.mjs"; import test from "./${name}.mjs"; await test(${JSON.stringify(hub)}); console.log("done"); process.exit(0);`,
      resolveDir: suite,
    },
    bundle: true,
    outfile: join(folder, `${name}.mjs`),
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["jsdom", "ws"],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "error",
  });
  const { stdout } = await execute(process.execPath, [join(folder, `${name}.mjs`)], { timeout: 25_000 });
  if (!stdout.trimEnd().endsWith("done")) throw new Error(`its process ended early: ${stdout}`);
}

await install();
await place();
await cp(join(here, "suite"), join(folder, "suite"), { recursive: true });
for (const name of LIBRARIES) {
  if (parts.length > 0 && !parts.some((part) => name.includes(part))) continue;
  test(name, () => inProcess(name));
}
await run({ atOnce: 2 });
