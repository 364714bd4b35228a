// The JavaScript of the npm package by itself: builder, handlers, logging. Argument: the package's folder.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { run, test } from "../harness.mjs";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));

const {
  AbortError,
  HttpError,
  HttpTransportType,
  HubConnectionBuilder,
  HubConnectionState,
  HubwireError,
  JsonHubProtocol,
  LogLevel,
  MessageType,
  NullLogger,
  Subject,
  TimeoutError,
  TransferFormat,
  VERSION,
} = await load("src/index.js");
const { Handlers } = await load("src/handlers.js");
const { createLogger } = await load("src/logging.js");
const { typed } = await load("src/errors.js");
const { HubStream } = await load("src/stream.js");
const { Wire } = await load("src/wire.js");

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
    `${LogLevel.Error} Result given for 'm' method but server is not expecting a result.`,
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
  assert.deepEqual([error.name, error.message, error.code, error.statusCode], ["HttpError", "refused", "Negotiate", 403]);
});

test("errors: the official package's classes, with its arguments", () => {
  const http = new HttpError("no", 503);
  assert.deepEqual([http.message, http.statusCode, http.code], ["no", 503, "Http"]);
  assert.equal(new TimeoutError().message, "A timeout occurred.");
  assert.equal(new AbortError().message, "An abort occurred.");
  for (const error of [http, new TimeoutError(), new AbortError()]) assert.ok(error instanceof HubwireError);
  assert.ok(typed(Object.assign(new Error("x"), { code: "ServerTimeout" })) instanceof TimeoutError);
  assert.ok(typed(Object.assign(new Error("x"), { code: "Stopped" })) instanceof AbortError);
});

test("builder: reconnects, streams of state, protocols are checked", () => {
  const refused = [
    (builder) => builder.withAutomaticReconnect().withAutomaticReconnect(),
    (builder) => builder.withAutomaticReconnect({}),
    (builder) => builder.withStatefulReconnect({ bufferSize: 0 }),
    (builder) => builder.withHubProtocol({}),
  ];
  for (const build of refused) {
    assert.throws(() => build(new HubConnectionBuilder()), { name: "HubwireError", code: "InvalidArgument" }, String(build));
  }
  assert.match(VERSION, /^\d+\.\d+\.\d+/);
  assert.equal(TransferFormat.Binary, 2);
  assert.equal(MessageType[9], "Sequence");
  NullLogger.instance.log(LogLevel.Critical, "nothing");
});

test("protocols: JSON reads what it has written", () => {
  const protocol = new JsonHubProtocol();
  const messages = [
    { type: 1, target: "m", arguments: [1, "\u001e", null], invocationId: "1", streamIds: ["2"] },
    { type: 2, invocationId: "1", item: { a: [] } },
    { type: 6 },
  ];
  assert.deepEqual(protocol.parseMessages(messages.map((message) => protocol.writeMessage(message)).join("")), messages);
  assert.deepEqual(protocol.parseMessages(""), []);
  assert.throws(() => protocol.parseMessages('{"type":6}'), /incomplete/);
  assert.throws(() => protocol.parseMessages(new ArrayBuffer(1)), /Expected a string/);
});

test("wire: a chunk may end anywhere", () => {
  const text = '{"type":6}\x1e{"type":7,"error":"Grüße 👋"}\x1e';
  for (let cut = 0; cut <= text.length; cut += 1) {
    const reader = new Wire(new JsonHubProtocol(), logger).reader();
    const read = [text.slice(0, cut), text.slice(cut)].flatMap((chunk) => reader.read(chunk));
    assert.deepEqual(read, [{ type: 6 }, { type: 7, error: "Grüße 👋" }], String(cut));
  }
  // A binary protocol: here the type alone, after the length.
  const protocol = {
    transferFormat: TransferFormat.Binary,
    parseMessages(input) {
      const bytes = new Uint8Array(input);
      const messages = [];
      for (let at = 0; at < bytes.length; at += 2 + 128) messages.push({ type: bytes[at + 2] });
      return messages;
    },
  };
  const message = new Uint8Array(2 + 128).fill(6);
  message.set([0x80, 0x01]);
  const bytes = new Uint8Array([...message, ...message]);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const reader = new Wire(protocol, logger).reader();
    const read = [bytes.slice(0, cut), bytes.slice(cut)].flatMap((chunk) => reader.read(chunk));
    assert.deepEqual(read, [{ type: 6 }, { type: 6 }], String(cut));
  }
  const reader = () => new Wire(protocol, logger).reader();
  assert.throws(() => reader().read(new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x07])), /more than/);
  assert.throws(() => reader().read("text"), /text frame/);
  assert.throws(() => new Wire(new JsonHubProtocol(), logger).reader().read(new Uint8Array(1)), /binary frame/);
});

