// Everything that the official packages export is there, with every member, and means the same: at run time, and for the
// TypeScript compiler.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as signalr from "@microsoft/signalr";
import * as msgpack from "@microsoft/signalr-protocol-msgpack";
import { API } from "typescript/unstable/sync";
import { test } from "../../harness.mjs";

const tools = resolve(dirname(fileURLToPath(import.meta.url)), "../../../node_modules");
const PACKAGES = { "@microsoft/signalr": signalr, "@microsoft/signalr-protocol-msgpack": msgpack };

/** Members of the official packages that are missing here on purpose, and why. */
const MISSING = {
  "HubConnection.create": "internal, for the official builder: it takes an HttpConnection, which is not exported either",
};

/** Types of the official packages that ours take no value of. Ours can be handed to whatever takes theirs. */
const ONE_WAY = {
  HubConnection: "ours has members that theirs has not",
  HubConnectionBuilder: "as before",
  HttpError: "ours has a code",
  TimeoutError: "as before",
  AbortError: "as before",
};

/** Classes that nobody can make, which TypeScript compares by name. Their instances are compared nevertheless. */
const PRIVATE_CONSTRUCTORS = ["HubConnection", "NullLogger"];

export function names(ours, folder) {
  for (const [name, theirs] of Object.entries(PACKAGES)) {
    test(`exports of ${name}, and the members of its classes`, () => {
      const missing = [];
      const compare = (path, official, own) => {
        for (const key of Object.getOwnPropertyNames(official)) {
          const full = `${path}.${key}`;
          if (key.startsWith("_") || ["length", "name", "prototype", "constructor"].includes(key) || full in MISSING) continue;
          if (!(key in own) || typeof Reflect.get(own, key) !== typeof Reflect.get(official, key)) missing.push(full);
        }
      };
      for (const [key, official] of Object.entries(theirs)) {
        // How Node.js shows a CommonJS module.
        if (["__esModule", "default", "module.exports"].includes(key)) continue;
        const own = ours[key];
        if (typeof own !== typeof official) missing.push(key);
        else if (typeof official === "object") assert.deepEqual({ ...own }, { ...official }, key);
        else if (typeof official === "function") {
          compare(key, official, own);
          // Getters need an instance: only the names are compared.
          for (const member of Object.getOwnPropertyNames(official.prototype)) {
            const full = `${key}.prototype.${member}`;
            if (!member.startsWith("_") && !(full in MISSING) && !(member in own.prototype)) missing.push(full);
          }
        }
      }
      assert.deepEqual(missing, []);
    });
  }

  test("types: every name, member and option, and what can be handed where", async () => {
    assert.deepEqual(await differences(folder), []);
  }, { seconds: 60 });

  test("types: a difference is noticed", async () => {
    const changes = [
      ["  withCredentials?: boolean;", "", /IHttpConnectionOptions.withCredentials is missing/],
      ["  bufferSize: number;", "  bufferSize?: number;", /to0IStatefulReconnectOptions/],
      ["  closed?: boolean;", "  closed: boolean;", /IStreamSubscriber.closed is not optional/],
      ["export interface ITransport {", "interface ITransport {", /ITransport/],
      ["  timeout?: number;", "  timeout?: string;", /timeout/],
      ["(retryContext: RetryContext): number | null;", "(retryContext: RetryContext): number;", /from0IRetryPolicy/],
    ];
    for (const [from, to, said] of changes) {
      const found = await differences(folder, (text) => {
        assert.ok(text.includes(from), from);
        // As `export {}` does, so that what is not exported is hidden.
        return `${text.replaceAll(from, to)}\nexport {};\n`;
      });
      assert.match(found.join("\n"), said, from);
    }
  }, { seconds: 120 });
}

/** What the compiler finds missing in a package's types, or not to fit. */
function differences(folder, change) {
  return withProgram(folder, change, ({ checker, file, diagnostics }) => {
    const exportsOf = (name) => {
      const [symbol] = checker.getSymbolAtPosition(file.fileName, [file.text.indexOf(`"${name}"`) + 1]);
      return new Map(checker.getExportsOfModule(symbol).map((one) => [one.name, one]));
    };
    const membersOf = (symbol) => new Map(members(checker, symbol).map((member) => [member.name, (member.flags & OPTIONAL) !== 0]));
    const own = exportsOf("hubwire");
    assert.ok(own.size > 40, String(own.size));
    const wrong = [];
    for (const name of Object.keys(PACKAGES)) {
      const theirs = exportsOf(name);
      assert.ok(theirs.size > 2, name);
      for (const [key, exported] of theirs) {
        if (!own.has(key)) {
          wrong.push(`${key} is not exported`);
          continue;
        }
        const here = membersOf(own.get(key));
        for (const [member, isOptional] of membersOf(exported)) {
          if (!here.has(member)) wrong.push(`${key}.${member} is missing`);
          else if (isOptional && !here.get(member)) wrong.push(`${key}.${member} is not optional`);
        }
      }
    }
    return [...wrong, ...diagnostics];
  });
}

