// What is between a connection and its hub protocol: frames that end anywhere, protocols of one's own, values of other
// realms, objects behind a Proxy, and a realm that has no TextEncoder. Argument: the package's folder.
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";
import { build } from "esbuild";
import { JsonHubProtocol as OfficialJson } from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";
import { run, test } from "../harness.mjs";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));
const { ExtData, JsonHubProtocol, MessagePackHubProtocol, TransferFormat } = await load("src/index.js");
const { Wire } = await load("src/wire.js");

const logger = { log() {} };
const LIMIT = 32 * 1024 * 1024;
const utf8 = (text) => new TextEncoder().encode(text);
const item = (value) => ({ type: 2, headers: {}, invocationId: "1", item: value });
const round = (protocol, value) => protocol.parseMessages(protocol.writeMessage(item(value)))[0].item;

/** What a reader makes of frames. */
const readAll = (reader, frames) => [...frames].flatMap((frame) => reader.read(frame));

/** Frames of a size; the last has what is left. */
function* pieces(whole, size) {
  for (let at = 0; at < whole.length; at += size) yield whole.slice(at, at + size);
}

/** Both transfer formats, and JSON in binary frames: a reader, and messages as they come. */
const FORMATS = {
  "text": { Protocol: JsonHubProtocol, write: (messages) => messages.map((message) => `${JSON.stringify(message)}\x1e`).join("") },
  "text in binary frames": { Protocol: JsonHubProtocol, write: (messages) => utf8(messages.map((message) => `${JSON.stringify(message)}\x1e`).join("")) },
  "binary": {
    Protocol: MessagePackHubProtocol,
    write: (messages) => new Uint8Array(Buffer.concat(messages.map((message) => Buffer.from(new OfficialMessagePack().writeMessage(message))))),
  },
};
const readerOf = (format) => new Wire(new FORMATS[format].Protocol(), logger).reader();

const SOME = [item("Grüße, 你好 👋"), { type: 6 }, item("x".repeat(200)), item(null), { type: 3, headers: {}, invocationId: "1", error: undefined, result: "é" }];
const sameAs = (messages) => JSON.parse(JSON.stringify(messages));

test("frames may end anywhere, and have any number of messages", () => {
  for (const [name, { write }] of Object.entries(FORMATS)) {
    const whole = write(SOME);
    for (let size = 1; size <= whole.length; size += 1) {
      assert.deepEqual(sameAs(readAll(readerOf(name), pieces(whole, size))), sameAs(SOME), `${name}, ${size} at a time`);
    }
    for (let cut = 0; cut <= whole.length; cut += 1) {
      assert.deepEqual(sameAs(readAll(readerOf(name), [whole.slice(0, cut), whole.slice(cut)])), sameAs(SOME), `${name}, cut at ${cut}`);
    }
    const many = Array.from({ length: 5000 }, (_, n) => item(n));
    assert.equal(readAll(readerOf(name), [write(many)]).length, 5000);
    assert.equal(readAll(readerOf(name), pieces(write(many), 777)).length, 5000);
    // An empty frame is a sign of life.
    assert.deepEqual(readAll(readerOf(name), ["", whole.slice(0, 9), "", new ArrayBuffer(), whole.slice(9)]).length, SOME.length);
  }
});

test("a text may go on in a binary frame, and the other way round", () => {
  const whole = `${JSON.stringify(item("Grüße 👋"))}\x1e{"type":6}\x1e`;
  for (let a = 1; a < whole.length; a += 1) {
    for (let b = a; b < whole.length; b += 3) {
      // Not between the halves of a character: no text can end there.
      if ([a, b].some((cut) => /[\udc00-\udfff]/.test(whole[cut]))) continue;
      const parts = [whole.slice(0, a), whole.slice(a, b), whole.slice(b)];
      for (const binary of [0, 1, 2]) {
        const frames = parts.map((part, n) => (n === binary ? utf8(part) : part));
        assert.equal(readAll(new Wire(new JsonHubProtocol(), logger).reader(), frames).length, 2, `${a}, ${b}, ${binary}`);
      }
    }
  }
});

test("frames come as any kind of buffer", () => {
  for (const name of ["text in binary frames", "binary"]) {
    const bytes = FORMATS[name].write(SOME);
    const pool = new Uint8Array(bytes.length + 20);
    pool.set(bytes, 10);
    for (const frame of [
      bytes, bytes.buffer, Buffer.from(bytes), pool.subarray(10, 10 + bytes.length), new DataView(pool.buffer, 10, bytes.length),
      vm.runInNewContext("new Uint8Array(bytes)", { bytes }), vm.runInNewContext("new Uint8Array(bytes).buffer", { bytes }),
    ]) {
      assert.deepEqual(sameAs(readerOf(name).read(frame)), sameAs(SOME));
    }
  }
});

