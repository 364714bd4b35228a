// What can be set, what is refused and in which words, beside the official client.
import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import * as signalr from "@microsoft/signalr";
import { test } from "../../harness.mjs";

const URL_OF_HUB = "https://example.com/chat";

/** What either package has to say in the same words: `[title, what is done]`. */
const SAID_ALIKE = [
  ["no URL", (lib) => new lib.HubConnectionBuilder().build()],
  ["URL missing", (lib) => new lib.HubConnectionBuilder().withUrl()],
  ["URL null", (lib) => new lib.HubConnectionBuilder().withUrl(null)],
  ["URL empty", (lib) => new lib.HubConnectionBuilder().withUrl("")],
  ["URL of spaces", (lib) => new lib.HubConnectionBuilder().withUrl("  ")],
  ["URL relative", (lib) => new lib.HubConnectionBuilder().withUrl("/chat").build()],
  ["URL of another kind", (lib) => new lib.HubConnectionBuilder().withUrl("ftp://example.com/chat").build()],
  ["logging missing", (lib) => new lib.HubConnectionBuilder().configureLogging()],
  ["logging null", (lib) => new lib.HubConnectionBuilder().configureLogging(null)],
  ["logging unknown", (lib) => new lib.HubConnectionBuilder().configureLogging("loud")],
  ["protocol missing", (lib) => new lib.HubConnectionBuilder().withHubProtocol()],
  ["server timeout null", (lib) => new lib.HubConnectionBuilder().withServerTimeout(null)],
  ["keep-alive missing", (lib) => new lib.HubConnectionBuilder().withKeepAliveInterval()],
  ["two policies", (lib) => new lib.HubConnectionBuilder().withAutomaticReconnect().withAutomaticReconnect()],
  ["withCredentials", (lib) => new lib.HubConnectionBuilder().withUrl(URL_OF_HUB, { withCredentials: "yes" }).build()],
  ["negotiation skipped", (lib) => new lib.HubConnectionBuilder().withUrl(URL_OF_HUB, { skipNegotiation: true, logger: null }).build().start()],
  ["baseUrl empty", (lib) => void (connection(lib).baseUrl = "")],
  ["send", (lib) => connection(lib).send("m")],
  ["invoke", (lib) => connection(lib).invoke("m")],
  ["stream", (lib) => new Promise((_, error) => connection(lib).stream("m").subscribe({ next() {}, complete() {}, error }))],
];

const connection = (lib) => new lib.HubConnectionBuilder().withUrl(URL_OF_HUB).configureLogging(lib.LogLevel.None).build();

const said = async (lib, act) => {
  try {
    await act(lib);
    return "no error";
  } catch (error) {
    return String(error);
  }
};

