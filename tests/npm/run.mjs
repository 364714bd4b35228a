// The JavaScript of the npm package by itself: builder, handlers, logging. Argument: the package's folder.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import * as signalr from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";
import { run, test } from "../harness.mjs";

// The copy that the official package itself uses.
const official = createRequire(import.meta.resolve("@microsoft/signalr-protocol-msgpack"))("@msgpack/msgpack");

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));

const {
  AbortError,
  ExtData,
  HttpError,
  HubConnectionBuilder,
  HubConnectionState,
  HubwireError,
  JsonHubProtocol,
  LogLevel,
  MessagePackHubProtocol,
  MessageType,
  NullLogger,
  Subject,
  TimeoutError,
  TransferFormat,
  VERSION,
} = await load("src/index.js");
const { Handlers } = await load("src/handlers.js");
const { dispatch } = await load("src/dispatch.js");
const { createLogger } = await load("src/logging.js");
const { textOf, typed } = await load("src/errors.js");
const { HubStream } = await load("src/stream.js");
const { Wire } = await load("src/wire.js");

const lines = [];
const logger = { log: (level, message) => lines.push(`${level} ${message}`) };
const build = (options) => new HubConnectionBuilder().withUrl("https://example.com/chat", options).configureLogging("none").build();

test("module: one that cannot be loaded says so, and another can be tried", async () => {
  // A copy of its own, which nobody has initialized.
  const { embed, initialize, SLIM } = await import(new URL("src/module.js?damaged", folder));
  embed(() => load("src/engine.js"), SLIM);
  await assert.rejects(initialize(new Uint8Array([1, 2, 3])), { code: "ModuleLoad" });
  await assert.rejects(initialize(new Response("", { status: 404 })), { code: "ModuleLoad", statusCode: 404 });
});

const call = (handlers, target, args, invocationId) => dispatch(handlers, logger, undefined, { target, arguments: args, invocationId });

test("handlers: the case of a name does not count", async () => {
  const handlers = new Handlers();
  const got = [];
  handlers.add("ReceiveMessage", (...args) => got.push(args));
  await call(handlers, "receivemessage", [1, "b"]);
  await call(handlers, "RECEIVEMESSAGE", []);
  assert.deepEqual(got, [[1, "b"], []]);
});

test("handlers: the same function is kept once, others run in order and are awaited", async () => {
  const handlers = new Handlers();
  const got = [];
  const slow = async () => {
    got.push("slow begins");
    await new Promise((resolve) => setImmediate(resolve));
    got.push("slow ends");
  };
  handlers.add("m", slow);
  handlers.add("M", slow);
  handlers.add("m", () => got.push("fast"));
  await call(handlers, "m", []);
  assert.deepEqual(got, ["slow begins", "slow ends", "fast"]);
});

test("handlers: one that throws is logged and does not keep the others from running", async () => {
  const handlers = new Handlers();
  const got = [];
  lines.length = 0;
  handlers.add("m", () => {
    throw new Error("oh no");
  });
  handlers.add("m", async () => {
    throw new Error("later");
  });
  handlers.add("m", () => got.push("ran"));
  await call(handlers, "m", []);
  assert.deepEqual(got, ["ran"]);
  assert.deepEqual(lines, [
    `${LogLevel.Error} A callback for the method 'm' threw error 'Error: oh no'.`,
    `${LogLevel.Error} A callback for the method 'm' threw error 'Error: later'.`,
    `${LogLevel.Error} Result given for 'm' method but server is not expecting a result.`,
  ]);
});

