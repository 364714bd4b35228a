// The package where others wrap its objects: proxies, Vue, Pinia, MobX, and zone.js's promises; and what is logged, beside the
// official client. Arguments: the package's folder, `zone` for promises of zone.js. HUBWIRE_TEST_HUB_URL: the hub.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { runInNewContext } from "node:vm";
import * as signalr from "@microsoft/signalr";
import { observable } from "mobx";
import { createPinia, defineStore, setActivePinia } from "pinia";
import { effect, reactive, readonly, ref, shallowReactive, shallowRef } from "vue";
import WebSocket from "ws";
import { run, test } from "../harness.mjs";

const url = process.env.HUBWIRE_TEST_HUB_URL;
const [folder, zone] = process.argv.slice(2);
if (!folder || !url) throw new Error("usage: HUBWIRE_TEST_HUB_URL=… at_home.mjs FOLDER [zone]");
if (zone) await import("zone.js/node");
const ours = await import(new URL("src/index.js", pathToFileURL(`${resolve(folder)}/`)));
const { HttpTransportType, HubConnectionBuilder, HubConnectionState, LogLevel, Subject } = ours;

// Node.js has one from version 22 on.
globalThis.WebSocket ??= WebSocket;

/** As some state libraries do: whatever is an object comes out wrapped as well. */
const deep = (target) =>
  new Proxy(target, {
    get(object, key, receiver) {
      const value = Reflect.get(object, key, receiver);
      return value !== null && typeof value === "object" ? deep(value) : value;
    },
  });

const useStore = defineStore("chat", { state: () => ({ held: null, nested: { list: [] } }) });

function inStore(held) {
  setActivePinia(createPinia());
  const store = useStore();
  store.held = held;
  store.nested.list.push(held);
  return store.nested.list[0];
}

const WRAPS = {
  "a proxy": (held) => new Proxy(held, {}),
  "proxies all the way down": deep,
  "Vue's reactive": reactive,
  "Vue's ref": (held) => ref(held).value,
  "Vue's ref of an object that holds it": (held) => ref({ service: { held } }).value.service.held,
  "Vue's shallowRef": (held) => shallowRef(held).value,
  "Vue's shallowReactive": shallowReactive,
  "a store of Pinia": inStore,
  "an observable of MobX": (held) => observable({ held }).held,
  "Object.freeze": Object.freeze,
};

const next = (subscribe) => new Promise((done) => subscribe(done));

for (const [name, wrap] of Object.entries(WRAPS)) {
  test(`in ${name}`, async () => {
    const lines = [];
    const logger = { log: (level, message) => lines.push([level, message]) };
    const builder = wrap(new HubConnectionBuilder()).withUrl(`${url}/ws`, { logger }).configureLogging(logger).withAutomaticReconnect([0]);
    const connection = wrap(builder.build());
    const states = [];
    connection.onstatechange(({ state }) => states.push(state));
    const closed = next((done) => connection.onclose(done));
    const pushed = next((done) => connection.on("pushed", done));
    connection.on("Question", (what) => `because ${what}`);
    assert.equal(connection.connectionId, null);
    await connection.start();
    assert.equal(connection.state, HubConnectionState.Connected);
    assert.equal(typeof connection.connectionId, "string");
    assert.equal(connection.negotiated.transport, "WebSockets");
    assert.equal(connection.baseUrl, `${url}/ws`);
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    await connection.send("Push", "pushed", ["there"]);
    assert.equal(await pushed, "there");
    assert.equal(await connection.invoke("Ask", "Question", "why"), "because why");
    const items = [];
    for await (const item of wrap(connection.stream("Counter", 3, 0))) items.push(item);
    await new Promise((complete, error) => wrap(connection.stream("Counter", 2, 0)).subscribe({ next: (item) => items.push(item), complete, error }));
    assert.deepEqual(items, [0, 1, 2, 0, 1]);
    const subject = wrap(new Subject());
    const sum = connection.invoke("UploadSum", subject);
    for (const item of [1, 2, 3]) subject.next(item);
    subject.complete();
    assert.equal(await sum, 6);
    assert.equal(await connection.with({ signal: new AbortController().signal }).invoke("Add", 2, 2), 4);
    connection.off("pushed");
    connection.serverTimeoutInMilliseconds = 60_000;
    assert.equal(connection.serverTimeoutInMilliseconds, 60_000);
    // What is inside is not there for clones and walks.
    assert.ok(JSON.stringify(connection).length < 50);
    if (name === "Object.freeze") structuredClone(connection);
    await connection.stop();
    assert.equal(await closed, undefined);
    assert.equal(connection.state, HubConnectionState.Disconnected);
    assert.deepEqual(states, ["Connecting", "Connected", "Disconnecting", "Disconnected"]);
    assert.deepEqual(lines.filter(([level]) => level >= LogLevel.Warning), []);
  });
}

