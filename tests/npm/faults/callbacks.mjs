// What an application gives, and what throws, never answers, or answers nonsense.
import assert from "node:assert/strict";
import * as signalr from "@microsoft/signalr";
import { WebSocket as Ws } from "ws";
import { test } from "../../harness.mjs";
import { clean, connect, END, hubwire, negotiates, ownTransport, pending, settled, transports, until, withHub } from "./hub.mjs";

const { HttpClient, JsonHubProtocol } = hubwire;

for (const [what, answer] of Object.entries({
  nothing: undefined,
  null: null,
  "an object without a status": {},
  "a text": "200",
  "a status that is a text": { statusCode: "200", content: "{}" },
  "content that is a number": { statusCode: 200, content: 7 },
  "content that is an object": { statusCode: 200, content: {} },
})) {
  test(`httpClient: negotiate answered with ${what}`, withHub({}, async ({ url }) => {
    const connection = connect(url, { httpClient: { send: async () => answer } });
    const error = await settled(connection.start());
    assert.match(error?.message ?? String(error), /^Failed to complete negotiation with the server: /);
    clean();
  }));
}

for (const thrown of [undefined, null, "text", 0, { message: 7, statusCode: "401" }, Object.assign(new Error("x"), { statusCode: {} })]) {
  test(`httpClient: throws ${JSON.stringify(thrown)}`, withHub({}, async ({ url }) => {
    for (const send of [() => { throw thrown; }, async () => { throw thrown; }]) {
      const connection = connect(url, { httpClient: { send } });
      const error = await settled(connection.start());
      assert.ok(error instanceof Error, String(error));
      assert.equal(connection.state, "Disconnected");
    }
    clean();
  }));
}

test("httpClient: never answers, and ignores the signal", withHub({}, async ({ url }) => {
  for (const transport of transports) {
    let stuck = false;
    class Stuck extends HttpClient {
      send(request) {
        const never = new Promise(() => {});
        if (stuck) return never;
        return own.send(request);
      }
    }
    const own = new hubwire.DefaultHttpClient({ log() {} });
    const connection = connect(url, { transport, httpClient: new Stuck() });
    await connection.start();
    stuck = true;
    const call = settled(connection.invoke("Echo", 1).then(() => undefined));
    await connection.stop();
    await call;
  }
  clean();
}));

test("transport: frozen", async () => {
  const connection = connect("http://127.0.0.1:1/hub", { transport: Object.freeze(ownTransport()), httpClient: negotiates });
  assert.ok((await settled(connection.start())) instanceof Error);
  clean();
});

const withOwn = (given, more) => {
  const transport = ownTransport(given);
  return { transport, connection: connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates }, more) };
};

test("transport: works", async () => {
  const { connection, transport } = withOwn();
  await connection.start();
  await connection.stop();
  assert.equal(transport.stops, 1);
  clean();
});

test("transport: connect throws at once", async () => {
  const { connection } = withOwn({ connect() { throw new Error("at once"); } });
  assert.match((await settled(connection.start())).message, /at once/);
  clean();
});

test("transport: stop throws at once, rejects", async () => {
  for (const stop of [() => { throw new Error("no"); }, async () => { throw new Error("no"); }, () => undefined]) {
    const { connection } = withOwn({ stop });
    await connection.start();
    await connection.stop();
    assert.equal(connection.state, "Disconnected");
  }
  clean();
});

test("transport: has no stop", async () => {
  const { connection } = withOwn({ stop: undefined });
  await connection.start();
  await connection.stop();
  clean();
});

test("transport: closes within connect", async () => {
  const { connection, transport } = withOwn({ async connect() { transport.onclose(new Error("early")); } });
  assert.match((await settled(connection.start())).message, /early/);
  const second = withOwn({ async connect() { second.transport.onclose(); throw new Error("refused"); } });
  assert.match((await settled(second.connection.start())).message, /refused/);
  clean();
});