test("handlers: what the server is answered, and what is logged of it", async () => {
  const handlers = new Handlers();
  const fail = () => {
    throw Object.create(null);
  };
  const asked = async (...added) => {
    handlers.remove("m");
    for (const handler of added) handlers.add("m", handler);
    return call(handlers, "M", [], "7");
  };
  lines.length = 0;
  assert.deepEqual(await asked(() => 1), { result: 1 });
  // One of a library's own promises.
  assert.deepEqual(await asked(() => ({ then: (done) => done(2) })), { result: 2 });
  assert.deepEqual(await asked(fail, () => 3), { result: 3 });
  assert.deepEqual(await asked(() => null), { result: null });
  assert.deepEqual(await asked(() => 1, fail), { error: "Unknown error" });
  assert.deepEqual(await asked(() => 1, () => 2), { error: "Client provided multiple results." });
  assert.deepEqual(await asked(() => {}), { error: "Client didn't provide a result." });
  assert.deepEqual(await asked(), { error: "Client didn't provide a result." });
  assert.deepEqual(lines, [
    `${LogLevel.Error} A callback for the method 'm' threw error 'Unknown error'.`,
    `${LogLevel.Error} A callback for the method 'm' threw error 'Unknown error'.`,
    `${LogLevel.Error} Multiple results provided for 'm'. Sending error to server.`,
    `${LogLevel.Warning} No result given for 'm' method and invocation ID '7'.`,
    `${LogLevel.Warning} No client method with the name 'm' found.`,
    `${LogLevel.Warning} No result given for 'm' method and invocation ID '7'.`,
  ]);
});

test("handlers: off removes one function or all of a method", async () => {
  const handlers = new Handlers();
  const got = [];
  const [a, b] = [() => got.push("a"), () => got.push("b")];
  handlers.add("m", a);
  handlers.add("m", b);
  handlers.remove("M", a);
  handlers.remove("other");
  await call(handlers, "m", []);
  assert.deepEqual(got, ["b"]);
  handlers.add("m", a);
  handlers.remove("m");
  lines.length = 0;
  await call(handlers, "m", []);
  assert.deepEqual(got, ["b"]);
  assert.deepEqual(lines, [`${LogLevel.Warning} No client method with the name 'm' found.`]);
});

test("handlers: a function that removes itself does not disturb the running call", async () => {
  const handlers = new Handlers();
  const got = [];
  const once = () => {
    got.push("once");
    handlers.remove("m", once);
  };
  handlers.add("m", once);
  handlers.add("m", () => got.push("always"));
  await call(handlers, "m", []);
  await call(handlers, "m", []);
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
  for (const level of ["loud", 7, null, undefined, {}, Object.create(null)]) {
    assert.throws(() => createLogger(level), { name: "Error", code: "InvalidArgument", message: /^Unknown log level: / }, typeof level);
  }
  lines.length = 0;
  createLogger(logger).log(LogLevel.Debug, "handed on");
  assert.deepEqual(lines, ["1 handed on"]);
  // What a logger throws stays with it.
  createLogger({ log: () => assert.fail() }).log(LogLevel.Debug, "");
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
  await assert.rejects(connection.invoke("m"), { name: "Error", code: "InvalidState" });
  await connection.stop();
  connection.baseUrl = "https://example.com/other";
  assert.equal(connection.baseUrl, "https://example.com/other");
});

test("connection: stop while the module loads ends the start", async () => {
  const connection = build();
  const started = connection.start();
  assert.equal(connection.state, HubConnectionState.Connecting);
  await assert.rejects(connection.start(), /not in the 'Disconnected' state/);
  await connection.stop();
  await assert.rejects(started, { message: "The connection was stopped during negotiation." });
  assert.equal(connection.state, HubConnectionState.Disconnected);
});

test("errors: what the core throws keeps its code, status and whatever else it has", () => {
  for (const other of [new Error("other"), Object.assign(new Error("no connection"), { code: "ECONNREFUSED" }), undefined, null, "text"]) {
    assert.equal(typed(other), other);
  }
  const error = typed(Object.assign(new Error("refused"), { code: "Negotiate", statusCode: 403 }));
  assert.ok(error instanceof HubwireError && error instanceof HttpError);
  assert.deepEqual([String(error), error.code, error.statusCode], ["Error: refused", "Negotiate", 403]);
  assert.equal(error.errorType, "FailedToNegotiateWithServerError");
  const innerErrors = ["WebSockets failed:", new Error("'WebSockets' is disabled by the client.")];
  assert.equal(typed(Object.assign(new Error("none"), { code: "NoTransport", innerErrors })).innerErrors, innerErrors);
  // One of another realm, as a frame or a test runner has it.
  const foreign = runInNewContext(`Object.assign(new Error("later"), { code: "Transport" })`);
  assert.ok(typed(foreign) instanceof HubwireError);
  assert.equal(typed(foreign).message, "later");
  assert.equal(textOf(runInNewContext(`new RangeError("too far")`)), "too far");
  assert.deepEqual([textOf("text"), textOf(undefined), textOf(Object.create(null))], ["text", "Unknown error", "Unknown error"]);
  // What a hub protocol throws is told in its own words.
  assert.equal(typed(Object.assign(new Error("x"), { code: "Protocol" }), new Error("Invalid payload.")).message, "Invalid payload.");
});

