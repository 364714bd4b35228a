// Bundles the page on the packed npm package, as anybody's page would be. Argument: the tarball.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { facts } from "./facts.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
if (!process.argv[2]) throw new Error("usage: build.mjs TARBALL");
const tarball = resolve(process.argv[2]);

const modules = await mkdtemp(join(tmpdir(), "hubwire-page-"));
const bundle = { nodePaths: [modules], bundle: true, minify: true, format: "esm", target: "es2022", logLevel: "warning" };

try {
  const installed = join(modules, "hubwire");
  await mkdir(installed);
  await promisify(execFile)("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  const official = dirname(createRequire(import.meta.url).resolve("@microsoft/signalr/package.json"));
  const clients = {
    hubwire: await facts(["hubwire"], installed, bundle),
    official: await facts(["@microsoft/signalr", "@microsoft/signalr-protocol-msgpack"], official, bundle),
  };

  await rm(dist, { recursive: true, force: true });
  await build({
    ...bundle,
    entryPoints: { page: join(here, "src/main.js"), style: join(here, "src/style.css") },
    outdir: dist,
    define: { __CLIENTS__: JSON.stringify(clients) },
  });
  // Each client in a script of its own, for what can only be measured where nothing else is loaded.
  for (const [name, client] of [["hubwire", "hubwire"], ["official", "@microsoft/signalr"]]) {
    const outfile = join(dist, `alone-${name}.js`);
    await build({ ...bundle, entryPoints: [join(here, "src/alone.js")], outfile, alias: { client } });
  }
  const html = await readFile(join(here, "src/index.html"), "utf8");
  const filled = html.replaceAll("@version@", clients.hubwire.version).replaceAll("@official@", clients.official.version);
  await writeFile(join(dist, "index.html"), filled);
  await writeFile(join(dist, "clients.json"), `${JSON.stringify(clients, undefined, 2)}\n`);
  await cp(join(here, "../../src/dashboard/look/icon.svg"), join(dist, "icon.svg"));
} finally {
  await rm(modules, { recursive: true, force: true });
}
