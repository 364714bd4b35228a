// The JavaScript of the npm package by itself: builder, handlers, logging. Argument: the package's folder.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { run, test } from "../harness.mjs";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));

const { HttpTransportType, HubConnectionBuilder, HubConnectionState, HubwireError, LogLevel } = await load("src/index.js");
const { Handlers } = await load("src/handlers.js");
const { createLogger } = await load("src/logging.js");
const { typed } = await load("src/errors.js");

const lines = [];
const logger = { log: (level, message) => lines.push(`${level} ${message}`) };
const build = (options) => new HubConnectionBuilder().withUrl("https://example.com/chat", options).configureLogging("none").build();

test("module: one that can't be loaded says so, and another can be tried", async () => {
  // A copy of its own, which nobody has initialized.
  const { initialize } = await import(new URL("src/module.js?damaged", folder));
  await assert.rejects(initialize(new Uint8Array([1, 2, 3])), { code: "ModuleLoad" });
  await assert.rejects(initialize(new Response("", { status: 404 })), { code: "ModuleLoad", statusCode: 404 });
});

test("handlers: the case of a name does not count", async () => {
  const handlers = new Handlers(logger);
  const got = [];
  handlers.add("ReceiveMessage", (...args) => got.push(args));
  await handlers.call("receivemessage", [1, "b"]);
  await handlers.call("RECEIVEMESSAGE", []);
  assert.deepEqual(got, [[1, "b"], []]);
});

test("handlers: the same function is kept once, others run in order and are awaited", async () => {
  const handlers = new Handlers(logger);
  const got = [];
  const slow = async () => {
    got.push("slow begins");
    await new Promise((resolve) => setImmediate(resolve));
    got.push("slow ends");
  };
  handlers.add("m", slow);
  handlers.add("M", slow);
  handlers.add("m", () => got.push("fast"));
  await handlers.call("m", []);
  assert.deepEqual(got, ["slow begins", "slow ends", "fast"]);
});

test("handlers: one that throws is logged and does not keep the others from running", async () => {
  const handlers = new Handlers(logger);
  const got = [];
  lines.length = 0;
  handlers.add("m", () => {
    throw new Error("oh no");
  });
  handlers.add("m", async () => {
    throw new Error("later");
  });
  handlers.add("m", () => got.push("ran"));
  await handlers.call("m", []);
  assert.deepEqual(got, ["ran"]);
  assert.deepEqual(lines, [
    `${LogLevel.Error} A callback for the method 'm' threw error 'Error: oh no'.`,
    `${LogLevel.Error} A callback for the method 'm' threw error 'Error: later'.`,
  ]);
});

test("handlers: off removes one function or all of a method", async () => {
  const handlers = new Handlers(logger);
  const got = [];
  const [a, b] = [() => got.push("a"), () => got.push("b")];
  handlers.add("m", a);
  handlers.add("m", b);
  handlers.remove("M", a);
  handlers.remove("other");
  await handlers.call("m", []);
  assert.deepEqual(got, ["b"]);
  handlers.add("m", a);
  handlers.remove("m");
  lines.length = 0;
  await handlers.call("m", []);
  assert.deepEqual(got, ["b"]);
  assert.deepEqual(lines, [`${LogLevel.Warning} No client method with the name 'm' found.`]);
});

test("handlers: a function that removes itself does not disturb the running call", async () => {
  const handlers = new Handlers(logger);
  const got = [];
  const once = () => {
    got.push("once");
    handlers.remove("m", once);
  };
  handlers.add("m", once);
  handlers.add("m", () => got.push("always"));
  await handlers.call("m", []);
  await handlers.call("m", []);
  assert.deepEqual(got, ["once", "always", "always"]);
});

test("handlers: nothing is registered without a name or a function", async () => {
  const connection = build();
  connection.on("", () => {});
  connection.on("m", undefined);
  connection.off("");
  connection.onclose(undefined);
});

test("logging: levels and their names, in any case", () => {
  for (const level of ["trace", "INFO", "Information", "warn", "warning", "error", "critical", "none", LogLevel.Debug, 0]) {
    assert.equal(typeof createLogger(level).log, "function", String(level));
  }
  for (const level of ["loud", 7, null, undefined, {}]) {
    assert.throws(() => createLogger(level), { name: "HubwireError", code: "InvalidArgument" });
  }
  assert.equal(createLogger(logger), logger);
  assert.equal(LogLevel[LogLevel.Warning], "Warning");
});

