// Messages that the transport or the server does not take.
import assert from "node:assert/strict";
import { WebSocket as Ws } from "ws";
import { test } from "../../harness.mjs";
import { connect, hubwire, negotiates, ownTransport, pending, settled, transports, until, withHub } from "./hub.mjs";

const { Subject } = hubwire;
const isError = (value) => assert.ok(value instanceof Error, String(value));

for (const transport of ["ServerSentEvents", "LongPolling"]) {
  test(`refused POSTs: the call rejects, the connection stays, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const connection = connect(url, { transport });
    await connection.start();
    hub.options.refuse = ({ body }) => (body.includes("Bad") ? 500 : undefined);
    isError(await settled(connection.send("Bad", 1)));
    let ends = 0;
    isError(await settled(connection.invoke("Bad", 2).finally(() => (ends += 1))));
    assert.equal(await connection.invoke("Echo", 3), 3);
    assert.equal(ends, 1);
    const errors = [];
    connection.stream("Bad", 4).subscribe({ next() {}, error: (error) => errors.push(error), complete() {} });
    await until(() => errors.length > 0);
    connection.on("answer", () => "Bad");
    hub.last().send({ type: 1, target: "answer", invocationId: "s1", arguments: [] });
    await until(() => hub.requests.some(({ body }) => body.includes('"s1"')));
    assert.equal(await connection.invoke("Echo", 5), 5);
    assert.equal(connection.state, "Connected");
    await connection.stop();
  }));

  test(`refused POSTs: an upload ends, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const connection = connect(url, { transport });
    await connection.start();
    hub.options.refuse = ({ body }) => (body.includes("Bad") ? 500 : undefined);
    let ended = false;
    async function* items() {
      try {
        yield 1;
        await until(() => hub.last().messages.some(({ item }) => item === 1));
        yield "Bad";
        for (;;) {
          yield "later";
          await new Promise((done) => setTimeout(done, 5));
        }
      } finally {
        ended = true;
      }
    }
    await connection.send("Upload", items());
    await until(() => ended);
    // The server learns that something is missing.
    await until(() => hub.last().messages.some(({ type, error }) => type === 3 && error));
    const subject = new Subject();
    await connection.send("Upload", subject);
    subject.next("Bad");
    await until(() => hub.last().messages.filter(({ type, error }) => type === 3 && error).length === 2);
    subject.next("too late");
    // Those of a call that was refused.
    let stops = 0;
    async function* endless() {
      try {
        for (;;) {
          yield 1;
          await new Promise((done) => setTimeout(done, 5));
        }
      } finally {
        stops += 1;
      }
    }
    isError(await settled(connection.send("Bad", endless())));
    isError(await settled(connection.invoke("Bad", endless())));
    await until(() => stops === 2);
    assert.equal(await connection.invoke("Echo", 5), 5);
    assert.ok(!hub.last().messages.some(({ item }) => item === "too late"));
    await connection.stop();
  }));
}

for (const transport of transports) {
  test(`what was sent before stop arrives, ${transport}`, withHub({}, async ({ url, ...hub }) => {
    const connection = connect(url, { transport });
    await connection.start();
    const sends = [1, 2, 3].map((n) => connection.send("Note", n));
    await connection.stop();
    await Promise.all(sends);
    await until(() => hub.last().messages.some(({ type }) => type === 7));
    assert.deepEqual(hub.last().messages.filter(({ target }) => target === "Note").map(({ arguments: [n] }) => n), [1, 2, 3]);
  }));
}

const withOwn = (send, more) => {
  const transport = ownTransport();
  const { send: shakes } = transport;
  transport.send = (data) => (String(data).includes('"protocol"') ? shakes(data) : send(data, transport));
  return { transport, connection: connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates }, more) };
};
const never = () => new Promise(() => {});

for (const [how, end] of Object.entries({
  stop: ({ connection }) => connection.stop(),
  "the end of the transport": ({ transport }) => transport.onclose(new Error("gone")),
  "the end of the transport without an error": ({ transport }) => transport.onclose(),
  Close: ({ transport }) => transport.onreceive('{"type":7,"error":"bye"}\x1e'),
})) {
  for (const reconnects of [false, true]) {
    test(`sends that wait end with ${how}${reconnects ? ", which is followed by another connection" : ""}`, async () => {
      const own = withOwn(never, reconnects ? (builder) => builder.withAutomaticReconnect([0]) : undefined);
      const { connection } = own;
      await connection.start();
      await new Promise((done) => setTimeout(done, 5));
      const calls = [connection.send("a", 1), connection.send("b", 2), connection.invoke("c", 3)].map(settled);
      const big = settled(connection.send("d", "x".repeat(1 << 20)));
      const more = settled(connection.send("e", 1));
      await new Promise((done) => setTimeout(done, 5));
      await end(own);
      for (const call of await Promise.all([...calls, big, more])) isError(call);
      await connection.stop();
    });
  }
}

