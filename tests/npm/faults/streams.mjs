// Much at once: slow readers, floods, large frames, and time that jumps.
import assert from "node:assert/strict";
import { mock } from "node:test";
import { test } from "../../harness.mjs";
import { connect, END, hubwire, negotiates, ownTransport, pending, settled, transports, until, withHub } from "./hub.mjs";

const retries = (delays) => (builder) => builder.withAutomaticReconnect(delays);
const item = (invocationId, value) => ({ type: 2, invocationId, item: value });

/** A hub that streams numbers as fast as the transport takes them. */
const counts = (total, perFrame) => ({
  async message({ type, target, invocationId }, client) {
    if (type === 5) client.cancelled = true;
    if (type !== 4 || target !== "Count") return;
    for (let n = 0; n < total && !client.cancelled; n += perFrame) {
      client.send(...Array.from({ length: Math.min(perFrame, total - n) }, (_, i) => item(invocationId, n + i)));
      client.written = n + perFrame;
      while (client.waiting.length > 1 << 20 || client.stream?.writableNeedDrain || (client.socket?.bufferedAmount ?? 0) > 1 << 20) {
        await new Promise((done) => setTimeout(done, 1));
      }
    }
    client.send({ type: 3, invocationId });
  },
});

for (const transport of transports) {
  test(`70 000 items read slowly, ${transport}`, withHub(counts(70_000, 50), async ({ url, ...hub }) => {
    const connection = connect(url, { transport });
    await connection.start();
    let next = 0;
    for await (const n of connection.stream("Count")) {
      assert.equal(n, next);
      next += 1;
      if (next % 700 === 0) await new Promise((done) => setTimeout(done, 1));
    }
    assert.equal(next, 70_000);
    await connection.stop();
  }));
}

test("a transport that cannot be held back: 60 000 frames wait, and are taken", async () => {
  const transport = ownTransport();
  const connection = connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates });
  await connection.start();
  const stream = connection.stream("Count")[Symbol.asyncIterator]();
  await until(() => transport.sent.some((data) => data.includes("Count")));
  const total = 60_000;
  for (let n = 0; n < total; n += 1) transport.onreceive(JSON.stringify(item("0", n)) + END);
  const start = performance.now();
  for (let n = 0; n < total; n += 1) assert.equal((await stream.next()).value, n);
  const took = performance.now() - start;
  assert.ok(took < 5000, `${took} ms`);
  await connection.stop();
});

test("a loop that takes nothing holds the server back by how much waits, not only by how many items", async () => {
  const asked = [];
  const transport = ownTransport({ pause: () => asked.push("pause"), resume: () => asked.push("resume") });
  const connection = connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates });
  await connection.start();
  const stream = connection.stream("Count")[Symbol.asyncIterator]();
  await until(() => transport.sent.some((data) => data.includes("Count")));
  const long = "x".repeat(1 << 20);
  transport.onreceive(JSON.stringify(item("0", long)) + END);
  assert.deepEqual(asked, []);
  for (let n = 0; n < 3; n += 1) transport.onreceive(JSON.stringify(item("0", n + long)) + END);
  assert.equal(asked.at(-1), "pause");
  assert.equal((await stream.next()).value, long);
  for (let n = 0; n < 3; n += 1) assert.equal((await stream.next()).value, n + long);
  await until(() => asked.at(-1) === "resume");
  await connection.stop();
});

for (const isFirst of [true, false]) {
  test(`a loop that nobody reads does not keep another one waiting for ever, ${isFirst ? "which waits already" : "which waits then"}`, async () => {
    const turn = () => new Promise((done) => setImmediate(done));
    // The time limit of the test is not one of them.
    await turn();
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const pass = async (seconds) => {
        for (let n = 0; n < seconds; n += 1) {
          mock.timers.tick(1000);
          await turn();
        }
      };
      const asked = [];
      const transport = ownTransport({ pause: () => asked.push("pause"), resume: () => asked.push("resume") });
      const endless = (builder) => builder.withServerTimeout(Infinity);
      const connection = connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates }, endless);
      await connection.start();
      const [unread, other] = [0, 1].map(() => connection.stream("Count")[Symbol.asyncIterator]());
      while (transport.sent.join().split("Count").length < 3) await turn();
      let next = isFirst ? other.next() : undefined;
      for (let n = 0; n < 1024; n += 1) transport.onreceive(JSON.stringify(item("0", n)) + END);
      transport.onreceive(JSON.stringify(item("1", "there")) + END);
      assert.equal(asked.at(-1), "pause");
      next ??= other.next();
      let told;
      next.then(({ value }) => (told = value));
      await pass(29);
      assert.equal(told, undefined);
      // The clock is a real one, and a little ahead of the timers.
      for (let n = 0; told === undefined && n < 10; n += 1) await pass(1);
      assert.equal(told, "there");
      // What nobody has read is there.
      for (let n = 0; n < 1024; n += 1) assert.equal((await unread.next()).value, n);
      await turn();
      assert.equal(asked.at(-1), "resume");
      await connection.stop();
    } finally {
      mock.timers.reset();
    }
  });
}