test("errors: the official package's classes, with its arguments", () => {
  const pairs = [
    [new HttpError("no", 503), new signalr.HttpError("no", 503)],
    [new TimeoutError(), new signalr.TimeoutError()],
    [new TimeoutError("late"), new signalr.TimeoutError("late")],
    [new AbortError(), new signalr.AbortError()],
  ];
  for (const [ours, theirs] of pairs) {
    assert.deepEqual([String(ours), ours.name, ours.statusCode], [String(theirs), theirs.name, theirs.statusCode]);
    assert.ok(ours instanceof HubwireError);
  }
  assert.ok(typed(Object.assign(new Error("x"), { code: "ServerTimeout" })) instanceof TimeoutError);
  assert.ok(typed(Object.assign(new Error("x"), { code: "Stopped" })) instanceof AbortError);
});

test("enums and constants", () => {
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

/** Values of every kind and width that both packages know. */
const VALUES = [
  null, true, false, 0, -0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 2 ** 53 - 1, 2 ** 53,
  -1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_648, -2_147_483_649, -(2 ** 53 - 1), -(2 ** 60),
  0.5, -1.25, 1e300, Number.NaN, Infinity, -Infinity,
  "", "a", "x".repeat(31), "x".repeat(32), "x".repeat(63), "x".repeat(64), "x".repeat(65), "x".repeat(255), "x".repeat(256), "x".repeat(65_536),
  "é", "你好", "👋", "é".repeat(15), "é".repeat(16), "é".repeat(31), "你".repeat(31), "👋".repeat(16), "é".repeat(130), "é".repeat(40_000),
  `${"a".repeat(63)}é`, `${"a".repeat(64)}é`, `${"a".repeat(30)}é`, `${"a".repeat(254)}é`,
  new Uint8Array(), new Uint8Array([1, 2, 3]), new Uint8Array(255), new Uint8Array(256), new Uint8Array(65_536), new Uint8Array([1, 2, 3]).subarray(1),
  new Uint16Array([1, 2]),
  [], [1, [2, [3]]], Array.from({ length: 15 }, (_, n) => n), Array.from({ length: 16 }, (_, n) => n), new Array(65_536).fill(null),
  {}, { a: 1, b: { c: [null, "d"] } }, Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`k${n}`, n])),
  Object.fromEntries(Array.from({ length: 65_536 }, (_, n) => [`k${n}`, n])), { 1: "number-like", "": "empty", ü: "umlaut", undefined: undefined },
  new Date(0), new Date(1), new Date(-1), new Date("2026-11-24T10:30:00Z"), new Date("2026-11-24T10:30:00.123Z"),
  new Date(4_294_967_295_000), new Date(4_294_967_296_000), new Date("1900-01-01T00:00:00.5Z"), new Date(8.64e15), new Date(-8.64e15),
];

test("MessagePack: bytes and values are those of the official package", () => {
  for (const options of [{}, { forceFloat32: true }, { ignoreUndefined: true }, { sortKeys: true }, { initialBufferSize: 1 }]) {
    const [ours, theirs] = [new MessagePackHubProtocol(options), new OfficialMessagePack(options)];
    for (const value of VALUES) {
      const shown = String(value).slice(0, 40);
      for (const message of [
        { type: 1, target: "Target", arguments: [value, value] },
        { type: 1, target: "Target", arguments: [value], invocationId: "1", streamIds: ["2"] },
        { type: 2, invocationId: "1", item: value },
        { type: 3, invocationId: "1", result: value },
      ]) {
        const written = theirs.writeMessage(message);
        assert.deepEqual(new Uint8Array(ours.writeMessage(message)), new Uint8Array(written), shown);
        assert.deepEqual(ours.parseMessages(written), theirs.parseMessages(written, null), shown);
      }
    }
  }
});

