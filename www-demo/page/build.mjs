// Bundles the page on the packed npm package, as anybody's page would be. Argument: the tarball.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
if (!process.argv[2]) throw new Error("usage: build.mjs TARBALL");
const tarball = resolve(process.argv[2]);

const modules = await mkdtemp(join(tmpdir(), "hubwire-page-"));
try {
  const installed = join(modules, "hubwire");
  await mkdir(installed);
  await promisify(execFile)("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  const { version } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));

  await rm(dist, { recursive: true, force: true });
  await build({
    entryPoints: { page: join(here, "src/main.js"), style: join(here, "src/style.css") },
    outdir: dist,
    nodePaths: [modules],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
  });
  const html = await readFile(join(here, "src/index.html"), "utf8");
  await writeFile(join(dist, "index.html"), html.replaceAll("@version@", version));
  await cp(join(here, "src/icon.svg"), join(dist, "icon.svg"));
} finally {
  await rm(modules, { recursive: true, force: true });
}
