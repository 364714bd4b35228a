// The hub protocols beside the official ones: every value, every option, what is malformed. Argument: the package's folder.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { JsonHubProtocol as OfficialJson } from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";
import { run, test } from "../harness.mjs";

// The copy that the official package itself uses.
const msgpack = createRequire(import.meta.resolve("@microsoft/signalr-protocol-msgpack"))("@msgpack/msgpack");

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));
const { ExtData, JsonHubProtocol, LogLevel, MessagePackHubProtocol } = await load("src/index.js");

/** Numbers that look random and are the same in every run. */
function random(seed) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return { next, below, of: (values) => values[below(values.length)] };
}

const LENGTHS = [0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 199, 200, 201, 202, 255, 256, 257, 700];
const CHARACTERS = ["a", "~", "\0", "\x1e", "é", "\u07ff", "\u0800", "你", "\ufffd", "👋", "\u{10ffff}"];

/** Any value that both packages can write and read. */
function anything(dice, depth = 0) {
  const kinds = [
    () => dice.of([null, true, false, undefined, NaN, -0, Infinity, -Infinity, 2 ** 53, -(2 ** 63), 2 ** 64, 5e-324]),
    () => Math.round((dice.next() - 0.5) * 2 ** dice.below(56)),
    () => 2 ** dice.below(54) - dice.below(2),
    () => -(2 ** dice.below(54)) - dice.below(2),
    () => (dice.next() - 0.5) * 10 ** dice.below(300),
    () => dice.of(CHARACTERS).repeat(dice.of(LENGTHS)),
    () => Array.from({ length: dice.of(LENGTHS) }, () => dice.of(CHARACTERS)).join(""),
    () => new Uint8Array(dice.of(LENGTHS)).fill(dice.below(256)),
    () => new Float64Array([dice.next(), 1]).subarray(dice.below(2)),
    () => new DataView(new ArrayBuffer(9), dice.below(5)),
    () => new Date(Math.round((dice.next() - 0.3) * 2 ** dice.of([20, 33, 42, 45, 53]))),
    () => new msgpack.ExtData(dice.below(128), new Uint8Array(dice.of(LENGTHS)).fill(9)),
  ];
  if (depth < 5) {
    const inner = () => anything(dice, depth + 1);
    kinds.push(
      () => Array.from({ length: dice.of([0, 1, 3, 15, 16]) }, inner),
      () => Object.fromEntries(Array.from({ length: dice.of([0, 1, 3, 15, 16]) }, () => [`${dice.of(CHARACTERS)}${dice.below(99)}`, inner()])),
    );
  }
  return dice.of(kinds)();
}