test("transport: frames before connect has resolved, and after the end", async () => {
  const { connection, transport } = withOwn({
    async connect() {
      transport.onreceive(`{}${END}`);
      transport.onreceive(`${JSON.stringify({ type: 1, target: "m", arguments: [1] })}${END}`);
      await new Promise((done) => setTimeout(done, 5));
    },
    send: async () => {},
  });
  const got = [];
  connection.on("m", (n) => void got.push(n));
  await connection.start();
  await until(() => got.length === 1);
  const { onreceive, onclose } = transport;
  await connection.stop();
  onreceive(`${JSON.stringify({ type: 1, target: "m", arguments: [2] })}${END}`);
  onclose(new Error("late"));
  onclose();
  assert.deepEqual(got, [1]);
  await connection.start();
  onclose(new Error("of the first start"));
  onreceive(`${JSON.stringify({ type: 1, target: "m", arguments: [3] })}${END}`);
  assert.equal(connection.state, "Connected");
  await connection.stop();
  clean();
});

for (const frame of [undefined, null, 7, {}, []]) {
  test(`transport: hands on ${JSON.stringify(frame)}`, async () => {
    const { connection, transport } = withOwn();
    await connection.start();
    const closed = new Promise((done) => connection.onclose(done));
    try {
      transport.onreceive(frame);
    } catch {}
    transport.onreceive(`${JSON.stringify({ type: 7 })}${END}`);
    await closed;
    await connection.stop();
    clean();
  });
}

test("protocol: writing a ping throws", async () => {
  class Broken extends JsonHubProtocol {
    writeMessage(message) {
      if (message.type === 6) throw new Error("no pings");
      return super.writeMessage(message);
    }
  }
  const { connection } = withOwn({}, (builder) => builder.withHubProtocol(Object.assign(new Broken())));
  const outcome = await settled(connection.start());
  await connection.stop();
  assert.equal(connection.state, "Disconnected");
  clean();
});

test("logger: sends what is logged, and stops", async () => {
  for (const act of ["send", "invoke", "stop", "stream"]) {
    let busy = false;
    let connection;
    const logger = {
      log() {
        if (busy || connection?.state !== "Connected") return;
        busy = true;
        Promise.resolve(connection[act]("Log", "x")).catch?.(() => {});
      },
    };
    const { transport, connection: made } = (() => {
      const transport = ownTransport();
      return { transport, connection: connect("http://127.0.0.1:1/hub", { transport, httpClient: negotiates, logger, logMessageContent: true }, (b) => b.withKeepAliveInterval(20)) };
    })();
    connection = made;
    await connection.start();
    await until(() => busy);
    if (act !== "stop") await until(() => transport.sent.filter((data) => data.includes('"type":6')).length > 2);
    await connection.stop();
  }
  clean();
});

/** What an application may do with its connection from within what it gives it, each time that is called. */
const acts = {
  send: (connection) => void settled(connection.send("Log", "x")),
  invoke: (connection) => void settled(connection.invoke("Log", "x")),
  stream: (connection) => void connection.stream("Log").subscribe({ next() {}, error() {}, complete() {} }),
  stop: (connection) => void connection.stop(),
  start: (connection) => void settled(connection.start()),
  look: (connection) => [connection.state, connection.connectionId, connection.negotiated, connection.baseUrl],
  limits: (connection) => (connection.serverTimeoutInMilliseconds = 40_000 + Math.random()),
  lose: (connection) => connection.serverTimeout(),
};

