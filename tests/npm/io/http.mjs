// The HTTP client: what it sends, what it makes of answers, its limits, its cookies, and where redirects take it.
import assert from "node:assert/strict";
import { test } from "../../harness.mjs";
import { AbortError, CookieJar, DefaultHttpClient, HttpClient, HttpError, HttpResponse, inPlaceOf, recorder, requestHeaders, TimeoutError, until, withServer } from "./servers.mjs";

const client = (logger = recorder()) => new DefaultHttpClient(logger);
const echo = (request, response) => response.end(`${request.method} ${request.url} ${request.body}`);

test("http: headers by content, and a caller's number", withServer(echo, async ({ url, requests }) => {
  const http = client();
  await http.post(url, { content: "hü", headers: { "X-Number": 5, "x-requested-with": "mine" } });
  await http.post(url, { content: new Uint8Array([1, 2]).buffer });
  await http.post(url, { content: "", headers: requestHeaders({ authorization: "own", "user-agent": "me" }, "t") });
  await http.post(url, { headers: requestHeaders() });
  const [text, binary, empty, agent] = requests;
  assert.equal(text.headers["content-type"], "text/plain;charset=UTF-8");
  assert.equal(text.headers["x-number"], "5");
  assert.equal(text.headers["x-requested-with"], "mine");
  assert.equal(text.body.toString(), "hü");
  assert.equal(binary.headers["content-type"], "application/octet-stream");
  assert.equal(binary.headers["x-requested-with"], "XMLHttpRequest");
  assert.deepEqual([...binary.body], [1, 2]);
  assert.equal(empty.headers["content-type"], undefined);
  assert.equal(empty.headers.authorization, "Bearer t");
  assert.equal(empty.headers["user-agent"], "me");
  assert.match(agent.headers["user-agent"], /^hubwire\/\d+\.\d+ \(\d.*; \w.*; NodeJS; \d+\.\d+\.\d+\)$/);
}));

test("http: which statuses are refusals, and what an answer has", withServer(
  (request, response) => {
    response.statusCode = Number(request.url.slice(1));
    response.statusMessage = "So it is";
    response.setHeader("Retry-After", "7");
    response.setHeader("Content-Type", "application/json");
    response.end(response.statusCode === 204 ? undefined : '{"error":"ü"}');
  },
  async ({ url }) => {
    for (const status of [200, 204, 299]) {
      const response = await client().get(`${url}/${status}`);
      assert.ok(response instanceof HttpResponse);
      const { statusCode, statusText, content, contentType, retryAfter } = response;
      assert.deepEqual({ statusCode, statusText, contentType, retryAfter }, { statusCode: status, statusText: "So it is", contentType: "application/json", retryAfter: "7" });
      assert.equal(content, status === 204 ? "" : '{"error":"ü"}');
      assert.equal(response.url, `${url}/${status}`);
    }
    for (const status of [300, 304, 400, 404, 503]) {
      const error = await client().get(`${url}/${status}`).catch((failure) => failure);
      assert.ok(error instanceof HttpError, String(status));
      const body = status === 304 ? "" : '{"error":"ü"}';
      assert.equal(error.statusCode, status);
      assert.ok(error.message.includes(body || "So it is"), error.message);
      assert.deepEqual([error.content, error.retryAfter, error.contentType], [body, "7", "application/json"]);
    }
  },
));

test("http: what is asked for wrongly", withServer(echo, async ({ url }) => {
  const http = client();
  await assert.rejects(http.send({ url }), new Error("No method defined."));
  await assert.rejects(http.send({ method: "GET" }), new Error("No url defined."));
  await assert.rejects(http.get(url, { responseType: "json" }), new Error("json is not supported."));
  await assert.rejects(http.get(url, { abortSignal: AbortSignal.abort() }), AbortError);
  const { content } = await http.post(url, { content: "x", responseType: "arraybuffer" });
  assert.ok(content instanceof ArrayBuffer);
  assert.equal(Buffer.from(content).toString(), "POST / x");
  assert.equal(new HttpClient().getCookieString(url), "");
}));

test("http: errors show neither a header's value nor a query", async () => {
  for (const [url, headers] of [
    ["http://127.0.0.1:1/?id=secret", { Authorization: "Bearer secret\nx" }],
    ["http://user:secret@127.0.0.1:1/", {}],
    ["http://127.0.0.1:99999/?id=secret", {}],
  ]) {
    const logger = recorder();
    const error = await client(logger).get(url, { headers }).catch((failure) => failure);
    assert.match(error.message, /^The request cannot be made/);
    assert.ok(!`${error.stack} ${logger.lines}`.includes("secret"), url);
  }
});

test("http: a server that cannot be reached is logged with the reason", async () => {
  const logger = recorder();
  await assert.rejects(client(logger).get("http://127.0.0.1:1/"), TypeError);
  assert.match(logger.lines[0], /^Warning Error from HTTP request\. TypeError: fetch failed: .+/);
});

