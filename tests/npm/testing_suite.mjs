// What a mock hub is to a client: the same tests for the official client and for this package.
import assert from "node:assert/strict";
import { test } from "../harness.mjs";

const URL = "http://hub.test/chat";

const collect = (stream) =>
  new Promise((resolve, reject) => {
    const items = [];
    stream.subscribe({ next: (item) => items.push(item), error: reject, complete: () => resolve(items) });
  });

/** Resolves once the condition holds. What it waits for are promises, so that nothing but turns of the loop is needed. */
export async function until(condition) {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

const event = (connection, name) => new Promise((resolve) => connection[name](resolve));

export function clientTests(MockHub, client) {
  test(`${client.name}: options that are not known are a warning`, async () => {
    const { warn } = console;
    const lines = [];
    console.warn = (line) => lines.push(line);
    try {
      const hub = new MockHub({ transports: ["WebSockets"], transprots: 1 });
      hub.refuse(503, { times: 1, time: 2 })();
      const connection = client.builder().withUrl(URL, hub.options()).build();
      await connection.start();
      hub.close({ error: "bye", errors: [] });
    } finally {
      console.warn = warn;
    }
    assert.deepEqual(lines, ["transprots", "time", "errors"].map((name) => `hubwire/testing: the option '${name}' is not known, and has no effect.`));
  });

  const titled = (title, body) => test(`${client.name}: ${title}`, body);
  /** A connection that is started, with what the test wants of it. */
  const start = async (hub, { configure = (builder) => builder, ...options } = {}) => {
    const connection = configure(client.builder().withUrl(URL, { ...hub.options(), ...options })).build();
    await connection.start();
    return connection;
  };

  for (const protocol of ["json", "messagepack"]) {
    const configure = (builder) => (protocol === "json" ? builder : builder.withHubProtocol(client.messagePack()));
    for (const transport of [client.HttpTransportType.WebSockets, client.HttpTransportType.LongPolling]) {
      titled(`${protocol}, ${client.HttpTransportType[transport]}: calls, results, errors, events`, async () => {
        const hub = new MockHub();
        hub.method("Add", (a, b) => a + b);
        hub.method("Later", async (text) => ({ text }));
        hub.method("Nothing", () => {});
        hub.method("Fails", () => {
          throw new Error("Ünlucky");
        });
        const connection = await start(hub, { configure, transport });
        const [there] = hub.connections;
        assert.equal(hub.connections.length, 1);
        assert.equal(there.connectionId, connection.connectionId);
        assert.equal(there.protocol, protocol);
        assert.equal(there.transport, client.HttpTransportType[transport]);
        assert.equal(await connection.invoke("add", 1, 2), 3);
        assert.deepEqual(await connection.invoke("Later", "ä"), { text: "ä" });
        assert.ok((await connection.invoke("Nothing")) == null);
        await assert.rejects(connection.invoke("Fails"), /^\w*Error: .*Ünlucky/);
        const got = [];
        connection.on("ReceiveMessage", (...args) => got.push(args));
        await hub.send("ReceiveMessage", "ann", { n: [1, null] });
        await there.send("receivemessage");
        await until(() => got.length === 2);
        assert.deepEqual(got, [["ann", { n: [1, null] }], []]);
        await connection.stop();
        await until(() => hub.connections.length === 0);
        assert.equal(there.isOpen, false);
      });

      titled(`${protocol}, ${client.HttpTransportType[transport]}: streams both ways, client results`, async () => {
        const hub = new MockHub();
        hub.method("Count", async function* (to) {
          for (let n = 0; n < to; n += 1) yield n;
        });
        hub.method("List", () => ["a", "b"]);
        hub.method("Breaks", function* () {
          yield 1;
          throw new Error("broken");
        });
        hub.method("Sum", async (start, numbers) => {
          let sum = start;
          for await (const number of numbers) sum += number;
          return sum;
        });
        const connection = await start(hub, { configure, transport });
        assert.deepEqual(await collect(connection.stream("Count", 3)), [0, 1, 2]);
        assert.deepEqual(await collect(connection.stream("List")), ["a", "b"]);
        await assert.rejects(collect(connection.stream("Breaks")), /broken/);
        const numbers = new client.Subject();
        const sum = connection.invoke("Sum", 10, numbers);
        for (const number of [1, 2, 3]) numbers.next(number);
        numbers.complete();
        assert.equal(await sum, 16);
        const { arguments: args, streams } = hub.calls.at(-1);
        assert.deepEqual(args, [10]);
        assert.deepEqual(streams.map(({ items, isDone, error }) => ({ items, isDone, error })), [
          { items: [1, 2, 3], isDone: true, error: undefined },
        ]);
        connection.on("AskName", async (greeting) => `${greeting}, Ann`);
        assert.equal(await hub.invoke("AskName", "Hello"), "Hello, Ann");
        connection.on("AskFails", () => Promise.reject(new Error("no name")));
        await assert.rejects(hub.invoke("AskFails"), /no name/);
        await connection.stop();
      });
    }
  }

  titled("a stream that the client leaves is left by the method, and a Subject can be streamed", async () => {
    const hub = new MockHub();
    let wasLeft = false;
    hub.method("Endless", async function* () {
      try {
        for (;;) {
          yield "tick";
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        wasLeft = true;
      }
    });
    const prices = new client.Subject();
    hub.method("Prices", () => prices);
    const connection = await start(hub);
    let ticks = 0;
    const subscription = connection.stream("Endless").subscribe({ next: () => (ticks += 1), error() {}, complete() {} });
    await until(() => ticks > 2);
    subscription.dispose();
    await until(() => wasLeft);
    assert.equal(hub.calls[0].cancelled, true);
    assert.equal(hub.calls[0].kind, "stream");
    const items = collect(connection.stream("Prices"));
    await hub.received("Prices");
    await until(() => prices.observers === undefined || prices.observers.length > 0);
    prices.next(1);
    prices.next(2);
    prices.complete();
    assert.deepEqual(await items, [1, 2]);
    assert.equal(hub.calls[1].cancelled, false);
    await connection.stop();
  });

  titled("a method that is not scripted fails with the names of those that are", async () => {
    const hub = new MockHub().method("Add", () => 0).method("Ticks", () => []);
    const connection = await start(hub);
    await assert.rejects(connection.invoke("Ad"), /The mock hub has no method 'Ad'\. Its methods: Add, Ticks\./);
    await assert.rejects(collect(connection.stream("Nope")), /no method 'Nope'/);
    await assert.rejects(collect(connection.stream("Add")), /non-streaming 'Add' method with a streaming invocation/);
    hub.method("Ticks", async function* () {});
    await assert.rejects(connection.invoke("Ticks"), /streaming 'Ticks' method with a non-streaming invocation/);
    await connection.stop();
  });

  titled("calls are recorded, and can be awaited before and after they are made", async () => {
    const hub = new MockHub();
    const connection = await start(hub);
    const first = hub.received("SendMessage");
    const when = new Date(Date.UTC(2030, 0, 1));
    await connection.send("SendMessage", "ann", { when });
    await connection.send("sendMessage", "bob", undefined);
    assert.deepEqual(await first, ["ann", { when: "2030-01-01T00:00:00.000Z" }]);
    assert.deepEqual(await hub.received("sendmessage"), ["bob", null]);
    let third = false;
    hub.received("SendMessage").then(() => (third = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(third, false);
    assert.deepEqual(
      hub.calls.map(({ method, kind, connection: from }) => [method, kind, from.connectionId]),
      [
        ["SendMessage", "send", connection.connectionId],
        ["sendMessage", "send", connection.connectionId],
      ],
    );
    hub.method("SendMessage", () => {
      throw new Error("seen by nobody but hub.calls");
    });
    await connection.send("SendMessage");
    await until(() => hub.calls.length === 3 && hub.calls[2].error);
    assert.match(hub.calls[2].error.message, /seen by nobody/);
    await connection.stop();
  });

  titled("several connections, of which methods know the caller", async () => {
    const hub = new MockHub();
    hub.method("Whisper", function (text) {
      this.send("Heard", text);
    });
    const [ann, bob] = [await start(hub), await start(hub)];
    const heard = [];
    ann.on("Heard", (text) => heard.push(`ann ${text}`));
    bob.on("Heard", (text) => heard.push(`bob ${text}`));
    await bob.invoke("Whisper", "psst");
    assert.deepEqual(heard, ["bob psst"]);
    await hub.send("Heard", "all");
    await until(() => heard.length === 3);
    assert.deepEqual(heard.slice(1), ["ann all", "bob all"]);
    assert.deepEqual(hub.connections.map(({ connectionId }) => connectionId), [ann.connectionId, bob.connectionId]);
    assert.throws(() => hub.invoke("Ask"), /2 connections/);
    await ann.stop();
    await bob.stop();
    await until(() => hub.connections.length === 0);
    assert.throws(() => hub.send("Heard", "nobody"), /No client is connected.*hub\.connected\(\)/);
    assert.throws(() => hub.drop(), /No client is connected/);
  });

  titled("tokens and headers are seen, and what is refused by them is refused", async () => {
    const hub = new MockHub();
    hub.refuse(401, { when: ({ accessToken }) => accessToken !== "good" });
    await assert.rejects(start(hub, { accessTokenFactory: () => "bad" }), (error) => client.statusOf(error) === 401);
    await assert.rejects(start(hub), (error) => client.statusOf(error) === 401);
    const connection = await start(hub, { accessTokenFactory: () => "good", headers: { "X-Tenant": "contoso" } });
    assert.equal(hub.connections[0].accessToken, "good");
    assert.equal(hub.connections[0].headers["x-tenant"], "contoso");
    await connection.stop();
  });

  titled("a hub that refuses once, or until it is told to stop, or cannot be reached", async () => {
    const hub = new MockHub();
    hub.refuse(503, { times: 1 });
    await assert.rejects(start(hub), (error) => client.statusOf(error) === 503);
    await (await start(hub)).stop();
    const accept = hub.refuse(0);
    await assert.rejects(start(hub));
    await assert.rejects(start(hub));
    accept();
    await (await start(hub)).stop();
    hub.refuse(403, { when: ({ transport }) => transport === "WebSockets" });
    const connection = await start(hub);
    assert.equal(hub.connections[0].transport, "LongPolling");
    await connection.stop();
    assert.throws(() => hub.refuse(200), RangeError);
  });

  titled("a lost connection is replaced by the client, and its calls fail", async () => {
    const hub = new MockHub();
    hub.method("Never", () => new Promise(() => {}));
    const connection = await start(hub, { configure: (builder) => builder.withAutomaticReconnect([0, 0, 0]) });
    const [reconnecting, reconnected] = [event(connection, "onreconnecting"), event(connection, "onreconnected")];
    const [there] = hub.connections;
    const call = connection.invoke("Never");
    await hub.received("Never");
    const asked = there.invoke("Ask");
    hub.refuse(503, { times: 2 });
    hub.drop();
    assert.deepEqual(hub.connections, []);
    await assert.rejects(asked, /dropped|provide a result/);
    await assert.rejects(call);
    assert.ok((await reconnecting) instanceof Error);
    const id = await reconnected;
    const again = await hub.connected();
    assert.equal(again.connectionId, id);
    assert.notEqual(again, there);
    assert.equal(there.isOpen, false);
    assert.throws(() => there.send("x"), /is not open/);
    await connection.stop();
  });

  titled("the hub closes connections, for good or until they come again", async () => {
    const hub = new MockHub();
    const connection = await start(hub, { configure: (builder) => builder.withAutomaticReconnect([0]) });
    const reconnected = event(connection, "onreconnected");
    hub.close({ allowReconnect: true });
    await reconnected;
    const closed = event(connection, "onclose");
    hub.close({ error: "Shutting down" });
    assert.match((await closed).message, /Shutting down/);
    assert.equal(connection.state, "Disconnected");
    assert.deepEqual(hub.connections, []);
  });

  titled("a protocol that the hub does not speak fails the start", async () => {
    const hub = new MockHub({ protocols: [client.messagePack()] });
    await assert.rejects(start(hub), /The protocol 'json' is not supported/);
    // Whoever's protocol it is: what only a hub receives is read as well.
    hub.method("Count", (from, items) => [from, items.items.length]);
    const connection = await start(hub, { configure: (builder) => builder.withHubProtocol(client.messagePack()) });
    assert.deepEqual(await collect(connection.stream("Count", 7, new client.Subject())), [7, 0]);
    await connection.stop();
  });

  titled("negotiation can be skipped", async () => {
    const hub = new MockHub().method("Add", (a, b) => a + b);
    const transport = client.HttpTransportType.WebSockets;
    const connection = await start(hub, { skipNegotiation: true, transport, accessTokenFactory: () => "good" });
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    assert.equal(hub.connections[0].accessToken, "good");
    await connection.stop();
  });

  titled("a stateful connection outlives its socket without a lost message", async () => {
    const hub = new MockHub({ statefulReconnect: true }).method("Echo", (text) => text);
    const connection = await start(hub, { configure: (builder) => builder.withStatefulReconnect() });
    const got = [];
    connection.on("Event", (n) => got.push(n));
    assert.equal(await connection.invoke("Echo", "before"), "before");
    const [there] = hub.connections;
    await hub.send("Event", 1);
    hub.drop();
    hub.send("Event", 2);
    // The official client loses a call that it makes before it has noticed, when it is back as fast as this.
    await until(() => got.length === 2);
    assert.equal(await connection.invoke("Echo", "after"), "after");
    assert.deepEqual(got, [1, 2]);
    assert.deepEqual(hub.connections, [there]);
    assert.deepEqual(hub.calls.map((call) => call.arguments[0]), ["before", "after"]);
    // One that cannot come back is over.
    const closed = event(connection, "onclose");
    hub.refuse(0);
    hub.drop();
    await closed;
    assert.deepEqual(hub.connections, []);
  });

  titled("a method may answer when the test says, and the order of what it sends is kept", async () => {
    const hub = new MockHub();
    let answer;
    hub.method("Slow", function () {
      this.send("Event", "before");
      return new Promise((resolve) => (answer = resolve));
    });
    const connection = await start(hub);
    const seen = [];
    connection.on("Event", (what) => void seen.push(what));
    const call = connection.invoke("Slow").then((result) => seen.push(result));
    await hub.received("Slow");
    hub.send("Event", "while");
    answer("result");
    await call;
    hub.send("Event", "after");
    await until(() => seen.length === 4);
    assert.deepEqual(seen, ["before", "while", "result", "after"]);
    await connection.stop();
  });
}
