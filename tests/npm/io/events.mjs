// The Server-Sent Events transport: how it reads a stream, what it makes of other answers, and how it sends.
import assert from "node:assert/strict";
import { test } from "../../harness.mjs";
import { AbortError, eventReader, HttpClient, HttpResponse, make, ServerSentEventsTransport, TimeoutError, TransferFormat, until, withServer } from "./servers.mjs";

const NOT_OPENED =
  "EventSource failed to connect. The connection could not be found on the server, either the connection ID is not present on the server, or a proxy is refusing/buffering the connection. If you have multiple servers check that sticky sessions are enabled.";

const connect = async (url, io) => {
  const { transport, told } = make(ServerSentEventsTransport, io);
  await transport.connect(`${url}/hub?id=secret`, TransferFormat.Text);
  return { transport, told };
};

/** A server of events, which tells the answers that are streams. */
const withEvents = (body, post = (_request, response) => response.end()) => {
  const streams = [];
  return withServer(
    (request, response) => {
      if (request.method === "POST") return post(request, response);
      response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" }).flushHeaders();
      streams.push(response);
    },
    (server) => body({ ...server, streams }),
  );
};

test("events: what counts as one wherever the stream is cut", () => {
  for (const [stream, wanted] of [
    ['data: {"type":6}\x1e\r\n\r\n', ['{"type":6}\x1e']],
    ["data:a\n\ndata:  b\n\n", ["a", " b"]],
    ["data: one\rdata: two\r\rdata: three\r\n\r\n", ["one\ntwo", "three"]],
    ["data\n\n", [""]],
    ["data\ndata\n\n", ["\n"]],
    ["data:\n\ndata: \n\n", ["", ""]],
    [":\r\n\r\n: comment\r\ndata: x\r\n:\r\n\r\n\n\n\n", ["x"]],
    ["event: e\nid: 1\nretry: 5\ndata: x\nother: y\nno colon\n\n", ["x"]],
    ["event: e\nid: 1\n\n", []],
    ["data : x\nDATA: y\ndatas: z\n\n", []],
    ["data: grüße \u{1f600}\u2028\n\n", ["grüße \u{1f600}\u2028"]],
    ["data: whole\n\ndata: has no end\n", ["whole"]],
    ["", []],
  ]) {
    for (let at = 0; at <= stream.length; at += 1) {
      const feed = eventReader();
      const events = [stream.slice(0, at), "", stream.slice(at)].flatMap((part) => feed(part));
      assert.deepEqual(events, wanted, `${JSON.stringify(stream)} cut at ${at}`);
    }
    const feed = eventReader();
    assert.deepEqual([...stream].flatMap((part) => feed(part)), wanted, `${JSON.stringify(stream)} one by one`);
  }
  const feed = eventReader();
  // The CR alone is the end; the LF after it is not waited for.
  assert.deepEqual([feed("data: x\r\n\r"), feed("\ndata: y\n\n")], [["x"], ["y"]]);
});

test("events: one of 16 MiB in pieces of 1 KiB is not searched again with each of them", () => {
  const feed = eventReader();
  const piece = "x".repeat(1024);
  const start = performance.now();
  feed("data: ");
  for (let n = 0; n < 16 * 1024; n += 1) feed(piece);
  const [event] = feed("\n\n");
  const took = performance.now() - start;
  assert.equal(event.length, 16 << 20);
  // In linear time it takes a tenth of a second, in quadratic time more than a minute.
  assert.ok(took < 10_000, `${took} ms`);
});

test("events: they are bounded", () => {
  const piece = "x".repeat(1 << 20);
  for (const line of [() => piece, () => `data: ${piece}\n`, () => `:${piece}`]) {
    const feed = eventReader();
    assert.throws(() => {
      for (let n = 0; n < 40; n += 1) feed(line());
    }, /The server sent an event of more than 33554432 characters/);
  }
  const feed = eventReader();
  for (let n = 0; n < 40; n += 1) assert.equal(feed(`data: ${piece}\n\n`).length, 1);
});

