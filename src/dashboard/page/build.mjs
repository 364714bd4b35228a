// Bundles the dashboard's page into `dist`, which is checked in: who installs the crate needs no Node.js.
// Arguments: the npm package's tarball or folder; or --check, which says whether `dist` is of the sources that are there.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../../..");
const dist = join(here, "dist");
const record = join(dist, "sources.json");
// All files together, compressed, in bytes: most of it is the npm package's engine.
const LIMIT = 80_000;
// Shared with the demo's page.
const icon = join(here, "../look/icon.svg");

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
// A checkout may have other line ends.
const source = async (path) => digest((await readFile(join(root, path), "utf8")).replaceAll("\r\n", "\n"));

async function check() {
  const { sources, bundle } = JSON.parse(await readFile(record, "utf8"));
  const changed = async (files, hash) => {
    const same = await Promise.all(Object.entries(files).map(async ([path, known]) => (await hash(path).catch(() => "")) === known));
    return Object.keys(files).filter((path, index) => !same[index]);
  };
  const differing = await changed(sources, source);
  const outputs = Object.fromEntries(Object.entries(bundle).map(([name, { sha256 }]) => [name, sha256]));
  differing.push(...(await changed(outputs, async (name) => digest(await readFile(join(dist, name))))));
  if (differing.length === 0) return;
  console.error(`the dashboard's bundle is not of these sources; run \`cargo xtask dashboard\`: ${differing.join(", ")}`);
  process.exitCode = 1;
}

async function bundle(given) {
  // Here, as a check needs no tools.
  const { build } = await import("esbuild");
  const modules = await mkdtemp(join(tmpdir(), "hubwire-dashboard-"));
  try {
    const installed = join(modules, "hubwire");
    if ((await stat(given)).isDirectory()) {
      await cp(given, installed, { recursive: true });
    } else {
      await mkdir(installed);
      await promisify(execFile)("tar", ["-xzf", given, "-C", installed, "--strip-components=1"]);
    }
    const { outputFiles, metafile } = await build({
      entryPoints: { page: join(here, "main.js"), "page-style": join(here, "page.css") },
      nodePaths: [modules],
      // Worker mode is loaded when it is used, and is not.
      external: ["*/remote.js"],
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      legalComments: "none",
      logLevel: "warning",
      write: false,
      metafile: true,
      outdir: dist,
      absWorkingDir: root,
    });
    const output = (end) => outputFiles.find(({ path }) => path.endsWith(end)).contents;
    const html = (await readFile(join(here, "index.html"), "utf8")).replaceAll(/^\s+/gm, "");
    const files = {
      "index.html": Buffer.from(html),
      "page.js": output(".js"),
      "page.css": output(".css"),
      "icon.svg": await readFile(icon),
    };
    const inputs = Object.keys(metafile.inputs).filter((path) => !path.startsWith("..") && !path.includes("node_modules"));
    const others = [join(here, "index.html"), join(here, "build.mjs"), icon];
    const paths = [...inputs, ...others.map((path) => relative(root, path).replaceAll(sep, "/"))].sort();

    await rm(dist, { recursive: true, force: true });
    await mkdir(dist);
    const made = {};
    for (const [name, contents] of Object.entries(files)) {
      const packed = gzipSync(contents, { level: 9 });
      await writeFile(join(dist, `${name}.gz`), packed);
      made[`${name}.gz`] = { bytes: contents.length, gzip: packed.length, sha256: digest(packed) };
      console.log(`${name}: ${contents.length} bytes, ${packed.length} by gzip`);
    }
    const total = Object.values(made).reduce((sum, { gzip }) => sum + gzip, 0);
    console.log(`together: ${total} bytes by gzip, of ${LIMIT} at most`);
    if (total > LIMIT) throw new Error("the dashboard's page has become too large");
    const sources = Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await source(path)])));
    await writeFile(record, `${JSON.stringify({ bundle: made, sources }, undefined, 2)}\n`);
  } finally {
    await rm(modules, { recursive: true, force: true });
  }
}

const [argument] = process.argv.slice(2);
if (!argument) throw new Error("usage: build.mjs TARBALL | FOLDER | --check");
await (argument === "--check" ? check() : bundle(resolve(argument)));