/** How many calls have failed for what waits already, once all have got as far as they get. */
async function refused(calls) {
  const codes = calls.map(() => "waits");
  calls.forEach((call, n) => call.then(() => (codes[n] = "sent"), ({ code }) => (codes[n] = code)));
  await new Promise((done) => setTimeout(done, 20));
  return codes;
}

test("a flood that nothing takes is refused beyond 64 MiB, and ends with the connection", async () => {
  const { connection } = withOwn(never);
  await connection.start();
  const mebibyte = "x".repeat(1 << 20);
  const calls = Array.from({ length: 70 }, (_, n) => (n % 2 ? connection.send("a", mebibyte) : connection.invoke("a", mebibyte)));
  const codes = await refused(calls);
  assert.deepEqual([...new Set(codes.slice(0, 62))], ["waits"]);
  assert.deepEqual([...new Set(codes.slice(64))], ["SendBufferFull"]);
  const small = await refused(Array.from({ length: 10_000 }, () => connection.send("a")));
  assert.ok(small.includes("SendBufferFull"));
  await connection.stop();
  for (const call of await Promise.all(calls.map(settled))) isError(call);
  // Another connection begins with nothing.
  await connection.start();
  assert.deepEqual(await refused([connection.send("a", mebibyte)]), ["waits"]);
  await connection.stop();
});

test("one message may be longer than all that may wait", async () => {
  const { connection, transport } = withOwn(async (data) => void transport.sent.push(data.length));
  await connection.start();
  await connection.send("a", "x".repeat(65 << 20));
  assert.ok(transport.sent.some((length) => length > 65 << 20));
  await connection.stop();
});

test("a flood of small messages that are taken is sent, and those of a pause between them", async () => {
  const { connection, transport } = withOwn(async (data) => void transport.sent.push(data));
  await connection.start();
  for (let n = 0; n < 3; n += 1) await Promise.all(Array.from({ length: 150_000 }, () => connection.send("a")));
  await connection.stop();
});

test("a subject that overflows what may wait ends its upload", async () => {
  const { connection, transport } = withOwn(async (data) => (transport.sent.push(data), data.includes('"type":2') && pause.promise));
  const pause = pending();
  await connection.start();
  const subject = new Subject();
  await connection.send("Upload", subject);
  for (let n = 0; n < 70; n += 1) {
    subject.next("x".repeat(1 << 20));
    await null;
  }
  pause.resolve();
  await until(() => transport.sent.some((data) => /"type":3,.*64 MiB/.test(data)));
  assert.equal(transport.sent.join("").match(/"type":2/g).length, 63);
  await connection.stop();
});

test("a server that calls and does not take the answers loses its connection", async () => {
  const { connection, transport } = withOwn(never);
  await connection.start();
  connection.on("a", () => "x".repeat(1 << 20));
  const closed = new Promise((done) => connection.onclose(done));
  for (let n = 0; n < 70; n += 1) transport.onreceive(`{"type":1,"target":"a","arguments":[],"invocationId":"${n}"}\x1e`);
  assert.match((await closed).message, /64 MiB/);
});

const sockets = { ws: { WebSocket: Ws }, ...(typeof WebSocket === "function" && { "the global WebSocket": {} }) };
for (const [name, options] of Object.entries(sockets)) {
  test(`sends wait for a socket that is not read, ${name}`, withHub({}, async ({ url, ...hub }) => {
    const connection = connect(url, options);
    await connection.start();
    hub.last().socket.pause();
    let sent = 0;
    let ended = false;
    const all = (async () => {
      for (; sent < 64; sent += 1) await connection.send("Note", "x".repeat(1 << 20));
      ended = true;
    })();
    // Until nothing has moved for a while.
    for (let before = -1; before !== sent; await new Promise((done) => setTimeout(done, 100))) before = sent;
    assert.ok(sent < 32 && !ended, `${sent} MiB`);
    hub.last().socket.resume();
    await all;
    await until(() => hub.last().messages.filter(({ target }) => target === "Note").length === 64);
    // What waits goes out before a stop, and is sent.
    hub.last().socket.pause();
    const last = Array.from({ length: 20 }, (_, n) => connection.send("Last", n, "x".repeat(1 << 20)));
    await new Promise((done) => setTimeout(done, 20));
    const stopped = connection.stop();
    hub.last().socket.resume();
    await Promise.all(last);
    await stopped;
    await until(() => hub.last().messages.filter(({ target }) => target === "Last").length === 20);
  }));
}

