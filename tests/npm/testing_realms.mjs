// The mock hub under fake timers, and in the place of a window's fetch and WebSocket.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { mock } from "node:test";
import { WebSocket as WsWebSocket, WebSocketServer } from "ws";
import { test } from "../harness.mjs";
import { until } from "./testing_suite.mjs";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Does something while every timer is a fake, `queueMicrotask` too, as with Jest. */
async function withFakeTimers(body) {
  // The time limit of the test is not one of them.
  await turn();
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = () => assert.fail("queueMicrotask is a fake");
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  try {
    await body(async (seconds) => {
      for (let n = 0; n < seconds; n += 1) {
        mock.timers.tick(1000);
        await turn();
      }
    });
  } finally {
    mock.timers.reset();
    Object.assign(globalThis, { queueMicrotask });
  }
}

export function timerTests(MockHub, client) {
  const start = async (hub, url = "http://hub.test/chat", configure = (builder) => builder) => {
    const connection = configure(client.builder().withUrl(url, hub.options())).build();
    await connection.start();
    return connection;
  };

  test(`${client.name}: fake timers: nothing waits for them, and an idle connection lasts`, () => withFakeTimers(async (advance) => {
    const hub = new MockHub().method("Add", (a, b) => a + b);
    const connection = await start(hub);
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    await advance(300);
    assert.equal(connection.state, "Connected");
    // Nor does one that only sends, and gets no answers.
    for (let n = 0; n < 30; n += 1) {
      await connection.send("Move", n);
      await advance(10);
    }
    assert.equal(connection.state, "Connected");
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    await connection.stop();
  }));

  test(`${client.name}: fake timers: one is due once it has run, whatever fraction of a millisecond its time has`, () => withFakeTimers(async (advance) => {
    const { now } = performance;
    // Times at which that of the first ping, 15 s later, is cut by a microsecond on its way from milliseconds and back.
    const isCut = (time) => Math.trunc((time / 1000) * 1000) < time;
    const times = Array.from({ length: 1_000 }, (_, n) => 1_500_000 + n).filter((time) => isCut(time + 15_000_000)).slice(0, 3);
    assert.equal(times.length, 3);
    try {
      for (const time of times) {
        let asked = 0;
        performance.now = () => {
          asked += 1;
          assert.ok(asked < 100_000, "a timer is set again and again");
          return time / 1000;
        };
        const connection = await start(new MockHub());
        await advance(60);
        assert.equal(connection.state, "Connected");
        await connection.stop();
      }
    } finally {
      performance.now = now;
    }
  }));

  test(`${client.name}: fake timers: reconnects come when they are due`, () => withFakeTimers(async (advance) => {
    const hub = new MockHub();
    const connection = await start(hub, undefined, (builder) => builder.withAutomaticReconnect([5000]));
    hub.drop();
    await advance(4);
    assert.equal(connection.state, "Reconnecting");
    assert.deepEqual(hub.connections, []);
    await advance(2);
    await hub.connected();
    await until(() => connection.state === "Connected");
    await connection.stop();
  }));

  test(`${client.name}: fake timers: a hub that stalls is given up`, () => withFakeTimers(async (advance) => {
    const hub = new MockHub().method("Add", (a, b) => a + b);
    const connection = await start(hub);
    const closed = new Promise((resolve) => connection.onclose(resolve));
    hub.stall();
    const call = connection.invoke("Add", 1, 2);
    call.catch(() => {});
    await advance(25);
    assert.equal(connection.state, "Connected");
    await advance(10);
    assert.match((await closed).message, /timeout/i);
    await assert.rejects(call);
    await until(() => hub.connections.length === 0);
    assert.deepEqual(hub.calls, []);
  }));
}