test("Server-Sent Events: received by fetch, sent as POSTs one at a time", withEvents(
  async ({ url, requests, streams }) => {
    const { transport, told } = await connect(url, { logMessageContent: true });
    const [{ headers, method, url: path }] = requests;
    assert.deepEqual([method, path, headers.accept, headers.authorization, headers["x-own"]], ["GET", "/hub?id=secret", "text/event-stream", "Bearer token", "7"]);
    const bytes = Buffer.from("\ufeffdata: ü1\n\n");
    streams[0].write(bytes.subarray(0, 10));
    await until(() => told.received.length === 1);
    streams[0].write(bytes.subarray(10));
    await until(() => told.received.length === 2);
    streams[0].write(": still there\n\n");
    await until(() => told.received.length === 3);
    // An empty one is a sign of life.
    assert.deepEqual(told.received, ["", "ü1", ""]);

    await Promise.all(["a", "b", "c"].map((data) => transport.send(data)));
    const posts = requests.slice(1);
    assert.deepEqual(posts.map(({ body }) => body.toString()), ["a", "b", "c"]);
    assert.equal(posts[0].headers.authorization, "Bearer token");
    assert.equal(posts[0].url, "/hub?id=secret");
    await transport.stop();
    await transport.stop();
    assert.deepEqual(told.closed, [undefined]);
    await until(() => streams[0].destroyed);
    await assert.rejects(transport.send("late"), new Error("Cannot send until the transport is connected"));
    assert.equal(requests.length, 4);
    assert.deepEqual(told.lines.slice(0, 5), [
      "Trace (SSE transport) Connecting.",
      `Information SSE connected to ${url}/hub`,
      "Trace (SSE transport) data received. String data of length 2. Content: 'ü1'.",
      "Trace (SSE transport) sending data. String data of length 1. Content: 'a'.",
      "Trace (SSE transport) request complete. Response status: 200.",
    ]);
    assert.ok(!String(told.lines).includes("secret"));
  },
  async (request, response) => {
    // Another request that came meanwhile would be answered first.
    if (request.body.toString() === "a") await new Promise((resolve) => setTimeout(resolve, 20));
    response.end();
  },
));

test("Server-Sent Events: what is not a stream of events is a failed opening", withServer(
  (request, response) => {
    const [, status, type] = /^\/(\d+)\/([^?]*)/.exec(request.url);
    response.writeHead(Number(status), type ? { "Content-Type": decodeURIComponent(type) } : {}).end("\n");
  },
  async ({ url }) => {
    const open = (path) => make(ServerSentEventsTransport).transport.connect(url + path, TransferFormat.Text);
    await assert.rejects(open("/200/text%2Fhtml"), { message: `${NOT_OPENED} The answer is of the type text/html.`, statusCode: 200 });
    await assert.rejects(open("/200/text%2Fevent-streams"), { statusCode: 200 });
    await assert.rejects(open("/404/text%2Fevent-stream"), { message: `${NOT_OPENED} The answer has the status 404.`, statusCode: 404 });
    await open("/200/Text%2FEvent-Stream%20;x");
    await open("/200/");
    const { transport, told } = make(ServerSentEventsTransport);
    await assert.rejects(transport.connect(url, TransferFormat.Binary), new Error("The Server-Sent Events transport only supports the 'Text' transfer format"));
    await transport.stop();
    assert.deepEqual(told.closed, []);
  },
));

test("Server-Sent Events: a message that the server refuses does not end the connection", withEvents(
  async ({ url, streams }) => {
    const { transport, told } = await connect(url, { timeout: 1500 });
    const sent = ["413", "html", "200", "hang", "200"].map((data) => transport.send(data));
    await assert.rejects(sent[0], { statusCode: 413 });
    await assert.rejects(sent[1], /web page/);
    await sent[2];
    await assert.rejects(sent[3], TimeoutError);
    await sent[4];
    streams[0].write("data: x\n\n");
    await until(() => told.received.length === 1);
    assert.deepEqual(told.closed, []);
    await transport.stop();
  },
  (request, response) => {
    const what = request.body.toString();
    if (what === "html") response.setHeader("Content-Type", "text/html").end("<p>Log in");
    else if (what !== "hang") response.writeHead(Number(what)).end();
  },
));

test("Server-Sent Events: a rejected token is renewed once", withServer(
  (request, response) => {
    const status = request.headers.authorization === "Bearer renewed" && !request.url.includes("never") ? 200 : 401;
    response.writeHead(status, { "Content-Type": "text/event-stream" }).flushHeaders();
    if (status === 401) response.end();
  },
  async ({ url, requests }) => {
    const { transport, told } = await connect(url);
    assert.deepEqual(told.renewals, ["token"]);
    await transport.stop();
    requests.length = 0;
    const never = make(ServerSentEventsTransport);
    await assert.rejects(never.transport.connect(`${url}/never`, TransferFormat.Text), { statusCode: 401 });
    assert.equal(requests.length, 2);
    requests.length = 0;
    const none = make(ServerSentEventsTransport, { authorization: { renew: async () => undefined } });
    await assert.rejects(none.transport.connect(url, TransferFormat.Text), { statusCode: 401 });
    assert.equal(requests.length, 1);
  },
));

test("Server-Sent Events: how the server ends it", withEvents(async ({ url, streams }) => {
  for (const [end, isError] of [
    [(stream) => stream.end(), false],
    [(stream) => stream.destroy(), true],
  ]) {
    const { transport, told } = await connect(url);
    end(streams.at(-1));
    await until(() => told.closed.length === 1);
    assert.equal(told.closed[0] instanceof Error, isError);
    await transport.stop();
    assert.equal(told.closed.length, 1);
    await assert.rejects(transport.send("x"), /Cannot send/);
  }
}));

test("Server-Sent Events: an event that cannot be taken ends the connection with its error", withEvents(async ({ url, streams }) => {
  const { transport, told } = await connect(url);
  transport.onreceive = () => {
    throw new Error("unreadable");
  };
  streams[0].write("data: x\n\n");
  await until(() => told.closed.length === 1);
  assert.equal(told.closed[0].message, "unreadable");
  await until(() => streams[0].destroyed);
}));

