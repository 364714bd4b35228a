// The long polling transport: its polls, its messages and its farewell.
import assert from "node:assert/strict";
import { test } from "../../harness.mjs";
import { AbortError, HttpClient, HttpResponse, inPlaceOf, LongPollingTransport, make, TransferFormat, until, withServer } from "./servers.mjs";

/** A server whose first poll is answered at once, and whose later ones wait for `next`. */
const withPolls = (body, others = (_request, response) => response.end()) => {
  const waiting = [];
  let polls = 0;
  return withServer(
    (request, response) => {
      if (request.method !== "GET") return others(request, response);
      polls += 1;
      if (polls === 1) return response.end();
      waiting.push(response);
    },
    (server) =>
      body({
        ...server,
        waiting,
        next: async (status, content, headers = {}) => {
          await until(() => waiting.length > 0);
          waiting.shift().writeHead(status, headers).end(content);
        },
      }),
  );
};

const connect = async (url, io, format = TransferFormat.Text) => {
  const { transport, told } = make(LongPollingTransport, io);
  await transport.connect(`${url}/hub?id=secret`, format);
  return { transport, told };
};

const by = (method, requests) => requests.filter((request) => request.method === method);

test("long polling: one GET after the other, POSTs, and a DELETE at the end", withPolls(async ({ url, requests, next, waiting }) => {
  const { transport, told } = await connect(url, { logMessageContent: true });
  await next(200, "ü1");
  await next(200, "");
  await next(200, "2");
  await until(() => told.received.length === 2 && waiting.length === 1);
  assert.deepEqual(told.received, ["ü1", "2"]);
  const polls = by("GET", requests);
  assert.equal(polls.length, 5);
  for (const { url: path, headers } of polls) {
    assert.match(path, /^\/hub\?id=secret&_=\d{13}$/);
    assert.deepEqual([headers.authorization, headers["x-own"]], ["Bearer token", "7"]);
  }
  await Promise.all([transport.send("a"), transport.send("b")]);
  assert.deepEqual(by("POST", requests).map(({ body }) => body.toString()), ["a", "b"]);
  const last = transport.send("c");
  await Promise.all([transport.stop(), transport.stop()]);
  await last;
  assert.deepEqual(requests.slice(-2).map(({ method, url: path, body }) => `${method} ${path} ${body}`), ["POST /hub?id=secret c", "DELETE /hub?id=secret "]);
  assert.equal(by("DELETE", requests).length, 1);
  assert.deepEqual(told.closed, [undefined]);
  await assert.rejects(transport.send("late"), new Error("Cannot send until the transport is connected"));
  assert.ok(!String(told.lines).includes("secret"));
  const polling = `Trace (LongPolling transport) polling: ${url}/hub.`;
  assert.deepEqual(told.lines.slice(0, 8), [
    "Trace (LongPolling transport) Connecting.",
    polling,
    polling,
    "Trace (LongPolling transport) data received. String data of length 2. Content: 'ü1'.",
    polling,
    "Trace (LongPolling transport) Poll timed out, reissuing.",
    polling,
    "Trace (LongPolling transport) data received. String data of length 1. Content: '2'.",
  ]);
  assert.deepEqual(told.lines.slice(-7), [
    "Trace (LongPolling transport) Stopping polling.",
    "Trace (LongPolling transport) request complete. Response status: 200.",
    `Trace (LongPolling transport) Poll errored after shutdown: An abort occurred.`,
    "Trace (LongPolling transport) Polling complete.",
    `Trace (LongPolling transport) sending DELETE request to ${url}/hub.`,
    "Trace (LongPolling transport) DELETE request accepted.",
    "Trace (LongPolling transport) Stop finished.",
    "Trace (LongPolling transport) Firing onclose event.",
  ].slice(-7));
}));

test("long polling: binary", withPolls(async ({ url, requests, next }) => {
  const { transport, told } = await connect(url, {}, TransferFormat.Binary);
  await next(200, Buffer.from([1, 200]));
  await until(() => told.received.length === 1);
  assert.ok(told.received[0] instanceof ArrayBuffer);
  assert.deepEqual([...new Uint8Array(told.received[0])], [1, 200]);
  await transport.send(new Uint8Array([0, 1, 2, 3]).subarray(1, 3));
  const [post] = by("POST", requests);
  assert.deepEqual([...post.body], [1, 2]);
  assert.equal(post.headers["content-type"], "application/octet-stream");
  await transport.stop();
}));

