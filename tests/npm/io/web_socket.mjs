// The WebSocket transport: how it opens in Node.js and in a browser, and how it ends.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { WebSocket as Ws, WebSocketServer } from "ws";
import { test } from "../../harness.mjs";
import { AbortError, DefaultHttpClient, folder, inPlaceOf, make, TransferFormat, until, WebSocketTransport, withServer } from "./servers.mjs";

const NOT_OPENED =
  "WebSocket failed to connect. The connection could not be found on the server, either the endpoint may not be a SignalR endpoint, the connection ID is not present on the server, or there is a proxy blocking WebSockets. If you have multiple servers check that sticky sessions are enabled.";

/** Whether this Node.js has a WebSocket of its own; the tests give an older one that of `ws`. */
const isNative = typeof globalThis.WebSocket === "function";
const option = isNative ? {} : { WebSocket: Ws };

/** A server with a WebSocket end, which gets the sockets. */
const withSockets = (body, handler = (_request, response) => response.end()) =>
  withServer(handler, async ({ url, server, requests }) => {
    const sockets = [];
    const upgrades = [];
    const end = new WebSocketServer({ noServer: true });
    server.on("upgrade", (request, socket, head) => {
      upgrades.push(request);
      if (request.url.startsWith("/refused") && request.headers.authorization !== "Bearer renewed") {
        socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      end.handleUpgrade(request, socket, head, (opened) => sockets.push(opened));
    });
    try {
      await body({ url, sockets, upgrades, requests });
    } finally {
      sockets.forEach((socket) => socket.terminate());
    }
  });

/** A browser's WebSocket, as far as a transport sees it. */
class Fake {
  static made = [];
  readyState = 0;
  sent = [];
  closes = 0;

  constructor(...args) {
    this.args = args;
    Fake.made.push(this);
  }

  open() {
    this.readyState = 1;
    this.onopen({});
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.closes += 1;
    this.readyState = 3;
  }
}

const fake = async (io = {}) => {
  const { transport, told } = make(WebSocketTransport, { WebSocket: Fake, ...io });
  const before = Fake.made.length;
  const connecting = transport.connect("https://h/hub?id=1", TransferFormat.Text);
  connecting.catch(() => {});
  await until(() => Fake.made.length > before);
  return { transport, told, connecting, socket: Fake.made.at(-1) };
};

test("WebSocket: in Node.js headers, cookies and the token go with the upgrade", withSockets(
  async ({ url, sockets, upgrades }) => {
    const httpClient = new DefaultHttpClient({ log() {} });
    await httpClient.post(`${url}/negotiate`);
    const { transport, told } = make(WebSocketTransport, { httpClient, headers: { "X-Own": 7, Cookie: "own=1" }, logMessageContent: true, ...option });
    await transport.connect(`${url}/hub?id=secret`, TransferFormat.Binary);
    const [{ url: path, headers }] = upgrades;
    assert.equal(path, "/hub?id=secret");
    assert.equal(headers.authorization, "Bearer token");
    assert.equal(headers["x-own"], "7");
    assert.equal(headers.cookie, "own=1; sticky=yes");
    assert.match(headers["user-agent"], /^hubwire\//);

    await until(() => sockets.length > 0);
    const got = [];
    sockets[0].on("message", (data) => got.push([...data]));
    await transport.send(new Uint8Array([0, 1, 2, 30]).subarray(1));
    await transport.send("x");
    sockets[0].send(Buffer.from([4, 50]));
    sockets[0].send("text");
    await until(() => got.length === 2 && told.received.length === 2);
    assert.deepEqual(got, [[1, 2, 30], [120]]);
    assert.ok(told.received[0] instanceof ArrayBuffer);
    assert.deepEqual([[...new Uint8Array(told.received[0])], told.received[1]], [[4, 50], "text"]);

    await transport.stop();
    await transport.stop();
    assert.deepEqual(told.closed, [undefined]);
    await assert.rejects(transport.send("late"), new Error("WebSocket is not in the OPEN state"));
    assert.deepEqual(told.lines, [
      "Trace (WebSockets transport) Connecting.",
      `Information WebSocket connected to ${url.replace("http", "ws")}/hub.`,
      "Trace (WebSockets transport) sending data. Binary data of length 3. Content: '0x01 0x02 0x1e'.",
      "Trace (WebSockets transport) sending data. String data of length 1. Content: 'x'.",
      "Trace (WebSockets transport) data received. Binary data of length 2. Content: '0x04 0x32'.",
      "Trace (WebSockets transport) data received. String data of length 4. Content: 'text'.",
      "Trace (WebSockets transport) socket closed.",
    ]);
  },
  (_request, response) => response.setHeader("Set-Cookie", "sticky=yes; Path=/").end(),
));

test("WebSocket: how the server closes it", withSockets(async ({ url, sockets }) => {
  for (const [close, message, closeCode] of [
    [(socket) => socket.close(1000)],
    [(socket) => socket.close(1011, "Oh no"), "WebSocket closed with status code: 1011 (Oh no).", 1011],
    [(socket) => socket.close(), "WebSocket closed with status code: 1005 (no reason given).", 1005],
    [(socket) => socket.terminate(), "WebSocket closed with status code: 1006 (no reason given).", 1006],
  ]) {
    sockets.length = 0;
    const { transport, told } = make(WebSocketTransport, option);
    await transport.connect(url, TransferFormat.Text);
    await until(() => sockets.length === 1);
    close(sockets[0]);
    await until(() => told.closed.length === 1);
    assert.equal(told.closed[0]?.message, message);
    assert.equal(told.closed[0]?.closeCode, closeCode);
  }
}));

test("WebSocket: where nothing listens it fails at once", async () => {
  const { transport, told } = make(WebSocketTransport, option);
  const start = performance.now();
  await assert.rejects(transport.connect("http://127.0.0.1:1/hub", TransferFormat.Text), { message: NOT_OPENED });
  assert.ok(performance.now() - start < 1000);
  await transport.stop();
  assert.deepEqual(told.closed, []);
});

test("WebSocket: one that is refused fails, and where the status can be known the token is renewed", withSockets(async ({ url }) => {
  if (isNative) {
    const { transport, told } = make(WebSocketTransport);
    await assert.rejects(transport.connect(`${url}/refused`, TransferFormat.Text), { message: NOT_OPENED });
    assert.deepEqual([told.renewals, told.closed], [[], []]);
  }
  const { transport, told } = make(WebSocketTransport, { WebSocket: Ws });
  await transport.connect(`${url}/refused`, TransferFormat.Text);
  assert.deepEqual(told.renewals, ["token"]);
  await transport.stop();
  const other = make(WebSocketTransport, { WebSocket: Ws, authorization: { renew: async () => undefined } });
  await assert.rejects(other.transport.connect(`${url}/refused`, TransferFormat.Text), { message: NOT_OPENED, statusCode: 401 });
}));

test("WebSocket: one that is stopped while it opens ends at once", async () => {
  // Takes the connection and says nothing.
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const accepted = new Promise((resolve) => server.once("connection", resolve));
  for (const WebSocket of [option.WebSocket, Ws]) {
    const { transport, told } = make(WebSocketTransport, WebSocket && { WebSocket });
    const connecting = transport.connect(`http://127.0.0.1:${server.address().port}`, TransferFormat.Text);
    connecting.catch(() => {});
    (await accepted).on("error", () => {});
    await transport.stop(true);
    await assert.rejects(connecting, AbortError);
    assert.deepEqual(told.closed, []);
  }
  const { transport } = make(WebSocketTransport, option);
  const connecting = transport.connect(`http://127.0.0.1:${server.address().port}`, TransferFormat.Text);
  await transport.stop();
  await assert.rejects(connecting, AbortError);
  (await accepted).destroy();
  server.close();
});

test("WebSocket: an application's own gets the official arguments", async () => {
  const { socket, connecting } = await fake({ WebSocket: Fake });
  const [url, protocols, { headers }] = socket.args;
  assert.deepEqual([url, protocols], ["wss://h/hub?id=1", undefined]);
  assert.equal(headers.Authorization, "Bearer token");
  assert.equal(headers["X-Own"], 7);
  assert.equal(socket.binaryType, "arraybuffer");
  socket.open();
  await connecting;
});

test("WebSocket: in a browser the token is in the query, and in no log", async () => {
  await inPlaceOf({ process: undefined, WebSocket: Fake }, async () => {
    const { socket, connecting, told } = await fake({ WebSocket: undefined, authorization: { token: () => "a+b" } });
    assert.deepEqual(socket.args, ["wss://h/hub?id=1&access_token=a%2Bb"]);
    socket.open();
    await connecting;
    assert.deepEqual(told.lines, ["Trace (WebSockets transport) Connecting.", "Information WebSocket connected to wss://h/hub."]);
    const plain = await fake({ authorization: { token: () => undefined } });
    assert.deepEqual(plain.socket.args, ["wss://h/hub?id=1"]);
  });
});

test("WebSocket: the one of jsdom takes no headers", async () => {
  class Strict extends Fake {
    constructor(...args) {
      if (typeof args[1] === "object") throw new SyntaxError(`The protocol '${args[1]}' is invalid: ${args[0]}`);
      super(...args);
    }
  }
  await inPlaceOf({ WebSocket: Strict }, async () => {
    const { socket } = await fake({ WebSocket: undefined });
    assert.deepEqual(socket.args, ["wss://h/hub?id=1&access_token=token"]);
  });
});

test("WebSocket: a constructor's error does not show the URL", async () => {
  class Refusing {
    constructor(url) {
      throw new SyntaxError(`The URL '${url}' is invalid.`);
    }
  }
  const { transport } = make(WebSocketTransport, { WebSocket: Refusing });
  await assert.rejects(transport.connect("http://h/?id=secret"), (error) => !`${error.stack}${error.cause}`.includes("secret"));
});

test("WebSocket: an error that no close follows ends the connection, and what comes later does nothing", async () => {
  const { transport, told, connecting, socket } = await fake();
  socket.open();
  await connecting;
  socket.onerror({});
  await until(() => told.closed.length === 1);
  assert.equal(told.closed[0].message, "There was an error with the transport.");
  assert.equal(socket.closes, 1);
  socket.onmessage({ data: "late" });
  socket.onclose({ code: 1006 });
  socket.onerror({});
  await transport.stop();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(told.closed.length, 1);
  assert.deepEqual(told.received, []);

  const second = await fake();
  second.socket.onerror({});
  await assert.rejects(second.connecting, { message: NOT_OPENED });
  const third = await fake();
  third.socket.onclose({ code: 1006 });
  await assert.rejects(third.connecting, { message: NOT_OPENED });
});

test("WebSocket: an error that a close follows is told by its code", async () => {
  const { told, connecting, socket } = await fake();
  socket.open();
  await connecting;
  socket.onerror({});
  socket.onclose({ code: 1009, reason: "", wasClean: false });
  assert.equal(told.closed[0].closeCode, 1009);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(told.closed.length, 1);
});

test("WebSocket: a message that cannot be taken ends the connection with its error", async () => {
  const { transport, told, connecting, socket } = await fake();
  socket.open();
  await connecting;
  transport.onreceive = () => {
    throw new Error("unreadable");
  };
  socket.onmessage({ data: "x" });
  assert.equal(told.closed[0].message, "unreadable");
  assert.equal(socket.closes, 1);
});

test("WebSocket: a transport can connect again", async () => {
  const { transport, told, connecting, socket } = await fake();
  socket.open();
  await connecting;
  await transport.stop();
  const again = transport.connect("http://h/hub", TransferFormat.Text);
  await until(() => Fake.made.at(-1) !== socket);
  Fake.made.at(-1).open();
  await again;
  await transport.send("x");
  assert.deepEqual(Fake.made.at(-1).sent, ["x"]);
  assert.equal(told.closed.length, 1);
});

test("WebSocket: a Node.js without one uses the package 'ws' where it is installed", withSockets(async ({ url, upgrades }) => {
  const copy = await mkdtemp(join(tmpdir(), "hubwire-io-"));
  try {
    await cp(new URL("src/", folder), join(copy, "src"), { recursive: true });
    await cp(new URL("package.json", folder), join(copy, "package.json"));
    await inPlaceOf({ WebSocket: undefined }, async () => {
      const without = await import(pathToFileURL(join(copy, "src/transports.js")));
      await assert.rejects(make(without.WebSocketTransport).transport.connect(url, TransferFormat.Text), /'WebSocket' is not supported in your environment\. Node\.js has one from version 22 on/);
      await mkdir(join(copy, "node_modules"));
      await symlink(fileURLToPath(new URL("../../../node_modules/ws", import.meta.url)), join(copy, "node_modules/ws"));
      const { transport } = make(without.WebSocketTransport);
      await transport.connect(url, TransferFormat.Text);
      assert.equal(upgrades[0].headers.authorization, "Bearer token");
      await transport.stop();
    });
  } finally {
    await rm(copy, { recursive: true });
  }
}));