test("in Vue, an effect sees every state, and the id", async () => {
  const connection = reactive(new HubConnectionBuilder().withUrl(`${url}/ws`).configureLogging("none").build());
  const seen = [];
  effect(() => seen.push([connection.state, connection.connectionId !== null]));
  await connection.start();
  await connection.stop();
  assert.deepEqual(seen, [
    ["Disconnected", false],
    ["Connecting", false],
    ["Connected", true],
    ["Disconnecting", true],
    ["Disconnected", false],
  ]);
});

test("in Vue's readonly, it works as well", async () => {
  const warn = console.warn;
  console.warn = () => {};
  try {
    const connection = readonly(new HubConnectionBuilder().withUrl(`${url}/ws`).configureLogging("none").build());
    await connection.start();
    assert.equal(connection.state, "Connected");
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    await connection.stop();
    assert.equal(connection.state, "Disconnected");
  } finally {
    console.warn = warn;
  }
});

test("thenables and promises of another realm: tokens, results, delays, items", async () => {
  const thenable = (value) => ({ then: (done) => void setTimeout(() => done(value)) });
  const foreign = (value) => runInNewContext("Promise.resolve(value)", { value });
  for (const later of [thenable, foreign]) {
    let asked = 0;
    const connection = new HubConnectionBuilder()
      .withUrl(`${url}/ws`, { accessTokenFactory: () => later(undefined) })
      .configureLogging("none")
      .withAutomaticReconnect({
        nextRetryDelayInMilliseconds: () => {
          asked += 1;
          return later(0);
        },
      })
      .build();
    connection.on("Question", (what) => later(`because ${what}`));
    const back = next((done) => connection.onreconnected(done));
    await connection.start();
    assert.equal(await connection.invoke("Ask", "Question", "why"), "because why");
    const items = { [Symbol.asyncIterator]: () => { let n = 0; return { next: () => later({ done: n === 3, value: n++ }) }; } };
    assert.equal(await connection.invoke("UploadSum", items), 3);
    await connection.send("Drop");
    await back;
    assert.equal(asked, 1);
    await connection.stop();
  }
});

test("a token that is no text fails the start, and names its kind", async () => {
  const connection = new HubConnectionBuilder().withUrl(`${url}/hub`, { accessTokenFactory: () => 5 }).configureLogging("none").build();
  await assert.rejects(connection.start(), { message: /The access token has to be a text; the factory gave a number\./ });
});

// What the functional tests of the official client do with it, beyond what `hub.mjs` does.

for (const transport of [HttpTransportType.WebSockets, HttpTransportType.ServerSentEvents, HttpTransportType.LongPolling]) {
  const name = HttpTransportType[transport];

  test(`over ${name}: a caller's HttpClient gets every request`, async () => {
    const inner = new ours.DefaultHttpClient(ours.NullLogger.instance);
    class Client extends ours.HttpClient {
      seen = [];
      send(request) {
        this.seen.push(request.method);
        return inner.send(request);
      }
      getCookieString(address) {
        return inner.getCookieString(address);
      }
    }
    const client = new Client();
    // One that is no more than an object, as tests make them, and one of the official package.
    const plain = { send: (request) => client.send(request) };
    const theirs = new signalr.DefaultHttpClient(signalr.NullLogger.instance);
    for (const httpClient of [client, plain, theirs]) {
      const connection = new HubConnectionBuilder().withUrl(`${url}/hub`, { httpClient, transport }).configureLogging("none").build();
      client.seen.length = 0;
      await connection.start();
      assert.equal(await connection.invoke("Add", 1, 2), 3);
      assert.equal(connection.negotiated.transport, name);
      await connection.stop();
      if (httpClient === theirs) continue;
      assert.equal(client.seen[0], "POST");
      assert.equal(client.seen.includes("DELETE"), transport === HttpTransportType.LongPolling);
    }
  });

  test(`over ${name}: a loss brought about by serverTimeout`, async () => {
    const connection = new HubConnectionBuilder().withUrl(`${url}/hub`, { transport }).configureLogging("none").withAutomaticReconnect([0]).build();
    const lost = next((done) => connection.onreconnecting(done));
    const back = next((done) => connection.onreconnected(done));
    await connection.start();
    const before = connection.connection.connectionId;
    connection.serverTimeout();
    assert.match((await lost).message, /Server timeout elapsed without receiving a message from the server\.$/);
    assert.notEqual(await back, before);
    assert.equal(await connection.invoke("Add", 1, 2), 3);
    await connection.stop();
  });
}