test("MessagePack: all kinds of messages, in one chunk", () => {
  const [ours, theirs] = [new MessagePackHubProtocol(), new OfficialMessagePack()];
  const messages = [
    { type: 1, headers: { a: "b" }, target: "m", arguments: [] },
    { type: 4, target: "m", arguments: [1], invocationId: "1", streamIds: ["2", "3"] },
    { type: 3, invocationId: "1", error: "no" },
    { type: 3, invocationId: "1" },
    { type: 5, invocationId: "1" },
    { type: 6 },
    { type: 8, sequenceId: 4_294_967_296 },
    { type: 9, sequenceId: 1 },
  ];
  const both = [ours, theirs].map((protocol) => messages.map((message) => Buffer.from(protocol.writeMessage(message))));
  assert.deepEqual(both[0], both[1]);
  const { buffer } = new Uint8Array(Buffer.concat(both[0]));
  const known = ours.parseMessages(buffer).filter(({ type }) => type !== 4 && type !== 5);
  assert.deepEqual(known, theirs.parseMessages(buffer, NullLogger.instance));
  const close = ours.parseMessages(new Uint8Array([3, 0x92, 7, 0xc0, 6, 0x93, 7, 0xa2, 0x6e, 0x6f, 0xc3]));
  assert.deepEqual(close, [{ type: 7, error: null, allowReconnect: undefined }, { type: 7, error: "no", allowReconnect: true }]);
});

