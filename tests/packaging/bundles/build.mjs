// Prints what a browser loads at once, in bytes after gzip, of two applications in each bundler.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import nodeResolve from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import { rollup } from "rollup";
import { build as vite } from "vite";
import webpack from "webpack";

const here = import.meta.dirname;

/** The files of an entry, and of what those import statically. */
function initial(entry, importsOf) {
  const names = new Set([entry]);
  for (const name of names) for (const imported of importsOf(name)) names.add(imported);
  return [...names];
}

function ofRollup({ output }) {
  const chunks = Object.fromEntries(output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  const entry = Object.values(chunks).find(({ isEntry }) => isEntry).fileName;
  return initial(entry, (name) => chunks[name].imports).map((name) => chunks[name].code);
}

const bundlers = {
  async esbuild(input) {
    const { outputFiles, metafile } = await esbuild.build({
      entryPoints: [input], bundle: true, splitting: true, minify: true, format: "esm", write: false, metafile: true, outdir: "out",
    });
    const { outputs } = metafile;
    const entry = Object.keys(outputs).find((name) => outputs[name].entryPoint === input);
    const wanted = initial(entry, (name) => outputs[name].imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => path));
    return outputFiles.filter(({ path }) => wanted.some((name) => path.endsWith(name))).map(({ contents }) => contents);
  },
  async rollup(input) {
    const bundle = await rollup({ input, plugins: [nodeResolve({ browser: true })] });
    const files = ofRollup(await bundle.generate({ format: "es" }));
    // Rollup itself only joins.
    return Promise.all(files.map(async (file) => (await esbuild.transform(file, { minify: true })).code));
  },
  async vite(input) {
    return ofRollup(await vite({ root: here, configFile: false, logLevel: "error", build: { write: false, modulePreload: false, rollupOptions: { input } } }));
  },
  async webpack(input) {
    const name = input.replace(".js", "");
    const stats = await promisify(webpack)({ mode: "production", context: here, entry: { [name]: `./${input}` }, output: { filename: "[name].js", path: join(here, "dist") } });
    const { errors, entrypoints } = stats.toJson({ all: false, errors: true, entrypoints: true });
    if (errors.length > 0) throw new Error(errors[0].message);
    const { outputFileSystem } = stats.compilation.compiler;
    return entrypoints[name].assets.map((asset) => outputFileSystem.readFileSync(join(here, "dist", asset.name)));
  },
};

const applications = {
  enum: 'import { HttpTransportType } from "hubwire";\nglobalThis.used = HttpTransportType;\n',
  json: 'import { HubConnectionBuilder } from "hubwire";\nglobalThis.used = HubConnectionBuilder;\n',
};
for (const [name, text] of Object.entries(applications)) await writeFile(join(here, `${name}.js`), text);
process.chdir(here);
const sizes = {};
for (const [name, bundle] of Object.entries(bundlers)) {
  sizes[name] = {};
  for (const application of Object.keys(applications)) {
    const files = await bundle(`${application}.js`);
    sizes[name][application] = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
  }
}
console.log(JSON.stringify(sizes));
process.exit(0);