test("long polling: how it ends without being stopped", async () => {
  for (const [answer, wanted] of [
    [[204], undefined],
    [[500, "oh no"], { statusCode: 500 }],
    [[302, "", { Location: "/" }], /web page/],
    [[200, "<p>Log in", { "Content-Type": "text/html" }], /web page/],
    [[409, '{"error":"other"}'], { statusCode: 409 }],
  ]) {
    await withPolls(async ({ url, next, requests }) => {
      const { transport, told } = await connect(url);
      await next(...answer);
      if (answer[0] === 302) await next(200, "<p>", { "Content-Type": "text/html; charset=utf-8" });
      await until(() => told.closed.length === 1);
      if (wanted) assert.throws(() => { throw told.closed[0]; }, wanted);
      else assert.equal(told.closed[0], undefined);
      await transport.stop();
      assert.equal(told.closed.length, 1);
      assert.equal(by("DELETE", requests).length, 0);
      await assert.rejects(transport.send("x"), /Cannot send/);
    })();
  }
});

test("long polling: the first poll says whether it opens", withServer(
  (request, response) => {
    const status = Number(/\d+/.exec(request.url)[0]);
    response.writeHead(status, request.url.includes("html") ? { "Content-Type": "text/html" } : {}).end(status === 204 ? undefined : "first");
  },
  async ({ url }) => {
    for (const [path, wanted] of [["/404?", { statusCode: 404 }], ["/204?", { statusCode: 204 }], ["/200/html?", /web page/]]) {
      const { transport, told } = make(LongPollingTransport);
      await assert.rejects(transport.connect(url + path, TransferFormat.Text), wanted);
      await transport.stop();
      assert.deepEqual(told.closed, []);
    }
    const { transport, told } = make(LongPollingTransport);
    await transport.connect(`${url}/200?`, TransferFormat.Text);
    // Not before the caller knows that it is open.
    assert.deepEqual(told.received, []);
    await until(() => told.received.length > 2);
    assert.equal(told.received[0], "first");
    await transport.stop();
  },
));

test("long polling: a 409 asks for a refresh, but not twice in a row", withPolls(async ({ url, next }) => {
  const { told } = await connect(url);
  const ask = () => next(409, '{"error": "authentication_refresh_required"}');
  await ask();
  await next(200, "x");
  await ask();
  await until(() => told.refreshes === 2);
  await ask();
  await until(() => told.closed.length === 1);
  assert.equal(told.closed[0].statusCode, 409);
  assert.deepEqual([told.refreshes, told.received], [2, ["x"]]);
}));

test("long polling: a refresh that fails ends the connection", withPolls(async ({ url, next }) => {
  const { told } = await connect(url, { authorization: { refresh: () => Promise.reject(new Error("no token")) } });
  await next(409, '{"error":"authentication_refresh_required"}');
  await until(() => told.closed.length === 1);
  assert.equal(told.closed[0].message, "no token");
}));

test("long polling: a rejected token is renewed once, for polls, messages and the DELETE", withServer(
  (request, response) => {
    const { authorization } = request.headers;
    response.statusCode = authorization === "Bearer renewed" ? 200 : 401;
    response.end();
  },
  async ({ url }) => {
    const { transport, told } = await connect(url);
    assert.deepEqual(told.renewals, ["token"]);
    await transport.send("x");
    await transport.stop();
    assert.deepEqual(told.renewals, ["token"]);
    assert.ok(told.lines.includes("Trace (LongPolling transport) DELETE request accepted."));
  },
));

test("long polling: a message that the server refuses does not end the connection", withPolls(
  async ({ url, next }) => {
    const { transport, told } = await connect(url);
    await assert.rejects(transport.send("500"), { statusCode: 500 });
    await transport.send("200");
    await next(200, "x");
    await until(() => told.received.length === 1);
    await transport.stop();
    assert.deepEqual(told.closed, [undefined]);
    assert.ok(told.lines.includes("Trace (LongPolling transport) A 404 response was returned from sending a DELETE request."));
  },
  (request, response) => response.writeHead(Number(String(request.body) || 404)).end(),
));

test("long polling: nothing at the end takes longer than a second", withPolls(
  async ({ url, requests }) => {
    const { transport, told } = await connect(url);
    const start = performance.now();
    await transport.stop();
    const took = performance.now() - start;
    assert.ok(took > 900 && took < 5000, String(took));
    assert.equal(by("DELETE", requests).length, 1);
    assert.deepEqual(told.closed, [undefined]);
  },
  () => {},
));

test("long polling: while it is paused nothing is polled", withPolls(async ({ url, waiting, next }) => {
  const { transport, told } = await connect(url);
  await until(() => waiting.length === 1);
  transport.pause();
  await next(200, "x");
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual([told.received, waiting], [[], []]);
  transport.resume();
  await until(() => waiting.length === 1);
  assert.deepEqual(told.received, ["x"]);
  transport.pause();
  await next(200, "y");
  await transport.stop();
  assert.deepEqual([told.received, told.closed], [["x"], [undefined]]);
}));