for (const [act, doIt] of Object.entries(acts)) {
  test(`every callback uses its connection: ${act}`, withHub({}, async ({ url, ...hub }) => {
    const thrown = [];
    let connection;
    let depth = 0;
    const calls = new Map();
    const inside = (where) => {
      if (!connection || depth > 0) return;
      calls.set(where, (calls.get(where) ?? 0) + 1);
      // Else a logger would never let it come up.
      if (calls.get(where) > 5) return;
      depth += 1;
      try {
        doIt(connection);
      } catch (error) {
        thrown.push(`${where}: ${error.stack}`);
      }
      depth -= 1;
    };
    class Protocol extends JsonHubProtocol {
      writeMessage(message) {
        inside(`write ${message.type}`);
        return super.writeMessage(message);
      }
      parseMessages(...given) {
        inside("parse");
        return super.parseMessages(...given);
      }
    }
    class Socket extends Ws {
      constructor(...given) {
        inside("WebSocket");
        super(...given);
      }
      send(data) {
        inside("WebSocket.send");
        super.send(data);
      }
      close() {
        inside("WebSocket.close");
        super.close();
      }
    }
    class Client extends hubwire.DefaultHttpClient {
      async send(request) {
        inside("httpClient");
        const answer = await super.send(request);
        inside("httpClient, answered");
        return answer;
      }
    }
    const own = {
      accessTokenFactory: () => (inside("accessTokenFactory"), "token"),
      httpClient: new Client({ log() {} }),
      logger: { log: () => inside("logger") },
      logMessageContent: true,
      WebSocket: Socket,
    };
    for (const transport of transports) {
      for (const only of ["logger", "protocol", "others"]) {
        calls.clear();
        const { logger, ...others } = own;
        const given = only === "logger" ? { logger } : only === "others" ? others : {};
        const how = (builder) =>
          (only === "protocol" ? builder.withHubProtocol(new Protocol()) : builder).withKeepAliveInterval(5).withAutomaticReconnect({
            nextRetryDelayInMilliseconds: ({ previousRetryCount }) => (only === "others" && inside("policy"), previousRetryCount > 5 ? null : 1),
          });
        connection = connect(url, { transport, ...given }, how);
        if (only === "others") for (const event of ["onclose", "onreconnecting", "onreconnected", "onstatechange"]) connection[event](() => inside(event));
        connection.on("Ask", () => (inside("handler"), 7));
        await settled(connection.start());
        hub.last()?.send({ type: 1, target: "Ask", arguments: [], invocationId: "a" });
        await settled(connection.invoke("Echo", 1));
        // Completions, cancellations and pings are the machine's own messages.
        settled(connection.with({ signal: AbortSignal.timeout(1) }).invoke("Never"));
        await new Promise((done) => setTimeout(done, 20));
        hub.last()?.drop();
        await new Promise((done) => setTimeout(done, 20));
        const last = connection;
        connection = undefined;
        await last.stop();
        assert.equal(last.state, "Disconnected");
        assert.ok(calls.size > 0);
      }
    }
    assert.deepEqual(thrown, []);
    clean();
  }));
}

test("accessTokenFactory: throws what it likes", withHub({}, async ({ url }) => {
  for (const thrown of [undefined, null, "text", new Error("no token")]) {
    for (const accessTokenFactory of [() => { throw thrown; }, async () => { throw thrown; }]) {
      const error = await settled(connect(url, { accessTokenFactory }).start());
      assert.match(error.message, /Failed to complete negotiation/);
    }
  }
  clean();
}));

test("retry policy: throws, answers nonsense, never answers", withHub({}, async ({ url, ...hub }) => {
  for (const nextRetryDelayInMilliseconds of [() => { throw new Error("no"); }, async () => { throw undefined; }, () => "7", () => NaN, () => undefined, () => ({}), () => -Infinity]) {
    const connection = connect(url, {}, (builder) => builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds }));
    await connection.start();
    const closed = new Promise((done) => connection.onclose(done));
    hub.options.refuse = () => 503;
    hub.last().drop();
    if (String(nextRetryDelayInMilliseconds).includes("Infinity")) await connection.stop();
    await closed;
    delete hub.options.refuse;
  }
  let asked = false;
  const never = () => ((asked = true), new Promise(() => {}));
  const connection = connect(url, {}, (builder) => builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds: never }));
  await connection.start();
  hub.last().drop();
  await until(() => asked);
  await connection.stop();
  clean();
}));

