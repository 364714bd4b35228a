// Whether the package can take the place of the official ones: names, types, options, texts. Argument: the package's folder.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { run } from "../harness.mjs";
import { names } from "./dropin/names.mjs";
import { options } from "./dropin/options.mjs";

const folder = resolve(process.argv[2]);
const load = (file) => import(new URL(file, pathToFileURL(`${folder}/`)));
const ours = await load("src/index.js");

names(ours, folder);
options(ours, { ...(await load("src/options.js")), ...(await load("src/logging.js")) });

await run();
