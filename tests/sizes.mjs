// How large the npm package is in an application, beside the official one, and whether that is within
// `size-budget.json`. Argument: the package's folder, which has to have the package's name.
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const folder = resolve(process.argv[2]);
const here = dirname(fileURLToPath(import.meta.url));
const installed = join(here, "../node_modules");

/** What the browser loads at once of an application: the entry, and what that imports statically. */
async function bundle(contents, settings = {}) {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: here, loader: "ts" },
    nodePaths: [dirname(folder), installed],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    outdir: "/out",
    absWorkingDir: "/",
    ...settings,
  });
  const [entry] = Object.keys(metafile.outputs).filter((name) => metafile.outputs[name].entryPoint);
  const wanted = new Set([entry]);
  for (const name of wanted) {
    for (const { path, kind } of metafile.outputs[name].imports) {
      if (kind === "import-statement") wanted.add(path);
    }
  }
  return outputFiles.filter(({ path }) => wanted.has(path.slice(1))).map(({ contents }) => contents);
}

const packed = (...names) => Promise.all(names.map((name) => readFile(join(folder, name))));
const official = (...names) => Promise.all(names.map((name) => readFile(join(installed, "@microsoft", name))));

// A namespace that escapes keeps every export: this is the size of the package, not of one import.
const keep = (...names) => names.map((name, n) => `import * as all${n} from "${name}"; globalThis.all${n} = all${n};`).join("\n");
const use = (name, from) => `import { ${name} } from "${from}"; globalThis.used = ${name};`;
const type = (from) => `import { IRetryPolicy } from "${from}"; export type Policy = IRetryPolicy;`;
const OFFICIAL = "@microsoft/signalr";
const everything = () => bundle(keep(OFFICIAL, `${OFFICIAL}-protocol-msgpack`));
// Worker mode is loaded only when it is used, where the bundler splits.
const withoutWorker = { external: ["*/remote.js"] };

const ROWS = {
  "whole API with MessagePack, one bundle": [() => bundle(keep("hubwire"), withoutWorker), everything],
  "the same with worker mode in the bundle": [() => bundle(keep("hubwire")), everything],
  "JSON only, one bundle": [() => bundle(use("HubConnectionBuilder", "hubwire"), withoutWorker), () => bundle(use("HubConnectionBuilder", OFFICIAL))],
  "first chunk, where the bundler splits": [
    () => bundle(use("HubConnectionBuilder", "hubwire"), { splitting: true }),
    () => bundle(use("HubConnectionBuilder", OFFICIAL), { splitting: true }),
  ],
  "one enum": [() => bundle(use("HttpTransportType", "hubwire")), () => bundle(use("HttpTransportType", OFFICIAL))],
  "types only": [() => bundle(type("hubwire")), () => bundle(type(OFFICIAL))],
  "slim, whole API, and hubwire.wasm": [
    async () => [...await bundle(keep("hubwire/slim"), withoutWorker), ...await packed("hubwire.wasm")],
    everything,
  ],
  "hubwire.wasm": [() => packed("hubwire.wasm")],
  "worker.js": [() => packed("worker.js")],
  "dist/browser/signalr.min.js": [
    () => packed("dist/browser/signalr.min.js"),
    () => official("signalr/dist/browser/signalr.min.js", "signalr-protocol-msgpack/dist/browser/signalr-protocol-msgpack.min.js"),
  ],
};

/** The lengths of files, each compressed by itself as servers do. */
function measure(files) {
  const sum = (length) => files.reduce((total, file) => total + length(file), 0);
  // An empty file is not sent compressed.
  const compressed = (compress) => (file) => file.length && compress(file).length;
  return {
    raw: sum((file) => file.length),
    gzip: sum(compressed((file) => gzipSync(file, { level: 9 }))),
    brotli: sum(compressed((file) => brotliCompressSync(file, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: file.length } }))),
  };
}

const budget = JSON.parse(await readFile(join(here, "size-budget.json"), "utf8"));
const numbers = (...values) => values.map((value) => String(value ?? "").padStart(8)).join("");
console.log(`${"".padEnd(41)}${numbers("raw", "gzip", "brotli", "budget", "goal")}  official${numbers("gzip", "brotli")}`);
let isOver = Object.keys(budget).some((name) => !(name in ROWS));
for (const [name, [ours, theirs]] of Object.entries(ROWS)) {
  const own = measure(await ours());
  const other = theirs ? measure(await theirs()) : {};
  const { by = "gzip", limit, goal } = budget[name] ?? {};
  console.log(`${name.padEnd(41)}${numbers(own.raw, own.gzip, own.brotli, limit, goal)}${numbers(other.raw).padStart(10)}${numbers(other.gzip, other.brotli)}`);
  if (own[by] <= limit) continue;
  isOver = true;
  console.log(`OVER THE BUDGET: ${name} takes ${own[by]} bytes (${by}), the limit is ${limit}`);
}
if (isOver) process.exitCode = 1;