test("http: an aborted request ends, by either kind of signal", withServer(
  (request, response) => {
    if (request.url === "/body") response.write("part");
  },
  async ({ url, requests }) => {
    for (const path of ["/head", "/body"]) {
      const controller = new AbortController();
      const simple = { aborted: false, onabort: null };
      const both = [controller.signal, simple].map((abortSignal) => client().get(url + path, { abortSignal }));
      both.forEach((one) => one.catch(() => {}));
      await until(() => requests.filter((request) => request.url === path).length === 2);
      controller.abort();
      simple.onabort();
      for (const one of both) await assert.rejects(one, AbortError);
      assert.equal(simple.onabort, null);
    }
  },
));

test("http: the time is for the head, and again for the body", withServer(
  (request, response) => {
    if (request.url !== "/head") response.write("part");
    if (request.url === "/slow") setTimeout(() => response.end(" whole"), 150);
  },
  async ({ url }) => {
    const logger = recorder();
    for (const path of ["/head", "/body"]) await assert.rejects(client(logger).get(url + path, { timeout: 50 }), TimeoutError);
    assert.deepEqual(logger.lines, Array(2).fill("Warning Timeout from HTTP request."));
    for (const timeout of [Infinity, 0, undefined, 2 ** 40]) {
      assert.equal((await client().get(`${url}/slow`, { timeout })).content, "part whole");
    }
  },
));

test("http: answers are bounded, and those of a refusal cut", withServer(
  (request, response) => {
    response.statusCode = Number(request.url.slice(1));
    const chunk = Buffer.alloc(1 << 20, "x");
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", more);
    more();
  },
  async ({ url }) => {
    await assert.rejects(client().get(`${url}/200`), /The server sent an answer of more than 33619968 bytes/);
    const error = await client().get(`${url}/500`).catch((failure) => failure);
    assert.equal(error.statusCode, 500);
    assert.ok(error.content.length < 4 << 20 && error.message.length < 2000);
  },
));

test("http: what stands in for fetch may know no streams", async () => {
  const answers = [
    { ok: true, status: 200, statusText: "OK", text: async () => "simple" },
    { ok: false, status: 0, statusText: "", type: "opaqueredirect", headers: new Headers(), text: async () => "" },
  ];
  const asked = [];
  const fetch = async (url, init) => {
    asked.push(init);
    return answers.shift();
  };
  // As in a browser.
  await inPlaceOf({ fetch, process: undefined }, async () => {
    const http = client();
    assert.equal((await http.get("http://h/", { withCredentials: true })).content, "simple");
    await assert.rejects(http.get("http://h/"), (error) => error.statusCode === 0 && /redirect, which is not followed/.test(error.message));
    assert.equal(http.getCookieString("http://h/"), "");
  });
  assert.deepEqual(asked.map(({ credentials, redirect, cache }) => [credentials, redirect, cache]), [
    ["include", "manual", "no-store"],
    ["same-origin", "manual", "no-store"],
  ]);
});

test("http: cookies go back to where they came from", withServer(
  (request, response) => {
    if (request.url === "/set") response.setHeader("Set-Cookie", ["a=1; Path=/; HttpOnly", "b=2; Path=/deep", "c=3; Max-Age=0", "d=4; Path=/"]);
    response.end();
  },
  async ({ url, requests }) => {
    const http = client();
    await http.get(`${url}/set`);
    await http.get(`${url}/deep/x`, { headers: { cookie: "d=own; e=5" } });
    await http.get(`${url}/other`);
    assert.deepEqual(requests.map(({ headers }) => headers.cookie), [undefined, "d=own; e=5; b=2; a=1", "a=1; d=4"]);
    assert.equal(http.getCookieString(url.replace("http", "ws")), "a=1; d=4");
    assert.equal(http.getCookieString("http://127.0.0.1:1/"), "");
    assert.equal(client().getCookieString(url), "");
  },
));