test("Server-Sent Events: while it is paused nothing is read", withEvents(async ({ url, streams }) => {
  const { transport, told } = await connect(url);
  const got = [];
  transport.onreceive = (data) => {
    got.push(data);
    if (got.length === 1) transport.pause();
  };
  streams[0].write("data: 1\n\ndata: 2\n\n");
  await until(() => got.length === 1);
  // Much more than buffers on the way take: it stays at the server.
  const chunk = `data: ${"x".repeat(1 << 20)}\n\n`;
  for (let n = 0; n < 64; n += 1) streams[0].write(chunk);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(got, ["1"]);
  assert.ok(streams[0].writableLength > 16 << 20, String(streams[0].writableLength));
  transport.resume();
  await until(() => got.filter(Boolean).length === 66);
  assert.equal(got[1], "2");
  transport.pause();
  await transport.stop();
  assert.deepEqual(told.closed, [undefined]);
}));

test("Server-Sent Events: what is sent before the end still goes, for a second at most", withEvents(
  async ({ url, requests }) => {
    const { transport } = await connect(url);
    const sent = [transport.send("a"), transport.send("b")];
    await transport.stop();
    await Promise.all(sent);
    assert.deepEqual(requests.slice(1).map(({ body }) => body.toString()), ["a", "b"]);
    for (const abort of [false, true]) {
      const other = await connect(url);
      const late = ["hang", "never"].map((data) => other.transport.send(data));
      late.forEach((one) => one.catch(() => {}));
      await until(() => requests.at(-1).body.toString() === "hang");
      const start = performance.now();
      await other.transport.stop(abort);
      const took = performance.now() - start;
      assert.ok(abort ? took < 900 : took > 900, String(took));
      await assert.rejects(late[0], AbortError);
      await assert.rejects(late[1], /Cannot send/);
      assert.equal(requests.at(-1).method === "POST" ? requests.at(-1).body.toString() : "", "hang");
    }
  },
  (request, response) => {
    if (request.body.toString() !== "hang") response.end();
  },
));

test("Server-Sent Events: one that is stopped while it opens ends at once", withServer(() => {}, async ({ url, requests }) => {
  const { transport, told } = make(ServerSentEventsTransport);
  const connecting = transport.connect(url, TransferFormat.Text);
  connecting.catch(() => {});
  await until(() => requests.length === 1);
  await transport.stop();
  await assert.rejects(connecting, AbortError);
  assert.deepEqual(told.closed, []);
}));

test("Server-Sent Events: an application's HTTP client sends, and its cookies are given", withEvents(async ({ url, requests, streams }) => {
  class Own extends HttpClient {
    calls = [];

    async send(request) {
      this.calls.push(request);
      return new HttpResponse(request.content === "no" ? 500 : 200, "", "");
    }

    getCookieString() {
      return "own=1";
    }
  }
  const httpClient = new Own();
  const { transport } = await connect(url, { httpClient });
  assert.equal(requests[0].headers.cookie, "own=1");
  assert.equal(streams.length, 1);
  await transport.send("x");
  await assert.rejects(transport.send("no"), { statusCode: 500 });
  const [{ method, content, headers, timeout, withCredentials }] = httpClient.calls;
  assert.deepEqual([method, content, headers.Authorization, headers["X-Own"], timeout, withCredentials], ["POST", "x", "Bearer token", 7, 5000, true]);
  await transport.stop();
}));

test("Server-Sent Events: an application's EventSource is used as the official client does", async () => {
  const made = [];
  class EventSource {
    constructor(...args) {
      this.args = args;
      made.push(this);
    }

    close() {
      this.isClosed = true;
    }
  }
  const open = async () => {
    const { transport, told } = make(ServerSentEventsTransport, { EventSource });
    const connecting = transport.connect("http://h/hub?id=1", TransferFormat.Text);
    connecting.catch(() => {});
    const before = made.length;
    await until(() => made.length > before);
    return { transport, told, connecting, source: made.at(-1) };
  };
  const first = await open();
  const [url, { withCredentials, headers }] = first.source.args;
  assert.deepEqual([url, withCredentials, headers["X-Own"]], ["http://h/hub?id=1&access_token=token", true, 7]);
  first.source.onopen({});
  await first.connecting;
  first.source.onmessage({ data: "x" });
  assert.deepEqual(first.told.received, ["x"]);
  first.source.onerror({});
  await until(() => first.told.closed.length === 1);
  assert.deepEqual([first.told.closed, first.source.isClosed], [[undefined], true]);

  const second = await open();
  second.source.onerror({});
  await assert.rejects(second.connecting, { message: NOT_OPENED });
  assert.ok(second.source.isClosed);

  const third = await open();
  await third.transport.stop();
  await assert.rejects(third.connecting, AbortError);
  assert.ok(third.source.isClosed);

  const fourth = await open();
  fourth.source.onopen({});
  await fourth.connecting;
  await fourth.transport.stop();
  assert.deepEqual([fourth.told.closed, fourth.source.isClosed], [[undefined], true]);
});
