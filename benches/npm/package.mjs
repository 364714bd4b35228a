// Finds the files of an npm package's folder as a bundler or Node.js would, and bundles pages with it.
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** The file that `import "hubwire"` means under these conditions, or another path of the package. */
export async function entry(folder, conditions = ["browser", "import"], path = ".") {
  const { exports } = JSON.parse(await readFile(join(resolve(folder), "package.json"), "utf8"));
  const find = (target) => {
    if (target === undefined || typeof target === "string") return target;
    const key = Object.keys(target).find((key) => key === "default" || conditions.includes(key));
    return find(target[key]);
  };
  const file = find(exports[path]);
  if (!file) throw new Error(`${folder} has no entry ${path}`);
  return join(resolve(folder), file);
}

/** Scripts by their paths: `/NAME/page.js` for each subject, and the chunks that it loads. */
export async function bundle(folder, subjects, page) {
  const hubwire = await entry(folder);
  const scripts = {};
  for (const [name, imports] of Object.entries(subjects)) {
    const { outputFiles } = await build({
      stdin: { contents: imports + page, resolveDir: here },
      alias: { hubwire },
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      splitting: true,
      outdir: "/",
      target: "es2022",
    });
    for (const { path, contents } of outputFiles) {
      scripts[`/${name}${path === "/stdin.js" ? "/page.js" : path}`] = Buffer.from(contents);
    }
  }
  return scripts;
}
