// Bundles the page on the packed npm package, as anybody's page would be. Argument: the tarball.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
if (!process.argv[2]) throw new Error("usage: build.mjs TARBALL");
const tarball = resolve(process.argv[2]);

const modules = await mkdtemp(join(tmpdir(), "hubwire-page-"));
const bundle = { nodePaths: [modules], bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning" };

/** What packages cost a page that uses all of them: bytes of the minified bundle, gzip. */
async function size(...packages) {
  const names = packages.map((name, index) => `import * as p${index} from "${name}"; globalThis.p${index} = p${index};`);
  const stdin = { contents: names.join("\n"), resolveDir: here };
  const { outputFiles } = await build({ ...bundle, stdin, write: false });
  return gzipSync(outputFiles[0].contents, { level: constants.Z_BEST_COMPRESSION }).length;
}

try {
  const installed = join(modules, "hubwire");
  await mkdir(installed);
  await promisify(execFile)("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  const { version } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  const official = createRequire(import.meta.url)("@microsoft/signalr/package.json").version;
  const sizes = {
    hubwire: await size("hubwire"),
    official: await size("@microsoft/signalr", "@microsoft/signalr-protocol-msgpack"),
  };

  await rm(dist, { recursive: true, force: true });
  await build({
    ...bundle,
    entryPoints: { page: join(here, "src/main.js"), style: join(here, "src/style.css") },
    outdir: dist,
    define: { __SIZES__: JSON.stringify(sizes) },
  });
  const html = await readFile(join(here, "src/index.html"), "utf8");
  const filled = html.replaceAll("@version@", version).replaceAll("@official@", official);
  await writeFile(join(dist, "index.html"), filled);
  await cp(join(here, "src/icon.svg"), join(dist, "icon.svg"));
} finally {
  await rm(modules, { recursive: true, force: true });
}
