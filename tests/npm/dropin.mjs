// Whether the package can take the place of the official ones: names, types, options, texts. Argument: the package's folder.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { run } from "../harness.mjs";
import { names } from "./dropin/names.mjs";

const folder = resolve(process.argv[2]);
const ours = await import(new URL("src/index.js", pathToFileURL(`${folder}/`)));

names(ours, folder);

await run();