/** How many characters and bytes are looked at and copied while something runs, by what the language has for that. */
function work(body) {
  let sum = 0;
  const size = (value) => (Array.isArray(value) ? value.reduce((total, { length }) => total + length, 0) : value.length);
  const patched = [
    [Uint8Array.prototype, "set", (_, source) => source],
    [Uint8Array.prototype, "slice"], [Uint8Array.prototype, "indexOf"], [Uint8Array.prototype, "lastIndexOf"],
    [String.prototype, "indexOf"], [String.prototype, "lastIndexOf"], [String.prototype, "includes"], [String.prototype, "split"],
    [Array.prototype, "join"], [TextDecoder.prototype, "decode", (_, source) => source],
  ].map(([prototype, name, looked = (value) => value]) => {
    const original = prototype[name];
    prototype[name] = function (...given) {
      sum += size(looked(this, ...given));
      return original.apply(this, given);
    };
    return () => (prototype[name] = original);
  });
  try {
    body();
  } finally {
    for (const restore of patched) restore();
  }
  return sum;
}

test("a message in many pieces takes no more work than in few", () => {
  for (const [name, { write }] of Object.entries(FORMATS)) {
    for (const [length, size] of [[1 << 22, 1024], [1 << 18, 1], [1 << 18, 70_000]]) {
      const whole = write([item("x".repeat(length))]);
      const frames = [...pieces(whole, size)];
      const reader = readerOf(name);
      const messages = [];
      const looked = work(() => {
        for (const frame of frames) messages.push(...reader.read(frame));
      });
      assert.equal(messages[0].item.length, length);
      assert.ok(looked > whole.length && looked < whole.length * 9, `${name}, ${size} at a time: ${looked} for ${whole.length}`);
    }
  }
});

test("what waits is bounded, whatever it is", () => {
  const mebibyte = "x".repeat(1 << 20);
  const endless = {
    "text": [`{"type":6,"x":"`, mebibyte],
    "text in binary frames": [utf8(`{"type":6,"x":"`), utf8(mebibyte)],
  };
  for (const [name, [first, more]] of Object.entries(endless)) {
    const wire = new Wire(new JsonHubProtocol(), logger);
    const reader = wire.reader();
    reader.read(first);
    for (let n = 0; n < 31; n += 1) assert.deepEqual(reader.read(more), []);
    assert.throws(() => reader.read(more), /more than 33554432 bytes/, name);
    assert.match(wire.failure.message, /more than/);
  }
  // The length comes first: nothing of it has to be kept. Also when it is not whole.
  for (const prefix of [[0x81, 0x80, 0x80, 0x10], [0xff, 0xff, 0xff, 0x7f], [0xff, 0xff, 0xff, 0xff, 0x07], [0xff, 0xff, 0xff, 0xff, 0xff]]) {
    assert.throws(() => readAll(readerOf("binary"), pieces(new Uint8Array(prefix), 1)), /more than|bigger than/);
  }
  assert.deepEqual(readerOf("binary").read(new Uint8Array([0x80, 0x80, 0x80, 0x10])), []);
  // In one frame no more than in several.
  const long = `{"type":6,"x":"${"x".repeat(LIMIT)}"}\x1e`;
  for (const frames of [[long], [`{"type":6}\x1e${long}`], [utf8(long)], pieces(long, LIMIT - 5)]) {
    assert.throws(() => readAll(readerOf("text"), frames), /more than/);
  }
  const allowed = `{"type":6,"x":"${"x".repeat(LIMIT - 18)}"}\x1e`;
  assert.equal(readAll(readerOf("text"), [allowed + allowed]).length, 2);
});

test("what is not of the protocol is refused at once", () => {
  assert.throws(() => readerOf("binary").read("text"), /text frame/);
  assert.throws(() => readerOf("text").read(new Uint8Array([0x91, 6])), /binary frame/);
  // Half a character at the end of a message, and bytes that are no UTF-8.
  assert.throws(() => readerOf("text").read(new Uint8Array([0x22, 0x7b, 0xc3, 0x1e])));
  assert.throws(() => readerOf("text").read(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d, 0x1e])));
});