test("a million messages in one frame, and one message of 30 MiB", async () => {
  const transport = ownTransport();
  const connection = connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates });
  let count = 0;
  let length = 0;
  connection.on("n", () => void (count += 1));
  connection.on("big", (text) => void (length = text.length));
  await connection.start();
  transport.onreceive(`{"type":1,"target":"n","arguments":[]}${END}`.repeat(1_000_000 / 2));
  await until(() => count === 500_000);
  transport.onreceive(`{"type":1,"target":"big","arguments":["${"x".repeat(30 << 20)}"]}${END}`);
  await until(() => length === 30 << 20);
  assert.equal(connection.state, "Connected");
  await connection.stop();
});

for (const transport of transports) {
  for (const format of transport === "WebSockets" ? ["json", "messagepack"] : ["json"]) {
    test(`the longest message is what the option says, ${transport}, ${format}`, withHub({}, async ({ url, ...hub }) => {
      const text = (length) => "x".repeat(length);
      const messagepack = new hubwire.MessagePackHubProtocol();
      for (const [limit, length, fits] of [[undefined, 33 << 20, false], [70 << 20, 65 << 20, true], [1000, 2000, false], [Infinity, 40 << 20, true], [1000, 900, true]]) {
        const how = (builder) => (format === "json" ? builder : builder.withHubProtocol(messagepack));
        const errors = [];
        const logger = { log: (level, text) => void (level >= hubwire.LogLevel.Error && errors.push(text)) };
        const connection = connect(url, { transport, maximumReceiveMessageSize: limit, logger }, how);
        const end = new Promise((done) => {
          connection.on("big", ({ length }) => done(length));
          connection.onclose(done);
        });
        await connection.start();
        const message = { type: 1, target: "big", arguments: [text(length)] };
        hub.last().write(format === "json" ? JSON.stringify(message) + END : Buffer.from(messagepack.writeMessage(message)));
        const outcome = await end;
        if (fits) assert.equal(outcome, length);
        else assert.match(outcome?.message, new RegExp(`more than ${limit ?? 32 << 20} .* option 'maximumReceiveMessageSize'|answer of more than .* option 'maximumReceiveMessageSize'`));
        if (!fits) assert.match(errors.join(), /option 'maximumReceiveMessageSize'/);
        await connection.stop();
      }
    }));
  }
}

test("a handler that calls and stops within a frame", async () => {
  const transport = ownTransport();
  const connection = connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates });
  const results = [];
  connection.on("n", () => results.push(settled(connection.invoke("x"))) && undefined);
  connection.on("stop", () => void connection.stop());
  await connection.start();
  transport.onreceive(`{"type":1,"target":"n","arguments":[]}${END}{"type":1,"target":"stop","arguments":[]}${END}`.repeat(3));
  await until(() => connection.state === "Disconnected");
  for (const result of await Promise.all(results)) assert.ok(result instanceof Error);
});

test("times without an end", withHub({}, async ({ url }) => {
  for (const transport of transports) {
    const connection = connect(url, { transport, timeout: Infinity }, (builder) => builder.withServerTimeout(Infinity).withKeepAliveInterval(Infinity));
    await connection.start();
    assert.equal(await connection.invoke("Echo", 1), 1);
    await connection.stop();
  }
}));

test("timeout 0 is no limit for an HTTP client that knows timers only", withHub({}, async ({ url }) => {
  const own = new hubwire.DefaultHttpClient({ log() {} });
  const seen = new Set();
  const httpClient = { send: (request) => (seen.add(request.timeout), own.send(request)) };
  for (const timeout of [0, Infinity]) {
    const connection = connect(url, { transport: "LongPolling", timeout, httpClient });
    await connection.start();
    await connection.send("x");
    await connection.stop();
  }
  assert.ok(!seen.has(Infinity), String([...seen]));
}));

test("a clock that goes back, and a machine that slept", withHub({}, async ({ url, ...hub }) => {
  const { now } = performance;
  let shift = 0;
  performance.now = () => now.call(performance) + shift;
  try {
    for (const jump of [-1e6, 600_000]) {
      shift = 0;
      const connection = connect(url, {}, retries([0, 0, 0]));
      await connection.start();
      const client = hub.last();
      shift = jump;
      assert.equal(await settled(connection.invoke("Echo", 1)), 1);
      client.send({ type: 6 });
      assert.equal(await settled(connection.invoke("Echo", 2)), 2);
      assert.equal(connection.state, "Connected");
      await connection.stop();
    }
  } finally {
    performance.now = now;
  }
}));
