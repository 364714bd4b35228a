// What the tests of packaging need of the world: projects, servers, a browser.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const execute = promisify(execFile);
/** Where the tools of other people's projects are installed. */
export const tools = resolve(here, "../../node_modules");

/** Copies a project out of the repository and installs the package, and the tools that it names. */
export async function project(tarball, name, uses, body) {
  const folder = await mkdtemp(join(tmpdir(), `hubwire-${name}-`));
  try {
    await cp(join(here, "shared"), folder, { recursive: true });
    await cp(join(here, name), folder, { recursive: true });
    await execute("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", tarball], {
      cwd: folder,
    });
    for (const tool of uses) {
      const link = join(folder, "node_modules", tool);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(tools, tool), link);
    }
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Copies a project and has npm install what its package.json names, of which the package is `hubwire.tgz`. */
export async function installed(name, tarball, body) {
  const folder = await mkdtemp(join(tmpdir(), `hubwire-${name}-`));
  try {
    await cp(join(here, "shared"), folder, { recursive: true });
    await cp(join(here, name), folder, { recursive: true });
    await cp(tarball, join(folder, "hubwire.tgz"));
    await execute("npm", ["install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: folder });
    await body(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs a script in a project and gives what it printed. */
export const node = async (cwd, ...args) => (await nodeWith(cwd, {}, ...args)).stdout.trim();

/** Runs a script in a project, with more in its environment, and gives all that it wrote. */
export async function nodeWith(cwd, env, ...args) {
  try {
    return await execute(process.execPath, args, { cwd, env: { ...process.env, ...env } });
  } catch (error) {
    throw Object.assign(new Error(`${error.message}\n${error.stdout}`), { stdout: error.stdout });
  }
}

/** Runs a server of a project while something is done with the URL that it prints. */
export async function serving(cwd, args, body) {
  const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NO_COLOR: "1" } });
  const ended = once(child, "exit");
  try {
    const url = await Promise.race([
      printedUrl(child.stdout),
      ended.then(() => { throw new Error(`ended: ${args.join(" ")}`); }),
    ]);
    await body(url);
  } finally {
    child.kill();
    await ended;
  }
}

async function printedUrl(stdout) {
  for await (const line of createInterface({ input: stdout })) {
    const [url] = line.match(/http:\/\/\S+:\d+\//) ?? [];
    if (url) {
      stdout.resume();
      return url;
    }
  }
  throw new Error("printed no URL");
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves a folder while something is done with its URL. */
export async function files(folder, headers, body) {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    try {
      const content = await readFile(join(folder, path.endsWith("/") ? `${path}index.html` : path));
      response.writeHead(200, { "content-type": TYPES[extname(path || ".html")] ?? "text/html", ...headers }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await listening(server, body);
}

/**
 * An app server in front of the demo's: answers negotiate for pages of any origin with what the demo answers, and is
 * gone when nothing else is left to do.
 */
export async function appServer(demo) {
  const server = createServer(async (request, response) => {
    const headers = {
      "access-control-allow-origin": request.headers.origin ?? "*",
      "access-control-allow-credentials": "true",
      "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "",
      "content-type": "application/json",
    };
    if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
    try {
      const answer = await fetch(new URL(request.url, demo), { method: "POST" });
      response.writeHead(answer.status, headers).end(await answer.text());
    } catch (error) {
      response.writeHead(502, headers).end(String(error));
    }
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function listening(server, body) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await body(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

let browser;

/** Opens a page for itself and gives the title that it comes to. */
export async function title(url, { ready = (title) => title !== "loading" } = {}) {
  browser ??= chromium.launch({
    executablePath: process.env.HUBWIRE_CHROMIUM,
    args: JSON.parse(await readFile(join(here, "../../webdriver.json"), "utf8"))["goog:chromeOptions"].args,
  });
  const context = await (await browser).newContext();
  const heard = [];
  try {
    const page = await context.newPage();
    page.on("console", (message) => heard.push(message.text()));
    page.on("pageerror", (error) => heard.push(String(error)));
    await page.goto(url);
    // Not waitForFunction, which evaluates a text: a strict policy keeps it from that.
    for (const start = Date.now(); Date.now() - start < 20_000; await page.waitForTimeout(50)) {
      const now = await page.title();
      if (ready(now)) return now;
    }
    throw new Error(`the title stayed ${await page.title()}`);
  } catch (error) {
    throw new Error(`${error.message}\nthe page said:\n${heard.join("\n")}`, { cause: error });
  } finally {
    await context.close();
  }
}