test("cookies: which are kept, and where they belong", () => {
  for (const [from, text, to, wanted] of [
    ["http://h.example/", "a=b=c; Domain=.h.example", "wss://x.h.example:9/", "a=b=c"],
    ["http://h.example/", "a=1", "http://x.h.example/", ""],
    ["http://h.example/", "a=1", "http://h.example:81/", ""],
    ["https://h.example/", "a=1", "wss://h.example:443/", "a=1"],
    ["http://x.h.example/", "a=1; Domain=h.example", "http://h.example/", "a=1"],
    ["http://h.example/", "a=1; Domain=example", "http://h.example/", ""],
    ["http://h.example/", "a=1; Domain=evil.example", "http://evil.example/", ""],
    ["http://xh.example/", "a=1; Domain=h.example", "http://h.example/", ""],
    ["http://localhost/", "a=1; Domain=localhost; Secure", "http://localhost/", "a=1"],
    ["http://127.0.0.1/", "a=1; Domain=0.0.1", "http://127.0.0.1/", ""],
    ["http://h.example/", "a=1; Secure", "https://h.example/", ""],
    ["https://h.example/", "a=1; Secure", "http://h.example/", ""],
    ["https://h.example/", "__Host-a=1; Secure; Path=/", "https://h.example/x", "__Host-a=1"],
    ["https://h.example/", "__Host-a=1; Secure; Path=/; Domain=h.example", "https://h.example/", ""],
    ["https://h.example/", "__Secure-a=1", "https://h.example/", ""],
    ["http://h.example/a/b", "a=1", "http://h.example/a/c", "a=1"],
    ["http://h.example/a/b", "a=1", "http://h.example/ab", ""],
    ["http://h.example/", "a=1; Path=/a/", "http://h.example/a/b", "a=1"],
    ["http://h.example/", "a=1; Path=/a", "http://h.example/ab", ""],
    ["http://h.example/", "a=1; Path=relative", "http://h.example/b", "a=1"],
    ["http://h.example/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://h.example/", ""],
    ["http://h.example/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "http://h.example/", "a=1"],
    ["http://h.example/", "a=1; Expires=nonsense", "http://h.example/", "a=1"],
    ["http://h.example/", "no pair", "http://h.example/", ""],
    ["http://h.example/", "=value", "http://h.example/", ""],
    ["http://h.example/", `a=${"x".repeat(4096)}`, "http://h.example/", ""],
    ["http://h.example/", "a=1\r\nX: y", "http://h.example/", ""],
  ]) {
    const jar = new CookieJar();
    jar.keep(from, text);
    assert.equal(jar.header(to), wanted, `${from} ${text} ${to}`);
  }
});

test("cookies: their number is bounded, and a later one replaces an earlier one", () => {
  const jar = new CookieJar();
  for (let n = 0; n < 30; n += 1) jar.keep("http://h.example/", `c${n}=1`);
  assert.equal(jar.header("http://h.example/").split("; ").length, 20);
  jar.keep("http://h.example/", "c10=2");
  assert.ok(jar.header("http://h.example/").startsWith("c10=2; c11=1"));
  for (let n = 0; n < 400; n += 1) jar.keep(`http://h${n}.example/`, "a=1");
  assert.equal(jar.cookies.length, 300);
  jar.keep("http://h399.example/", "a=; Max-Age=-1");
  assert.equal(jar.header("http://h399.example/"), "");
});

test("http: redirects are followed, but nothing of the caller's goes to another origin", withServer(
  (request, response) => {
    response.setHeader("Set-Cookie", "theirs=1; Path=/");
    echo(request, response);
  },
  async (other) => {
    await withServer(
      (request, response) => {
        const [, status, target] = /^\/(\d+)\/(.*)$/.exec(request.url) ?? [];
        if (!status) return echo(request, response);
        response.writeHead(Number(status), { Location: target === "other" ? `${other.url}/there?x=1` : target || request.url, "Set-Cookie": "ours=1; Path=/" });
        response.end("elsewhere");
      },
      async ({ url, requests }) => {
        const headers = { Authorization: "Bearer secret", Cookie: "own=secret", "X-Secret": "secret" };
        const at = async (path, method, content) => (await client().send({ method, content, headers, url: url + path })).content;
        assert.equal(await at("/302//here", "POST", "body"), "GET /here ");
        assert.equal(await at("/303//here", "DELETE"), "GET /here ");
        assert.equal(await at("/307//here", "POST", "body"), "POST /here body");
        assert.equal(await at("/308//here", "DELETE"), "DELETE /here ");
        assert.equal(requests.at(-1).headers["x-secret"], "secret");
        assert.equal(requests.at(-1).headers.cookie, "own=secret; ours=1");

        const http = client();
        const response = await http.get(`${url}/302/other`, { headers });
        assert.equal(response.content, "GET /there?x=1 ");
        assert.equal(response.url, `${other.url}/there?x=1`);
        assert.equal(await at("/307/other", "POST", ""), "POST /there?x=1 ");
        assert.ok(!JSON.stringify(other.requests.map((request) => request.headers)).includes("secret"));
        assert.equal(other.requests[0].headers.cookie, undefined);
        assert.equal(other.requests[0].headers["x-requested-with"], "XMLHttpRequest");
        assert.equal(http.getCookieString(other.url), "theirs=1");

        const before = other.requests.length;
        await assert.rejects(at("/307/other", "POST", "body"), (error) => error.statusCode === 307 && error.location === `${other.url}/there?x=1`);
        assert.equal(other.requests.length, before);
        requests.length = 0;
        await assert.rejects(at("/302/", "GET"), { statusCode: 302 });
        assert.equal(requests.length, 21);
        await assert.rejects(at("/302/file:///etc/passwd", "GET"), { statusCode: 302 });
      },
    )();
  },
));