test("wire: messages that make no sense are refused", () => {
  const wrong = [
    null,
    {},
    { type: "1" },
    { type: 1, arguments: [] },
    { type: 1, target: "", arguments: [] },
    { type: 1, target: "m" },
    { type: 1, target: "m", arguments: [], invocationId: "" },
    { type: 2, invocationId: "1" },
    { type: 2, item: 1 },
    { type: 3 },
    { type: 3, invocationId: "1", error: "no", result: 1 },
    { type: 3, invocationId: "1", error: 1 },
    { type: 7, error: {} },
    { type: 8 },
  ];
  for (const message of wrong) {
    const wire = new Wire(new JsonHubProtocol(), logger);
    assert.throws(() => wire.reader().read(`${JSON.stringify(message)}\x1e`), /Invalid payload/, JSON.stringify(message));
    assert.match(wire.failure.message, /Invalid payload/);
  }
  assert.deepEqual(new Wire(new JsonHubProtocol(), logger).reader().read('{"type":99}\x1e'), [{ type: 99 }]);
});

test("streams: no more than 65536 items wait; then the stream is cancelled, and fails", async () => {
  let cancelled = 0;
  const stream = new HubStream(logger, () => (cancelled += 1));
  for (let n = 0; n < 65_537; n += 1) stream.item(n);
  assert.equal(cancelled, 1);
  const failed = async () => {
    for await (const item of stream) assert.fail(`got ${item}`);
  };
  await assert.rejects(failed(), { code: "SlowConsumer" });
});

test("streams: a loop gets what came before, one by one, and leaving ends it", async () => {
  let cancelled = 0;
  const stream = new HubStream(logger, () => (cancelled += 1));
  stream.item(1);
  const loop = stream[Symbol.asyncIterator]();
  stream.item(2);
  assert.deepEqual(await loop.next(), { done: false, value: 1 });
  assert.deepEqual(await loop.next(), { done: false, value: 2 });
  const third = loop.next();
  const fourth = loop.next();
  stream.item(3);
  assert.deepEqual(await third, { done: false, value: 3 });
  assert.deepEqual(await loop.return("left"), { done: true, value: "left" });
  assert.deepEqual(await fourth, { done: true, value: undefined });
  assert.deepEqual(await loop.next(), { done: true, value: undefined });
  assert.equal(cancelled, 1);
});

test("streams: an error ends a loop, once", async () => {
  const stream = new HubStream(logger, () => {});
  const loop = stream[Symbol.asyncIterator]();
  stream.item(1);
  stream.end(new Error("torn"));
  assert.deepEqual(await loop.next(), { done: false, value: 1 });
  await assert.rejects(loop.next(), /torn/);
  assert.deepEqual(await loop.next(), { done: true, value: undefined });
});

test("subjects: hand on to whoever has subscribed", () => {
  const subject = new Subject();
  const heard = [];
  subject.next("too early");
  const subscription = subject.subscribe({
    next: (item) => heard.push(item),
    error: (error) => heard.push(error.message),
    complete: () => heard.push("end"),
  });
  subject.next(1);
  subject.error(new Error("no"));
  subject.complete();
  subscription.dispose();
  subject.next("too late");
  assert.deepEqual(heard, [1, "no", "end"]);
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