const OPTIONAL = 1 << 24;

function members(checker, exported) {
  const symbol = (exported.flags & ALIAS) !== 0 ? checker.getAliasedSymbol(exported) : exported;
  const type = checker.getDeclaredTypeOfSymbol(symbol);
  return type ? checker.getPropertiesOfType(type) : [];
}

const ALIAS = 1 << 21;

/**
 * A program that hands ours to what takes theirs, and the other way. What is private in the official types is left out: for
 * it, TypeScript would compare classes by name.
 */
async function withProgram(folder, change = (text) => text, use) {
  const project = await mkdtemp(join(tmpdir(), "hubwire-dropin-"));
  try {
    const modules = join(project, "node_modules");
    await mkdir(join(modules, "hubwire"), { recursive: true });
    await writeFile(join(modules, "hubwire/index.d.ts"), change(await readFile(join(folder, "index.d.ts"), "utf8")));
    await writeFile(join(modules, "hubwire/package.json"), '{ "name": "hubwire", "type": "module", "types": "./index.d.ts" }');
    const exported = {};
    for (const name of Object.keys(PACKAGES)) {
      const [from, to] = [join(tools, name, "dist/esm"), join(modules, name)];
      await mkdir(to, { recursive: true });
      await writeFile(join(to, "package.json"), JSON.stringify({ name, types: "./index.d.ts" }));
      for (const entry of await readdir(from)) {
        if (!entry.endsWith(".d.ts")) continue;
        const text = await readFile(join(from, entry), "utf8");
        await writeFile(join(to, entry), text.replace(/^ *private (?!constructor).*;$/gm, ""));
        if (entry === "index.d.ts") exported[name] = [...text.matchAll(/^export \{([^}]+)\}/gm)].flatMap(([, list]) => list.split(",").map((one) => one.trim()));
      }
    }
    const values = new Set([...Object.keys(signalr), ...Object.keys(msgpack)]);
    const lines = [`import * as ours from "hubwire";`];
    for (const [n, [name, list]] of Object.entries(exported).entries()) {
      const theirs = `theirs${n}`;
      lines.push(`import * as ${theirs} from "${name}";`);
      for (const key of list) {
        if (key === "VERSION") {
          lines.push(`export const version${n}: string = ours.VERSION;`);
          continue;
        }
        const parameters = /^(IStream|ISubscription|Subject)/.test(key) ? "<number>" : "";
        const [mine, other] = [`ours.${key}${parameters}`, `${theirs}.${key}${parameters}`];
        lines.push(`export const to${n}${key} = (value: ${mine}): ${other} => value;`);
        if (!(key in ONE_WAY)) lines.push(`export const from${n}${key} = (value: ${other}): ${mine} => value;`);
        if (values.has(key) && !PRIVATE_CONSTRUCTORS.includes(key)) lines.push(`export const value${n}${key}: typeof ${theirs}.${key} = ours.${key};`);
      }
    }
    await writeFile(join(project, "probe.ts"), lines.join("\n"));
    const compilerOptions = { strict: true, noEmit: true, target: "es2022", lib: ["es2022", "dom"], module: "esnext", moduleResolution: "bundler", types: [] };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["probe.ts"] }));
    const api = new API({ cwd: project });
    try {
      const config = join(project, "tsconfig.json");
      const snapshot = api.updateSnapshot({ openProjects: [config] });
      const { program, checker } = snapshot.getProject(config);
      const file = program.getSourceFile(join(project, "probe.ts"));
      const textOf = (one) => [one.text, ...(one.messageChain ?? []).map(textOf)].join(" ");
      const diagnostics = program.getSemanticDiagnostics(join(project, "probe.ts")).map((one) => `${lines[file.text.slice(0, one.pos).split("\n").length - 1]}: ${textOf(one)}`);
      return use({ checker, file, diagnostics });
    } finally {
      api.close();
    }
  } finally {
    await rm(project, { recursive: true, force: true });
  }
}