test("a hub protocol of one's own gets frames as they come, and writes what it likes", () => {
  const given = [];
  const own = (transferFormat, write) => ({
    name: "own",
    version: 1,
    transferFormat,
    parseMessages(input, log) {
      assert.equal(log, logger);
      given.push(input);
      return [{ type: 6 }];
    },
    writeMessage: write,
  });
  const foreign = vm.runInNewContext("new Uint8Array([1, 2, 3])");
  const pool = new Uint8Array([0, 1, 2, 3, 0]);
  for (const written of [new Uint8Array([1, 2, 3]), new Uint8Array([1, 2, 3]).buffer, foreign, foreign.buffer, Buffer.from([1, 2, 3]), pool.subarray(1, 4), new DataView(pool.buffer, 1, 3)]) {
    const wire = new Wire(own(TransferFormat.Binary, () => written), logger);
    assert.deepEqual(wire.write({ type: 6 }), new Uint8Array([1, 2, 3]));
    assert.deepEqual(wire.join([wire.write({ type: 6 }), wire.write({ type: 6 })]), new Uint8Array([1, 2, 3, 1, 2, 3]));
    assert.deepEqual(new Wire(own(TransferFormat.Text, () => utf8("é")), logger).write({ type: 6 }), "é");
  }
  assert.equal(new Wire(own(TransferFormat.Text, () => "text"), logger).write({ type: 6 }), "text");
  for (const written of [undefined, null, 5, {}, "", "text"]) {
    assert.throws(() => new Wire(own(TransferFormat.Binary, () => written), logger).write({ type: 6 }), /transfer format/);
  }
  const binary = new Wire(own(TransferFormat.Binary), logger).reader();
  for (const frame of [pool.subarray(1, 4), new Uint8Array([1, 2, 3]).buffer, Buffer.from([1, 2, 3])]) {
    assert.deepEqual(binary.read(frame), [{ type: 6 }]);
    const input = given.pop();
    assert.ok(input instanceof ArrayBuffer);
    assert.deepEqual(new Uint8Array(input), new Uint8Array([1, 2, 3]));
  }
  const text = new Wire(own(TransferFormat.Text), logger).reader();
  assert.deepEqual(readAll(text, ["no separator", "", "\x1e\x1e"]), [{ type: 6 }, { type: 6 }]);
  assert.deepEqual(given, ["no separator", "\x1e\x1e"]);
  // What it reads is looked at all the same.
  const wrong = { ...own(TransferFormat.Text), parseMessages: () => [{ type: 1 }] };
  assert.throws(() => new Wire(wrong, logger).reader().read("x"), { message: "Invalid payload for Invocation message." });
  // The official ones split and join as ours.
  for (const [protocol, name] of [[new OfficialJson(), "text"], [new OfficialMessagePack(), "binary"]]) {
    const frames = pieces(FORMATS[name].write(SOME), 5);
    assert.deepEqual(sameAs(readAll(new Wire(protocol, logger).reader(), frames)), sameAs(SOME));
  }
});

/** Values whose classes are those of another realm. */
const FOREIGN = `({
  array: [1, [2]], object: { a: { b: 1 } }, map: new Map([["a", 1], [2, new Map()]]), date: new Date(1234567890123), bytes: new Uint8Array([1, 2, 3]),
  words: new Uint16Array([1, 2]), view: new DataView(new ArrayBuffer(4), 1, 2), buffer: new Uint8Array([1, 2, 3]).buffer, text: new String("ab"),
  nothing: Object.create(null), error: new TypeError("no"), expression: /x/, set: new Set([1]), number: new Number(1),
})`;

test("MessagePack: values of another realm are written as those of this one", () => {
  const protocol = new MessagePackHubProtocol();
  const bytes = (value) => new Uint8Array(protocol.writeMessage(item(value)));
  const [here, there] = [vm.runInThisContext(FOREIGN), vm.runInNewContext(FOREIGN)];
  for (const [name, value] of Object.entries(there)) assert.deepEqual(bytes(value), bytes(here[name]), name);
  assert.deepEqual(round(protocol, there.map), { a: 1, 2: {} });
  assert.deepEqual(round(protocol, there.date), new Date(1234567890123));
  assert.deepEqual(round(protocol, there.buffer), new Uint8Array([1, 2, 3]));
  const input = vm.runInNewContext("new Uint8Array(bytes).buffer", { bytes: bytes(there.array) });
  assert.deepEqual(protocol.parseMessages(input)[0].item, [1, [2]]);
});

/** As Vue's `reactive`: what is read of an object, an array, a Map or a Set is a Proxy again. */
function reactive(target) {
  const kind = Object.prototype.toString.call(target).slice(8, -1);
  if (target === null || typeof target !== "object" || !Object.isExtensible(target)) return target;
  if (!["Object", "Array", "Map", "Set"].includes(kind)) return target;
  return new Proxy(target, {
    get(object, key, receiver) {
      const isCollection = kind === "Map" || kind === "Set";
      const value = Reflect.get(object, key, isCollection ? object : receiver);
      if (isCollection && typeof value === "function") return (...args) => reactive(value.apply(object, args));
      return reactive(value);
    },
  });
}