test("a server timeout that is changed while connected holds from the next message on", async () => {
  const connection = new HubConnectionBuilder().withUrl(`${url}/ws`).configureLogging("none").build();
  const closed = next((done) => connection.onclose(done));
  await connection.start();
  connection.serverTimeoutInMilliseconds = 1;
  await connection.invoke("Add", 1, 2);
  assert.equal((await closed).message, "Server timeout elapsed without receiving a message from the server.");
});

test("a transport and a WebSocket of the application's own are used", async () => {
  const made = [];
  class Socket extends WebSocket {
    constructor(...given) {
      super(...given);
      made.push(given[0]);
    }
  }
  const connection = new HubConnectionBuilder().withUrl(`${url}/ws`, { WebSocket: Socket }).configureLogging("none").build();
  await connection.start();
  assert.equal(await connection.invoke("Add", 1, 2), 3);
  await connection.stop();
  assert.match(made[0], /^ws:/);
  const transport = {
    onreceive: null,
    onclose: null,
    async connect(address) {
      this.socket = new WebSocket(address.replace(/^http/, "ws"));
      this.socket.onmessage = ({ data }) => this.onreceive(data);
      this.socket.onclose = () => this.onclose();
      await new Promise((done, fail) => Object.assign(this.socket, { onopen: done, onerror: fail }));
    },
    async send(data) {
      this.socket.send(data);
    },
    async stop() {
      this.socket.close();
    },
  };
  const own = new HubConnectionBuilder().withUrl(`${url}/ws`, { transport }).configureLogging("none").build();
  await own.start();
  assert.equal(await own.invoke("Add", 1, 2), 3);
  await own.stop();
  assert.ok(transport.socket);
});

/** The lines of the connection itself, with what differs between runs made the same. */
async function logged(lib) {
  const lines = [];
  const logger = { log: (level, message) => lines.push(`${LogLevel[level]} ${message}`) };
  const failing = new lib.HubConnectionBuilder().withUrl(`${url}/nowhere-at-all`, { logger }).configureLogging(logger).build();
  await failing.start().catch(() => {});
  const connection = new lib.HubConnectionBuilder()
    .withUrl(`${url}/hub`, { logger, transport: HttpTransportType.WebSockets })
    .configureLogging(logger)
    .withAutomaticReconnect([0])
    .build();
  const fail = (text) => () => {
    throw new Error(text);
  };
  connection.onreconnected(fail("in onreconnected"));
  connection.onclose(fail("in onclose"));
  connection.on("Throws", fail("in a handler"));
  connection.on("Returns", () => "unwanted");
  connection.on("Silent", () => {});
  connection.on("Several", () => 1);
  connection.on("Several", () => 2);
  await connection.stop();
  await connection.start();
  for (const method of ["Throws", "Returns", "Unknown"]) await connection.send("Push", method, [1]);
  for (const method of ["Throws", "Silent", "Several", "Unknown"]) await connection.invoke("Ask", method, "why").catch(() => {});
  await new Promise((done) => {
    connection.stream("Counter", 1, 0).subscribe({ next: fail("in a subscriber"), complete: done, error: done });
  });
  const back = next((done) => connection.onreconnecting(done));
  await connection.send("Drop").catch(() => {});
  await back;
  while (connection.state !== "Connected") await new Promise((done) => setTimeout(done, 10));
  await Promise.all([connection.stop(), connection.stop()]);
  return lines;
}

const OWN = /^\w+ (Starting HubConnection|HubConnection connected|HubConnection failed|Stopping HubConnection|Connection reconnecting|HubConnection reconnected|An on|A callback for|No client method|No result given|Multiple results|Result given|Call to H\w+\.stop\(undefined\) ignored because (it is already in the disconnected|the connection is already in the disconnecting)|Stream callback)/;
const alike = (lines) =>
  lines
    .filter((line) => OWN.test(line))
    // When handlers of several calls run is not the same.
    .sort()
    .map((line) => line.split("\n")[0])
    // What failed is in the words of the driver and of the platform; ids are random.
    .map((line) => line.replace(/because of error '.*'\./, "because of error 'E'.").replace(/connectionId '[^;]*;/, "connectionId 'ID;").replace(/invocation ID '.*'/, "invocation ID 'N'"));

if (!zone) {
  test("the connection logs what the official client's logs", async () => {
    const [theirs, mine] = [alike(await logged(signalr)), alike(await logged(ours))];
    assert.ok(theirs.length > 15, theirs.join("\n"));
    assert.deepEqual(mine, theirs);
  });

  test("everything with promises of zone.js", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), folder, "zone"]).catch((error) => error);
    assert.match(stdout, /^[1-9]\d* passed, 0 failed$/m, stdout);
  }, { seconds: 60 });
}

await run();