/** Without classes that are not the same in both packages. */
function plain(value) {
  if (value instanceof ExtData || value instanceof msgpack.ExtData) return { ext: value.type, data: Buffer.from(value.data).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  // No invalid date equals another.
  if (value instanceof Date) return `${value.getTime()} ms`;
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** What comes of it: a value, or the text of an error, and what was logged. */
function outcome(body) {
  const lines = [];
  const logger = { log: (level, line) => lines.push(`${LogLevel[level]}: ${line}`) };
  try {
    return { value: plain(body(logger)), lines };
  } catch (error) {
    return { error: error.message, lines };
  }
}

const frame = (...bytes) => new Uint8Array([bytes.length, ...bytes]).buffer;
const item = (value) => ({ type: 2, headers: {}, invocationId: "1", item: value });

test("MessagePack: random values have the same bytes, and are read alike by either", () => {
  const dice = random(20);
  const codec = new msgpack.ExtensionCodec();
  for (const options of [
    {}, { sortKeys: true }, { ignoreUndefined: true }, { forceFloat32: true }, { initialBufferSize: 1 }, { maxDepth: 100 },
    { sortKeys: true, ignoreUndefined: true, initialBufferSize: 70_000 }, { extensionCodec: codec, context: 5 },
  ]) {
    const [ours, theirs] = [new MessagePackHubProtocol(options), new OfficialMessagePack(options)];
    for (let n = 0; n < 300; n += 1) {
      const message = { type: 1, target: "m", arguments: [anything(dice), anything(dice)] };
      const written = theirs.writeMessage(message);
      assert.deepEqual(new Uint8Array(ours.writeMessage(message)), new Uint8Array(written), `${n}`);
      assert.deepEqual(plain(ours.parseMessages(written)), plain(theirs.parseMessages(written, null)), `${n}`);
    }
  }
});

test("JSON: random values have the same text, and are read alike by either", () => {
  const dice = random(21);
  const [ours, theirs] = [new JsonHubProtocol(), new OfficialJson()];
  for (let n = 0; n < 500; n += 1) {
    const message = { type: 1, target: "m", arguments: [anything(dice), anything(dice)], invocationId: "1" };
    const written = theirs.writeMessage(message);
    assert.equal(ours.writeMessage(message), written);
    assert.deepEqual(ours.parseMessages(written), theirs.parseMessages(written, null));
  }
  for (const value of [1n, { toJSON: () => { throw new Error("not me"); } }]) {
    const write = (protocol) => outcome(() => protocol.writeMessage(item(value)));
    assert.ok(write(ours).error);
    assert.deepEqual(write(ours), write(theirs));
  }
});

test("MessagePack: half a pair of surrogates is written as what it cannot be, in valid UTF-8", () => {
  const protocol = new MessagePackHubProtocol();
  for (const half of ["\ud800", "\udc00", "a\udbff", "\udfff\ud800x", "\ud800".repeat(300)]) {
    const bytes = protocol.writeMessage(item(half));
    for (const reader of [protocol, new OfficialMessagePack()]) {
      assert.equal(reader.parseMessages(bytes, null)[0].item, half.replace(/[\ud800-\udfff]/g, "\ufffd"));
    }
    // Some write the halves; those are read as the official package does.
    const theirs = new OfficialMessagePack().writeMessage(item(half));
    assert.deepEqual(protocol.parseMessages(theirs), new OfficialMessagePack().parseMessages(theirs, null));
  }
  // A mark of the byte order is part of the text, however long.
  for (const text of ["\ufeffa", `\ufeff${"a".repeat(500)}`]) {
    assert.equal(protocol.parseMessages(protocol.writeMessage(item(text)))[0].item, text);
  }
});

test("MessagePack: limits of lengths, with the official texts", () => {
  // There the official package misnames its option.
  const named = (result) => (result.error ? { ...result, error: result.error.replace("maxMapLengthLength", "maxMapLength") } : result);
  const options = {
    maxStrLength: ["", "é", "éé", "x".repeat(32), "x".repeat(300), "x".repeat(66_000), { abc: 1 }, { abcdef: 1 }],
    maxBinLength: [new Uint8Array(3), new Uint8Array(4), new Uint8Array(300), new Uint8Array(66_000), new msgpack.ExtData(1, new Uint8Array(4)), new Date(0), new Date(1)],
    maxArrayLength: [[], [1, 2], [1, 2, 3], new Array(9).fill(0), new Array(300).fill(0), new Array(66_000).fill(0)],
    maxMapLength: [{}, { a: 1 }, { a: { b: 1, c: 2, d: 3, e: 4 } }, Object.fromEntries(Array.from({ length: 300 }, (_, n) => [n, n]))],
    maxExtLength: [1, 2, 4, 8, 16, 17, 300, 66_000].map((length) => new msgpack.ExtData(1, new Uint8Array(length))),
  };
  let refused = 0;
  for (const [option, values] of Object.entries(options)) {
    for (const most of [0, 3, 5, 299, 65_999, 70_000]) {
      const [ours, theirs] = [MessagePackHubProtocol, OfficialMessagePack].map((Protocol) => new Protocol({ [option]: most }));
      for (const value of values) {
        const bytes = theirs.writeMessage(item(value));
        const result = outcome(() => ours.parseMessages(bytes));
        assert.deepEqual(result, named(outcome(() => theirs.parseMessages(bytes, null))), `${option} ${most}`);
        if (result.error) refused += 1;
      }
    }
  }
  assert.ok(refused > 50, String(refused));
  // A key that was read before is measured all the same.
  const known = new MessagePackHubProtocol().writeMessage(item({ abcdefgh: 1 }));
  new MessagePackHubProtocol().parseMessages(known);
  assert.throws(() => new MessagePackHubProtocol({ maxStrLength: 7 }).parseMessages(known), /Max length exceeded: UTF-8 byte length \(8\) > maxStrLength \(7\)/);
});

test("MessagePack: depth is counted as the official package does", () => {
  let value = 1;
  for (let depth = 0; depth < 8; depth += 1) {
    for (const [maxDepth, wrap] of [2, 3, 4, 5, 6, 7, 8, 9].flatMap((most) => [[most, value], [most, { a: value }]])) {
      const write = (Protocol) => outcome(() => [...new Uint8Array(new Protocol({ maxDepth }).writeMessage(item(wrap)))]);
      assert.deepEqual(write(MessagePackHubProtocol), write(OfficialMessagePack), `${depth} of ${maxDepth}`);
    }
    value = depth % 2 === 0 ? [value] : { b: value };
  }
});

test("MessagePack: integers as floats, and an envelope that servers still read", () => {
  for (const options of [{ forceIntegerToFloat: true }, { forceIntegerToFloat: true, forceFloat32: true }]) {
    const [ours, theirs] = [new MessagePackHubProtocol(options), new OfficialMessagePack(options)];
    for (const message of [item(1), item([-1, { a: 300 }]), { type: 3, invocationId: "1", result: 5 }, { type: 1, target: "m", arguments: [1, 2] }, { type: 8, sequenceId: 7 }]) {
      const bytes = new Uint8Array(ours.writeMessage(message));
      // The type stands after the length and the beginning of the array.
      assert.equal(bytes[2], message.type);
      const official = theirs.writeMessage(message);
      const read = (input) => theirs.parseMessages(input, null);
      assert.deepEqual(read(bytes.buffer), read(official));
      const values = [...bytes].filter((byte) => byte === (options.forceFloat32 ? 0xca : 0xcb));
      assert.equal(values.length, message.item === 1 || message.result ? 1 : message.type === 8 ? 0 : 2);
    }
  }
});

test("MessagePack: an extension codec is asked about all that is not primitive, with its context", () => {
  const asked = [];
  const context = { of: "mine" };
  const extensionCodec = {
    tryToEncode(value, given) {
      assert.equal(given, context);
      asked.push(typeof value);
      if (typeof value === "object") return null;
      return { type: 7, data: [...Buffer.from(String(value))] };
    },
    decode(data, type, given) {
      assert.equal(given, context);
      return type === -1 ? new Date(5) : `${type} ${Buffer.from(data)}`;
    },
  };
  const protocols = [MessagePackHubProtocol, OfficialMessagePack].map((Protocol) => new Protocol({ extensionCodec, context }));
  const message = item([1n, Symbol("s"), [String, { a: 2n ** 70n }]]);
  const [ours, theirs] = protocols.map((protocol) => protocol.writeMessage(message));
  assert.deepEqual(new Set(asked), new Set(["object", "bigint", "symbol", "function"]));
  assert.deepEqual(new Uint8Array(ours), new Uint8Array(theirs));
  assert.deepEqual(protocols[0].parseMessages(theirs), protocols[1].parseMessages(theirs, null));
  // And without one: the same words.
  for (const value of [() => {}, Symbol("s"), class {}]) {
    const write = (Protocol) => outcome(() => new Protocol().writeMessage(item(value)));
    assert.deepEqual(write(MessagePackHubProtocol), write(OfficialMessagePack));
  }
});

test("MessagePack: messages that make no sense are judged and worded as by the official package", () => {
  const [ours, theirs] = [new MessagePackHubProtocol(), new OfficialMessagePack()];
  const headers = [{}, null, { a: "b" }, [], "text", 5, true];
  const rest = [["1", "m", []], [null, "m", null], ["", 5, "x"], ["1", 1, "no"], ["1", 2], ["1", 3, 4], ["1", 3], ["1", 2, 9], ["1", 9, 9], [undefined, undefined, undefined, 1, 2]];
  const messages = [null, undefined, 5, "text", "", {}, [], [[]], [[1, {}], {}], ["1", {}], [null], [0, "x"], [1.5], [10], [255, {}, 1], [-1]];
  for (const type of [1, 2, 3, 6, 7, 8, 9, 10, 99, 0, "2", true]) {
    messages.push([type]);
    for (const map of headers) {
      messages.push([type, map]);
      for (const elements of rest) for (let count = 1; count <= elements.length; count += 1) messages.push([type, map, ...elements.slice(0, count)]);
    }
  }
  let refused = 0;
  for (const message of messages) {
    const bytes = frame(...msgpack.encode(message));
    const result = outcome((logger) => ours.parseMessages(bytes, logger));
    const expected = outcome((logger) => theirs.parseMessages(bytes, logger));
    // What is not an array is a TypeError there, for some values.
    if (message == null) expected.error = "Invalid payload.";
    if (result.error) refused += 1;
    assert.deepEqual(result, expected, JSON.stringify(message));
  }
  assert.ok(refused > 300 && refused < messages.length - 300, `${refused} of ${messages.length}`);
  // These go to the server; a client that gets one can tell what it is.
  assert.deepEqual(ours.parseMessages(frame(...msgpack.encode([5, {}, "1"]))), [{ type: 5, headers: {}, invocationId: "1" }]);
  assert.throws(() => ours.parseMessages(frame(...msgpack.encode([4, {}, "1", "m"]))), { message: "Invalid payload for StreamInvocation message." });
  assert.throws(() => ours.parseMessages(frame(...msgpack.encode([5, "x", "1"]))), { message: "Invalid headers." });
});

test("MessagePack: bytes that make no sense are judged and worded as by the official package", () => {
  const [ours, theirs] = [new MessagePackHubProtocol(), new OfficialMessagePack()];
  const dice = random(22);
  const inputs = [
    [], [0], [0, 0], [1], [2, 0x91], [0x80], [0x81, 0x80], [0x80, 0x80, 0x80, 0x80], [0x80, 0x80, 0x80, 0x80, 0x80], [255, 255, 255, 255, 7], [255, 255, 255, 255, 8],
    [255, 255, 255, 255, 15], [255, 255, 255, 255, 127], [255, 255, 255, 255, 128, 1], [255, 255, 255, 255, 255, 1], [0x82, 0, 0x91, 6], [0x82, 0x80, 0, 0x91, 6],
    [2, 0x91, 6, 2], [3, 0x91, 6, 6], [4, 0x91, 6, 6, 6], [2, 0x91, 0xc1],
  ];
  for (const input of inputs) {
    const { buffer } = new Uint8Array(input);
    assert.deepEqual(outcome((logger) => ours.parseMessages(buffer, logger)), outcome((logger) => theirs.parseMessages(buffer, logger)), String(input));
  }
  // Whole messages with a byte that is another. What is too long for its message may be noticed sooner than there.
  for (let n = 0; n < 3000; n += 1) {
    const bytes = new Uint8Array(theirs.writeMessage(item([anything(dice, 4), "text", { key: 1 }])));
    bytes[1 + dice.below(Math.min(40, bytes.length - 1))] = dice.below(256);
    const [a, b] = [outcome((logger) => ours.parseMessages(bytes.buffer, logger)), outcome((logger) => theirs.parseMessages(bytes.buffer, logger))];
    // The official client does not know what goes to servers.
    if (/type '[45]'/.test(b.lines)) continue;
    const isMissing = /Insufficient data|outside the bounds|Invalid (typed )?array length/;
    if (isMissing.test(b.error)) assert.match(a.error, isMissing);
    else if (isMissing.test(a.error)) assert.ok(b.error);
    else assert.deepEqual(a, b, Buffer.from(bytes).toString("hex"));
  }
  for (const input of ["text", {}, [1], null, undefined, 5]) {
    assert.throws(() => ours.parseMessages(input), { message: "Invalid input for MessagePack hub protocol. Expected an ArrayBuffer." });
  }
});

test("JSON: messages that make no sense are judged and worded as by the official package", () => {
  const [ours, theirs] = [new JsonHubProtocol(), new OfficialJson()];
  const pools = {
    invocationId: [undefined, "1", "", 5, {}],
    target: [undefined, "m", "", 5],
    arguments: [undefined, [], [1]],
    item: [undefined, null, 0, "x"],
    result: [undefined, 0, 1, "x"],
    error: [undefined, "", "no"],
    sequenceId: [undefined, 1, "1", null],
  };
  const used = {
    1: ["invocationId", "target", "arguments"],
    2: ["invocationId", "item"],
    3: ["invocationId", "result", "error"],
    6: ["error", "target"],
    7: ["error"],
    8: ["sequenceId"],
    9: ["sequenceId"],
    0: ["target"],
    10: ["invocationId"],
  };
  let messages = [{}, { type: "1" }, { type: null }, [], "text", 5, true, { type: 1.5 }, { type: -1 }, { type: 3, invocationId: "1", error: 5 }, { type: 3, invocationId: "1", error: {} }];
  for (const [type, fields] of Object.entries(used)) {
    let some = [{ type: Number(type) }];
    for (const field of fields) some = some.flatMap((message) => pools[field].map((value) => ({ ...message, [field]: value })));
    messages = messages.concat(some);
  }
  let refused = 0;
  for (const message of messages) {
    const text = `${JSON.stringify(message)}\x1e{"type":6}\x1e`;
    const result = outcome((logger) => ours.parseMessages(text, logger));
    if (result.error) refused += 1;
    assert.deepEqual(result, outcome((logger) => theirs.parseMessages(text, logger)), text);
  }
  assert.ok(refused > 100 && refused < messages.length - 40, `${refused} of ${messages.length}`);
  for (const input of ["x", "{}", '{"type":6}', "{\x1e", "\x1e", '{"type":6}\x1e\x1e', "", new ArrayBuffer(1), undefined, null, 5]) {
    const [a, b] = [outcome((logger) => ours.parseMessages(input, logger)), outcome((logger) => theirs.parseMessages(input, logger))];
    assert.deepEqual(a, b, String(input));
  }
});

test("JSON and MessagePack: what is judged in other ways than by the official package", () => {
  const json = (message) => outcome(() => new JsonHubProtocol().parseMessages(`${JSON.stringify(message)}\x1e`));
  // Members that are null are absent, as .NET writes them on some settings.
  assert.equal(json({ type: 1, target: "m", arguments: null, invocationId: null, headers: null }).error, undefined);
  // Headers are a map in JSON as they are in MessagePack.
  for (const message of [{ type: 1, target: "m", arguments: [] }, item(1), { type: 3, invocationId: "1" }]) {
    for (const headers of ["x", 5, true]) {
      assert.equal(json({ ...message, headers }).error, "Invalid headers.");
      for (const Protocol of [JsonHubProtocol, MessagePackHubProtocol]) {
        assert.throws(() => new Protocol().writeMessage({ ...message, headers }), { message: "Invalid headers." });
      }
    }
    for (const headers of [{}, { a: "b" }, null, undefined]) {
      assert.equal(json({ ...message, headers }).error, undefined);
      for (const Protocol of [JsonHubProtocol, MessagePackHubProtocol]) new Protocol().writeMessage({ ...message, headers });
    }
  }
  assert.equal(json({ type: 1, target: "m", arguments: {} }).error, "Invalid payload for Invocation message.");
  assert.equal(json({ type: 7, error: {} }).error, "Invalid payload for Close message.");
  assert.equal(json(null).error, "Invalid payload.");
  assert.deepEqual(json({ type: 5, invocationId: "1" }).value, [{ type: 5, invocationId: "1" }]);
});

test("MessagePack: messages are written as the official package writes them", () => {
  const [ours, theirs] = [new MessagePackHubProtocol(), new OfficialMessagePack()];
  const fields = { headers: [undefined, null, {}, { a: "b" }], invocationId: [undefined, "", "1", null], streamIds: [undefined, [], ["1"]], error: [undefined, "", "no"], result: [undefined, null, 0, "x"] };
  for (const [type, names] of Object.entries({
    1: ["headers", "invocationId", "streamIds"], 2: ["headers", "invocationId", "result"], 3: ["headers", "invocationId", "error", "result"],
    4: ["headers", "invocationId", "streamIds"], 5: ["headers", "invocationId"], 6: ["headers"], 7: [], 8: [], 9: [], 0: [], 10: [],
  })) {
    let messages = [{ type: Number(type), target: "m", arguments: [1], item: "value", sequenceId: 300 }];
    for (const name of names) messages = messages.flatMap((message) => fields[name].map((value) => ({ ...message, [name]: value })));
    for (const message of messages) {
      const write = (protocol) => outcome(() => [...new Uint8Array(protocol.writeMessage(message))]);
      assert.deepEqual(write(ours), write(theirs), JSON.stringify(message));
    }
  }
  // A server's, which the official package does not write whole.
  assert.deepEqual(ours.parseMessages(ours.writeMessage({ type: 7, error: "no", allowReconnect: true })), [{ type: 7, error: "no", allowReconnect: true }]);
});

await run();