test("values behind a Proxy, as of Vue, are written as what they stand for", () => {
  const value = { list: [1, { a: [] }], map: new Map([["k", { v: 1 }]]), date: new Date(5), bytes: new Uint8Array([1]), extension: new ExtData(5, new Uint8Array([7])) };
  for (const options of [{}, { sortKeys: true, ignoreUndefined: true }]) {
    const protocol = new MessagePackHubProtocol(options);
    const [plain, wrapped] = [value, reactive(value)].map((message) => new Uint8Array(protocol.writeMessage(item(message))));
    assert.deepEqual(wrapped, plain);
    assert.deepEqual(new Uint8Array(protocol.writeMessage(reactive(item(value)))), plain);
  }
  assert.equal(new JsonHubProtocol().writeMessage(reactive(item(value))), new JsonHubProtocol().writeMessage(item(value)));
});

test("protocols, their options and the wire work behind a Proxy", () => {
  for (const wrap of [(object) => new Proxy(object, {}), reactive]) {
    const options = { extensionCodec: { tryToEncode: () => null, decode: (data, type) => type }, maxArrayLength: 9 };
    for (const protocol of [wrap(new JsonHubProtocol()), wrap(new MessagePackHubProtocol()), wrap(new MessagePackHubProtocol(wrap(options)))]) {
      assert.deepEqual(round(protocol, ["a", { b: 1 }]), ["a", { b: 1 }]);
      const wire = wrap(new Wire(protocol, logger));
      const written = wire.write(item("é"));
      assert.equal(wire.reader().read(written)[0].item, "é");
      assert.ok(wire.join([written, written]).length === written.length * 2);
      assert.ok(wire.writeOwn(6).length > 0);
      assert.ok(wire.messageLength > 0);
    }
    const extension = wrap(new ExtData(5, new Uint8Array([1])));
    assert.equal(round(wrap(new MessagePackHubProtocol(options)), extension), 5);
    // What a worker is told can be cloned.
    assert.deepEqual(structuredClone(wrap(new MessagePackHubProtocol(wrap({ maxDepth: 5, sortKeys: true }))).forWorker), { maxDepth: 5, sortKeys: true });
  }
});

test("importing touches nothing, and without TextEncoder and TextDecoder everything works", async () => {
  const entry = `export { Wire } from "./wire.js"; export { JsonHubProtocol } from "./json.js";
    export { MessagePackHubProtocol } from "./messagepack.js"; export { ExtData } from "./encoder.js";`;
  const bundle = await build({
    stdin: { contents: entry, resolveDir: fileURLToPath(new URL("src", folder)) }, bundle: true, write: false, format: "iife", globalName: "codec",
  });
  const context = vm.createContext(Object.create(null));
  // A context has nothing but the language. While the modules load, even its buffers fail.
  vm.runInContext("globalThis.kept = { Uint8Array, ArrayBuffer, DataView }; for (const name in kept) globalThis[name] = undefined;", context);
  vm.runInContext(bundle.outputFiles[0].text, context);
  vm.runInContext("Object.assign(globalThis, kept)", context);
  assert.equal(vm.runInContext("typeof TextEncoder + typeof TextDecoder", context), "undefinedundefined");
  const { codec } = context;
  const [ours, theirs] = [new codec.MessagePackHubProtocol(), new OfficialMessagePack()];
  for (const value of ["", "a", "Grüße, 你好 👋", "é".repeat(200), "👋你é\u07ff\u0800\uffff".repeat(3000), { "né": ["x".repeat(70_000)] }, new Date(5), new Uint8Array([1, 2])]) {
    const bytes = theirs.writeMessage(item(value));
    assert.deepEqual(Buffer.from(ours.writeMessage(item(value))), Buffer.from(bytes));
    assert.deepEqual(sameAs(ours.parseMessages(bytes)[0].item), sameAs(value));
    // JSON in binary frames.
    if (typeof value === "string") {
      const reader = new codec.Wire(new codec.JsonHubProtocol(), logger).reader();
      assert.equal(readAll(reader, pieces(utf8(`${JSON.stringify(item(value))}\x1e`), 1001))[0].item, value);
    }
  }
  const reader = new codec.Wire(new codec.JsonHubProtocol(), logger).reader();
  assert.throws(() => reader.read(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d, 0x1e])));
});

await run();
