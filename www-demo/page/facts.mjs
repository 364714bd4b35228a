// What the build of the page finds out about a client: how large it is, and what cannot be asked of it in a page.
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
// Worker mode is loaded when it is used.
const WORKER = "*/remote.js";

/** Facts of a client that consists of `packages`; the first of them is in `folder`. */
export async function facts(packages, folder, bundle) {
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const everything = packages.map((name, index) => `import * as p${index} from "${name}"; globalThis.p${index} = p${index};`);
  const [whole, withWorker, small] = await Promise.all([
    parts(everything.join("\n"), { ...bundle, external: [WORKER] }),
    parts(everything.join("\n"), bundle),
    parts(`import { HubConnectionBuilder } from "${packages[0]}"; globalThis.p = HubConnectionBuilder;`, {
      ...bundle,
      external: [WORKER],
    }),
  ]);
  return {
    version: manifest.version,
    // Bytes of the minified bundle, gzip.
    sizes: { whole: whole.all, worker: withWorker.all - whole.all, connect: small.all, first: small.first },
    // Whether it is there for an application's own tests, and whether a hub has a type.
    testing: "./testing" in (manifest.exports ?? {}),
    typed: /\bbuild</.test(await declarations(folder)),
    withoutWebAssembly: !whole.text.includes("WebAssembly"),
  };
}

async function declarations(folder) {
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".d.ts"));
  return (await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")))).join("\n");
}

/** The size of a bundle: of all its parts, and of those that are loaded at once. */
async function parts(contents, bundle) {
  const stdin = { contents, resolveDir: here };
  const { outputFiles, metafile } = await build({
    ...bundle,
    stdin,
    write: false,
    splitting: true,
    metafile: true,
    outdir: here,
    absWorkingDir: here,
  });
  const gzipped = (contents) => gzipSync(contents, { level: constants.Z_BEST_COMPRESSION }).length;
  const sizes = new Map(outputFiles.map(({ path, contents }) => [path, gzipped(contents)]));
  const first = new Set(["stdin.js"]);
  for (const name of first) {
    for (const { path, kind } of metafile.outputs[name].imports) if (kind === "import-statement") first.add(path);
  }
  const sum = (sizes) => sizes.reduce((sum, size) => sum + size, 0);
  return {
    all: sum([...sizes.values()]),
    first: sum([...first].map((name) => sizes.get(join(here, name)))),
    text: outputFiles.map(({ text }) => text).join(""),
  };
}