test("logging: what is less important than the level is left out", () => {
  const written = [];
  const { warn, error, info } = console;
  Object.assign(console, { warn: (line) => written.push(line), error: (line) => written.push(line), info: (line) => written.push(line) });
  try {
    const log = createLogger("warning");
    log.log(LogLevel.Information, "a");
    log.log(LogLevel.Warning, "b");
    log.log(LogLevel.Critical, "c");
  } finally {
    Object.assign(console, { warn, error, info });
  }
  assert.deepEqual(written.map((line) => line.replace(/^\[[^\]]+\]/, "")), [" Warning: b", " Critical: c"]);
});

test("builder: options that make no sense are refused", () => {
  const refused = [
    { accessTokenFactory: "token" },
    { headers: "x" },
    { timeout: 0 },
    { timeout: Number.NaN },
    { transport: 8 },
    { withCredentials: "yes" },
    { skipNegotiation: true },
    { httpClient: {} },
  ];
  for (const options of refused) {
    assert.throws(() => build(options), { name: "HubwireError", code: "InvalidArgument" }, JSON.stringify(options));
  }
  build({ skipNegotiation: true, transport: HttpTransportType.WebSockets, headers: {}, timeout: 1, withCredentials: false });
  build(HttpTransportType.WebSockets);
  assert.throws(() => new HubConnectionBuilder().build(), HubwireError);
  assert.throws(() => new HubConnectionBuilder().withUrl(""), HubwireError);
});

test("connection: timeouts have their defaults and can be set", () => {
  const connection = build();
  assert.equal(connection.serverTimeoutInMilliseconds, 30_000);
  assert.equal(connection.keepAliveIntervalInMilliseconds, 15_000);
  const set = new HubConnectionBuilder().withUrl("http://h").withServerTimeout(5).withKeepAliveInterval(6).build();
  assert.equal(set.serverTimeoutInMilliseconds, 5);
  assert.equal(set.keepAliveIntervalInMilliseconds, 6);
  assert.throws(() => (set.serverTimeoutInMilliseconds = 0), HubwireError);
});

test("connection: nothing works before start, and stop is no error", async () => {
  const connection = build();
  assert.equal(connection.state, HubConnectionState.Disconnected);
  assert.equal(connection.connectionId, null);
  assert.equal(connection.negotiated, undefined);
  await assert.rejects(connection.send("m"), /not in the 'Connected' State/);
  await assert.rejects(connection.invoke("m"), { name: "HubwireError", code: "InvalidState" });
  await connection.stop();
  connection.baseUrl = "https://example.com/other";
  assert.equal(connection.baseUrl, "https://example.com/other");
});

test("connection: a relative URL needs a page", async () => {
  const connection = new HubConnectionBuilder().withUrl("/chat").build();
  await assert.rejects(connection.start(), { message: "Cannot resolve '/chat'.", code: "InvalidArgument" });
  assert.equal(connection.state, HubConnectionState.Disconnected);
});

test("connection: stop while the module loads ends the start", async () => {
  const connection = build();
  const started = connection.start();
  assert.equal(connection.state, HubConnectionState.Connecting);
  await assert.rejects(connection.start(), /not in the 'Disconnected' state/);
  await connection.stop();
  await assert.rejects(started, { message: "The connection was stopped before the hub handshake could complete." });
  assert.equal(connection.state, HubConnectionState.Disconnected);
});

test("errors: what the module throws keeps its code and status", () => {
  const plain = new Error("other");
  assert.equal(typed(plain), plain);
  const error = typed(Object.assign(new Error("refused"), { code: "Negotiate", statusCode: 403 }));
  assert.ok(error instanceof HubwireError && error instanceof Error);
  assert.deepEqual([error.name, error.message, error.code, error.statusCode], ["HubwireError", "refused", "Negotiate", 403]);
});

test("errors: the types name every code", async () => {
  const root = new URL("../../", import.meta.url);
  const types = await readFile(new URL("pkg-template/index.d.ts", root), "utf8");
  const named = [...types.matchAll(/^  \| "(\w+)"/gm)].map((match) => match[1]);
  const used = new Set();
  for (const [folder, pattern] of [
    ["src/js/", /js_error\("(\w+)"|ConnectionError::.*=> "(\w+)"/g],
    ["pkg-template/src/", /\bcode: "(\w+)"/g],
  ]) {
    for (const file of await readdir(new URL(folder, root))) {
      const text = await readFile(new URL(folder + file, root), "utf8");
      for (const match of text.matchAll(pattern)) used.add(match[1] ?? match[2]);
    }
  }
  assert.deepEqual(named, [...used].sort());
});

await run();