test("retry policy: the connection is reconnecting while it thinks, and the order of what is told is the official client's", withHub({}, async ({ url, ...hub }) => {
  const told = {};
  const policies = {
    "a number": (told) => (told.push("asked"), 1),
    null: (told) => (told.push("asked"), null),
  };
  for (const [lib, { HubConnectionBuilder, HttpTransportType }] of Object.entries({ signalr, hubwire })) {
    for (const [what, policy] of Object.entries(policies)) {
      const list = (told[`${lib} ${what}`] = []);
      const logger = { log: (_, line) => /^(Connection reconn|Reconnect attempt|HubConnection reconn)/.test(line) && list.push(line.replace(/ because.*/, "")) };
      let connection;
      const state = () => connection.state;
      const nextRetryDelayInMilliseconds = () => (list.push(state()), policy(list));
      connection = new HubConnectionBuilder()
        .withUrl(url, { transport: HttpTransportType.WebSockets, WebSocket: Ws })
        .withAutomaticReconnect({ nextRetryDelayInMilliseconds })
        .configureLogging(logger)
        .build();
      for (const event of ["onreconnecting", "onreconnected", "onclose"]) connection[event](() => list.push(event, state()));
      await connection.start();
      hub.last().drop();
      await until(() => list.includes("onclose") || list.includes("onreconnected"));
      await connection.stop();
    }
  }
  for (const what of Object.keys(policies)) {
    const official = told[`signalr ${what}`].filter((line) => !/policy returned null/.test(line));
    assert.deepEqual(told[`hubwire ${what}`].filter((line) => !/policy returned null/.test(line)), official, what);
  }
  // One that takes its time, and then says either.
  for (const delay of [1, null]) {
    const gate = pending();
    let asked = false;
    const connection = connect(url, {}, (builder) =>
      builder.withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => ((asked = true), gate.promise) }));
    const events = [];
    connection.onstatechange(({ state }) => events.push(state));
    connection.onreconnecting((error) => events.push(error instanceof Error));
    await connection.start();
    hub.last().drop();
    await until(() => asked);
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(connection.state, "Reconnecting");
    await assert.rejects(connection.send("x"), { code: "InvalidState" });
    gate.resolve(delay);
    const end = delay ? "Connected" : "Disconnected";
    await until(() => connection.state === end);
    assert.deepEqual(events, ["Connecting", "Connected", "Reconnecting", true, end]);
    await connection.stop();
  }
  clean();
}));

test("the error of a start and of a call without a connection says who has made it", withHub({}, async ({ url, ...hub }) => {
  hub.options.refuse = () => 503;
  for (const { HubConnectionBuilder } of [signalr, hubwire]) {
    const connection = new HubConnectionBuilder().withUrl(url).configureLogging("none").build();
    const callers = {
      async applicationStarts() { await connection.start(); },
      async applicationSends() { await connection.send("x"); },
      async applicationInvokes() { await connection.invoke("x"); },
    };
    for (const [name, call] of Object.entries(callers)) {
      const { stack } = await settled(call());
      assert.equal(stack.split(name).length, 2, stack);
    }
  }
}));

test("WebSocket: the constructor throws, or gives what never tells anything", withHub({}, async ({ url }) => {
  class Throws {
    constructor() {
      throw new Error("no");
    }
  }
  const error = await settled(connect(url, { transport: 1, WebSocket: Throws }).start());
  assert.match(error.message, /The WebSocket cannot be opened/);
  let made = 0;
  class Odd {
    constructor() {
      made += 1;
    }
  }
  const connection = connect(url, { transport: 1, WebSocket: Odd });
  const start = settled(connection.start());
  await until(() => made > 0);
  await connection.stop();
  assert.ok((await start) instanceof Error);
  clean();
}));