test("a transport whose send throws at once, or something that is no error", async () => {
  for (const send of [() => { throw new Error("no"); }, () => { throw undefined; }, async () => { throw null; }, async () => { throw "text"; }]) {
    const { connection } = withOwn(send);
    await connection.start();
    await assert.rejects(async () => connection.send("a", 1).catch((error) => Promise.reject(Error(error))));
    await assert.rejects(async () => connection.invoke("a", 1).catch((error) => Promise.reject(Error(error))));
    await connection.stop();
  }
});

/** A hub that keeps a connection over sockets, as ASP.NET Core's with stateful reconnect. */
const stateful = {
  negotiate: () => ({ useStatefulReconnect: true }),
  message(message, client) {
    client.taken ??= [];
    client.received ??= 0;
    if (message.type === 9) {
      client.next = message.sequenceId;
      client.resumes = (client.resumes ?? 0) + 1;
      client.send({ type: 9, sequenceId: 1 }, { type: 6 });
    }
    if (message.type > 5 || message.type === undefined) return;
    const number = client.next ?? client.received + 1;
    client.next = number + 1;
    if (number <= client.received) return;
    client.received = number;
    client.taken.push(message.arguments?.[0]);
    if (!client.hub.options.forgetful) client.send({ type: 8, sequenceId: number });
  },
};

test("stateful reconnect: a socket that is lost amid sends, each message once and in order", withHub(stateful, async ({ url, ...hub }) => {
  const connection = connect(url, {}, (builder) => builder.withStatefulReconnect());
  await connection.start();
  const sends = [];
  for (let n = 0; n < 400; n += 1) {
    sends.push(connection.send("Note", n));
    if (n % 100 === 50) hub.last().socket.terminate();
    if (n % 10 === 0) await new Promise((done) => setTimeout(done, 1));
  }
  await Promise.all(sends);
  const client = [...hub.clients.values()][0];
  await until(() => client.taken.length >= 400);
  assert.deepEqual(client.taken, Array.from({ length: 400 }, (_, n) => n));
  assert.ok(client.resumes > 0);
  assert.equal(hub.clients.size, 1);
  await connection.stop();
}));

// ASP.NET Core takes a close frame as the end of the connection, and a socket that is silent may still deliver one.
const coded = { ...stateful, connected: (client) => client.socket.on("close", (code) => (client.codes ??= []).push(code)) };
test("stateful reconnect: a socket that is silent is dropped without a close frame, others with one", withHub(coded, async ({ url, ...hub }) => {
  const connection = connect(url, { WebSocket: Ws }, (builder) => builder.withStatefulReconnect());
  await connection.start();
  connection.serverTimeoutInMilliseconds = 100;
  // The new limit holds from the next message on.
  hub.last().send({ type: 6 });
  await until(() => hub.last().resumes > 0);
  assert.deepEqual(hub.last().codes, [1006]);
  await connection.stop();
  await until(() => hub.last().codes.length > 1);
  assert.equal(hub.last().codes.at(-1), 1005);
}));

test("stateful reconnect: sends that wait for room end with the connection", withHub({ ...stateful, forgetful: true }, async ({ url, ...hub }) => {
  const connection = connect(url, {}, (builder) => builder.withStatefulReconnect({ bufferSize: 100 }));
  await connection.start();
  const sends = Array.from({ length: 10 }, (_, n) => settled(connection.send("Note", n)));
  await until(() => hub.last().taken?.length === 10);
  hub.options.refuse = () => 404;
  hub.last().drop();
  const late = settled(connection.send("Note", "while it is gone"));
  const closed = new Promise((done) => connection.onclose(done));
  isError((await Promise.all([...sends, late])).at(-1));
  await closed;
  await connection.stop();
}));