test("MessagePack: what other encoders may write is read alike", () => {
  // Wider forms than needed, extensions, keys that are numbers, timestamps with nanoseconds.
  const bytes = [
    [0xcf, 0, 0, 0, 0, 0, 0, 0, 5], [0xd3, 255, 255, 255, 255, 255, 255, 255, 251], [0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
    [0xca, 0x3f, 0xc0, 0, 0], [0xdb, 0, 0, 0, 1, 0x61], [0xc6, 0, 0, 0, 1, 7], [0xdd, 0, 0, 0, 1, 1], [0xdf, 0, 0, 0, 1, 1, 2],
    [0xd4, 5, 9], [0xd8, 5, ...new Uint8Array(16)], [0xc7, 3, 5, 1, 2, 3], [0xc8, 0, 1, 5, 1], [0xc9, 0, 0, 0, 1, 5, 1],
    [0xd7, 0xff, 0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 1], [0xc7, 12, 0xff, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255],
  ];
  const plain = ({ item }) => [item?.constructor?.name, item instanceof Date ? item.getTime() : JSON.stringify(item)];
  for (const item of bytes) {
    const message = [0x94, 2, 0x80, 0xa1, 0x30, ...item];
    const { buffer } = new Uint8Array([message.length, ...message]);
    const [[ours], [theirs]] = [new MessagePackHubProtocol(), new OfficialMessagePack()].map((protocol) => protocol.parseMessages(buffer, null));
    assert.deepEqual(plain(ours), plain(theirs), String(item));
  }
});

test("MessagePack: what is broken is refused, whatever it is", () => {
  const [ours, theirs] = [new MessagePackHubProtocol(), new OfficialMessagePack()];
  const whole = new Uint8Array(ours.writeMessage({ type: 2, invocationId: "1", item: [1, "text", new Uint8Array(3), { a: 1.5 }, new Date(1)] }));
  for (let cut = 1; cut < whole.length; cut += 1) {
    assert.throws(() => ours.parseMessages(whole.slice(0, cut).buffer), String(cut));
    // The length says that it is whole.
    assert.throws(() => ours.parseMessages(new Uint8Array([cut - 1, ...whole.slice(1, cut)]).buffer), String(cut));
  }
  for (const message of [
    [], [0x90], [0x91, 0xc1], [0xc0], [0x91, 6, 6], [0x92, 2, 0x80], [0x94, 3, 0x80, 0xa1, 0x30, 3], [0xdd, 255, 255, 255, 255], [0x94, 2, 0x80, 0xa1, 0x30],
    [0x94, 2, 0x80, 0xa1, 0x30, 0x81, 0xc0, 1], [0x94, 2, 0x80, 0xa1, 0x30, 0x81, 0xa9, ...Buffer.from("__proto__"), 1], [0x94, 2, 0x80, 0xa1, 0x30, 0xd5, 0xff, 1, 2],
  ]) {
    const bytes = new Uint8Array([message.length, ...message]);
    assert.throws(() => ours.parseMessages(bytes.buffer), String(message));
    assert.throws(() => theirs.parseMessages(bytes.buffer, null), String(message));
  }
  assert.throws(() => ours.parseMessages(new Uint8Array([255, 255, 255, 255, 255, 1]).buffer), /2GB/);
  assert.throws(() => ours.parseMessages("text"), /Expected an ArrayBuffer/);
  // No array of arrays exhausts more than the stack, which is an error like any other.
  const deep = new Uint8Array(1_000_003).fill(0x91);
  deep.set([0xc0, 0x84, 0x3d]);
  assert.throws(() => ours.parseMessages(deep.buffer));
  for (const value of [() => {}, Symbol("s"), 2n ** 64n, new Date(Number.NaN)]) {
    assert.throws(() => ours.writeMessage({ type: 2, invocationId: "1", item: value }));
  }
  let nested = [];
  for (let depth = 0; depth < 200; depth += 1) nested = [nested];
  assert.throws(() => ours.writeMessage({ type: 2, invocationId: "1", item: nested }), /Too deep/);
  assert.throws(() => theirs.writeMessage({ type: 2, invocationId: "1", item: nested }), /Too deep/);
});

test("MessagePack: integers of 64 bits as BigInt, extensions, and Maps", () => {
  const exact = new MessagePackHubProtocol({ useBigInt64: true });
  const round = (protocol, item) => protocol.parseMessages(protocol.writeMessage({ type: 2, invocationId: "1", item }))[0].item;
  for (const value of [0n, 1n, 2n ** 64n - 1n, -1n, -(2n ** 63n)]) assert.equal(round(exact, value), value);
  assert.equal(round(exact, 5), 5);
  assert.equal(round(new MessagePackHubProtocol(), 2n ** 40n), 2 ** 40);
  assert.deepEqual(round(exact, new Map([["a", 1], [2, "b"]])), { a: 1, 2: "b" });
  assert.deepEqual(round(exact, new Uint8Array([1, 2]).buffer), new Uint8Array([1, 2]));
  for (const length of [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65_536]) {
    const ext = new ExtData(5, new Uint8Array(length).fill(7));
    assert.deepEqual(round(exact, ext), ext, String(length));
    const theirs = new OfficialMessagePack().writeMessage({ type: 2, invocationId: "1", item: new official.ExtData(5, ext.data) });
    assert.deepEqual(new Uint8Array(exact.writeMessage({ type: 2, invocationId: "1", item: ext })), new Uint8Array(theirs), String(length));
  }
  const extensionCodec = new official.ExtensionCodec();
  extensionCodec.register({
    type: 1,
    encode: (value) => (value instanceof Set ? official.encode([...value]) : null),
    decode: (data) => new Set(official.decode(data)),
  });
  const extended = new MessagePackHubProtocol({ extensionCodec });
  assert.deepEqual(round(extended, [new Set([1, 2]), new Date(5)]), [new Set([1, 2]), new Date(5)]);
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
    name: "messagepack",
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
    { type: 1, target: "m", arguments: {} },
    { type: 1, target: "m", arguments: [], invocationId: "" },
    { type: 2, invocationId: "1" },
    { type: 2, item: 1 },
    { type: 3 },
    { type: 3, invocationId: "1", error: "no", result: 1 },
    { type: 3, invocationId: "1", error: 1 },
    { type: 7, error: {} },
    { type: 8 },
    { type: 1, target: "m", arguments: [], headers: "x" },
    { type: 5 },
  ];
  for (const message of wrong) {
    const wire = new Wire(new JsonHubProtocol(), logger);
    const refused = /Invalid (payload|SequenceId|headers)( for [A-Z]\w+ message)?\.$/;
    assert.throws(() => wire.reader().read(`${JSON.stringify(message)}\x1e`), refused, JSON.stringify(message));
    assert.match(wire.failure.message, refused);
  }
  assert.deepEqual(new Wire(new JsonHubProtocol(), logger).reader().read('{"type":99}\x1e'), []);
});

/** What a stream asks of its connection. */
function source() {
  const asked = { cancelled: 0, held: 0, hungry: 0 };
  return Object.assign(asked, {
    cancel: () => (asked.cancelled += 1),
    hold: (items, hungry) => Object.assign(asked, { held: asked.held + items, hungry: asked.hungry + hungry }),
    release: (items) => (asked.held -= items),
  });
}