export function options(ours, { createLogger, httpOptions, retryPolicy, texts }) {
  const { HubConnectionBuilder, LogLevel } = ours;

  for (const [title, act] of SAID_ALIKE) {
    test(`said alike: ${title}`, async () => {
      const theirs = await said(signalr, act);
      assert.match(theirs, /^Error: ./);
      assert.equal(await said(ours, act), theirs);
    });
  }

  test("lines on the console are those of the official client", () => {
    const methods = ["error", "warn", "info", "log", "debug"];
    const kept = methods.map((method) => console[method]);
    const written = (lib, logging) => {
      const lines = [];
      for (const method of methods) console[method] = (line) => lines.push([method, line.replace(/^\[\d{4}-\d\d-\d\dT[\d:.]+Z\]/, "[now]")]);
      const logger = lib === signalr ? new lib.HubConnectionBuilder().configureLogging(logging).logger : createLogger(logging);
      for (let level = 0; level <= 6; level += 1) logger.log(level, `a line of level ${level}`);
      return lines;
    };
    try {
      for (const logging of [LogLevel.Trace, LogLevel.Information, "debug", "WARN", "error", LogLevel.Critical]) {
        const [mine, theirs] = [written(ours, logging), written(signalr, logging)];
        // "None" is no level of a message.
        assert.deepEqual(mine.filter(([, line]) => !line.includes("level 6")), theirs.filter(([, line]) => !line.includes("level 6")), String(logging));
      }
    } finally {
      methods.forEach((method, n) => (console[method] = kept[n]));
    }
  });

  test("null and undefined are not given", () => {
    for (const nothing of [null, undefined]) {
      const names = ["accessTokenFactory", "headers", "httpClient", "logMessageContent", "skipNegotiation", "timeout", "transport", "WebSocket", "EventSource", "withCredentials"];
      const [taken, unknown] = httpOptions(Object.fromEntries([...names, "somebodyElses"].map((name) => [name, nothing])));
      assert.deepEqual([taken, unknown], [{}, []]);
      new HubConnectionBuilder()
        .withUrl(URL_OF_HUB, nothing)
        .withAutomaticReconnect(nothing)
        .withFirstConnectRetry(nothing)
        .withStatefulReconnect(nothing)
        .withStatefulReconnect({ bufferSize: nothing })
        .withAuthenticationRefresh(nothing)
        .withAuthenticationRefresh({ enableAutoRefresh: nothing, refreshBeforeExpirationInMilliseconds: nothing })
        .build()
        .with(nothing);
    }
    // A logger that is null is none, on purpose.
    assert.equal(httpOptions({ logger: null })[0].logger, ours.NullLogger.instance);
  });

  test("options that are not known are a warning", () => {
    const lines = [];
    const logger = { log: (level, message) => lines.push([level, message]) };
    const transport = { connect() {}, send() {}, stop() {}, onreceive: null, onclose: null };
    const taken = { httpClient: new ours.DefaultHttpClient(logger), transport, WebSocket: class {}, EventSource: class {}, headers: { "x-tenant": 7 }, timeout: Infinity };
    new HubConnectionBuilder().withUrl(URL_OF_HUB, { ...taken, logger, accessTokenFactroy: () => "", none: null }).build();
    assert.deepEqual(lines, [[LogLevel.Warning, "The option 'accessTokenFactroy' is not known, and has no effect."]]);
    const [settings] = httpOptions(taken);
    for (const [name, value] of Object.entries(taken)) assert.equal(settings[name], value, name);
  });

  test("options that are not known are a warning wherever options are taken", () => {
    const lines = [];
    const logger = { log: (level, message) => lines.push([level, message]) };
    const build = (protocol) =>
      new HubConnectionBuilder()
        .withUrl(URL_OF_HUB)
        .configureLogging(logger)
        .withHubProtocol(protocol)
        .withStatefulReconnect({ bufferSize: 7, buferSize: 8, none: null })
        .withAuthenticationRefresh({ enableAutoRefresh: true, refreshBeforeExpirationInMilliseconds: 1, refreshBefore: 2 })
        .build();
    const known = { extensionCodec: undefined, context: 1, maxDepth: 9, initialBufferSize: 64, sortKeys: true, forceFloat32: true, forceIntegerToFloat: true, ignoreUndefined: true, useBigInt64: true };
    const limits = { maxStrLength: 1, maxBinLength: 1, maxArrayLength: 1, maxMapLength: 1, maxExtLength: 1 };
    const connection = build(new ours.MessagePackHubProtocol({ ...known, ...limits, maxDeph: 9 }));
    connection.with({ signal: undefined, sgnal: AbortSignal.abort(), timeout: null });
    const names = ["buferSize", "refreshBefore", "maxDeph", "sgnal"];
    assert.deepEqual(lines, names.map((name) => [LogLevel.Warning, `The option '${name}' is not known, and has no effect.`]));
    connection.with({ signal: new AbortController().signal });
    build(new ours.JsonHubProtocol());
    assert.equal(lines.length, 6);
  });

  test("a URL without its scheme gets a hint", () => {
    const url = (given) => () => new HubConnectionBuilder().withUrl(given);
    for (const given of ["localhost:5510/hub", "localhost/hub", "hub.example.com/chat", "hub.example.com:8080/chat", "127.0.0.1:5000/hub", "my-hub:5000"]) {
      assert.throws(url(`${given}?key=secret`), { message: `Cannot resolve '${given}'. Did you mean 'http://${given}'?` });
    }
    for (const given of ["/chat", "chat", "./chat", "../chat", "ftp://hub.example.com/chat", "//hub.example.com/chat"]) {
      assert.throws(url(given), { message: `Cannot resolve '${given}'.` });
    }
    // In a page the second is relative.
    globalThis.location = { href: "http://page.example/a/b" };
    try {
      assert.throws(url("localhost:5510/hub"), /Did you mean 'http:\/\/localhost:5510\/hub'/);
      assert.equal(new HubConnectionBuilder().withUrl("hub.example.com/chat").build().baseUrl, "http://page.example/a/hub.example.com/chat");
    } finally {
      delete globalThis.location;
    }
  });

  test("what an earlier withUrl has set stays", () => {
    const lines = [];
    const logger = { log: (_, message) => lines.push(message) };
    const builder = new HubConnectionBuilder().withUrl(URL_OF_HUB, { logger, mine: 1, skipNegotiation: true, transport: 1 }).withUrl(`${URL_OF_HUB}2`, { headers: {} });
    assert.equal(builder.build().baseUrl, `${URL_OF_HUB}2`);
    assert.equal(lines.length, 1);
    // As in the official client, no argument leaves the transport open.
    assert.throws(() => builder.withUrl(URL_OF_HUB).build(), /Negotiation can only be skipped/);
  });

  test("what cannot be used is refused where it is set, by name and value", () => {
    const refused = [
      [{ accessTokenFactory: "a secret" }, /^The option 'accessTokenFactory' is a string; it has to be a function\.$/],
      [{ headers: "x" }, /'headers'/],
      [{ headers: { a: {} } }, /'headers' has a header "a" that is an object\./],
      [{ headers: { a: "b\r\nc" } }, /'headers' has a header "a" with a line end/],
      [{ headers: { "a b": "c" } }, /'headers' has a header "a b"/],
      [{ timeout: -1 }, /'timeout' is -1/],
      [{ maximumReceiveMessageSize: 0 }, /'maximumReceiveMessageSize' is 0; it has to be a number of bytes that is more than 0/],
      [{ maximumReceiveMessageSize: "1 MiB" }, /'maximumReceiveMessageSize' is "1 MiB"/],
      [{ timeout: Number.NaN }, /'timeout' is NaN/],
      [{ timeout: "5" }, /'timeout' is "5"/],
      [{ transport: 8 }, /'transport' is 8/],
      [{ transport: "WebSockets" }, /'transport' is "WebSockets"/],
      [{ transport: {} }, /'transport' is an object/],
      ["LongPolling", /'transport' is "LongPolling"/],
      [{ skipNegotiation: 1 }, /'skipNegotiation' is a number/],
      [{ httpClient: {} }, /'httpClient' is an object/],
      [{ WebSocket: {} }, /'WebSocket' is a object/],
      [{ logger: "loud" }, /Unknown log level: loud/],
    ];
    for (const [given, message] of refused) {
      assert.throws(() => new HubConnectionBuilder().withUrl(URL_OF_HUB, given), { code: "InvalidArgument", message }, JSON.stringify(given));
    }
    const builders = [
      [(builder) => builder.withUrl(5), /'url' is 5/],
      [(builder) => builder.withUrl("/chat?access_token=secret"), /^Cannot resolve '\/chat'\.$/],
      [(builder) => builder.withAutomaticReconnect({}), /'withAutomaticReconnect' is an object/],
      [(builder) => builder.withAutomaticReconnect([0, -1]), /'withAutomaticReconnect' is -1/],
      [(builder) => builder.withAutomaticReconnect([0, "5"]), /'withAutomaticReconnect' is "5"/],
      [(builder) => builder.withStatefulReconnect({ bufferSize: 0 }), /'bufferSize' is 0/],
      [(builder) => builder.withAuthenticationRefresh({ refreshBeforeExpirationInMilliseconds: -1 }), /is -1/],
      [(builder) => builder.withServerTimeout(0), /'serverTimeoutInMilliseconds' is 0/],
      [(builder) => builder.withKeepAliveInterval("1000"), /'keepAliveIntervalInMilliseconds' is "1000"/],
      [(builder) => builder.withHubProtocol({}), /'parseMessages'/],
      [(builder) => builder.withHubProtocol({ parseMessages() {}, writeMessage() {} }), /'name'/],
      [(builder) => builder.withWorker(5), /The worker/],
      [(builder) => builder.withUrl(URL_OF_HUB, { httpClient: { send() {} } }).withWorker().build(), /'httpClient' is an object, which cannot run/],
    ];
    for (const [act, message] of builders) {
      assert.throws(() => act(new HubConnectionBuilder()), { code: "InvalidArgument", message }, String(act));
    }
  });

  test("times may be without an end, and 0 where that is one", () => {
    const built = new HubConnectionBuilder().withUrl(URL_OF_HUB).withServerTimeout(Infinity).withKeepAliveInterval(Infinity).build();
    assert.deepEqual([built.serverTimeoutInMilliseconds, built.keepAliveIntervalInMilliseconds], [Infinity, Infinity]);
    assert.throws(() => (built.serverTimeoutInMilliseconds = 0), { code: "InvalidArgument" });
    assert.equal(httpOptions({ timeout: 0 })[0].timeout, Infinity);
    assert.equal(httpOptions({ timeout: 0.5 })[0].timeout, 0.5);
    new HubConnectionBuilder().withStatefulReconnect({ bufferSize: Infinity }).withAuthenticationRefresh({ refreshBeforeExpirationInMilliseconds: Infinity });
  });

  test("headers of every kind become texts", () => {
    assert.deepEqual(texts({ a: 1, b: "c", d: null, e: undefined, f: true }), { a: "1", b: "c", f: "true" });
    assert.deepEqual(texts(new Headers({ "X-Tenant": "contoso" })), { "x-tenant": "contoso" });
    assert.deepEqual(texts(new Map([["a", 5]])), { a: "5" });
  });

  test("tokens: whatever promise the factory gives is awaited, and what is no text is an error", async () => {
    const token = (give) => httpOptions({ accessTokenFactory: give })[0].accessTokenFactory();
    // jQuery's are no promises by any prototype.
    const jquery = { then: (done) => void setTimeout(() => done("from a thenable")) };
    const foreign = runInNewContext(`Promise.resolve("from another realm")`);
    assert.ok(!(foreign instanceof Promise));
    for (const [give, expected] of [
      [() => "text", "text"],
      [async () => "later", "later"],
      [() => jquery, "from a thenable"],
      [() => foreign, "from another realm"],
      [() => null, undefined],
      [async () => undefined, undefined],
      [() => "", undefined],
    ]) {
      const given = token(give);
      assert.ok(given instanceof Promise);
      assert.equal(await given, expected, String(give));
    }
    for (const wrong of [5, true, {}, ["token"], () => "token"]) {
      await assert.rejects(token(() => wrong), { code: "AccessToken", message: /has to be a text; the factory gave an? / }, String(wrong));
      await assert.rejects(token(async () => wrong), { code: "AccessToken" });
    }
    const mine = new Error("no session");
    await assert.rejects(token(() => { throw mine; }), mine);
    await assert.rejects(token(() => ({ then: (_, fail) => fail(mine) })), mine);
  });

  test("retry policies: delays, the end of them, and the server's wish", () => {
    const ask = (policy, previousRetryCount, retryAfterMilliseconds) => policy.nextRetryDelayInMilliseconds({ previousRetryCount, retryAfterMilliseconds });
    const delays = retryPolicy([0, 10, null, 30]);
    assert.deepEqual([0, 1, 2, 4].map((count) => ask(delays, count, 0)), [0, 10, null, null]);
    assert.equal(ask(delays, 0, 500), 500);
    assert.equal(ask(delays, 1), 10);
    const mine = { nextRetryDelayInMilliseconds: () => 5 };
    assert.equal(retryPolicy(mine), mine);
  });
}