test("long polling: one that is stopped while it opens ends at once", withServer(() => {}, async ({ url, requests }) => {
  const { transport, told } = make(LongPollingTransport);
  const connecting = transport.connect(`${url}/?id=1`, TransferFormat.Text);
  connecting.catch(() => {});
  await until(() => requests.length === 1);
  await transport.stop();
  await assert.rejects(connecting, AbortError);
  assert.deepEqual(told.closed, []);
}));

/** An application's HTTP client, whose answers a test gives. */
class Own extends HttpClient {
  calls = [];

  send(request) {
    this.calls.push(request);
    return new Promise((resolve, reject) => {
      request.resolve = resolve;
      request.reject = reject;
      if (request.abortSignal) request.abortSignal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  }

  async answer(response) {
    await until(() => this.calls.some((call) => !call.isAnswered));
    const call = this.calls.find((each) => !each.isAnswered);
    call.isAnswered = true;
    if (response instanceof HttpResponse) call.resolve(response);
    else call.reject(response);
    return call;
  }
}

test("long polling: an application's HTTP client makes all requests as of the official client", async () => {
  const httpClient = new Own();
  const { transport, told } = make(LongPollingTransport, { httpClient });
  const connecting = transport.connect("http://h/hub?id=1", TransferFormat.Binary);
  const { method, url, headers, responseType, withCredentials, timeout, abortSignal } = await httpClient.answer(new HttpResponse(200, "OK", new ArrayBuffer(0)));
  assert.match(url, /^http:\/\/h\/hub\?id=1&_=\d+$/);
  assert.deepEqual([method, headers.Authorization, headers["X-Own"], responseType, withCredentials, timeout], ["GET", "Bearer token", 7, "arraybuffer", true, 110_000]);
  assert.ok(abortSignal);
  await connecting;
  await httpClient.answer(new HttpResponse(200, "OK", new Uint8Array([1]).buffer));
  // As the official client's error, which has no name.
  await httpClient.answer(new Error("A timeout occurred."));
  await httpClient.answer(new HttpResponse(409, "Conflict", '{"error":"authentication_refresh_required"}'));
  await httpClient.answer(new HttpResponse(200, "OK", new Uint8Array([2]).buffer));
  await until(() => told.received.length === 2);
  assert.equal(told.refreshes, 1);
  await until(() => httpClient.calls.at(-1).method === "GET" && !httpClient.calls.at(-1).isAnswered);
  httpClient.calls.at(-1).isAnswered = true;

  const sent = transport.send(new Uint8Array([3]));
  const post = await httpClient.answer(new HttpResponse(200, "OK", ""));
  assert.ok(post.content instanceof ArrayBuffer);
  assert.deepEqual([post.method, post.responseType, post.timeout], ["POST", "arraybuffer", 5000]);
  await sent;
  const rejected = transport.send("x");
  await httpClient.answer(new HttpResponse(401, "", ""));
  await httpClient.answer(new HttpResponse(401, "", ""));
  await assert.rejects(rejected, { statusCode: 401 });
  assert.deepEqual(told.renewals, ["token"]);

  const stopping = transport.stop();
  const goodbye = await httpClient.answer(new HttpResponse(202, "", ""));
  assert.deepEqual([goodbye.method, goodbye.url, goodbye.headers.Authorization], ["DELETE", "http://h/hub?id=1", "Bearer renewed"]);
  await stopping;
  assert.deepEqual(told.closed, [undefined]);
});

test("long polling: small messages of the end and the DELETE outlive the page", async () => {
  const asked = [];
  const fetch = async (url, { method, body, keepalive, signal }) => {
    asked.push([method, body?.length, keepalive ?? false]);
    if (method === "GET" && asked.length > 1) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    await null;
    return new Response("", { status: 200 });
  };
  await inPlaceOf({ fetch, process: undefined }, async () => {
    const { transport } = make(LongPollingTransport);
    await transport.connect("http://h/hub?id=1", TransferFormat.Text);
    await until(() => asked.length === 2);
    const sent = [10, 16384, 16385].map((length) => transport.send("x".repeat(length)));
    await transport.stop();
    await Promise.all(sent);
  });
  assert.deepEqual(asked.slice(2), [
    ["POST", 10, true],
    ["POST", 16384, true],
    ["POST", 16385, false],
    ["DELETE", undefined, true],
  ]);
});