test("streams: no more than 32768 items wait; then the stream is cancelled, and fails", async () => {
  const asked = source();
  const stream = new HubStream(logger, asked);
  for (let n = 0; n < 32_769; n += 1) stream.item(n);
  assert.equal(asked.cancelled, 1);
  const failed = async () => {
    for await (const item of stream) assert.fail(`got ${item}`);
  };
  await assert.rejects(failed(), { code: "SlowConsumer" });
  // In a loop as well.
  const looped = new HubStream(logger, asked);
  const loop = looped[Symbol.asyncIterator]();
  for (let n = 0; n < 32_769; n += 1) looped.item(n);
  assert.deepEqual([asked.cancelled, asked.held], [2, 0]);
  await assert.rejects(loop.next(), { code: "SlowConsumer" });
});

test("streams: no more than 64 MiB wait, though one item may be longer, and long ones count for several", async () => {
  const MIB = 1024 * 1024;
  for (const loops of [false, true]) {
    const asked = source();
    const stream = new HubStream(logger, asked);
    const loop = loops ? stream[Symbol.asyncIterator]() : undefined;
    stream.item("long", 65 * MIB);
    assert.deepEqual([asked.cancelled, asked.held], [0, loops ? 65 * 512 : 0]);
    if (loops) assert.deepEqual(await loop.next(), { done: false, value: "long" });
    else for await (const item of stream) if (item === "long") break;
    assert.equal(asked.held, 0);
  }
  const asked = source();
  const stream = new HubStream(logger, asked);
  for (let n = 0; n < 64; n += 1) stream.item(n, MIB);
  assert.equal(asked.cancelled, 0);
  const loop = stream[Symbol.asyncIterator]();
  assert.equal(asked.held, 64 * 512);
  stream.item("too much", 1);
  assert.deepEqual([asked.cancelled, asked.held], [1, 0]);
  await assert.rejects(loop.next(), { code: "SlowConsumer" });
});

test("streams: a loop gets what came before, one by one, and leaving ends it", async () => {
  const asked = source();
  const stream = new HubStream(logger, asked);
  stream.item(1);
  const loop = stream[Symbol.asyncIterator]();
  stream.item(2);
  assert.equal(asked.held, 2);
  assert.deepEqual(await loop.next(), { done: false, value: 1 });
  assert.deepEqual(await loop.next(), { done: false, value: 2 });
  assert.equal(asked.held, 0);
  const third = loop.next();
  const fourth = loop.next();
  assert.equal(asked.hungry, 2);
  stream.item(3);
  assert.equal(asked.hungry, 1);
  assert.deepEqual(await third, { done: false, value: 3 });
  assert.deepEqual(await loop.return("left"), { done: true, value: "left" });
  assert.deepEqual(await fourth, { done: true, value: undefined });
  assert.deepEqual(await loop.next(), { done: true, value: undefined });
  assert.deepEqual([asked.cancelled, asked.held, asked.hungry], [1, 0, 0]);
});

test("streams: an error ends a loop, once", async () => {
  const asked = source();
  const stream = new HubStream(logger, asked);
  const loop = stream[Symbol.asyncIterator]();
  stream.item(1);
  stream.end(new Error("torn"));
  assert.deepEqual(await loop.next(), { done: false, value: 1 });
  await assert.rejects(loop.next(), /torn/);
  assert.deepEqual(await loop.next(), { done: true, value: undefined });
  assert.equal(asked.hungry, 0);
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
    ["src/js/", /(?:js_error|begin)\("(\w+)"|ConnectionError::.*=> "(\w+)"/g],
    ["pkg-template/src/", /\bcode: "(\w+)"|errorOf\(\["(\w+)"/g],
  ]) {
    for (const file of await readdir(new URL(folder, root))) {
      const text = await readFile(new URL(folder + file, root), "utf8");
      for (const match of text.matchAll(pattern)) {
        const code = match[1] ?? match[2];
        // That is the official client's name for a type of inner errors.
        if (!code.endsWith("TransportError")) used.add(code);
      }
    }
  }
  assert.deepEqual(named, [...used].sort());
});

await run();