export function installTests(MockHub, client) {
  test(`${client.name}: install: by a path, by a URL, by a pattern, until it is undone`, async () => {
    const { fetch, WebSocket } = globalThis;
    const [chat, news, other] = [new MockHub(), new MockHub(), new MockHub()];
    const undo = [chat.install("/chat"), news.install("http://hub.test/news/"), other.install(/^http:.*other.*tenant=1/g)];
    const connect = async (url) => {
      const connection = client.builder().withUrl(url, client.options()).build();
      await connection.start();
      return connection;
    };
    const connections = [await connect("http://a.test/chat"), await connect("http://hub.test/news")];
    assert.deepEqual([chat, news].map((hub) => hub.connections.length), [1, 1]);
    chat.method("Add", (a, b) => a + b);
    assert.equal(await connections[0].invoke("Add", 1, 2), 3);
    connections.push(await connect("http://hub.test/other?tenant=1"));
    assert.equal(other.connections.length, 1);
    // The one installed last decides.
    const newest = new MockHub();
    const undoNewest = newest.install("/chat");
    connections.push(await connect("http://a.test/chat"));
    assert.deepEqual([chat, newest].map((hub) => hub.connections.length), [1, 1]);
    undoNewest();
    connections.push(await connect("http://a.test/chat"));
    assert.equal(chat.connections.length, 2);
    for (const connection of connections) await connection.stop();
    for (const end of undo) end();
    undo[0]();
    assert.equal(globalThis.fetch, fetch);
    assert.equal(globalThis.WebSocket, WebSocket);
    assert.throws(() => chat.install("chat"), /path as "\/chat"/);
    assert.throws(() => chat.install(), TypeError);
  });
}

/** What is not a hub's goes where it went before. */
export function passingTests(MockHub) {
  test("install: everything else goes where it went before", async () => {
    const server = createServer((request, response) => {
      response.end(`${request.method} ${request.url}`);
    });
    new WebSocketServer({ server }).on("connection", (socket) => socket.on("message", (data) => socket.send(String(data))));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = `http://127.0.0.1:${server.address().port}`;
    // Node.js 20 has none.
    const hadWebSocket = "WebSocket" in globalThis;
    if (!hadWebSocket) globalThis.WebSocket = WsWebSocket;
    const restore = new MockHub().install("/chat");
    try {
      assert.equal(await (await fetch(`${address}/api`)).text(), "GET /api");
      // A page may have the same URL as a hub.
      assert.equal(await (await fetch(`${address}/chat`, { method: "PUT" })).text(), "PUT /chat");
      assert.equal(await (await fetch(new Request(`${address}/chat/rooms`))).text(), "GET /chat/rooms");
      const negotiated = await (await fetch(`${address}/chat/negotiate?negotiateVersion=1`, { method: "POST" })).json();
      assert.equal(negotiated.connectionId, "mock-1");
      const lost = await fetch(`${address}/chat?id=unknown`);
      assert.equal(await lost.text(), "GET /chat?id=unknown");
      const socket = new WebSocket(address.replace("http", "ws"));
      assert.ok(socket instanceof WebSocket);
      const got = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
      socket.addEventListener("open", () => socket.send("through"));
      assert.equal(await got, "through");
      socket.close();
    } finally {
      restore();
      if (!hadWebSocket) delete globalThis.WebSocket;
      server.closeAllConnections();
      server.close();
    }
  });

  test("install: a window of its own, without fetch, WebSocket or Response", async () => {
    const window = { Uint8Array, location: { href: "http://app.test/start" } };
    const hub = new MockHub();
    const restore = hub.install("/chat", window);
    const answer = await window.fetch("/chat/negotiate?negotiateVersion=1", { method: "POST", headers: [["Authorization", "Bearer good"]] });
    assert.equal(answer.status, 200);
    const { connectionToken } = await answer.json();
    const socket = new window.WebSocket(`ws://app.test/chat?id=${connectionToken}`);
    const messages = [];
    socket.addEventListener("message", ({ data }) => messages.push(data));
    await new Promise((resolve) => (socket.onopen = resolve));
    assert.equal(socket.readyState, window.WebSocket.OPEN);
    socket.send('{"protocol":"json","version":1}\x1e');
    assert.equal((await hub.connected()).accessToken, "good");
    await until(() => messages.length > 0);
    assert.equal(messages[0], "{}\x1e");
    await assert.rejects(window.fetch("/elsewhere"), /no mock hub for http:\/\/app\.test\/elsewhere/);
    assert.throws(() => new window.WebSocket("/elsewhere"), /no mock hub/);
    restore();
    assert.deepEqual(Object.keys(window), ["Uint8Array", "location"]);
  });
}
